//! Open alerts, and the messages that are due. Pure: the caller passes the time, in ms since the Unix epoch.

use serde::{Deserialize, Serialize};

use super::{AlertKind, AlertsConfig, Condition};

const HOUR_MS: i64 = 3_600_000;

/// Problem with a message that was sent or will be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OpenAlert {
    pub(super) kind: AlertKind,
    pub(super) subject: String,
    pub(super) summary: String,
    /// Start of the problem.
    pub(super) since: i64,
    /// Time of the last message; `None` before the first.
    sent_at: Option<i64>,
    /// Time since which the problem is gone.
    cleared_at: Option<i64>,
}

/// Reason of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AlertStatus {
    /// The problem exists.
    Firing,
    /// The problem is gone.
    Resolved,
}

/// Open alerts and the rate of messages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AlertTracker {
    open: Vec<OpenAlert>,
    /// Times of the messages of the last hour.
    sent: Vec<i64>,
}

impl AlertTracker {
    /// Takes over the problems that exist at `now`.
    pub(super) fn observe(&mut self, now: i64, conditions: &[Condition]) {
        for Condition { kind, subject, summary } in conditions {
            let mut open = self.open.iter_mut();
            match open.find(|open| open.kind == *kind && open.subject == *subject) {
                Some(open) => {
                    open.summary.clone_from(summary);
                    open.cleared_at = None;
                }
                None => self.open.push(OpenAlert {
                    kind: *kind,
                    subject: subject.clone(),
                    summary: summary.clone(),
                    since: now,
                    sent_at: None,
                    cleared_at: None,
                }),
            }
        }
        let exists = |open: &OpenAlert| {
            conditions.iter().any(|it| it.kind == open.kind && it.subject == open.subject)
        };
        // A problem without a message needs no message about its end.
        self.open.retain(|open| open.sent_at.is_some() || exists(open));
        for open in self.open.iter_mut().filter(|open| !exists(open)) {
            open.cleared_at.get_or_insert(now);
        }
    }

    /// Returns the most severe message that is due; `None` also while the rate is used up. The message stays due until
    /// [`sent`](AlertTracker::sent).
    pub(super) fn due(&self, now: i64, config: &AlertsConfig) -> Option<(AlertStatus, OpenAlert)> {
        let recent = self.sent.iter().filter(|at| is_recent(**at, now)).count() as u64;
        if recent >= config.max_per_hour {
            return None;
        }
        let (after, repeat) = (millis(config.after), millis(config.repeat));
        let due = self.open.iter().filter_map(|open| {
            let status = match (open.sent_at, open.cleared_at) {
                (None, _) if now - open.since >= after => AlertStatus::Firing,
                (Some(_), Some(cleared)) if now - cleared >= after => AlertStatus::Resolved,
                (Some(sent), None) if now - sent >= repeat => AlertStatus::Firing,
                _ => return None,
            };
            Some((status, open))
        });
        due.min_by_key(|(_, open)| !open.kind.is_critical())
            .map(|(status, open)| (status, open.clone()))
    }

    /// Notes that a message was sent.
    pub(super) fn sent(&mut self, now: i64, status: AlertStatus, alert: &OpenAlert) {
        self.sent.retain(|at| is_recent(*at, now));
        self.sent.push(now);
        let is_it = |open: &OpenAlert| open.kind == alert.kind && open.subject == alert.subject;
        match status {
            AlertStatus::Resolved => self.open.retain(|open| !is_it(open)),
            AlertStatus::Firing => {
                for open in self.open.iter_mut().filter(|open| is_it(open)) {
                    open.sent_at = Some(now);
                }
            }
        }
    }

    /// Returns the alerts of the previous process. Times after `now` count as `now`, for a clock that was set back.
    pub(super) fn restored(mut self, now: i64) -> AlertTracker {
        for open in &mut self.open {
            open.since = open.since.min(now);
            for time in [&mut open.sent_at, &mut open.cleared_at].into_iter().flatten() {
                *time = (*time).min(now);
            }
        }
        self
    }
}

fn is_recent(at: i64, now: i64) -> bool {
    (now - HOUR_MS..=now).contains(&at)
}

pub(super) fn millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;

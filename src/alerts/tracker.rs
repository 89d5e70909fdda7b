//! Open alerts, and the messages that are due. Pure: the caller passes the time, in ms since the Unix epoch.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{AlertKind, AlertsConfig, Condition};

const HOUR_MS: i64 = 3_600_000;

/// Wait of an alert after its first failed message, in ms; doubled after each further one.
const MIN_BACKOFF: i64 = 1000;

/// Maximum wait of an alert after a failed message, in ms.
const MAX_BACKOFF: i64 = 10 * 60 * 1000;

/// Maximum wait that a receiver can request, in ms: one hour.
const MAX_RETRY_AFTER: i64 = HOUR_MS;

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
    /// Wait after a failed message. Not stored: a new process tries at once.
    #[serde(skip)]
    backoff: Option<PostBackoff>,
}

/// Wait of one alert after a failed message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PostBackoff {
    /// Length of the wait, in ms.
    wait: i64,
    /// Time of the next attempt.
    retry_at: i64,
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
    /// Time before which the receiver wants no message. Not stored, like the waits.
    #[serde(skip)]
    receiver_ready_at: i64,
}

impl AlertTracker {
    /// Takes over the problems that exist at `now`. A problem that is gone for less than `after` is still the same alert.
    pub(super) fn observe(&mut self, now: i64, conditions: &[Condition], after: Duration) {
        self.limit_times(now);
        let known: HashSet<(AlertKind, &str)> = self.open.iter().map(OpenAlert::key).collect();
        let new = conditions.iter().filter(|it| !known.contains(&(it.kind, it.subject.as_str())));
        let new: Vec<OpenAlert> = new.map(|condition| OpenAlert::new(now, condition)).collect();
        let found: HashMap<(AlertKind, &str), &Condition> =
            conditions.iter().map(|it| ((it.kind, it.subject.as_str()), it)).collect();
        for open in &mut self.open {
            match found.get(&open.key()) {
                Some(condition) => {
                    open.summary.clone_from(&condition.summary);
                    open.cleared_at = None;
                }
                None => {
                    open.cleared_at.get_or_insert(now);
                }
            }
        }
        // A problem without a message needs no message about its end.
        let after = millis(after);
        let is_over = |open: &OpenAlert| open.cleared_at.is_some_and(|at| now - at >= after);
        self.open.retain(|open| open.sent_at.is_some() || !is_over(open));
        self.open.extend(new);
    }

    /// Returns the next message that is due: critical ones first, then first messages, then the one whose alert has
    /// waited longest. Returns `None` also while the rate is used up or the receiver has requested a wait. The message
    /// stays due until [`sent`](AlertTracker::sent).
    pub(super) fn due(&self, now: i64, config: &AlertsConfig) -> Option<(AlertStatus, OpenAlert)> {
        let recent = self.sent.iter().filter(|at| is_recent(**at, now)).count() as u64;
        if recent >= config.max_per_hour || now < self.receiver_ready_at {
            return None;
        }
        let (after, repeat) = (millis(config.after), millis(config.repeat));
        let due = self.open.iter().filter_map(|open| {
            let status = match (open.sent_at, open.cleared_at) {
                _ if open.backoff.is_some_and(|backoff| now < backoff.retry_at) => return None,
                (None, None) if now - open.since >= after => AlertStatus::Firing,
                (Some(_), Some(cleared)) if now - cleared >= after => AlertStatus::Resolved,
                (Some(sent), None) if now - sent >= repeat => AlertStatus::Firing,
                _ => return None,
            };
            Some((status, open))
        });
        due.min_by_key(|(_, open)| (!open.kind.is_critical(), open.sent_at))
            .map(|(status, open)| (status, open.clone()))
    }

    /// Notes that a message was sent.
    pub(super) fn sent(&mut self, now: i64, status: AlertStatus, alert: &OpenAlert) {
        self.sent.retain(|at| is_recent(*at, now));
        self.sent.push(now);
        match status {
            AlertStatus::Resolved => self.open.retain(|open| !open.is_same(alert)),
            AlertStatus::Firing => {
                for open in self.open.iter_mut().filter(|open| open.is_same(alert)) {
                    (open.sent_at, open.backoff) = (Some(now), None);
                }
            }
        }
    }

    /// Notes that a message was not sent. Returns the wait until the next attempt: of this alert only, because the
    /// receiver may refuse this message and no other; of all alerts, if the receiver has requested it.
    pub(super) fn failed(
        &mut self,
        now: i64,
        alert: &OpenAlert,
        retry_after: Option<Duration>,
    ) -> Duration {
        let last = alert.backoff.map_or(0, |backoff| backoff.wait);
        let wait = (last * 2).clamp(MIN_BACKOFF, MAX_BACKOFF);
        for open in self.open.iter_mut().filter(|open| open.is_same(alert)) {
            open.backoff = Some(PostBackoff { wait, retry_at: now + wait });
        }
        let requested = retry_after.map_or(0, millis).min(MAX_RETRY_AFTER);
        self.receiver_ready_at = now + requested;
        Duration::from_millis(wait.max(requested).unsigned_abs())
    }

    /// Limits times after `now`: the clock was set back.
    fn limit_times(&mut self, now: i64) {
        self.receiver_ready_at = self.receiver_ready_at.min(now + MAX_RETRY_AFTER);
        for open in &mut self.open {
            open.since = open.since.min(now);
            for time in [&mut open.sent_at, &mut open.cleared_at].into_iter().flatten() {
                *time = (*time).min(now);
            }
            if let Some(PostBackoff { wait, retry_at }) = &mut open.backoff {
                *retry_at = (*retry_at).min(now + *wait);
            }
        }
    }
}

impl OpenAlert {
    /// Begins an alert about a problem.
    fn new(now: i64, condition: &Condition) -> OpenAlert {
        OpenAlert {
            kind: condition.kind,
            subject: condition.subject.clone(),
            summary: condition.summary.clone(),
            since: now,
            sent_at: None,
            cleared_at: None,
            backoff: None,
        }
    }

    fn key(&self) -> (AlertKind, &str) {
        (self.kind, &self.subject)
    }

    /// Returns true if both are about the same problem.
    fn is_same(&self, other: &OpenAlert) -> bool {
        self.key() == other.key()
    }
}

fn is_recent(at: i64, now: i64) -> bool {
    (now - HOUR_MS..=now).contains(&at)
}

pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;

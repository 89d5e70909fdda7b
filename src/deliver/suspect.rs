//! Policy for attempts that fail again and again: smaller requests, and in the end a dead letter of an
//! event that the target refuses while it takes others. Pure.

use std::time::Duration;

use tokio::time::Instant;

use crate::deliver::GiveUpConfig;
use crate::sinks::Verdict;

/// Attempts with the same items before their number is halved. A retry with the same bytes lets an
/// idempotent target recognise them.
const ATTEMPTS_BEFORE_HALVING: u32 = 6;

/// Upper bound of items per attempt: halved by failures, doubled by success.
#[derive(Debug)]
pub(super) struct AttemptLimit(usize);

impl AttemptLimit {
    /// No bound but the batch's own.
    pub(super) fn whole() -> AttemptLimit {
        AttemptLimit(usize::MAX)
    }

    /// Returns the number of items of a group that the next attempt takes.
    pub(super) fn of(&self, group: usize) -> usize {
        self.0.min(group)
    }

    /// Notes an attempt after `failures` failed ones. Returns true if the next attempt takes fewer items:
    /// at once after a timeout, after `ATTEMPTS_BEFORE_HALVING` other failures.
    pub(super) fn note(&mut self, tried: AttemptSummary, has_moved: bool, failures: u32) -> bool {
        if has_moved {
            if !tried.is_retry {
                self.0 = self.0.saturating_mul(2);
            }
            return false;
        }
        let is_fewer = tried.count > 1
            && (tried.is_late || (tried.is_retry && failures >= ATTEMPTS_BEFORE_HALVING));
        if is_fewer {
            self.0 = tried.count / 2;
        }
        is_fewer
    }
}

/// Result of an attempt, as far as the size of the next one depends on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct AttemptSummary {
    count: usize,
    is_retry: bool,
    pub(super) is_late: bool,
}

impl AttemptSummary {
    pub(super) fn of(verdicts: &[Verdict]) -> AttemptSummary {
        let is_retry = |verdict: &Verdict| matches!(verdict, Verdict::Retry { .. });
        let is_late =
            |verdict: &Verdict| matches!(verdict, Verdict::Retry { reason, .. } if reason.is_late);
        AttemptSummary {
            count: verdicts.len(),
            is_retry: verdicts.iter().any(is_retry),
            is_late: verdicts.iter().any(is_late),
        }
    }
}

/// An event that fails alone. Counts only if the target takes another event between two failures: an
/// outage of the target is no event's fault.
#[derive(Debug)]
pub(super) struct Suspect {
    position: u64,
    failures: u32,
    since: Instant,
    /// Events that the sink had delivered at the last failure of this event.
    delivered: u64,
    /// True if a neighbour was tried since the last failure of this event.
    is_compared: bool,
}

impl Suspect {
    /// Notes that the event at `position` failed alone, when the sink had delivered `delivered` events.
    /// Returns true if the event is to be given up.
    pub(super) fn note(
        suspect: &mut Option<Suspect>,
        position: u64,
        delivered: u64,
        now: Instant,
        rule: GiveUpConfig,
    ) -> bool {
        let Some(known) = suspect.as_mut().filter(|known| known.position == position) else {
            let new = Suspect { position, failures: 1, since: now, delivered, is_compared: false };
            *suspect = Some(new);
            return false;
        };
        known.failures = known.failures.saturating_add(1);
        known.is_compared = false;
        let takes_others = std::mem::replace(&mut known.delivered, delivered) < delivered;
        takes_others && known.is_due(now, rule)
    }

    /// Returns true if another event is to be tried next, to see if the target takes it.
    pub(super) fn wants_neighbour(
        &self,
        position: u64,
        delivered: u64,
        now: Instant,
        rule: GiveUpConfig,
    ) -> bool {
        self.position == position
            && !self.is_compared
            && delivered == self.delivered
            && self.is_due(now, rule)
    }

    /// Notes that a neighbour was tried: the event itself is next.
    pub(super) fn compared(&mut self) {
        self.is_compared = true;
    }

    /// Number of times the event failed alone.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    fn is_due(&self, now: Instant, rule: GiveUpConfig) -> bool {
        let waited: Duration = now.saturating_duration_since(self.since);
        rule.attempts > 0 && self.failures >= rule.attempts && waited >= rule.after
    }
}

/// Returns true if a failure may be the event's fault. `Retry-After` and 429 are about the target.
pub(super) fn may_be_its_fault(verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Retry { after, reason } => after.is_none() && reason.status != Some(429),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sinks::Reason;

    const RULE: GiveUpConfig = GiveUpConfig { attempts: 3, after: Duration::from_secs(60) };

    fn retry(is_late: bool, after: Option<u64>, status: u16) -> Verdict {
        let reason = Reason { is_late, status: Some(status), ..Reason::new("x") };
        Verdict::Retry { after: after.map(Duration::from_secs), reason }
    }

    #[test]
    fn a_slow_target_gets_half_the_items_and_more_after_a_success() {
        let mut attempt_limit = AttemptLimit::whole();
        let late = |count| AttemptSummary::of(&vec![retry(true, None, 504); count]);
        let failed = |count| AttemptSummary::of(&vec![retry(false, None, 500); count]);
        for expected in [50, 25, 12, 6, 3, 1, 1] {
            attempt_limit.note(late(attempt_limit.of(100)), false, 0);
            assert_eq!(attempt_limit.of(100), expected);
        }
        for expected in [2, 4, 8, 16, 32, 64, 100] {
            let tried = AttemptSummary::of(&vec![Verdict::Delivered; attempt_limit.of(100)]);
            attempt_limit.note(tried, true, 0);
            assert_eq!(attempt_limit.of(100), expected);
        }
        assert!((0..ATTEMPTS_BEFORE_HALVING).all(|failures| !attempt_limit.note(
            failed(100),
            false,
            failures
        )));
        assert!(attempt_limit.note(failed(100), false, ATTEMPTS_BEFORE_HALVING));
        assert_eq!(attempt_limit.of(100), 50);
        attempt_limit.note(
            AttemptSummary::of(&[Verdict::Delivered, retry(true, None, 504)]),
            true,
            0,
        );
        assert_eq!(attempt_limit.of(100), 50, "progress, but not to the end");
        assert!(!attempt_limit.note(
            AttemptSummary::of(&[Verdict::NotTried, Verdict::NotTried]),
            false,
            5
        ));
    }

    #[test]
    fn an_event_is_given_up_only_if_the_target_accepts_others() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut suspect = None;
        let note = |suspect: &mut Option<Suspect>, delivered, seconds| {
            Suspect::note(suspect, 7, delivered, at(seconds), RULE)
        };
        for second in 0..100 {
            assert!(!note(&mut suspect, 5, second), "an outage of the target");
        }
        let wants = |suspect: &Option<Suspect>, position, delivered| {
            suspect.as_ref().expect("one").wants_neighbour(position, delivered, at(100), RULE)
        };
        assert!(wants(&suspect, 7, 5) && !wants(&suspect, 8, 5));
        assert!(!wants(&suspect, 7, 6), "another was taken meanwhile: this one is next");
        suspect.as_mut().expect("one").compared();
        assert!(!wants(&suspect, 7, 5), "after a neighbour that was not taken, the event itself");
        assert!(!note(&mut suspect, 5, 100));
        assert!(wants(&suspect, 7, 5));
        assert!(note(&mut suspect, 6, 101), "others are taken, and this one still fails");
        // Neither too soon nor after too few.
        let mut suspect = None;
        for (delivered, second) in [(0, 0), (1, 1), (2, 2), (3, 59)] {
            assert!(!note(&mut suspect, delivered, second));
        }
        let mut suspect = None;
        assert!(!note(&mut suspect, 0, 0) && !note(&mut suspect, 1, 100));
        assert!(note(&mut suspect, 2, 101));
        let never = GiveUpConfig { attempts: 0, after: Duration::ZERO };
        let mut suspect = None;
        assert!((0..100).all(|n| !Suspect::note(&mut suspect, 7, n, at(n), never)));
    }

    #[test]
    fn a_target_that_asks_to_wait_blames_no_event() {
        assert!(may_be_its_fault(&retry(false, None, 500)));
        assert!(may_be_its_fault(&retry(true, None, 504)));
        assert!(!may_be_its_fault(&retry(false, Some(1), 503)));
        assert!(!may_be_its_fault(&retry(false, None, 429)));
        assert!(!may_be_its_fault(&Verdict::Delivered));
    }
}

//! Exponential backoff with full jitter: clients of a recovering target do not retry at the same moment.

use std::time::Duration;

use rand::{Rng, RngExt};

/// Backoff of one series of attempts.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    attempt: u32,
}

impl Backoff {
    /// Starts a series. `min` bounds the first wait, `max` every wait.
    pub(crate) fn new(min: Duration, max: Duration) -> Backoff {
        Backoff { min, max, attempt: 0 }
    }

    /// Returns the next wait: random, below a bound that doubles each time. A wait requested by the
    /// target (`Retry-After`) is honoured, up to `max`.
    pub(crate) fn next_wait(
        &mut self,
        requested: Option<Duration>,
        random: &mut impl Rng,
    ) -> Duration {
        let bound = self.min.saturating_mul(1 << self.attempt.min(30)).min(self.max);
        self.attempt = self.attempt.saturating_add(1);
        let jittered = bound.mul_f64(random.random::<f64>());
        requested.map_or(jittered, |requested| requested.min(self.max).max(jittered))
    }

    /// Number of failed attempts so far.
    pub(crate) fn attempts(&self) -> u32 {
        self.attempt
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_max_and_are_spread_below_it() {
        let (min, max) = (Duration::from_secs(1), Duration::from_mins(5));
        let mut backoff = Backoff::new(min, max);
        let mut random = rand::rng();
        for attempt in 0..200 {
            let bound = min.saturating_mul(1 << attempt.min(20)).min(max);
            let wait = backoff.next_wait(None, &mut random);
            assert!(wait <= bound, "attempt {attempt} waits {wait:?}, more than {bound:?}");
        }
        let waits: Vec<_> = (0..100).map(|_| backoff.next_wait(None, &mut random)).collect();
        assert!(
            waits.iter().any(|wait| *wait > max / 2) && waits.iter().any(|wait| *wait < max / 2)
        );
    }

    #[test]
    fn a_requested_wait_is_honoured_but_capped() {
        let mut random = rand::rng();
        let mut backoff = Backoff::new(Duration::from_millis(1), Duration::from_secs(10));
        assert_eq!(
            backoff.next_wait(Some(Duration::from_secs(7)), &mut random),
            Duration::from_secs(7)
        );
        let long = Some(Duration::from_hours(1));
        assert_eq!(backoff.next_wait(long, &mut random), Duration::from_secs(10));
    }
}

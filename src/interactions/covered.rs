//! Events that are part of a stored summary: found in the log after a restart.

use crate::event::{Event, Interaction};
use crate::spool::DedupKey;

/// Memory of one range, in bytes, while the list grows.
pub(super) const RANGE_BYTES: u64 = 2 * size_of::<CoveredRange>() as u64;

/// Positions that a summary covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct CoveredRange {
    /// Hash of source and interaction id.
    run: DedupKey,
    first: u64,
    last: u64,
}

/// Ranges of positions by source and interaction id. Holds no ids, whose length is up to the sender.
#[derive(Debug, Default)]
pub(super) struct CoveredRanges {
    ranges: Vec<CoveredRange>,
    /// Last position of all ranges.
    last: u64,
}

impl CoveredRanges {
    /// Notes a summary of the log.
    pub(super) fn note(&mut self, event: &Event<'_>) {
        if let Event::Interaction(run) = event
            && let Interaction::Summary(summary) = &run.interaction
            && let (Some(source), Some(first), Some(last)) =
                (&summary.source, summary.generation, summary.last_position)
            && let (Ok(first), Ok(last)) = (u64::try_from(first), u64::try_from(last))
        {
            self.last = self.last.max(last);
            let run = key(source, &run.flow.interaction_id);
            self.ranges.push(CoveredRange { run, first, last });
        }
    }

    /// Makes the ranges searchable, after the last one was noted.
    pub(super) fn sort(&mut self) {
        self.ranges.sort_unstable();
        self.ranges.dedup();
    }

    /// Frees the memory once all ranges are passed.
    pub(super) fn pass(&mut self, position: u64) {
        if position >= self.last && !self.ranges.is_empty() {
            self.ranges = Vec::new();
        }
    }

    /// Returns true if a summary covers the event of an interaction at `position`.
    pub(super) fn covers(&self, source: &str, id: &str, position: u64) -> bool {
        if self.ranges.is_empty() {
            return false;
        }
        let run = key(source, id);
        // The ranges of one run do not overlap: only the last one that begins before the position can cover it.
        let after = self.ranges.partition_point(|it| (it.run, it.first) <= (run, position));
        let found = after.checked_sub(1).and_then(|index| self.ranges.get(index));
        found.is_some_and(|it| it.run == run && position <= it.last)
    }
}

fn key(source: &str, id: &str) -> DedupKey {
    DedupKey::new(source, id, (0, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_covers_its_own_run_from_the_first_to_the_last_position() {
        let mut covered = CoveredRanges { ranges: Vec::new(), last: 90 };
        for (id, first, last) in [("b", 30, 40), ("a", 10, 20), ("a", 50, 90), ("a", 10, 20)] {
            covered.ranges.push(CoveredRange { run: key("s", id), first, last });
        }
        covered.sort();
        for (id, position, expected) in [
            ("a", 9, false),
            ("a", 10, true),
            ("a", 20, true),
            ("a", 21, false),
            ("a", 35, false),
            ("a", 90, true),
            ("a", 91, false),
            ("b", 29, false),
            ("b", 35, true),
            ("c", 35, false),
        ] {
            assert_eq!(covered.covers("s", id, position), expected, "{id} {position}");
        }
        assert!(!covered.covers("other", "a", 15));
        covered.pass(89);
        assert!(covered.covers("s", "a", 90));
        covered.pass(90);
        assert!(!covered.covers("s", "a", 90));
    }
}

//! Events that are part of a stored summary: found in the log after a restart.

use std::collections::HashMap;

use crate::event::{Event, Interaction};

/// First and last positions by interaction id.
type RangesById = HashMap<Box<str>, Vec<(u64, u64)>>;

/// Ranges of positions by source and interaction id.
#[derive(Debug, Default)]
pub(super) struct CoveredRanges {
    ranges: HashMap<Box<str>, RangesById>,
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
            let ids = self.ranges.entry(source.as_ref().into()).or_default();
            ids.entry(run.flow.interaction_id.as_ref().into()).or_default().push((first, last));
        }
    }

    /// Frees the memory once all ranges are passed.
    pub(super) fn pass(&mut self, position: u64) {
        if position >= self.last && !self.ranges.is_empty() {
            self.ranges = HashMap::new();
        }
    }

    /// Returns true if a summary covers the event of an interaction at `position`.
    pub(super) fn covers(&self, source: &str, id: &str, position: u64) -> bool {
        let ranges = self.ranges.get(source).and_then(|ids| ids.get(id));
        ranges.is_some_and(|ranges| {
            ranges.iter().any(|(first, last)| (*first..=*last).contains(&position))
        })
    }
}

//! Parts of a spool as they pass from one engine to the other.

use std::collections::BTreeSet;

use crate::spool::chunk::Chunk;
use crate::spool::{Disposition, Millis, PlannedRange};

/// First character of a cursor that is not of a sink. A key of a bucket cannot have it.
pub(in crate::spool) const INTERNAL_PREFIX: char = '@';

/// A chunk, and the columns around it.
#[derive(Debug)]
pub(in crate::spool) struct MovedChunk {
    /// Position of its last event.
    pub(in crate::spool) last: u64,
    pub(in crate::spool) received_at: Millis,
    pub(in crate::spool) source: String,
    pub(in crate::spool) only_sink: Option<String>,
    pub(in crate::spool) chunk: Chunk,
}

/// State of a sink.
#[derive(Debug, Clone)]
pub(in crate::spool) struct MovedSink {
    pub(in crate::spool) name: String,
    pub(in crate::spool) cursor: u64,
    pub(in crate::spool) is_paused: bool,
    pub(in crate::spool) plan: Option<PlannedRange>,
}

/// Everything besides chunks, ids and entries.
#[derive(Debug, Default)]
pub(in crate::spool) struct MovedState {
    /// Last trimmed position.
    pub(in crate::spool) trimmed: u64,
    /// Position of the last event.
    pub(in crate::spool) head: u64,
    /// Sorted by name.
    pub(in crate::spool) sinks: Vec<MovedSink>,
    /// Totals by source or sink.
    pub(in crate::spool) totals: Vec<(String, Disposition, u64)>,
    /// Positions of events that are in the log before. The embedded engine has none.
    pub(in crate::spool) repeated: BTreeSet<u64>,
}

impl MovedState {
    /// Removes the cursors that the service keeps for itself, such as that of `[interactions]`, with their totals. No
    /// sink has a name with `@`. Returns their names.
    pub(in crate::spool) fn remove_internal_cursors(&mut self) -> Vec<String> {
        let is_internal = |name: &str| name.starts_with(INTERNAL_PREFIX);
        let names = self.sinks.iter().map(|sink| sink.name.clone());
        let names = names.filter(|name| is_internal(name)).collect();
        self.sinks.retain(|sink| !is_internal(&sink.name));
        self.totals.retain(|(name, ..)| !is_internal(name));
        names
    }

    /// Returns the total of a source or sink.
    pub(in crate::spool) fn total(&self, name: &str, disposition: Disposition) -> u64 {
        let found =
            self.totals.iter().filter(|(known, kind, _)| known == name && *kind == disposition);
        found.map(|(_, _, count)| count).sum()
    }

    /// Returns the totals of sources, or of sinks.
    pub(in crate::spool) fn totals_of(
        &self,
        is_of_sinks: bool,
    ) -> impl Iterator<Item = &(String, Disposition, u64)> {
        self.totals
            .iter()
            .filter(move |(_, kind, _)| Disposition::OF_SINKS.contains(kind) == is_of_sinks)
    }
}

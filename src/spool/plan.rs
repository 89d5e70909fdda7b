//! Planned ranges: events that a sink writes as a unit, stored beside its cursor before it writes them.
//!
//! A sink that writes objects must not write an event twice. A crash between writing and the commit of the cursor would
//! repeat the events, in other objects if the repetition began or ended elsewhere. The stored range fixes both ends and
//! the id in the names, so the repetition finds the objects that exist.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{CommitError, ReadError, Spool};

/// Range of positions that a sink has begun to write, or is about to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedRange {
    /// Cursor of the sink when the range was planned: the position before the first event.
    pub after: u64,
    /// Position of the last event.
    pub last: u64,
    /// Random id, which no other range has: 63 bits.
    pub id: u64,
    /// Fingerprint of the settings that decide what is written: 62 bits. [`WRITTEN`](PlannedRange::WRITTEN) may be set,
    /// too.
    pub settings: u64,
}

impl PlannedRange {
    /// Bit of `settings` of a range whose objects are all written, and whose dead letters are committed in parts.
    pub const WRITTEN: u64 = 1 << 62;

    /// Returns true if all objects of the range are written.
    pub fn is_written(&self) -> bool {
        self.settings & PlannedRange::WRITTEN != 0
    }

    /// Returns true if the range is not committed as a whole by a sink at `cursor`. Only a written range is committed in
    /// parts.
    fn is_open(&self, cursor: u64) -> bool {
        let begins = self.after == cursor || (self.is_written() && self.after < cursor);
        begins && self.last > cursor
    }
}

#[cfg_attr(
    not(feature = "nats"),
    expect(clippy::unused_async, reason = "one engine asks for less than two")
)]
impl Spool {
    /// Stores the range that a sink is about to write. Replaces the sink's former range.
    ///
    /// # Errors
    ///
    /// [`CommitError`]: nothing was changed; a retry may succeed.
    pub async fn plan(&self, sink: &Arc<str>, range: PlannedRange) -> Result<(), CommitError> {
        match self {
            Spool::Embedded(engine) => engine.plan(sink, range).await,
            #[cfg(feature = "nats")]
            Spool::Jetstream(engine) => engine.plan(sink, range).await,
        }
    }

    /// Returns the range that a sink has begun to write after `cursor` and has not committed.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the store cannot be read.
    pub async fn planned(
        &self,
        sink: &Arc<str>,
        cursor: u64,
    ) -> Result<Option<PlannedRange>, ReadError> {
        let stored = match self {
            Spool::Embedded(engine) => engine.planned(sink).await?,
            #[cfg(feature = "nats")]
            Spool::Jetstream(engine) => engine.planned(sink).await,
        };
        Ok(stored.filter(|range| range.is_open(cursor)))
    }
}

//! The spool: one ordered, durable log of accepted events, and the quarantine beside it.
//!
//! It stores opaque bytes and knows no JSON. Its verbs:
//!
//! | verb | promise |
//! | --- | --- |
//! | [`Spool::append`] | when it returns, all of the batch is on stable storage |
//! | [`Reader::read`] | returns the events after a position, in order, damage included |
//! | [`Spool::plan`] | when it returns, a sink that restarts is given the same range again |
//! | [`Spool::commit`] | when it returns, a sink will never be given these events again |
//! | [`Spool::between`] | returns the stored events of a period, for a replay |
//! | [`Spool::quarantine`], [`Spool::entry`], [`Spool::remove`] | the entries that were refused |
//! | [`Spool::stats`] | returns the stored events, the lag of each sink, and every disposition's total |
//!
//! Positions count events from 1 and are never reused; a sink's cursor is the last position that it
//! has committed. [`Spool`] is one of two engines: [`embedded`], and only that directory names SQLite, or, with the
//! feature `nats`, `jetstream`, and only that directory names JetStream.

mod batch;
mod chunk;
mod config;
mod dedup;
mod embedded;
mod engine;
mod error;
mod health;
pub mod inspect;
#[cfg(feature = "nats")]
pub mod jetstream;
mod lease;
pub mod moving;
mod plan;
mod quarantine;
mod record;
mod stats;
mod stored;

pub use batch::{Batch, NewEvent, PreparedBatch, Receipt};
pub use config::{JetStreamConfig, SpoolConfig, Start};
pub use dedup::DedupKey;
pub use embedded::{Coverage, Salvaged, Shares, repair};
pub use engine::{Engine, Reader, Spool};
pub use error::{AppendError, CommitError, OpenError, ReadError, StoreError};
pub use health::SpoolHealth;
pub use lease::SharedSinkState;
pub use plan::PlannedRange;
pub use quarantine::{Entry, EntryOrigin, EntrySummary, NewEntry, Query, TargetAnswer};
pub use record::{CommitRecord, DispositionRun, RecordedDisposition, Runs};
pub use stats::{Disposition, Loss, SinkStats, SpoolStats, StatsListing, Tally};
pub use stored::{Damage, Read, StoredEvent};

use std::sync::Arc;

/// State of a sink at start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registered {
    /// Cursor of the sink: the last committed position.
    pub cursor: u64,
    /// True if an operator has paused the sink.
    pub is_paused: bool,
}

/// Milliseconds since the Unix epoch.
pub type Millis = i64;

/// Clock of a spool: returns the current time. Tests hand in one of their own.
pub type Clock = Arc<dyn Fn() -> Millis + Send + Sync>;

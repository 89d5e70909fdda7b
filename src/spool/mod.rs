//! The spool: one ordered, durable log of accepted events, and the quarantine beside it.
//!
//! It stores opaque bytes and knows no JSON. Its verbs:
//!
//! | verb | promise |
//! | --- | --- |
//! | [`Spool::append`] | when it returns, all of the batch is on stable storage |
//! | [`Reader::read`] | what follows a position, in order, damage included |
//! | [`Spool::commit`] | when it returns, a sink will never be given these events again |
//! | [`Spool::between`] | what was received in a time, for a replay, as far as it is still there |
//! | [`Spool::quarantine`], [`Spool::entry`], [`Spool::remove`] | the entries that were refused |
//! | [`Spool::stats`] | what is stored, by whom it is awaited, and every disposition's total |
//!
//! Positions count events from 1 and are never reused; a sink's cursor is the last position that it
//! has settled. [`Spool`] is one of two engines: [`embedded`], and only that folder names SQLite, or, with the
//! feature `nats`, `jetstream`, and only that folder names JetStream.

mod batch;
mod chunk;
mod dedup;
mod embedded;
mod engine;
mod error;
mod health;
pub mod inspect;
#[cfg(feature = "nats")]
pub mod jetstream;
mod lease;
mod quarantine;
mod stats;
mod stored;

pub use batch::{Batch, NewEvent, PreparedBatch, Receipt};
pub use dedup::DedupKey;
pub use embedded::{Salvaged, Shares, repair};
pub use engine::{Engine, Reader, Spool};
pub use error::{AppendError, CommitError, OpenError, ReadError, StoreError};
pub use health::SpoolHealth;
pub use lease::SharedSinkState;
pub use quarantine::{Entry, EntryOrigin, EntrySummary, NewEntry, Query, TargetAnswer};
pub use stats::{Disposition, Loss, SinkStats, SpoolStats, StatsListing, Tally};
pub use stored::{Damage, Read, StoredEvent};

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How the spool is laid out and bounded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Which engine keeps the events, and what only that one is told.
    pub engine: Engine,
    /// Where the embedded engine's files live; created if missing.
    pub directory: PathBuf,
    /// Upper bound of the disk it takes, in bytes; of each replica.
    pub max_size: u64,
    /// Upper bound of what entries of the quarantine count, in bytes.
    pub quarantine_max_size: u64,
    /// How long events stay after every sink has passed them.
    pub retention: Duration,
    /// How long an id is remembered.
    pub dedup_window: Duration,
    /// How many ids are remembered at most; each takes 16 bytes on disk and about 22 in memory.
    pub dedup_max_ids: u64,
    /// Whether a commit waits for stable storage. No key sets it: only benchmarks do without, to see
    /// what it costs.
    pub sync: bool,
}

/// Where a sink starts that the spool has not known before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With the oldest event that is still there.
    Oldest,
    /// With the next event that is received.
    Now,
}

/// A sink's place when the service starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registered {
    /// The last position it has settled.
    pub cursor: u64,
    /// Whether an operator has paused it.
    pub is_paused: bool,
}

/// Milliseconds since the Unix epoch.
pub type Millis = i64;

/// Clock of a spool: returns the current time. Tests hand in one of their own.
pub type Clock = Arc<dyn Fn() -> Millis + Send + Sync>;

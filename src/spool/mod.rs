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
mod config;
mod dedup;
mod embedded;
mod engine;
mod error;
pub mod inspect;
#[cfg(feature = "nats")]
pub mod jetstream;
mod quarantine;
mod stats;

pub use batch::{Batch, Event, Prepared, Receipt};
pub use config::{JetStreamConfig, Order, SpoolConfig, Start};
pub use dedup::DedupKey;
pub use embedded::bounds::Shares;
pub use embedded::repair;
pub use embedded::{Clock, Damage, Read, Salvaged, Stored};
pub use engine::{Engine, Reader, Spool};
pub use error::{AppendError, CommitError, OpenError, ReadError, StoreError};
pub use quarantine::{Entry, NewEntry, Origin, Query, Summary, TargetAnswer};
pub use stats::{Disposition, Listed, Loss, SinkStats, SpoolStats, Tally};

/// A sink's place when the service starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registered {
    /// The last position it has settled.
    pub cursor: u64,
    /// Whether an operator has paused it.
    pub is_paused: bool,
}

/// A sink's place as all receivers share it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The last position it has settled.
    pub cursor: u64,
    /// Whether an operator has paused it.
    pub is_paused: bool,
    /// Another process that delivers to it.
    pub leader: Option<String>,
    /// Reason why this process could not deliver to it, whoever's turn it is.
    pub trouble: Option<String>,
}

/// Milliseconds since the epoch, handed in by whoever appends, so that tests own the clock.
pub type Millis = i64;

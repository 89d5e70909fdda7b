//! The spool as everything above it sees it: one of the engines.

#![cfg_attr(
    not(feature = "nats"),
    expect(clippy::unused_async, unused_variables, reason = "one engine asks for less than two")
)]

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use tokio::sync::watch;

#[cfg(feature = "nats")]
use super::jetstream;
use super::{
    AppendError, Clock, CommitError, Entry, EntrySummary, Millis, NewEntry, OpenError,
    PreparedBatch, Query, Read, ReadError, Receipt, Registered, Settings, SpoolHealth, SpoolStats,
    Start, StoredEvent, Tally, embedded,
};

/// Which engine keeps the events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Engine {
    /// A database in `directory`, of this process alone.
    #[default]
    Embedded,
    /// Streams of NATS JetStream, shared by any number of receivers.
    #[cfg(feature = "nats")]
    Jetstream(Box<jetstream::JetStreamConfig>),
}

impl Engine {
    /// Whether each sink settles in order; only then it counts what became of the events.
    pub fn is_ordered(&self) -> bool {
        match self {
            Engine::Embedded => true,
            #[cfg(feature = "nats")]
            Engine::Jetstream(own) => own.order == jetstream::Order::Ordered,
        }
    }

    /// Whether it tells which ids it remembers.
    pub fn tells_ids(&self) -> bool {
        matches!(self, Engine::Embedded)
    }
}

/// An open spool. Cheap to share behind an `Arc`; every method may be called from any task.
#[derive(Debug)]
pub enum Spool {
    /// On this machine.
    Embedded(embedded::EmbeddedSpool),
    /// In a replicated log.
    #[cfg(feature = "nats")]
    Jetstream(Box<jetstream::JetStreamSpool>),
}

/// One sink's own way to read.
#[derive(Debug)]
pub enum Reader {
    /// A connection to the database.
    Embedded(embedded::EmbeddedReader),
    /// A consumer of the stream.
    #[cfg(feature = "nats")]
    Jetstream(Box<jetstream::JetStreamReader>),
}

/// Hands a call to the engine, whichever it is.
macro_rules! engine {
    ($self:ident, $engine:ident => $call:expr) => {
        match $self {
            Self::Embedded($engine) => $call,
            #[cfg(feature = "nats")]
            Self::Jetstream($engine) => $call,
        }
    };
}

impl Spool {
    /// Opens the embedded engine, recovering it first, whatever `engine` says. Blocks; takes time that grows
    /// with the number of remembered ids (about a second for ten million).
    pub fn open(settings: &Settings, clock: Clock) -> Result<Spool, OpenError> {
        embedded::EmbeddedSpool::open(settings, clock).map(Spool::Embedded)
    }

    /// Opens the engine that is configured.
    pub async fn start(settings: &Settings, clock: Clock) -> Result<Spool, OpenError> {
        match &settings.engine {
            Engine::Embedded => Spool::open(settings, clock),
            #[cfg(feature = "nats")]
            Engine::Jetstream(_) => {
                let spool = jetstream::JetStreamSpool::open(settings, clock).await?;
                Ok(Spool::Jetstream(Box::new(spool)))
            }
        }
    }

    /// Whether other receivers may have the same spool.
    pub fn is_shared(&self) -> bool {
        !matches!(self, Spool::Embedded(_))
    }

    /// Whether batches are stored in packed chunks, which [`Batch::prepare`] makes; where they are not,
    /// [`Batch::unpacked`] saves the work.
    ///
    /// [`Batch::prepare`]: super::Batch::prepare
    /// [`Batch::unpacked`]: super::Batch::unpacked
    pub fn packs(&self) -> bool {
        matches!(self, Spool::Embedded(_))
    }

    /// Stores a batch. When this returns `Ok`, all of it is stored as its engine promises; when it returns
    /// `Err`, the sender has to repeat it: the embedded engine has kept nothing of it, JetStream may have
    /// kept a part that the repetition completes.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not take the batch back: it may still be stored, and a repetition
    /// will then find duplicates.
    pub async fn append(&self, batch: PreparedBatch) -> Result<Receipt, AppendError> {
        engine!(self, engine => engine.append(batch).await)
    }

    /// Makes sure that each of these sinks has a cursor, and lets only them hold events back. A new
    /// one starts where it asks to. Returns their places in the order asked.
    pub async fn register(
        &self,
        sinks: &[(Arc<str>, Start)],
    ) -> Result<Vec<Registered>, CommitError> {
        engine!(self, engine => engine.register(sinks).await)
    }

    /// Remembers that an operator has paused a sink, or lets it go on.
    pub async fn pause(&self, sink: &Arc<str>, is_paused: bool) -> Result<(), CommitError> {
        engine!(self, engine => engine.pause(sink, is_paused).await)
    }

    /// Moves a sink's cursor to `position` and stores its dead letters; see [`CommitError`] for what a
    /// failure leaves.
    pub async fn commit(
        &self,
        sink: &Arc<str>,
        position: u64,
        tally: Tally,
        dead_letters: Vec<(String, NewEntry)>,
    ) -> Result<(), CommitError> {
        engine!(self, engine => engine.commit(sink, position, tally, dead_letters).await)
    }

    /// A reader of its own, for one sink.
    pub fn reader(&self, sink: &str) -> Result<Reader, ReadError> {
        Ok(match self {
            Spool::Embedded(engine) => Reader::Embedded(engine.reader()?),
            #[cfg(feature = "nats")]
            Spool::Jetstream(engine) => Reader::Jetstream(Box::new(engine.reader(sink))),
        })
    }

    /// Events after `positions.start` up to `positions.end` that were received in a time and are still
    /// there, until about `max_bytes` are read, and the last position that is no longer there.
    /// What was spooled again for one sink only is left out.
    pub async fn between(
        &self,
        positions: Range<u64>,
        time: Range<Millis>,
        max_bytes: usize,
    ) -> Result<(Vec<StoredEvent>, u64), ReadError> {
        engine!(self, engine => engine.between(positions, time, max_bytes).await)
    }

    /// Quarantine entries without their bytes, oldest first.
    pub async fn quarantine(&self, query: Query) -> Result<Vec<EntrySummary>, ReadError> {
        engine!(self, engine => engine.quarantine(query).await)
    }

    /// One quarantine entry with its bytes.
    pub async fn entry(&self, id: i64) -> Result<Option<Entry>, ReadError> {
        engine!(self, engine => engine.entry(id).await)
    }

    /// Removes quarantine entries for good. Returns how many there were of each source.
    pub async fn remove(&self, ids: Vec<i64>) -> Result<BTreeMap<Arc<str>, u64>, CommitError> {
        engine!(self, engine => engine.remove(ids).await)
    }

    /// What is stored, and every disposition's total as far as the engine keeps it.
    pub async fn stats(&self) -> Result<SpoolStats, ReadError> {
        engine!(self, engine => engine.stats().await)
    }

    /// Bytes of the largest event that can be stored, where that is bounded by others.
    pub fn largest(&self) -> Option<usize> {
        match self {
            Spool::Embedded(_) => None,
            #[cfg(feature = "nats")]
            Spool::Jetstream(engine) => Some(engine.largest()),
        }
    }

    /// Whether appends are refused because `max_size` was reached.
    pub fn is_full(&self) -> bool {
        engine!(self, engine => engine.is_full())
    }

    /// Whether something was refused because it found no room in quarantine, and would be again.
    pub fn is_quarantine_full(&self) -> bool {
        engine!(self, engine => engine.is_quarantine_full())
    }

    /// Bytes that entries of the quarantine count, to wait on for room.
    pub fn quarantine_size(&self) -> watch::Receiver<u64> {
        engine!(self, engine => engine.quarantine_size())
    }

    /// Returns the state that decides whether the spool takes events.
    pub fn health(&self) -> SpoolHealth {
        engine!(self, engine => engine.health())
    }

    /// Waits until the store has failed in a way that only a new process can recover from, and says
    /// how. Never returns otherwise.
    pub async fn failed(&self) -> String {
        match self {
            Spool::Embedded(engine) => engine.failed().await,
            #[cfg(feature = "nats")]
            Spool::Jetstream(_) => std::future::pending().await,
        }
    }

    /// Answers everything that was asked before and closes what is open. Blocks.
    pub fn close(&self) {
        match self {
            Spool::Embedded(engine) => engine.close(),
            #[cfg(feature = "nats")]
            Spool::Jetstream(_) => {}
        }
    }
}

impl Reader {
    /// Where there is something to read, to wait on: it moves after that is readable. The embedded engine, and
    /// JetStream in order, say the position of the last stored event.
    pub fn head(&self) -> watch::Receiver<u64> {
        engine!(self, engine => engine.head())
    }

    /// What follows `after`, until about `max_bytes` of events are read; at least one event if there is
    /// one. Fails a few times at a place that cannot be read before it reports it as damage.
    pub async fn read(&self, after: u64, max_bytes: usize) -> Result<Vec<Read>, ReadError> {
        engine!(self, engine => engine.read(after, max_bytes).await)
    }
}

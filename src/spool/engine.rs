//! The spool's API: dispatch to one of the engines.

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
    AppendError, Clock, CommitError, CommitRecord, Entry, EntrySummary, Millis, NewEntry,
    OpenError, PreparedBatch, Query, Read, ReadError, Receipt, Registered, SpoolConfig,
    SpoolHealth, SpoolStats, Start, StoredEvent, embedded, moving,
};

/// Engine that stores the events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Engine {
    /// A database in `directory`, of this process alone.
    #[default]
    Embedded,
    /// Streams of NATS JetStream, shared by any number of receivers.
    #[cfg(feature = "nats")]
    Jetstream(Box<super::JetStreamConfig>),
}

/// An open spool. Cheap to share behind an `Arc`; every method may be called from any task.
#[derive(Debug)]
pub enum Spool {
    /// Database on this machine.
    Embedded(embedded::EmbeddedSpool),
    /// Replicated log.
    #[cfg(feature = "nats")]
    Jetstream(Box<jetstream::JetStreamSpool>),
}

/// Reader of one sink.
#[derive(Debug)]
pub enum Reader {
    /// A connection to the database.
    Embedded(embedded::EmbeddedReader),
    /// A consumer of the stream.
    #[cfg(feature = "nats")]
    Jetstream(Box<jetstream::JetStreamReader>),
}

/// Forwards a call to the engine.
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
    ///
    /// # Errors
    ///
    /// [`OpenError`] with the file or the servers, and the remedy.
    pub fn open(settings: &SpoolConfig, clock: Clock) -> Result<Spool, OpenError> {
        embedded::EmbeddedSpool::open(settings, clock).map(Spool::Embedded)
    }

    /// Opens the configured engine.
    ///
    /// # Errors
    ///
    /// [`OpenError`] with the file or the servers, and the remedy.
    pub async fn start(settings: &SpoolConfig, clock: Clock) -> Result<Spool, OpenError> {
        match &settings.engine {
            Engine::Embedded => {
                moving::warn_of_stream(&settings.directory);
                Spool::open(settings, clock)
            }
            #[cfg(feature = "nats")]
            Engine::Jetstream(own) => {
                if let Some(backlog) = moving::refuse_left_behind(&settings.directory, own)? {
                    // Rare, and large.
                    Box::pin(jetstream::refuse_without(&backlog, settings, &clock)).await?;
                }
                moving::note_stream(&settings.directory, &own.stream);
                let spool = jetstream::JetStreamSpool::open(settings, clock).await?;
                Ok(Spool::Jetstream(Box::new(spool)))
            }
        }
    }

    /// Returns true if other receivers can share the spool.
    pub fn is_shared(&self) -> bool {
        !matches!(self, Spool::Embedded(_))
    }

    /// Stores a batch. After `Ok`, the whole batch is durable. After `Err`, the sender has to retry: nothing of the
    /// batch is stored, or with JetStream, where an acknowledgement may be lost, all of it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not take the batch back: it may still be stored, and a repetition
    /// will then find duplicates.
    ///
    /// # Errors
    ///
    /// [`AppendError`]: the batch was not stored, or that is not known; the sender has to retry.
    pub async fn append(&self, batch: PreparedBatch) -> Result<Receipt, AppendError> {
        engine!(self, engine => engine.append(batch).await)
    }

    /// Creates missing cursors at their start position; from now on only these sinks keep events from being trimmed.
    /// Returns the cursors in the given order.
    ///
    /// # Errors
    ///
    /// [`CommitError`]: nothing was changed; a retry may succeed.
    pub async fn register(
        &self,
        sinks: &[(Arc<str>, Start)],
    ) -> Result<Vec<Registered>, CommitError> {
        engine!(self, engine => engine.register(sinks).await)
    }

    /// Stores that an operator has paused or resumed a sink.
    ///
    /// # Errors
    ///
    /// [`CommitError`]: nothing was changed; a retry may succeed.
    pub async fn pause(&self, sink: &Arc<str>, is_paused: bool) -> Result<(), CommitError> {
        engine!(self, engine => engine.pause(sink, is_paused).await)
    }

    /// Moves a sink's cursor to `position`, records the dispositions of the events up to there, and stores its dead
    /// letters; see [`CommitError`] for what a failure leaves.
    ///
    /// # Errors
    ///
    /// [`CommitError`]: nothing was changed; a retry may succeed.
    pub async fn commit(
        &self,
        sink: &Arc<str>,
        position: u64,
        record: impl Into<CommitRecord>,
        dead_letters: Vec<(String, NewEntry)>,
    ) -> Result<(), CommitError> {
        let record = record.into();
        engine!(self, engine => engine.commit(sink, position, record, dead_letters).await)
    }

    /// Creates a reader for one sink.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the store cannot be read.
    pub fn reader(&self, sink: &str) -> Result<Reader, ReadError> {
        Ok(match self {
            Spool::Embedded(engine) => Reader::Embedded(engine.reader()?),
            #[cfg(feature = "nats")]
            Spool::Jetstream(engine) => Reader::Jetstream(Box::new(engine.reader(sink))),
        })
    }

    /// Returns the stored events after `positions.start` up to `positions.end` that were received in `time`, until
    /// about `max_bytes` are read, and the last trimmed position. Leaves out copies for one sink.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the store cannot be read.
    pub async fn between(
        &self,
        positions: Range<u64>,
        time: Range<Millis>,
        max_bytes: usize,
    ) -> Result<(Vec<StoredEvent>, u64), ReadError> {
        engine!(self, engine => engine.between(positions, time, max_bytes).await)
    }

    /// Lists quarantine entries without their bytes, oldest first.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the store cannot be read.
    pub async fn quarantine(&self, query: Query) -> Result<Vec<EntrySummary>, ReadError> {
        engine!(self, engine => engine.quarantine(query).await)
    }

    /// Returns one quarantine entry with its bytes.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the store cannot be read.
    pub async fn entry(&self, id: i64) -> Result<Option<Entry>, ReadError> {
        engine!(self, engine => engine.entry(id).await)
    }

    /// Deletes quarantine entries. Returns the number of deleted entries by source.
    ///
    /// # Errors
    ///
    /// [`CommitError`]: nothing was changed; a retry may succeed.
    pub async fn remove(&self, ids: Vec<i64>) -> Result<BTreeMap<Arc<str>, u64>, CommitError> {
        engine!(self, engine => engine.remove(ids).await)
    }

    /// Returns contents and bounds, and the totals that the engine keeps.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the store cannot be read.
    pub async fn stats(&self) -> Result<SpoolStats, ReadError> {
        engine!(self, engine => engine.stats().await)
    }

    /// Returns the size limit of a batch in bytes, if the servers set one.
    pub fn largest(&self) -> Option<usize> {
        match self {
            Spool::Embedded(_) => None,
            #[cfg(feature = "nats")]
            Spool::Jetstream(engine) => Some(engine.largest()),
        }
    }

    /// Returns true if appends are refused because `max_size` is reached.
    pub fn is_full(&self) -> bool {
        engine!(self, engine => engine.is_full())
    }

    /// Returns true if little room is left: events are removed as soon as every reader has committed them.
    pub fn is_tight(&self) -> bool {
        match self {
            Spool::Embedded(engine) => engine.is_tight(),
            #[cfg(feature = "nats")]
            Spool::Jetstream(engine) => engine.is_full(),
        }
    }

    /// Returns true if an entry exceeded the quarantine's bound and would be refused again.
    pub fn is_quarantine_full(&self) -> bool {
        engine!(self, engine => engine.is_quarantine_full())
    }

    /// Watches the bytes that quarantine entries count.
    pub fn quarantine_size(&self) -> watch::Receiver<u64> {
        engine!(self, engine => engine.quarantine_size())
    }

    /// Returns the state that decides whether the spool takes events.
    pub fn health(&self) -> SpoolHealth {
        engine!(self, engine => engine.health())
    }

    /// Waits until the store has failed in a way that only a new process can recover from, and returns
    /// the reason. Never returns otherwise.
    pub async fn failed(&self) -> String {
        match self {
            Spool::Embedded(engine) => engine.failed().await,
            #[cfg(feature = "nats")]
            Spool::Jetstream(_) => std::future::pending().await,
        }
    }

    /// Answers all pending requests and closes the store. Blocks.
    pub fn close(&self) {
        match self {
            Spool::Embedded(engine) => engine.close(),
            #[cfg(feature = "nats")]
            Spool::Jetstream(_) => {}
        }
    }
}

impl Reader {
    /// Watches for new events: the value is the position of the last stored event, and changes after it is readable.
    pub fn head(&self) -> watch::Receiver<u64> {
        engine!(self, engine => engine.head())
    }

    /// Reads the events after `after`, up to about `max_bytes`; at least one event if there is
    /// one. Fails a few times at a position that cannot be read before it reports damage.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the store cannot be read.
    pub async fn read(&self, after: u64, max_bytes: usize) -> Result<Vec<Read>, ReadError> {
        engine!(self, engine => engine.read(after, max_bytes).await)
    }
}

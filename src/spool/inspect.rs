//! Read-only inspection of a spool, also while services use it.

use serde::Serialize;

#[cfg(feature = "nats")]
use super::{Clock, jetstream};
use super::{
    Coverage, DedupKey, Engine, Entry, EntrySummary, Loss, Millis, OpenError, Query, ReadError,
    RecordedDisposition, SpoolConfig, SpoolStats, StoredEvent, embedded,
};

/// A view of a spool.
#[derive(Debug)]
pub enum Inspection {
    /// Directory of the embedded engine, opened read-only.
    Embedded(embedded::inspect::EmbeddedInspection),
    /// Streams of JetStream, with the runtime that waits for the servers.
    #[cfg(feature = "nats")]
    Jetstream(Box<jetstream::JetStreamSpool>, tokio::runtime::Runtime),
}

/// Result of [`Inspection::verify`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// Chunks read.
    pub chunks: u64,
    /// Events in them.
    pub events: u64,
    /// Problems found; empty for a sound spool.
    pub problems: Vec<String>,
    /// Checks that were not finished, so as not to hold up a running service.
    pub notes: Vec<String>,
    /// Events that are known to be lost.
    pub losses: Vec<Loss>,
    /// Events whose dispositions are recorded, by sink.
    pub records: Vec<Coverage>,
}

/// Opens the configured spool read-only.
///
/// # Errors
///
/// [`OpenError`] with the file or the servers, and the remedy.
pub fn open(settings: &SpoolConfig) -> Result<Inspection, OpenError> {
    match &settings.engine {
        Engine::Embedded => embedded::inspect::open(&settings.directory).map(Inspection::Embedded),
        #[cfg(feature = "nats")]
        Engine::Jetstream(own) => {
            let failed = |error: std::io::Error| OpenError::Stream {
                stream: own.stream.clone(),
                detail: error.to_string(),
            };
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .map_err(failed)?;
            // Nothing is stored through it.
            let clock: Clock = std::sync::Arc::new(|| 0);
            let spool = runtime.block_on(jetstream::JetStreamSpool::look(settings, clock))?;
            Ok(Inspection::Jetstream(Box::new(spool), runtime))
        }
    }
}

impl Inspection {
    /// Returns contents and bounds. Some values are known to a running service only.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the store cannot be read.
    pub fn stats(&self) -> Result<SpoolStats, ReadError> {
        match self {
            Inspection::Embedded(spool) => spool.stats(),
            #[cfg(feature = "nats")]
            Inspection::Jetstream(spool, runtime) => runtime.block_on(spool.stats()),
        }
    }

    /// Lists quarantine entries without their bytes.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the store cannot be read.
    pub fn quarantine(&self, query: &Query) -> Result<Vec<EntrySummary>, ReadError> {
        match self {
            Inspection::Embedded(spool) => spool.quarantine(query),
            #[cfg(feature = "nats")]
            Inspection::Jetstream(spool, runtime) => {
                runtime.block_on(spool.quarantine(query.clone()))
            }
        }
    }

    /// Returns one quarantine entry.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the store cannot be read.
    pub fn entry(&self, id: i64) -> Result<Option<Entry>, ReadError> {
        match self {
            Inspection::Embedded(spool) => spool.entry(id),
            #[cfg(feature = "nats")]
            Inspection::Jetstream(spool, runtime) => runtime.block_on(spool.entry(id)),
        }
    }

    /// Checks everything. `progress` is called with (chunks or messages read, number of them in all).
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the store cannot be read.
    pub fn verify(&self, progress: impl FnMut(u64, u64)) -> Result<Verification, ReadError> {
        match self {
            Inspection::Embedded(spool) => spool.verify(progress),
            #[cfg(feature = "nats")]
            Inspection::Jetstream(spool, runtime) => runtime.block_on(spool.verify(progress)),
        }
    }

    /// Calls `visit` with every stored event, oldest first. Returns the ranges of positions that cannot be read.
    /// `progress` is called with (positions passed, positions in all).
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the store cannot be read.
    pub fn each_event(
        &self,
        visit: impl FnMut(StoredEvent),
        progress: impl FnMut(u64, u64),
    ) -> Result<Vec<(u64, u64)>, ReadError> {
        match self {
            Inspection::Embedded(spool) => spool.each_event(visit, progress),
            #[cfg(feature = "nats")]
            Inspection::Jetstream(spool, runtime) => {
                runtime.block_on(spool.each_event(visit, progress))
            }
        }
    }

    /// Returns for each key if it is remembered: an event with it would be a duplicate. Empty if the engine cannot
    /// tell.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the store cannot be read.
    pub fn remembers(&self, keys: &[DedupKey]) -> Result<Vec<bool>, ReadError> {
        match self {
            Inspection::Embedded(spool) => spool.remembers(keys),
            #[cfg(feature = "nats")]
            Inspection::Jetstream(spool, runtime) => runtime.block_on(spool.remembers(keys)),
        }
    }

    /// Returns the recorded dispositions of the events at `positions`; `None` if the engine or an older spool keeps no
    /// record.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the store cannot be read.
    pub fn dispositions(
        &self,
        positions: &[u64],
    ) -> Result<Option<Vec<RecordedDisposition>>, ReadError> {
        match self {
            Inspection::Embedded(spool) => spool.dispositions(positions),
            #[cfg(feature = "nats")]
            Inspection::Jetstream(..) => Ok(None),
        }
    }

    /// Returns the time since which the key of each accepted event is remembered, in ms since the Unix epoch.
    /// `None` if that is not known.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the store cannot be read.
    pub(crate) fn keys_since(&self) -> Result<Option<Millis>, ReadError> {
        match self {
            Inspection::Embedded(spool) => spool.keys_since(),
            // The keys are those of the log, whose removed part is not known.
            #[cfg(feature = "nats")]
            Inspection::Jetstream(..) => Ok(None),
        }
    }
}

//! Looking into a spool without changing it, also while services run on it.

use serde::Serialize;

#[cfg(feature = "nats")]
use super::{Clock, jetstream};
use super::{
    DedupKey, Engine, Entry, EntrySummary, Loss, OpenError, Query, ReadError, Settings, SpoolStats,
    StoredEvent, embedded,
};

/// A view of a spool.
#[derive(Debug)]
pub enum Inspection {
    /// Of a directory, read-only.
    Embedded(embedded::inspect::EmbeddedInspection),
    /// Of streams, with what waits for the servers.
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
    /// Everything that is wrong; empty for a sound spool.
    pub problems: Vec<String>,
    /// Checks that were not finished, so as not to hold up a running service.
    pub notes: Vec<String>,
    /// Events that are known to be gone, which nothing brings back.
    pub losses: Vec<Loss>,
}

/// Opens the configured spool for looking only.
pub fn open(settings: &Settings) -> Result<Inspection, OpenError> {
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
    /// What is stored. Some of it is only known to a running service.
    pub fn stats(&self) -> Result<SpoolStats, ReadError> {
        match self {
            Inspection::Embedded(spool) => spool.stats(),
            #[cfg(feature = "nats")]
            Inspection::Jetstream(spool, runtime) => runtime.block_on(spool.stats()),
        }
    }

    /// Quarantine entries without their bytes.
    pub fn quarantine(&self, query: &Query) -> Result<Vec<EntrySummary>, ReadError> {
        match self {
            Inspection::Embedded(spool) => spool.quarantine(query),
            #[cfg(feature = "nats")]
            Inspection::Jetstream(spool, runtime) => {
                runtime.block_on(spool.quarantine(query.clone()))
            }
        }
    }

    /// One quarantine entry.
    pub fn entry(&self, id: i64) -> Result<Option<Entry>, ReadError> {
        match self {
            Inspection::Embedded(spool) => spool.entry(id),
            #[cfg(feature = "nats")]
            Inspection::Jetstream(spool, runtime) => runtime.block_on(spool.entry(id)),
        }
    }

    /// Reads everything and checks it, where that is ours to check. `progress` is called with (chunks read,
    /// chunks in all).
    pub fn verify(&self, progress: impl FnMut(u64, u64)) -> Result<Verification, ReadError> {
        match self {
            Inspection::Embedded(spool) => spool.verify(progress),
            #[cfg(feature = "nats")]
            Inspection::Jetstream(..) => Err(ReadError(
                "JetStream's servers check what they store themselves; ask them with nats stream report".into(),
            )),
        }
    }

    /// Hands out every stored event, oldest first; returns the positions that cannot be read, from first to
    /// last. `progress` is called with (positions passed, positions in all).
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

    /// For each key, whether it is remembered: an event with it would be dropped as a duplicate. Empty where
    /// the engine does not tell.
    pub fn remembers(&self, keys: &[DedupKey]) -> Result<Vec<bool>, ReadError> {
        match self {
            Inspection::Embedded(spool) => spool.remembers(keys),
            #[cfg(feature = "nats")]
            Inspection::Jetstream(..) => Ok(Vec::new()),
        }
    }
}

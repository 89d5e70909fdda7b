//! Leases: of all processes that share a spool, one delivers to a sink at a time.

use std::sync::Arc;

use tokio::sync::watch;

use super::{CommitError, Spool};

/// State of a sink as all receivers share it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SharedSinkState {
    /// Cursor of the sink: the last committed position.
    pub cursor: u64,
    /// True if an operator has paused the sink.
    pub is_paused: bool,
    /// Another process that holds the lease.
    pub leader: Option<String>,
    /// Reason why this process cannot acquire the lease.
    pub trouble: Option<String>,
}

#[cfg_attr(
    not(feature = "nats"),
    expect(clippy::unused_async, unused_variables, reason = "the embedded engine has one process")
)]
impl Spool {
    /// Waits until this process holds the lease of a sink, and returns the cursor to start from. The embedded
    /// engine has one process, which always holds it and continues at `cursor`.
    ///
    /// # Errors
    ///
    /// [`CommitError::Closed`] if the spool is closed; other errors of the store, which a retry may mend.
    pub async fn acquire_lease(&self, sink: &Arc<str>, cursor: u64) -> Result<u64, CommitError> {
        match self {
            Spool::Embedded(_) => Ok(cursor),
            #[cfg(feature = "nats")]
            Spool::Jetstream(engine) => engine.acquire_lease(sink).await,
        }
    }

    /// Watches the shared state of a sink; `None` if no other process can share the spool.
    pub fn sink_state(&self, sink: &str) -> Option<watch::Receiver<SharedSinkState>> {
        match self {
            Spool::Embedded(_) => None,
            #[cfg(feature = "nats")]
            Spool::Jetstream(engine) => Some(engine.sink_state(sink)),
        }
    }

    /// Releases the lease of a sink, so that another process can acquire it at once.
    pub async fn release_lease(&self, sink: &Arc<str>) {
        match self {
            Spool::Embedded(_) => {}
            #[cfg(feature = "nats")]
            Spool::Jetstream(engine) => engine.release_lease(sink).await,
        }
    }
}

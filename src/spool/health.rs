//! Health of a spool: obstacles to storing events, and damage found.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Time that a failure to store counts as lasting. A sender retries much sooner.
const FAILURE_LASTS: Duration = Duration::from_secs(30);

/// State of a spool that operators have to know of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpoolHealth {
    /// Reason why events cannot be stored, forgotten a while after the last failure: a sender that sends nothing
    /// to a service that is not ready would never learn that it is ready again.
    pub failing: Option<String>,
    /// Permissions that the servers have denied recently, and the remedy. JetStream only.
    pub denied: Option<String>,
    /// Size of a batch that was refused recently because it is larger than `max_payload`, and the remedy. Other batches
    /// are stored. JetStream only.
    pub too_large: Option<String>,
    /// True if a page of the database is corrupt and needs a repair.
    pub is_damaged: bool,
    /// Acknowledged events that were known to be lost at start.
    pub lost: u64,
    /// Directory of an unreadable store that was moved aside at start.
    pub set_aside: Option<PathBuf>,
}

/// Time and reason of the last failure to store events, until some are stored.
#[derive(Debug, Default)]
pub(super) struct RecentFailure(Mutex<Option<(Instant, String)>>);

impl RecentFailure {
    /// Records a failure, or with `None` that events were stored.
    pub(super) fn set(&self, error: Option<String>) {
        *self.locked() = error.map(|error| (Instant::now(), error));
    }

    /// Returns the reason of a failure within [`FAILURE_LASTS`].
    pub(super) fn get(&self) -> Option<String> {
        let failure = self.locked().clone();
        failure.filter(|(at, _)| at.elapsed() < FAILURE_LASTS).map(|(_, error)| error)
    }

    /// Forgets a failure that is older than `age`.
    #[cfg(feature = "nats")]
    pub(super) fn forget_older(&self, age: Duration) {
        self.locked().take_if(|(at, _)| at.elapsed() >= age);
    }

    fn locked(&self) -> MutexGuard<'_, Option<(Instant, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

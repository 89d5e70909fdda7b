//! Health of a spool: obstacles to storing events, and damage found.

use std::path::PathBuf;

/// State of a spool that operators have to know of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpoolHealth {
    /// Reason why events cannot be stored, forgotten a while after the last failure: a sender that sends nothing
    /// to a service that is not ready would never learn that it is ready again.
    pub failing: Option<String>,
    /// Permissions that the servers have denied recently, and the remedy. JetStream only.
    pub denied: Option<String>,
    /// True if a page of the database is corrupt and needs a repair.
    pub is_damaged: bool,
    /// Acknowledged events that were known to be lost at start.
    pub lost: u64,
    /// Directory of an unreadable store that was moved aside at start.
    pub set_aside: Option<PathBuf>,
}

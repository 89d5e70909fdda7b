//! What can go wrong, per verb: a caller sees only what that call can do to it.

use std::path::PathBuf;

use thiserror::Error;

/// Why a spool could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The directory cannot be made or written.
    #[error("the spool directory {} cannot be used: {source}. Make it writable for this user, or set spool.directory", directory.display())]
    Directory {
        /// Where.
        directory: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another process has it open.
    #[error("the spool in {} is in use by another process. Stop that one first, or set spool.directory", .0.display())]
    InUse(PathBuf),
    /// There is no spool.
    #[error("there is no spool in {}. Check spool.directory, or start the service once", .0.display())]
    Missing(PathBuf),
    /// It was written by a version with another layout.
    #[error("the spool in {} has layout {found}, and this version reads layout {known}. If the number is lower, start the service once: it brings the spool up to date. If it is higher, use the version that wrote it until it is drained", directory.display())]
    Layout {
        /// Where.
        directory: PathBuf,
        /// What the file says.
        found: i64,
        /// What this version reads.
        known: i64,
    },
    /// The store refused.
    #[error("the spool in {} cannot be opened: {source}. Its files have to be this user's to read and write; if they are, run davinci-siem spool repair", directory.display())]
    Store {
        /// Where.
        directory: PathBuf,
        /// Why.
        source: StoreError,
    },
}

/// An error of the engine's own store, for people to read.
pub type StoreError = Box<dyn std::error::Error + Send + Sync>;

/// What is to be done about a full quarantine.
const QUARANTINE_FULL: &str = "the quarantine is full: see davinci-siem quarantine list, then retry or \
                               purge, or raise spool.quarantine_max_size";

/// Why a batch was not stored. Nothing of it is kept.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
pub enum AppendError {
    /// `max_size` is reached; waits for sinks to catch up or for `quarantine purge`.
    #[error("the spool has reached spool.max_size")]
    Full,
    /// There is no room, for the system or under `max_size`.
    #[error("the spool has no room: its disk is full, or spool.max_size is reached")]
    DiskFull,
    /// What is refused of the batch finds no room under `quarantine_max_size`; waits for
    /// `quarantine retry` or `purge`.
    #[error("{QUARANTINE_FULL}")]
    QuarantineFull,
    /// The quarantine entry that the batch was to replace has gone.
    #[error("the quarantine entry has gone meanwhile")]
    EntryGone,
    /// The store failed in another way.
    #[error("the spool's store failed: {0}")]
    Store(String),
    /// The spool is closed or the process is about to end.
    #[error("the spool is closed")]
    Closed,
}

/// Why a cursor or the quarantine could not be changed. Nothing was changed.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
pub enum CommitError {
    /// The dead letters find no room under `quarantine_max_size`.
    #[error("{QUARANTINE_FULL}")]
    QuarantineFull,
    /// The store failed.
    #[error("the spool's store failed: {0}")]
    Store(String),
    /// The spool is closed.
    #[error("the spool is closed")]
    Closed,
}

/// Why the spool could not be read.
#[derive(Debug, Error)]
#[error("the spool's store cannot be read: {0}")]
pub struct ReadError(#[source] pub(super) StoreError);

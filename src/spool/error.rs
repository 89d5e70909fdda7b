//! What can go wrong, per verb: a caller sees only what that call can do to it.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use thiserror::Error;

/// Why a spool could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The directory cannot be made or written.
    #[error("the spool directory {} cannot be used: {source}. {}", directory.display(), advice(source))]
    Directory {
        /// Where.
        directory: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// One of its files cannot be read or written.
    #[error("the spool's file {} cannot be used: {source}. {}", file.display(), advice(source))]
    File {
        /// Which.
        file: PathBuf,
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
    /// The cluster cannot be reached.
    #[cfg(feature = "nats")]
    #[error("spool.jetstream: {0}")]
    Connect(#[from] crate::nats::ConnectError),
    /// A server is too old to be relied on.
    #[error(
        "spool.jetstream: nats-server {version} may lose events that it has acknowledged, when servers are killed. Run 2.10.23 or later on all of them"
    )]
    Server {
        /// What it says that it is.
        version: String,
    },
    /// A stream is not as it has to be.
    #[error("spool.jetstream: stream {stream}: {detail}")]
    Stream {
        /// Which.
        stream: String,
        /// What is the matter, and what to do.
        detail: String,
    },
    /// There is no stream.
    #[error("there is no stream {0}. Check spool.jetstream.stream, or start the service once")]
    NoStream(String),
    /// The store refused.
    #[error("the spool in {} cannot be opened: {source}. Its files have to be this user's to read and write, on a disk with room left; if all that is so, run davinci-siem spool repair", directory.display())]
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

/// Why a batch was not stored. The embedded engine keeps nothing of it; of JetStream's streams, see
/// [`Spool::append`](super::Spool::append).
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
    /// An event is larger than a message of the servers may be.
    #[error("an event is larger than the NATS servers' max_payload: raise it there")]
    TooLarge,
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

/// Why a cursor or the quarantine could not be changed. The cursor was not; dead letters may be stored
/// that it has not passed, and are stored once all the same.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
pub enum CommitError {
    /// The dead letters find no room under `quarantine_max_size`.
    #[error("{QUARANTINE_FULL}")]
    QuarantineFull,
    /// Another receiver delivers to this sink now.
    #[error("another receiver has taken over this sink")]
    Superseded,
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

/// What to do about a directory or a file that the system refuses.
fn advice(source: &std::io::Error) -> String {
    match source.kind() {
        ErrorKind::PermissionDenied => format!("Make it {}'s, or set spool.directory", user()),
        ErrorKind::ReadOnlyFilesystem => {
            "Mount a volume there that can be written, or set spool.directory".to_owned()
        }
        ErrorKind::AlreadyExists | ErrorKind::NotADirectory => {
            "It is a file, or leads through one; set spool.directory to a directory".to_owned()
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "Free room there, or set spool.directory".to_owned()
        }
        _ => format!("Make it writable for {}, or set spool.directory", user()),
    }
}

/// Who the process is: in a container, nobody else knows the number.
fn user() -> String {
    match std::fs::metadata("/proc/self") {
        Ok(process) => format!("user {}", process.uid()),
        Err(_) => "this user".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_fits_what_the_system_says() {
        for (kind, advised) in [
            (ErrorKind::PermissionDenied, "Make it user "),
            (ErrorKind::ReadOnlyFilesystem, "Mount a volume"),
            (ErrorKind::AlreadyExists, "leads through one"),
            (ErrorKind::NotADirectory, "leads through one"),
            (ErrorKind::StorageFull, "Free room"),
            (ErrorKind::InvalidInput, "writable for user "),
        ] {
            let error = OpenError::Directory { directory: "/data".into(), source: kind.into() };
            let text = error.to_string();
            assert!(text.starts_with("the spool directory /data cannot be used: "), "{text}");
            assert!(text.contains(advised), "{text}");
            let error = OpenError::File { file: "/data/spool.db".into(), source: kind.into() };
            assert!(error.to_string().contains(advised), "{error}");
        }
    }
}

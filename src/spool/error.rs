//! Errors of the spool, one type per operation.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use thiserror::Error;

/// Error of opening a spool.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The directory cannot be created or written.
    #[error("the spool directory {} cannot be used: {source}. {}", directory.display(), advice(source))]
    Directory {
        /// Directory or file.
        directory: PathBuf,
        /// Cause.
        source: std::io::Error,
    },
    /// One of its files cannot be read or written.
    #[error("the spool's file {} cannot be used: {source}. {}", file.display(), advice(source))]
    File {
        /// Which.
        file: PathBuf,
        /// Cause.
        source: std::io::Error,
    },
    /// Another process has it open.
    #[error("the spool in {} is in use by another process{}. Stop that one first, or set spool.directory", directory.display(), holder.map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    InUse {
        /// Directory of the spool.
        directory: PathBuf,
        /// Id of the process that holds the lock, if the system tells it.
        holder: Option<u32>,
    },
    /// There is no spool.
    #[error("there is no spool in {}. Check spool.directory, or start the service once", .0.display())]
    Missing(PathBuf),
    /// It was written by a version with another layout.
    #[error("the spool in {} has layout {found}, and this version reads layout {known}. If the number is lower, start the service once: it brings the spool up to date. If it is higher, use the version that wrote it until it is drained", directory.display())]
    Layout {
        /// Directory or file.
        directory: PathBuf,
        /// Layout of the file.
        found: i64,
        /// Layout that this version reads.
        known: i64,
    },
    /// The cluster is unreachable.
    #[cfg(feature = "nats")]
    #[error("spool.jetstream: {0}")]
    Connect(#[from] crate::nats::ConnectError),
    /// A server is too old to keep acknowledged events.
    #[error(
        "spool.jetstream: nats-server {version} may lose events that it has acknowledged, when servers are killed. Run 2.10.23 or later on all of them"
    )]
    Server {
        /// Version that the server reports.
        version: String,
    },
    /// A stream is missing something that the promise needs.
    #[error("spool.jetstream: stream {stream}: {detail}")]
    Stream {
        /// Which.
        stream: String,
        /// Description of the problem and its remedy.
        detail: String,
    },
    /// `spool move` has moved it, or has begun to.
    #[error(
        "{spool} was moved to {to}, or its move has begun. Repeat davinci-siem spool move until it succeeds, then start the service with the new configuration. To use the old spool again, {undo}: events that the new one has delivered are then delivered twice"
    )]
    Moved {
        /// The spool that may not be used.
        spool: String,
        /// Description of the new spool.
        to: String,
        /// Action that removes the mark.
        undo: String,
    },
    /// `spool move` builds a spool in the directory.
    #[error(
        "a move into the directory {} has not ended. Repeat davinci-siem spool move until it succeeds. To give the move up, delete {} and the key MOVE of the bucket that the old stream has (docs/scaling.md, \"Moving\")", directory.display(), draft.display()
    )]
    Incoming {
        /// Directory of the new spool.
        directory: PathBuf,
        /// Directory of the draft, which marks it.
        draft: PathBuf,
    },
    /// The spool in the directory was moved to a stream of this name, and not to this stream.
    #[cfg(feature = "nats")]
    #[error(
        "stream {stream} of these servers does not have the content of the spool in {}, which was moved to a stream of this name, with {events} events and {entries} quarantine entries that were not delivered. Check spool.jetstream.servers and the account. If the stream or its bucket was deleted, delete the file spool.moved in the directory and repeat davinci-siem spool move: events that the stream has delivered are then delivered twice. If the stream has delivered all of them, delete spool.db in the directory (docs/scaling.md, \"Moving\")", directory.display()
    )]
    NotInStream {
        /// Name of the stream.
        stream: String,
        /// Directory of the embedded spool.
        directory: PathBuf,
        /// Events that some sink had not committed at the move.
        events: u64,
        /// Entries in quarantine at the move.
        entries: u64,
    },
    /// A move into the stream has not ended.
    #[cfg(feature = "nats")]
    #[error(
        "the move into stream {0} has not ended. Repeat davinci-siem spool move until it succeeds, or set another spool.jetstream.stream"
    )]
    Moving(String),
    /// The directory has events of the embedded engine that would be left behind.
    #[cfg(feature = "nats")]
    #[error(
        "the embedded spool in {} has {events} undelivered events and {entries} quarantine entries, which the engine jetstream would leave behind. Take them along with davinci-siem spool move, or deliver them with engine = \"embedded\" first (docs/scaling.md, \"Moving\"), or set another spool.directory", directory.display()
    )]
    LeftBehind {
        /// Directory of the embedded spool.
        directory: PathBuf,
        /// Events that some sink has not committed.
        events: u64,
        /// Entries in quarantine.
        entries: u64,
    },
    /// There is no stream.
    #[error("there is no stream {0}. Check spool.jetstream.stream, or start the service once")]
    NoStream(String),
    /// The store failed.
    #[error("the spool in {} cannot be opened: {source}. Its files have to be this user's to read and write, on a disk with room left; if all that is so, run davinci-siem spool repair", directory.display())]
    Store {
        /// Directory or file.
        directory: PathBuf,
        /// Cause.
        source: StoreError,
    },
}

/// An error of the engine's own store, for people to read.
pub type StoreError = Box<dyn std::error::Error + Send + Sync>;

/// Remedy of a full quarantine.
const QUARANTINE_FULL: &str = "the quarantine is full: see davinci-siem quarantine list, then retry or \
                               purge, or raise spool.quarantine_max_size";

/// Error of an append: nothing of the batch is stored; for JetStream, see
/// [`Spool::append`](super::Spool::append).
#[derive(Debug, Clone, Error, PartialEq, Eq)]
pub enum AppendError {
    /// `max_size` is reached; waits for sinks to catch up or for `quarantine purge`.
    #[error("the spool has reached spool.max_size")]
    Full,
    /// The disk or `max_size` has no room.
    #[error("the spool has no room: its disk is full, or spool.max_size is reached")]
    DiskFull,
    /// The batch's quarantine entries exceed `quarantine_max_size`; waits for
    /// `quarantine retry` or `purge`.
    #[error("{QUARANTINE_FULL}")]
    QuarantineFull,
    /// The batch, compressed, is larger than a message of the servers may be.
    #[error(
        "the batch, compressed {size} bytes, is larger than max_payload of the NATS servers, {max} bytes. PingOne repeats it: raise max_payload at every server"
    )]
    TooLarge {
        /// Size of the message, in bytes.
        size: usize,
        /// `max_payload`, in bytes.
        max: usize,
    },
    /// The quarantine entry that the batch replaces does not exist any more.
    #[error("the quarantine entry has gone meanwhile")]
    EntryGone,
    /// The store failed in another way.
    #[error("the spool's store failed: {0}")]
    Store(String),
    /// The spool is closed or the process is about to end.
    #[error("the spool is closed")]
    Closed,
}

/// Error of a change to a cursor or the quarantine. The cursor did not move; dead letters beyond it may be stored,
/// and a retry does not store them twice.
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

/// Error of a read.
#[derive(Debug, Error)]
#[error("the spool's store cannot be read: {0}")]
pub struct ReadError(#[source] pub(super) StoreError);

/// Returns the remedy for a directory or a file that the system refuses.
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

/// Returns the user of the process: in a container, nobody else knows the number.
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

//! A change of the engine: `spool move`, and a guard against events that the other engine still holds.

#[cfg(feature = "nats")]
mod companions;
#[cfg(feature = "nats")]
pub(super) mod contents;
pub(super) mod mark;
#[cfg(feature = "nats")]
mod run;
#[cfg(feature = "nats")]
mod verify;

use std::path::Path;
#[cfg(feature = "nats")]
use std::path::PathBuf;

#[cfg(feature = "nats")]
use super::{
    AppendError, CommitError, JetStreamConfig, OpenError, ReadError, SpoolStats, embedded,
};
#[cfg(feature = "nats")]
pub use run::{Moved, describe, run};

/// Error of a move. Repeating the move continues it.
#[cfg(feature = "nats")]
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// One of the spools cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// One of the spools cannot be read.
    #[error("a spool cannot be read: {0}. Repeat the command: it continues")]
    Read(#[from] ReadError),
    /// The draft of a new spool cannot be written.
    #[error(
        "the new spool in {} cannot be written: {message}. Make room there, and repeat the command: it continues", directory.display()
    )]
    Draft {
        /// Directory of the new spool.
        directory: PathBuf,
        /// Error of the store.
        message: String,
    },
    /// A message was not stored.
    #[error(
        "the new spool does not take the content: {0}. Repeat the command when that is corrected: it continues"
    )]
    Append(#[from] AppendError),
    /// A record was not stored.
    #[error(
        "the new spool does not take the state: {0}. Repeat the command when that is corrected: it continues"
    )]
    Commit(#[from] CommitError),
    /// The move may not begin or go on.
    #[error("{0}")]
    Refused(String),
    /// The new spool differs from the old one.
    #[error(
        "{0} of the new spool differ from the old one, which is unchanged. Delete the new spool and the mark of the old one, and repeat the command (docs/scaling.md, \"Moving\")"
    )]
    Differs(String),
}

/// File with the name of the stream that a receiver of this directory has used.
const STREAM_FILE: &str = "spool.stream";

/// Undelivered content of an embedded spool that is marked as moved to a stream.
#[cfg(feature = "nats")]
#[derive(Debug)]
pub(super) struct MovedBacklog {
    /// Id of the spool.
    pub(super) id: String,
    pub(super) directory: PathBuf,
    pub(super) events: u64,
    pub(super) entries: u64,
}

/// Refuses a directory whose embedded spool has undelivered events or quarantine entries. Returns them if the spool is
/// marked as moved to a stream of this name: then the stream has to prove that it has them.
///
/// # Errors
///
/// [`OpenError::LeftBehind`] with their numbers and the remedy; the error of a spool that cannot be read and may have
/// some.
#[cfg(feature = "nats")]
pub(super) fn refuse_left_behind(
    directory: &Path,
    own: &JetStreamConfig,
) -> Result<Option<MovedBacklog>, OpenError> {
    let is_marked = mark::read(directory).is_some_and(|to| to == run::stream(own));
    let (stats, id) = match backlog(directory) {
        Ok(Some(found)) => found,
        Ok(None) => return Ok(None),
        // The move has read and compared it.
        Err(_) if is_marked => return Ok(None),
        Err(error) => return Err(error),
    };
    // A sink that was removed from the configuration stays behind; its events do not stay.
    let sinks = stats.sinks.iter().filter(|sink| !sink.sink.starts_with(contents::INTERNAL_PREFIX));
    let lag = sinks.map(|sink| sink.lag).max().unwrap_or(stats.events);
    let events = lag.min(stats.events);
    let entries = stats.quarantined;
    let directory = directory.to_owned();
    match events + entries {
        0 => Ok(None),
        _ if is_marked => Ok(Some(MovedBacklog { id, directory, events, entries })),
        _ => Err(OpenError::LeftBehind { directory, events, entries }),
    }
}

/// Returns content and id of an embedded spool; `None` if there is none, or its database has no tables yet.
#[cfg(feature = "nats")]
fn backlog(directory: &Path) -> Result<Option<(SpoolStats, String)>, OpenError> {
    let spool = match embedded::inspect::open(directory) {
        Err(OpenError::Missing(_) | OpenError::Layout { found: 0, .. }) => return Ok(None),
        opened => opened?,
    };
    let unreadable = |error: ReadError| OpenError::Store {
        directory: directory.to_owned(),
        source: Box::new(error),
    };
    Ok(Some((spool.stats().map_err(unreadable)?, spool.id().map_err(unreadable)?)))
}

/// Records that the directory belongs to a receiver with the engine jetstream.
#[cfg(feature = "nats")]
pub(super) fn note_stream(directory: &Path, stream: &str) {
    let written = std::fs::create_dir_all(directory)
        .and_then(|()| std::fs::write(directory.join(STREAM_FILE), stream));
    if let Err(error) = written {
        tracing::warn!(%error, "cannot record the name of the stream in spool.directory");
    }
}

/// Logs that the directory was used with the engine jetstream, until an operator removes the file.
pub(super) fn warn_of_stream(directory: &Path) {
    let file = directory.join(STREAM_FILE);
    if let Ok(stream) = std::fs::read_to_string(&file) {
        tracing::error!(
            stream = stream.trim(),
            file = %file.display(),
            "this receiver has used the engine jetstream: events left in its stream are delivered only by a receiver \
             with that engine. Deliver them, then remove the file (docs/scaling.md, \"Moving\")"
        );
    }
}

#[cfg(feature = "nats")]
#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::spool::{Batch, DedupKey, Engine, NewEvent, Spool, Start, Tally};

    #[tokio::test]
    async fn a_directory_with_undelivered_events_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let text = format!("[spool]\ndirectory = {:?}\n", directory.path());
        let config = crate::config::parse(&text, None, std::iter::empty()).expect("valid");
        let shared =
            "[spool]\nengine = \"jetstream\"\n[spool.jetstream]\nservers = [\"nats://n:4222\"]\n";
        let shared = crate::config::parse(shared, None, std::iter::empty()).expect("valid");
        let Engine::Jetstream(own) = shared.spool.engine else { panic!("another engine") };
        assert!(refuse_left_behind(directory.path(), &own).is_ok(), "there is no spool");
        let spool = Spool::open(&config.spool, Arc::new(|| 1)).expect("a spool");
        let sink: Arc<str> = "siem".into();
        spool.register(&[(Arc::clone(&sink), Start::Oldest)]).await.expect("registered");
        assert!(refuse_left_behind(directory.path(), &own).is_ok(), "it is empty");
        let key = DedupKey::new("pingone", "a", (0, 0));
        let events = vec![NewEvent { key, bytes: "{}".into() }];
        let batch = Batch { source: "pingone".into(), events, ..Batch::default() };
        spool.append(batch.prepare()).await.expect("stored");
        let refused =
            refuse_left_behind(directory.path(), &own).expect_err("one event").to_string();
        mark::write(directory.path(), "stream other").expect("marked");
        assert!(refuse_left_behind(directory.path(), &own).is_err(), "another stream has it");
        mark::write(directory.path(), "stream davinci-siem").expect("marked");
        let backlog = refuse_left_behind(directory.path(), &own).expect("this stream has it");
        assert_eq!(backlog.map(|backlog| (backlog.events, backlog.entries)), Some((1, 0)));
        std::fs::remove_file(directory.path().join("spool.moved")).expect("removed");
        assert!(refused.contains("has 1 undelivered events and 0 quarantine entries"), "{refused}");
        let tally = Tally { delivered: 1, ..Tally::default() };
        spool.commit(&sink, 1, tally, Vec::new()).await.expect("committed");
        assert!(refuse_left_behind(directory.path(), &own).is_ok(), "it is delivered");
        spool.close();
        mark::write(directory.path(), "stream davinci-siem").expect("marked");
        let refused =
            Spool::open(&config.spool, Arc::new(|| 1)).expect_err("it is moved").to_string();
        assert!(refused.contains("was moved to stream davinci-siem"), "{refused}");
        std::fs::write(directory.path().join("spool.db"), [7; 4096]).expect("written");
        assert!(refuse_left_behind(directory.path(), &own).is_ok(), "this stream has it");
        std::fs::remove_file(directory.path().join("spool.moved")).expect("removed");
        let refused = refuse_left_behind(directory.path(), &own).expect_err("unreadable");
        assert!(refused.to_string().contains("cannot be opened"), "{refused}");
    }

    #[test]
    fn a_directory_that_is_being_filled_is_refused_and_stays_empty() {
        let directory = tempfile::tempdir().expect("a directory");
        let text = format!("[spool]\ndirectory = {:?}\n", directory.path());
        let config = crate::config::parse(&text, None, std::iter::empty()).expect("valid");
        std::fs::create_dir(directory.path().join("moving")).expect("made");
        let refused = Spool::open(&config.spool, Arc::new(|| 1)).expect_err("refused").to_string();
        assert!(refused.contains("has not ended") && refused.contains("moving"), "{refused}");
        assert!(!directory.path().join("spool.db").exists());
    }
}

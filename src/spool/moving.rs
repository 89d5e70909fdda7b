//! A change of the engine in place: events that the other engine still holds are not left behind silently.

use std::path::Path;

#[cfg(feature = "nats")]
use super::{OpenError, embedded};

/// File with the name of the stream that a receiver of this directory has used.
const STREAM_FILE: &str = "spool.stream";

/// Refuses a directory whose embedded spool has undelivered events or quarantine entries.
///
/// # Errors
///
/// [`OpenError::LeftBehind`] with their numbers and the remedy.
#[cfg(feature = "nats")]
pub(super) fn refuse_left_behind(directory: &Path) -> Result<(), OpenError> {
    // A spool that cannot be read was never one, or the embedded engine reports it.
    let Ok(spool) = embedded::inspect::open(directory) else { return Ok(()) };
    let Ok(stats) = spool.stats() else { return Ok(()) };
    // A sink that was removed from the configuration stays behind; its events do not stay.
    let lag = stats.sinks.iter().map(|sink| sink.lag).max().unwrap_or(stats.events);
    let events = lag.min(stats.events);
    let entries = stats.quarantined;
    match events + entries {
        0 => Ok(()),
        _ => Err(OpenError::LeftBehind { directory: directory.to_owned(), events, entries }),
    }
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
    use crate::spool::{Batch, DedupKey, NewEvent, Spool, Start, Tally};

    #[tokio::test]
    async fn a_directory_with_undelivered_events_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let text = format!("[spool]\ndirectory = {:?}\n", directory.path());
        let config = crate::config::parse(&text, None, std::iter::empty()).expect("valid");
        assert!(refuse_left_behind(directory.path()).is_ok(), "there is no spool");
        let spool = Spool::open(&config.spool, Arc::new(|| 1)).expect("a spool");
        let sink: Arc<str> = "siem".into();
        spool.register(&[(Arc::clone(&sink), Start::Oldest)]).await.expect("registered");
        assert!(refuse_left_behind(directory.path()).is_ok(), "it is empty");
        let key = DedupKey::new("pingone", "a", (0, 0));
        let events = vec![NewEvent { key, bytes: "{}".into() }];
        let batch = Batch { source: "pingone".into(), events, ..Batch::default() };
        spool.append(batch.prepare()).await.expect("stored");
        let refused = refuse_left_behind(directory.path()).expect_err("one event").to_string();
        assert!(refused.contains("has 1 undelivered events and 0 quarantine entries"), "{refused}");
        let tally = Tally { delivered: 1, ..Tally::default() };
        spool.commit(&sink, 1, tally, Vec::new()).await.expect("committed");
        assert!(refuse_left_behind(directory.path()).is_ok(), "it is delivered");
        spool.close();
    }
}

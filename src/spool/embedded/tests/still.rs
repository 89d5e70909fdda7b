//! A spool that does nothing of itself: its writer waits for what it is asked, and no second passes for it.

use std::sync::mpsc::{Receiver, RecvTimeoutError};

use super::*;

/// Opens it. [`tick`] is the second that passes.
pub(super) fn open(settings: &Settings, now: &Arc<AtomicI64>) -> EmbeddedSpool {
    let now = Arc::clone(now);
    let clock: Clock = Arc::new(move || now.load(Ordering::Relaxed));
    let writer = open::recover(settings, Arc::clone(&clock), clock).expect("recovered");
    open::start(writer, receive).expect("started")
}

fn receive(
    commands: &Receiver<WriterCommand>,
    timeout: Duration,
) -> Result<WriterCommand, RecvTimeoutError> {
    if timeout < Duration::from_secs(1) {
        commands.recv_timeout(Duration::ZERO)
    } else {
        commands.recv().map_err(|_| RecvTimeoutError::Disconnected)
    }
}

/// A commit in which nothing is asked: the writer looks after what has become old.
pub(super) async fn tick(spool: &EmbeddedSpool) {
    spool.remove(Vec::new()).await.expect("committed");
}

/// What `kill -9` leaves of a spool, in a folder of its own. The mark goes first, which must not know more
/// than the rest, and the database before its WAL: whatever a checkpoint changes in it meanwhile is in there
/// as well.
pub(super) fn remains(settings: &Settings) -> (TempDir, Settings) {
    let folder = tempfile::tempdir().expect("a folder");
    let left = Settings { directory: folder.path().join("spool"), ..settings.clone() };
    std::fs::create_dir(&left.directory).expect("made");
    for name in ["spool.mark", "spool.db", "spool.db-wal"] {
        std::fs::copy(settings.directory.join(name), left.directory.join(name)).expect("copied");
    }
    (folder, left)
}

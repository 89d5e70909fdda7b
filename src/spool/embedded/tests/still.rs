//! A spool without timers: its writer waits for commands, and time passes only by [`tick`].

use std::sync::mpsc::{Receiver, RecvTimeoutError};

use super::*;

/// Opens the spool. [`tick`] lets a second pass.
pub(super) fn open(settings: &SpoolConfig, now: &Arc<AtomicI64>) -> EmbeddedSpool {
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

/// Runs the commit of a second without commands, in which the writer removes what has expired.
pub(super) async fn tick(spool: &EmbeddedSpool) {
    spool.remove(Vec::new()).await.expect("committed");
}

/// Copies the files that `kill -9` leaves of a spool to another directory. The high watermark goes first: it must
/// not know more than the rest. The database goes before its WAL: the WAL holds whatever a checkpoint changes
/// meanwhile.
pub(super) fn remains(settings: &SpoolConfig) -> (TempDir, SpoolConfig) {
    let folder = tempfile::tempdir().expect("a folder");
    let left = SpoolConfig { directory: folder.path().join("spool"), ..settings.clone() };
    std::fs::create_dir(&left.directory).expect("made");
    for name in ["spool.mark", "spool.db", "spool.db-wal"] {
        std::fs::copy(settings.directory.join(name), left.directory.join(name)).expect("copied");
    }
    (folder, left)
}

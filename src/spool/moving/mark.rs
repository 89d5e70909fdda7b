//! Marks of a move in the directories of embedded spools: `spool.moved` in one that was moved to a stream, or is being
//! moved, and the directory `moving` in one that is being filled from a stream.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::spool::OpenError;

fn file(directory: &Path) -> PathBuf {
    directory.join("spool.moved")
}

/// Returns the destination of a spool that was moved, or is being moved.
pub(in crate::spool) fn read(directory: &Path) -> Option<String> {
    // A file that cannot be read still marks the spool.
    match fs::read_to_string(file(directory)) {
        Ok(text) => Some(text.trim().to_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(_) => Some("another spool".to_owned()),
    }
}

/// Returns the directory in which a move builds a spool. It exists from before the old spool is marked until the new one
/// is complete.
pub(in crate::spool) fn draft(directory: &Path) -> PathBuf {
    directory.join("moving")
}

/// Refuses a spool that was moved, and a directory that is being filled.
///
/// # Errors
///
/// [`OpenError::Moved`] and [`OpenError::Incoming`] with the remedy.
pub(in crate::spool) fn refuse(directory: &Path) -> Result<(), OpenError> {
    let draft = draft(directory);
    match read(directory) {
        None if draft.exists() => {
            Err(OpenError::Incoming { directory: directory.to_owned(), draft })
        }
        None => Ok(()),
        Some(to) => Err(OpenError::Moved {
            spool: format!("the spool in {}", directory.display()),
            to,
            undo: format!("delete {}", file(directory).display()),
        }),
    }
}

/// Marks the spool, durably. Nothing else in the directory changes.
#[cfg(feature = "nats")]
pub(super) fn write(directory: &Path, to: &str) -> Result<(), OpenError> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;

    let failed = |source| OpenError::File { file: file(directory), source };
    // A mark without its text, as a full disk leaves it, would name no destination to which the move may go on.
    let new = directory.join("spool.moved.new");
    let mut options = fs::File::options();
    let written = options.create(true).truncate(true).write(true).mode(0o600).open(&new);
    written
        .and_then(|mut written| {
            writeln!(written, "{to}")?;
            written.sync_all()
        })
        .and_then(|()| fs::rename(&new, file(directory)))
        .and_then(|()| crate::durable_dir::sync(directory))
        .map_err(|error| {
            drop(fs::remove_file(&new));
            failed(error)
        })
}

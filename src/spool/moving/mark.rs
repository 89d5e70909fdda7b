//! `spool.moved`: marks the directory of an embedded spool that was moved to a stream, or is being moved.

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

/// Refuses a spool that was moved.
///
/// # Errors
///
/// [`OpenError::Moved`] with the destination and the remedy.
pub(in crate::spool) fn refuse(directory: &Path) -> Result<(), OpenError> {
    match read(directory) {
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
    let mut options = fs::File::options();
    let written = options.create(true).truncate(true).write(true).mode(0o600).open(file(directory));
    written
        .and_then(|mut written| {
            writeln!(written, "{to}")?;
            written.sync_all()
        })
        .and_then(|()| crate::durable_dir::sync(directory))
        .map_err(failed)
}

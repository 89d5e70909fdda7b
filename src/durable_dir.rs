//! Creates directories that survive a power loss. A directory entry is durable only after an fsync
//! of its parent.

use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// Creates a directory and its missing parents, and syncs the entries on the path to it.
///
/// A directory is only created in a parent whose own entry is on disk. After an interrupted
/// attempt, syncing the last step is therefore enough.
///
/// # Errors
///
/// A directory cannot be created or synced.
pub(crate) fn make(path: &Path, mode: u32) -> io::Result<()> {
    let above = match path.parent() {
        Some(above) if above.as_os_str().is_empty() => Path::new("."),
        Some(above) => above,
        None => return Ok(()),
    };
    if !path.is_dir() {
        make(above, mode)?;
        match DirBuilder::new().mode(mode).create(path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => {}
            made => made?,
        }
    }
    match sync(above) {
        // This process may not open the directory. Its owner is responsible for the entries.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(()),
        synced => synced,
    }
}

/// Syncs the entries of a directory.
///
/// # Errors
///
/// The directory cannot be opened or synced.
pub(crate) fn sync(path: &Path) -> io::Result<()> {
    match File::open(path)?.sync_all() {
        // Some filesystems do not support fsync on directories.
        Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(()),
        synced => synced,
    }
}

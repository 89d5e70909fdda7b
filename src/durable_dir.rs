//! Folders that outlast a power loss: each is a name in the one above, and a name lasts only when the
//! folder that holds it was synced.

use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// Makes a folder and those above it where they are missing, and syncs what leads to it.
///
/// One is only made in another whose own name is on disk. So whatever an attempt that was cut short has
/// left behind, syncing the last step is enough.
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
        // One that we may not look into is somebody else's, and so is what leads through it.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(()),
        synced => synced,
    }
}

/// Makes the names in a folder last.
pub(crate) fn sync(path: &Path) -> io::Result<()> {
    match File::open(path)?.sync_all() {
        // Not every filesystem has such a thing; where there is none, nothing better can be done.
        Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(()),
        synced => synced,
    }
}

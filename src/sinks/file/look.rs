//! Checks if the file could be written, without opening, creating or locking anything.

use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, accessat, major, minor};

use super::FileSinkConfig;
use super::open;
use crate::sinks::Reason;

/// Returns a message if delivery could append to the file.
///
/// # Errors
/// The cause, and the path that has to be corrected.
pub(super) fn look(settings: &FileSinkConfig) -> Result<String, Reason> {
    let path = settings.path.display();
    let refused = |what: &str| Reason::new(format!("{path} cannot be written: {what}"));
    let target = open::target(&settings.path).map_err(|error| refused(&words(&error)))?;
    let directory = target.parent().unwrap_or(Path::new("/"));
    let rotates = |found: &Metadata| settings.rotates() && found.is_file();
    match fs::metadata(&settings.path) {
        Ok(found) if found.is_dir() => Err(refused("it is a directory")),
        Ok(found) if found.file_type().is_socket() => Err(refused("it is a socket")),
        Ok(found) => {
            check_access(&settings.path, Access::WRITE_OK)
                .map_err(|error| refused(&words(&error)))?;
            if rotates(&found) {
                check_access(directory, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| {
                    refused(&format!("rotation renames it, and its directory: {}", words(&error)))
                })?;
            }
            Ok(match owner(&found) {
                Some(process) => format!("{path} can be written; in use by process {process}"),
                None if found.file_type().is_fifo() => {
                    format!("{path} is a pipe that can be written while a process reads it")
                }
                None => format!("{path} can be written"),
            })
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // The missing directories would be created in the nearest existing one.
            let existing = directory.ancestors().find(|above| above.exists());
            let existing = existing.unwrap_or(Path::new("/"));
            if !existing.is_dir() {
                return Err(refused(&format!("{} is not a directory", existing.display())));
            }
            check_access(existing, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| {
                refused(&format!("it is missing, and in {}: {}", existing.display(), words(&error)))
            })?;
            Ok(format!("{path} can be created"))
        }
        Err(error) => Err(refused(&words(&error))),
    }
}

/// Checks the access to a path, for the effective user, like opening it would.
fn check_access(path: &Path, access: Access) -> io::Result<()> {
    Ok(accessat(CWD, path, access, AtFlags::EACCESS)?)
}

/// Returns the other process that holds the lock on a file, from `/proc/locks`. Taking the lock as a test could keep
/// the service from getting it at that moment.
fn owner(found: &Metadata) -> Option<u32> {
    let (device, inode) = (found.dev(), found.ino());
    let file = format!("{:02x}:{:02x}:{inode}", major(device), minor(device));
    let locks = fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        // 1: FLOCK  ADVISORY  WRITE 4711 fe:00:131 0 EOF
        let mut words = line.split_whitespace().skip(1);
        let is_lock = words.next() == Some("FLOCK");
        let process = words.nth(2)?.parse().ok()?;
        (is_lock && words.next() == Some(&file) && process != std::process::id()).then_some(process)
    })
}

fn words(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        ErrorKind::ReadOnlyFilesystem => "the file system is read-only".to_owned(),
        ErrorKind::NotADirectory => "its path leads through a file".to_owned(),
        _ => error.to_string(),
    }
}

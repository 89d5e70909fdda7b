//! Identity of the open files: for as long as they are written, their paths have to lead to them.
//!
//! A process goes on writing to a file that was moved or deleted, and no restart would find what it stored
//! there. So the paths are looked at before each commit, after it and before anyone is answered, and once a
//! second. While one of them leads elsewhere, nothing is stored.
//!
//! Two locks keep a second process out: one on `spool.lock`, and one on the database itself, which lasts when
//! `spool.lock` was removed. The second is the system's `flock`, of which SQLite's own locks know nothing.

use std::fs::{self, File, Metadata, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::schema;
use crate::durable_dir;
use crate::spool::OpenError;

/// The locks of the one process that writes. Released by the system when it dies.
#[derive(Debug)]
pub(crate) struct Locks {
    lock: File,
    /// `None` as long as there is no database.
    database: Option<File>,
}

/// The files of an open spool.
#[derive(Debug)]
pub(crate) struct SpoolFiles {
    directory: PathBuf,
    /// Each path, and the file that is open there.
    opened: Vec<(PathBuf, FileId)>,
    /// Kept open, and never closed before SQLite has closed its own: closing any descriptor of the database
    /// would release the locks that SQLite holds on it.
    _locks: Locks,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    fn of(metadata: &Metadata) -> FileId {
        FileId { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// Makes the directory and takes the locks in it.
pub(crate) fn lock(directory: &Path) -> Result<Locks, OpenError> {
    let unusable = |source| OpenError::Directory { directory: directory.to_owned(), source };
    // Events are personal data: a directory that we make is for this user only.
    durable_dir::make(directory, 0o700).map_err(unusable)?;
    let path = directory.join("spool.lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        // Whoever can read it can hold it, and keep the service from starting.
        .mode(0o600)
        .open(&path);
    let lock = match file {
        // Its folder is somebody else's.
        Err(source) if !path.exists() => return Err(unusable(source)),
        opened => opened.map_err(|source| OpenError::File { file: path, source })?,
    };
    take(&lock, directory)?;
    let mut locks = Locks { lock, database: None };
    locks.take_database(directory)?;
    Ok(locks)
}

fn take(file: &File, directory: &Path) -> Result<(), OpenError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(directory.to_owned())),
        Err(TryLockError::Error(source)) => {
            Err(OpenError::Directory { directory: directory.to_owned(), source })
        }
    }
}

impl Locks {
    /// Locks the database, if there is one. What cannot be opened, SQLite will tell.
    fn take_database(&mut self, directory: &Path) -> Result<(), OpenError> {
        let path = schema::database(directory);
        let Ok(found) = fs::metadata(&path) else { return Ok(()) };
        let known = self.database.as_ref().and_then(|file| file.metadata().ok());
        let is_known = known.is_some_and(|known| FileId::of(&known) == FileId::of(&found));
        if is_known || !found.is_file() {
            return Ok(());
        }
        if let Ok(file) = File::open(&path) {
            take(&file, directory)?;
            self.database = Some(file);
        }
        Ok(())
    }
}

impl SpoolFiles {
    /// Notes which files are open, once SQLite has opened them.
    pub(crate) fn open(directory: &Path, mut locks: Locks) -> Result<SpoolFiles, OpenError> {
        locks.take_database(directory)?;
        let unusable = |source| OpenError::Directory { directory: directory.to_owned(), source };
        let lock = FileId::of(&locks.lock.metadata().map_err(unusable)?);
        let mut opened = vec![(directory.join("spool.lock"), lock)];
        if let Some(file) = &locks.database {
            let database = FileId::of(&file.metadata().map_err(unusable)?);
            opened.push((schema::database(directory), database));
        }
        let log = schema::log(directory);
        if let Ok(found) = fs::metadata(&log) {
            opened.push((log, FileId::of(&found)));
        }
        Ok(SpoolFiles { directory: directory.to_owned(), opened, _locks: locks })
    }

    /// Fails with the path that leads elsewhere, and with what to do.
    pub(crate) fn check(&self) -> Result<(), String> {
        for (path, opened) in &self.opened {
            let what = match fs::metadata(path) {
                Ok(found) if FileId::of(&found) == *opened => continue,
                Ok(_) => "is not the file that this process has open: it was replaced".to_owned(),
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    "is missing: it was moved or deleted".to_owned()
                }
                Err(error) => format!("cannot be looked at: {}", error.kind()),
            };
            let path = if self.directory.is_dir() { path } else { &self.directory };
            return Err(format!(
                "{} {what}. Nothing is stored until the path leads to it again: put it back, and the service \
                 goes on by itself; or restart the service, which goes on with what is there",
                path.display()
            ));
        }
        Ok(())
    }
}

//! Identity of the open files: their paths must lead to them while they are written.
//!
//! A process can go on writing to a file that was moved or deleted, and a restart would not find the data. So
//! the paths are checked before each commit, after it and before the answers, and once a second. While a path
//! leads to another file, nothing is stored.
//!
//! Two locks keep a second process out: one on `spool.lock`, and one on the database itself, which still holds
//! if `spool.lock` is removed. The second is `flock`, which is independent of SQLite's own locks.

use std::fs::{self, File, Metadata, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::schema;
use crate::durable_dir;
use crate::spool::OpenError;

/// Locks of the process that writes. The system releases them when the process ends.
#[derive(Debug)]
pub(crate) struct Locks {
    lock: File,
    /// `None` until the database exists.
    database: Option<File>,
}

/// Open files of a spool.
#[derive(Debug)]
pub(crate) struct SpoolFiles {
    directory: PathBuf,
    /// Paths and the identity of the file open at each.
    opened: Vec<(PathBuf, FileId)>,
    /// Kept open until SQLite has closed its own descriptors: closing any descriptor of the database would
    /// release the locks that SQLite holds on it.
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

/// Creates the directory and locks it.
pub(crate) fn lock(directory: &Path) -> Result<Locks, OpenError> {
    let unusable = |source| OpenError::Directory { directory: directory.to_owned(), source };
    // Events are personal data: a new directory is for this user only.
    durable_dir::make(directory, 0o700).map_err(unusable)?;
    let path = directory.join("spool.lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        // A user who can read the file can lock it and keep the service from starting.
        .mode(0o600)
        .open(&path);
    let lock = match file {
        // The directory belongs to another user.
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
        Err(TryLockError::WouldBlock) => {
            let (directory, holder) = (directory.to_owned(), holder(file));
            Err(OpenError::InUse { directory, holder })
        }
        Err(TryLockError::Error(source)) => {
            Err(OpenError::Directory { directory: directory.to_owned(), source })
        }
    }
}

/// Returns the process that holds the lock of a file. Linux lists the locks with device, inode and pid.
fn holder(file: &File) -> Option<u32> {
    let inode = file.metadata().ok()?.ino().to_string();
    let locks = fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, pid, file, ..] = fields[..] else { return None };
        let is_same = file.rsplit(':').next() == Some(inode.as_str());
        // A process of another container has no pid here.
        pid.parse().ok().filter(|pid| is_same && *pid > 0)
    })
}

impl Locks {
    /// Locks the database, if there is one. SQLite reports a file that cannot be opened.
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
    /// Records the identity of the files that SQLite has opened.
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

    /// Compares the open files with the files at their paths.
    ///
    /// # Errors
    ///
    /// The first path that leads to another file.
    pub(crate) fn check(&self) -> Result<(), MisplacedFile> {
        for (path, opened) in &self.opened {
            let at = || if self.directory.is_dir() { path } else { &self.directory }.clone();
            return Err(match fs::metadata(path) {
                Ok(found) if FileId::of(&found) == *opened => continue,
                Ok(_) => MisplacedFile::Replaced(at()),
                Err(error) if error.kind() == ErrorKind::NotFound => MisplacedFile::Missing(at()),
                Err(error) => MisplacedFile::Unreadable(at(), error),
            });
        }
        Ok(())
    }
}

/// File of an open spool that is not at its path any more. Nothing is stored meanwhile.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MisplacedFile {
    /// Another file is at the path.
    #[error("{} is not the file that this process has open: it was replaced. {MISPLACED_ADVICE}", .0.display())]
    Replaced(PathBuf),
    /// No file is at the path.
    #[error("{} is missing: it was moved or deleted. {MISPLACED_ADVICE}", .0.display())]
    Missing(PathBuf),
    /// The path cannot be read.
    #[error("{} cannot be looked at: {}. {MISPLACED_ADVICE}", .0.display(), .1.kind())]
    Unreadable(PathBuf, #[source] std::io::Error),
}

const MISPLACED_ADVICE: &str = "Nothing is stored until the path leads to it again: put it back, and the service \
                                goes on by itself; or restart the service, which goes on with what is there";

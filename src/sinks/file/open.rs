//! Opens the file, with a lock and with a whole last line, and appends to it.

use std::fs::{self, File, Metadata, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::OFlags;

use super::{record, torn};
use crate::sinks::stream::write_counting;
use crate::{durable_dir, paths};

/// Permissions of a file: events are personal data. A log shipper needs the file's group.
pub(super) const MODE: u32 = 0o640;

/// Permissions of a directory that the sink creates. The umask restricts them.
const DIRECTORY_MODE: u32 = 0o777;

/// Times that opening starts again because the file was renamed meanwhile.
const OPEN_ATTEMPTS: usize = 8;

/// A regular file, locked for this sink until it is dropped.
#[derive(Debug)]
pub(super) struct Open {
    file: File,
    /// Path of the file with its links resolved, so that rotation renames the file and not the link.
    pub(super) path: PathBuf,
    /// Length of the whole, synced lines, in bytes.
    pub(super) length: u64,
    /// Time at which the file was created.
    pub(super) born: SystemTime,
    identity: (u64, u64),
    /// Length in the record beside the file, in bytes.
    recorded: u64,
}

/// Error of an append, and the state of the file after it.
#[derive(Debug)]
pub(super) struct Failed {
    /// Length of the whole lines that are on disk in spite of the error, in bytes.
    pub(super) kept: usize,
    pub(super) error: io::Error,
    /// True if the file ends with these lines and the next batch can be appended.
    pub(super) is_clean: bool,
    /// True if the file was renamed during the append.
    pub(super) is_renamed: bool,
}

impl Open {
    /// Returns true if `path` still leads to this file.
    pub(super) fn is_current(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|found| paths::identity(&found) == self.identity)
    }

    /// Reads the length again after another process has changed the file (logrotate's `copytruncate`, an editor), and
    /// ends a line that the process left open.
    pub(super) fn catch_up(&mut self) -> io::Result<()> {
        let found = self.file.metadata()?.len();
        if found != self.length {
            self.length = found;
            self.begin()?;
        }
        Ok(())
    }

    /// Appends and syncs, if the file is still at `configured`. `ends` are the ends of the lines in `lines`, ascending.
    ///
    /// # Errors
    /// [`Failed`]. Whole lines that are on disk stay there; the written part of the next line is removed.
    pub(super) fn append(
        &mut self,
        configured: &Path,
        lines: &[u8],
        ends: &[usize],
    ) -> Result<(), Failed> {
        let (written, ended) = write_counting(&self.file, lines);
        if !self.is_current(configured) {
            // The process that renamed the file may have read or compressed it before the lines arrived.
            let error = io::Error::other("is renamed again and again while it is written");
            return Err(Failed { kept: 0, error, is_clean: false, is_renamed: true });
        }
        let whole = ends.partition_point(|end| *end <= written);
        let mut kept = whole.checked_sub(1).and_then(|last| ends.get(last)).map_or(0, |end| *end);
        let is_cut = |kept: usize| kept == written || self.take_back(written, kept);
        let mut is_clean = is_cut(kept);
        let mut failed = ended.err();
        if let Err(error) = self.file.sync_data() {
            (kept, failed) = (0, Some(error));
            is_clean = is_cut(0);
        } else if failed.is_none() && self.is_shorter_than(self.length + written as u64) {
            // `copytruncate` has truncated the file meanwhile: its copy may lack these lines, too.
            let error = "was cut by another process while lines were appended";
            (kept, failed) = (0, Some(io::Error::other(error)));
        }
        match failed {
            None => {
                self.length += written as u64;
                if self.recorded < record::CHECKED_BYTES {
                    self.record();
                }
                Ok(())
            }
            Some(error) => {
                self.length += kept as u64;
                Err(Failed { kept, error, is_clean, is_renamed: false })
            }
        }
    }

    /// Closes the file and removes the record: the sink no longer owns any bytes of the file.
    pub(super) fn close(self) {
        if let Err(error) = record::remove(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "the record of the file stays");
        }
    }

    /// Removes what an append has written after its first `kept` bytes. Returns false if another process has changed the
    /// length meanwhile, or if the file cannot be cut.
    fn take_back(&self, written: usize, kept: usize) -> bool {
        let is_own = self.file.metadata();
        let is_own = is_own.is_ok_and(|found| found.len() == self.length + written as u64);
        is_own && self.file.set_len(self.length + kept as u64).is_ok()
    }

    fn is_shorter_than(&self, length: u64) -> bool {
        self.file.metadata().is_ok_and(|found| found.len() < length)
    }

    /// Ends an open last line with a line break, and records that the sink writes all bytes from here on.
    fn begin(&mut self) -> io::Result<()> {
        let mut last = [b'\n'];
        if self.length > 0 {
            self.file.read_exact_at(&mut last, self.length - 1)?;
        }
        if last != [b'\n'] {
            self.file.write_all(b"\n")?;
            self.length += 1;
        }
        // Syncs the bytes that the last process may not have synced: until then, a power loss could tear them, although
        // new lines follow or the file is rotated.
        self.file.sync_data()?;
        self.record();
        Ok(())
    }

    fn record(&mut self) {
        self.recorded = self.length;
        if let Err(error) = record::write(&self.path, &self.file, self.length) {
            let path = self.path.display();
            tracing::debug!(%path, %error, "the file is not recorded as this sink's: a torn end will not be cut");
        }
    }
}

/// Opens or creates the file, locks it, and cuts the torn end of a crash, which may be more than one line after a power
/// loss. Its events are not committed, so they are delivered again.
pub(super) fn open(configured: &Path) -> io::Result<Open> {
    for _ in 0..OPEN_ATTEMPTS {
        let path = target(configured)?;
        let parent = path.parent().unwrap_or(Path::new("/"));
        durable_dir::make(parent, DIRECTORY_MODE)?;
        let mut file = File::options()
            .create(true)
            .append(true)
            .read(true)
            .mode(MODE)
            // Opening a named pipe would wait for its reader, if one has taken the file's place.
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
            .open(&path)?;
        let is_locked = lock(&file)?;
        let found = file.metadata()?;
        let identity = paths::identity(&found);
        let is_current =
            fs::metadata(configured).is_ok_and(|now| paths::identity(&now) == identity);
        if !is_current {
            // The previous holder of the lock renamed the file between opening and locking.
            continue;
        }
        if !found.is_file() {
            return Err(io::Error::other("is not a regular file any more"));
        }
        let mut length = found.len();
        if is_locked && let Some(from) = record::own_from(&path, &file) {
            length = torn::repair(&path, &mut file, from, length).unwrap_or_else(|error| {
                tracing::warn!(path = %path.display(), %error, "a torn end was not cut; it stays as a line of its own");
                length
            });
        }
        let born = born(&found)?;
        let mut open = Open { file, path, length, born, identity, recorded: 0 };
        open.begin()?;
        // Always: an earlier attempt may have created the file and failed here.
        durable_dir::sync(open.path.parent().unwrap_or(Path::new("/")))?;
        return Ok(open);
    }
    Err(io::Error::other("is renamed again and again while it is opened"))
}

/// Returns the path of the file, which may not exist yet, with links resolved.
pub(super) fn target(configured: &Path) -> io::Result<PathBuf> {
    let target = paths::resolve(configured)?;
    // A link below /proc leads to an open file; its text is not a path.
    let is_there = |path: &Path| fs::metadata(path).ok().map(|found| paths::identity(&found));
    let is_resolved = is_there(configured).is_none_or(|file| Some(file) == is_there(&target));
    Ok(if is_resolved { target } else { configured.to_owned() })
}

/// Locks the file. Returns false on a file system without locks.
fn lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Err(ErrorKind::ResourceBusy.into()),
        Err(TryLockError::Error(error)) => {
            tracing::warn!(%error, "the file system has no locks: nothing keeps a second process out");
            Ok(false)
        }
    }
}

fn born(metadata: &Metadata) -> io::Result<SystemTime> {
    metadata.created().or_else(|_| metadata.modified())
}

//! Opening the file so that it is this sink's alone and ends with a whole line, and appending to it.

use std::fs::{self, File, Metadata, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::OFlags;

use super::{record, torn};
use crate::{durable_dir, paths};

/// Events are personal data; whoever ships the file shares its group.
pub(super) const MODE: u32 = 0o640;

/// As for any folder: the umask decides.
const FOLDER_MODE: u32 = 0o777;

/// Times that opening begins anew because the file was renamed meanwhile.
const ATTEMPTS: usize = 8;

/// A regular file, locked for this sink until it is dropped.
#[derive(Debug)]
pub(super) struct Open {
    file: File,
    /// Where the file is: the path with its links resolved, so that the file is rotated and not the link.
    pub(super) path: PathBuf,
    /// Bytes of whole, synced lines.
    pub(super) length: u64,
    /// Time at which the file was begun.
    pub(super) born: SystemTime,
    identity: (u64, u64),
    /// Length that its record has.
    recorded: u64,
}

/// Reason why not all lines were appended.
#[derive(Debug)]
pub(super) struct Failed {
    /// Bytes of whole lines that are on disk all the same.
    pub(super) kept: usize,
    pub(super) error: io::Error,
    /// True if the file ends with these and can be appended to.
    pub(super) is_clean: bool,
    /// True if the file was renamed before the lines were in it.
    pub(super) is_renamed: bool,
}

impl Open {
    /// Reports whether `path` still leads to this file.
    pub(super) fn is_current(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|found| paths::identity(&found) == self.identity)
    }

    /// Takes note of a length that others have changed (logrotate's `copytruncate`, an editor), and closes a line
    /// that they left open.
    pub(super) fn catch_up(&mut self) -> io::Result<()> {
        let found = self.file.metadata()?.len();
        if found != self.length {
            self.length = found;
            self.begin()?;
        }
        Ok(())
    }

    /// Appends and syncs, if the file is still at `configured`. `ends` are the ends of the lines in `lines`, in
    /// order. On failure, whole lines that are on disk stay, and what was begun of the next one is taken back.
    pub(super) fn append(
        &mut self,
        configured: &Path,
        lines: &[u8],
        ends: &[usize],
    ) -> Result<(), Failed> {
        let (written, ended) = write_counting(&self.file, lines);
        if !self.is_current(configured) {
            // Whoever renamed it may have read, compressed and removed it before the lines were in it.
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
            // `copytruncate` has come in between: these lines may be in neither file.
            let error = "was cut by another process while lines were appended";
            (kept, failed) = (0, Some(io::Error::other(error)));
        }
        match failed {
            None => {
                self.length += written as u64;
                if self.recorded < record::CHECKED {
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

    /// Ends the ownership in an orderly way.
    pub(super) fn close(self) {
        if let Err(error) = record::remove(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "the record of the file stays");
        }
    }

    /// Cuts what an append wrote behind its first `kept` bytes. Only if nobody else has written or cut meanwhile.
    fn take_back(&self, written: usize, kept: usize) -> bool {
        let is_own = self.file.metadata();
        let is_own = is_own.is_ok_and(|found| found.len() == self.length + written as u64);
        is_own && self.file.set_len(self.length + kept as u64).is_ok()
    }

    fn is_shorter_than(&self, length: u64) -> bool {
        self.file.metadata().is_ok_and(|found| found.len() < length)
    }

    /// Closes an open last line with a line break, and writes down that what follows is this sink's.
    fn begin(&mut self) -> io::Result<()> {
        let mut last = [b'\n'];
        if self.length > 0 {
            self.file.read_exact_at(&mut last, self.length - 1)?;
        }
        if last != [b'\n'] {
            self.file.write_all(b"\n")?;
            self.length += 1;
        }
        // What the last process did not get to sync: nothing is written behind it, nor is the file
        // rotated, while a power loss could still tear it.
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

/// Opens or makes the file, locks it, and cuts what a crash of this sink has torn: its events were never settled
/// and come again. After a power loss, that may be more than the last line.
pub(super) fn open(configured: &Path) -> io::Result<Open> {
    for _ in 0..ATTEMPTS {
        let path = target(configured)?;
        let parent = path.parent().unwrap_or(Path::new("/"));
        durable_dir::make(parent, FOLDER_MODE)?;
        let mut file = File::options()
            .create(true)
            .append(true)
            .read(true)
            .mode(MODE)
            // A named pipe that has taken the file's place must not be waited for.
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
            .open(&path)?;
        let is_locked = lock(&file)?;
        let found = file.metadata()?;
        let identity = paths::identity(&found);
        let is_current =
            fs::metadata(configured).is_ok_and(|now| paths::identity(&now) == identity);
        if !is_current {
            // Renamed between opening and locking, by whoever had the lock.
            continue;
        }
        if !found.is_file() {
            return Err(io::Error::other("is no regular file any more"));
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
        // Each time: an earlier attempt may have made the file and failed here.
        durable_dir::sync(open.path.parent().unwrap_or(Path::new("/")))?;
        return Ok(open);
    }
    Err(io::Error::other("is renamed again and again while it is opened"))
}

/// Returns where the file of a path is or will be.
pub(super) fn target(configured: &Path) -> io::Result<PathBuf> {
    let target = paths::resolve(configured)?;
    // Links below /proc lead to open files and name no path.
    let is_there = |path: &Path| fs::metadata(path).ok().map(|found| paths::identity(&found));
    let is_resolved = is_there(configured).is_none_or(|file| Some(file) == is_there(&target));
    Ok(if is_resolved { target } else { configured.to_owned() })
}

/// Takes the lock on the file. Returns false on a file system without locks.
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

/// Writes as much as the system takes. Returns how much that was.
fn write_counting(mut file: &File, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match file.write(rest) {
            Ok(0) => return (written, Err(ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

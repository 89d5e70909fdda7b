//! Repair: a new database with all readable rows replaces the files, which are kept in `damaged-<time>`.
//!
//! The new database is built as `repair.tmp`, renamed to `repair.db` when it is complete, and takes the place
//! of the old files after these are moved aside. If the process ends in between, [`finish`] continues at the
//! next start. No damaged file is ever modified.
//!
//! At start, a repair runs automatically if the database cannot be opened, or if its log holds commits that
//! SQLite would drop: only the process that writes can repair, since no other may use the files, and a service
//! that waits for an operator loses events after PingOne's seven days. Corruption within a database that opens
//! is reported where it is read, and left to the operator.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::salvage::{self, Salvaged};
use crate::durable_dir;
use crate::spool::embedded::read::inspect;
use crate::spool::embedded::store::high_watermark::{self, HighWatermark, HighWatermarkFile};
use crate::spool::embedded::store::wal::{Wal, WalTail};
use crate::spool::embedded::store::{identity, schema};
use crate::spool::{Millis, OpenError};

/// WAL first: SQLite would delete a WAL without its database.
pub(crate) const FILES: [&str; 3] = ["spool.db-wal", "spool.db-shm", "spool.db"];

/// Result of `spool repair`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Repaired {
    /// Directory of the damaged files.
    pub set_aside: PathBuf,
    /// Damage found.
    pub problems: Vec<String>,
    /// Data that was kept.
    #[serde(flatten)]
    pub salvaged: Salvaged,
}

/// Repairs a spool that no process has open. Returns `None` for a sound spool, which stays unchanged.
///
/// # Errors
///
/// [`OpenError`] with the file or the servers, and the remedy.
pub fn repair(directory: &Path, now: Millis) -> Result<Option<Repaired>, OpenError> {
    if !directory.is_dir() {
        return Err(OpenError::Missing(directory.to_owned()));
    }
    let _locks = identity::lock(directory)?;
    let unusable = |source| OpenError::Directory { directory: directory.to_owned(), source };
    finish(directory, now).map_err(unusable)?;
    let problems = match problems(directory) {
        Ok(problems) if problems.is_empty() => return Ok(None),
        Ok(problems) => problems,
        Err(OpenError::Missing(directory)) => return Err(OpenError::Missing(directory)),
        Err(OpenError::Layout { directory, found, known }) if found < known => {
            return Err(OpenError::Layout { directory, found, known });
        }
        Err(error) => vec![error.to_string()],
    };
    let (set_aside, salvaged) =
        rebuild(directory, high_watermark::read(directory), now).map_err(unusable)?;
    clear_flag(directory);
    Ok(Some(Repaired { set_aside, problems, salvaged }))
}

fn problems(directory: &Path) -> Result<Vec<String>, OpenError> {
    let found = inspect::open(directory)?.verify(|_, _| ());
    Ok(found.map_or_else(|error| vec![error.to_string()], |found| found.problems))
}

/// Clears the damage that the writer had met: it is repaired.
fn clear_flag(directory: &Path) {
    let mut keeper = HighWatermarkFile::open(directory);
    if let Some(mark) = keeper.mark() {
        keeper.write(HighWatermark { is_damaged: false, ..mark });
        keeper.sync();
    }
}

/// Returns the reason to repair the files before SQLite opens them, if there is one: it would delete or
/// overwrite what is left.
pub(crate) fn reason(
    directory: &Path,
    wal: &Wal,
    mark: Option<HighWatermark>,
) -> Option<&'static str> {
    let size = fs::metadata(schema::database(directory)).map_or(0, |file| file.len());
    if wal.tail == WalTail::Lost {
        return Some("a part of the write-ahead log is corrupt, with commits behind it");
    }
    if size < 512 && wal.commits > 0 {
        return Some("the database file is empty, and its write-ahead log is not");
    }
    mark.filter(|mark| mark.is_damaged).map(|_| "a corrupt page was met while the service ran")
}

/// Builds a new database from the readable rows and replaces the files with it. Returns the directory of the
/// old files.
pub(crate) fn rebuild(
    directory: &Path,
    mark: Option<HighWatermark>,
    now: Millis,
) -> io::Result<(PathBuf, Salvaged)> {
    let (draft, whole) = (directory.join("repair.tmp"), directory.join("repair.db"));
    remove(&draft)?;
    let salvaged = salvage::rebuild(directory, &draft, mark, now).map_err(io::Error::other)?;
    File::open(&draft)?.sync_all()?;
    fs::rename(&draft, &whole)?;
    durable_dir::sync(directory)?;
    let set_aside = finish(directory, now)?.unwrap_or_else(|| directory.to_owned());
    Ok((set_aside, salvaged))
}

/// Completes a repair that was interrupted before its last steps. Returns the directory of the damaged files,
/// if there was one.
pub(crate) fn finish(directory: &Path, now: Millis) -> io::Result<Option<PathBuf>> {
    let whole = directory.join("repair.db");
    if !whole.exists() {
        return Ok(None);
    }
    let set_aside = move_aside(directory, now)?;
    fs::rename(&whole, schema::database(directory))?;
    durable_dir::sync(directory)?;
    Ok(Some(set_aside))
}

/// Moves the files into a new directory.
pub(crate) fn move_aside(directory: &Path, now: Millis) -> io::Result<PathBuf> {
    let mut target = directory.join(format!("damaged-{now}"));
    let mut number = 1;
    while target.exists() {
        number += 1;
        target = directory.join(format!("damaged-{now}-{number}"));
    }
    fs::create_dir(&target)?;
    for name in FILES {
        match fs::rename(directory.join(name), target.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    durable_dir::sync(&target)?;
    durable_dir::sync(directory)?;
    Ok(target)
}

fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

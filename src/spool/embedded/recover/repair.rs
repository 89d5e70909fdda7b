//! Putting a damaged spool right: a new database of everything readable takes the place of the files,
//! which are kept in `damaged-<time>`.
//!
//! The new one is made beside them as `repair.tmp`, is complete once it is called `repair.db`, and takes
//! its place after the old files have gone aside. Whatever ends the process in between, [`finish`] goes on
//! from there at the next start, and no file is ever changed that was damaged.
//!
//! At start this happens by itself where the database cannot be opened, or where its log holds commits
//! that SQLite would forget: only the writer's process can, nobody else may be using the files, and a
//! service that waits for an operator loses events after PingOne's seven days. What can be read goes on;
//! what is broken within a database that opens is reported as it is met, and left to the operator.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::salvage::{self, Salvaged};
use crate::durable_dir;
use crate::spool::embedded::read::inspect;
use crate::spool::embedded::store::high_watermark::{self, HighWatermark, HighWatermarkFile};
use crate::spool::embedded::store::identity;
use crate::spool::embedded::store::schema;
use crate::spool::embedded::store::wal::{Wal, WalTail};
use crate::spool::{Millis, OpenError};

/// The WAL first: one that is left without its database would be deleted.
pub(crate) const FILES: [&str; 3] = ["spool.db-wal", "spool.db-shm", "spool.db"];

/// What `spool repair` has done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Repaired {
    /// Where the damaged files are.
    pub set_aside: PathBuf,
    /// What was wrong.
    pub problems: Vec<String>,
    /// What was kept.
    #[serde(flatten)]
    pub salvaged: Salvaged,
}

/// Repairs a spool that no process has open. `None` if it is sound: then nothing is changed.
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

/// What the writer had met is repaired.
fn clear_flag(directory: &Path) {
    let mut keeper = HighWatermarkFile::open(directory);
    if let Some(mark) = keeper.mark() {
        keeper.write(HighWatermark { is_damaged: false, ..mark });
        keeper.sync();
    }
}

/// Why the files should be repaired before SQLite opens them, if they should: it would delete or
/// overwrite what is left.
pub(crate) fn reason(
    directory: &Path,
    wal: &Wal,
    mark: Option<HighWatermark>,
) -> Option<&'static str> {
    let size = fs::metadata(schema::database(directory)).map_or(0, |file| file.len());
    if wal.tail == WalTail::Lost {
        return Some("a part of the write-ahead log is broken, with commits behind it");
    }
    if size < 512 && wal.commits > 0 {
        return Some("the database file is empty, and its write-ahead log is not");
    }
    mark.filter(|mark| mark.is_damaged).map(|_| "a broken page was met while the service ran")
}

/// Makes a new database of what can be read, and puts it in the place of the files. Returns where these
/// are now.
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

/// Finishes a repair that is complete but for its last steps. Returns where the damaged files are, if there
/// was one.
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

/// Moves the files into a folder of their own.
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

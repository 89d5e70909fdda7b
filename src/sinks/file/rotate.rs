//! Rotation: `events.ndjson` becomes `events-20261122T201500.123Z.ndjson`, then `….ndjson.gz`.
//!
//! The sink renames the file first; a thread compresses it afterwards. The compressed file gets its final name once it
//! is whole and synced. When the file is opened again, the sink compresses the files that a crash has left.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use flate2::{Compression, GzBuilder};

use super::FileSinkConfig;
use super::names::ROTATION_TIME;
use super::open;
use super::record::remove_if_there;

/// Ending of a compressed file that is not whole yet.
const UNFINISHED: &str = "gz.tmp";

impl FileSinkConfig {
    /// Returns true if this sink rotates its file.
    pub(super) fn rotates(&self) -> bool {
        self.rotate_size.is_some() || self.rotate_age.is_some()
    }
}

/// Lock of the compressing thread: two threads must not compress the same file.
pub(super) type Compressing = Arc<Mutex<()>>;

/// Renames the file, compresses the rotated files, and removes the oldest ones. `path` is the file itself, also if
/// `settings.path` is a link to it.
pub(super) fn rotate(
    path: &Path,
    settings: &FileSinkConfig,
    now: SystemTime,
    compressing: &Compressing,
) -> io::Result<()> {
    let target = free_name(path, now)?;
    fs::rename(path, &target)?;
    sync_directory(path)?;
    compress_leftovers(path, settings, compressing)?;
    remove_excess(path, settings)
}

/// Starts a thread that compresses all rotated files that are still plain.
pub(super) fn compress_leftovers(
    path: &Path,
    settings: &FileSinkConfig,
    compressing: &Compressing,
) -> io::Result<()> {
    if !settings.gzip {
        return Ok(());
    }
    let (path, compressing) = (path.to_owned(), Arc::clone(compressing));
    let compress_all = move || {
        let _held = compressing.lock().unwrap_or_else(PoisonError::into_inner);
        let names = rotated(&path)?;
        names.iter().try_for_each(|name| compress(name))
    };
    std::thread::Builder::new().name("gzip".to_owned()).spawn(move || {
        if let Err(error) = compress_all() {
            tracing::warn!(%error, "could not compress a rotated file; the next rotation tries again");
        }
    })?;
    Ok(())
}

fn compress(path: &Path) -> io::Result<()> {
    let (finished, unfinished) = (with_ending(path, "gz"), with_ending(path, UNFINISHED));
    let mut plain = match File::open(path) {
        // Compressed or removed meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let out = File::options()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(open::MODE)
        .open(&unfinished)?;
    let mut out = GzBuilder::new().write(io::BufWriter::new(out), Compression::default());
    io::copy(&mut plain, &mut out)?;
    out.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    fs::rename(&unfinished, &finished)?;
    sync_directory(path)?;
    remove_if_there(path)
}

/// Removes the oldest rotated files beyond `keep`.
fn remove_excess(path: &Path, settings: &FileSinkConfig) -> io::Result<()> {
    let Some(keep) = settings.keep else { return Ok(()) };
    let files = rotated(path)?;
    for path in files.iter().take(files.len().saturating_sub(keep)) {
        remove_if_there(path)?;
        remove_if_there(&with_ending(path, "gz"))?;
    }
    Ok(())
}

/// Returns the rotated files of `path` by their plain names, oldest first: the time in the names sorts.
fn rotated(path: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let (stem, ending) = name_parts(path);
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(directory(path))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let plain = directory(path).join(name.strip_suffix(".gz").unwrap_or(&name));
        if time_of(&plain, &stem, &ending).is_some() {
            found.insert(plain);
        }
    }
    Ok(found)
}

/// Returns the name of the next rotated file. Its time is later than that of all other files, even if the clock was
/// set back, because the first names are removed first.
fn free_name(path: &Path, now: SystemTime) -> io::Result<PathBuf> {
    let (stem, ending) = name_parts(path);
    let newest = rotated(path)?.iter().filter_map(|file| time_of(file, &stem, &ending)).max();
    let now = DateTime::<Utc>::from(now).naive_utc();
    let time = newest.map_or(now, |newest| now.max(newest + TimeDelta::milliseconds(1)));
    let time = time.format(ROTATION_TIME);
    Ok(directory(path).join(format!("{stem}-{time}{ending}")))
}

/// Parses the time in a name that [`free_name`] has made. Another sink's file may begin with the same stem; its name
/// yields `None`.
fn time_of(file: &Path, stem: &str, ending: &str) -> Option<NaiveDateTime> {
    let name = file.file_name()?.to_str()?;
    let time = name.strip_prefix(stem)?.strip_prefix('-')?.strip_suffix(ending)?;
    NaiveDateTime::parse_from_str(time, ROTATION_TIME).ok()
}

/// Splits a name into stem and ending: `events` and `.ndjson` of `/var/log/events.ndjson`.
fn name_parts(path: &Path) -> (String, String) {
    let part =
        |part: Option<&std::ffi::OsStr>| part.map(|part| part.to_string_lossy().into_owned());
    let ending = part(path.extension()).map(|ending| format!(".{ending}")).unwrap_or_default();
    (part(path.file_stem()).unwrap_or_default(), ending)
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn sync_directory(path: &Path) -> io::Result<()> {
    crate::durable_dir::sync(directory(path))
}

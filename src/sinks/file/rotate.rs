//! Rotation: `events.ndjson` becomes `events-20261122T201500.123Z.ndjson`, then `….ndjson.gz`.
//!
//! A rotated file is renamed first and compressed afterwards, on a thread of its own; the compressed
//! file appears under its final name only when it is whole and synced. What a crash leaves behind is
//! finished when the file is opened next.

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

/// The ending of a compressed file that is not whole yet.
const UNFINISHED: &str = "gz.tmp";

impl FileSinkConfig {
    /// Whether this sink ever rotates its file.
    pub(super) fn rotates(&self) -> bool {
        self.rotate_size.is_some() || self.rotate_age.is_some()
    }
}

/// Held while files are compressed, so that no two threads work on the same one.
pub(super) type Compressing = Arc<Mutex<()>>;

/// Moves the file out of the way and tidies up its predecessors.
///
/// `path` is where the file is, which need not be where `settings` has a link to it.
pub(super) fn rotate(
    path: &Path,
    settings: &FileSinkConfig,
    now: SystemTime,
    compressing: &Compressing,
) -> io::Result<()> {
    let target = free_name(path, now)?;
    fs::rename(path, &target)?;
    sync_folder(path)?;
    compress_leftovers(path, settings, compressing)?;
    remove_excess(path, settings)
}

/// Compresses every rotated file that is still plain, in the background.
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
        // Compressed already, or removed as one too many.
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
    sync_folder(path)?;
    remove(path)
}

/// Removes the oldest rotated files beyond `keep`.
fn remove_excess(path: &Path, settings: &FileSinkConfig) -> io::Result<()> {
    let Some(keep) = settings.keep else { return Ok(()) };
    let files = rotated(path)?;
    for path in files.iter().take(files.len().saturating_sub(keep)) {
        remove(path)?;
        remove(&with_ending(path, "gz"))?;
    }
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The rotated files of `path`, oldest first, by their plain names: the time in them sorts.
fn rotated(path: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let (stem, ending) = name_parts(path);
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder(path))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let plain = folder(path).join(name.strip_suffix(".gz").unwrap_or(&name));
        if time_of(&plain, &stem, &ending).is_some() {
            found.insert(plain);
        }
    }
    Ok(found)
}

/// A name with a time in it that is later than those of all other files, also where the clock was set back: the
/// first by name are removed first.
fn free_name(path: &Path, now: SystemTime) -> io::Result<PathBuf> {
    let (stem, ending) = name_parts(path);
    let newest = rotated(path)?.iter().filter_map(|file| time_of(file, &stem, &ending)).max();
    let now = DateTime::<Utc>::from(now).naive_utc();
    let time = newest.map_or(now, |newest| now.max(newest + TimeDelta::milliseconds(1)));
    let time = time.format(ROTATION_TIME);
    Ok(folder(path).join(format!("{stem}-{time}{ending}")))
}

/// The time in a name as [`free_name`] writes it: another sink's file whose name begins like ours must not be
/// taken for one of ours.
fn time_of(file: &Path, stem: &str, ending: &str) -> Option<NaiveDateTime> {
    let name = file.file_name()?.to_str()?;
    let time = name.strip_prefix(stem)?.strip_prefix('-')?.strip_suffix(ending)?;
    NaiveDateTime::parse_from_str(time, ROTATION_TIME).ok()
}

/// `events` and `.ndjson` of `/var/log/events.ndjson`.
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

fn folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn sync_folder(path: &Path) -> io::Result<()> {
    crate::durable_dir::sync(folder(path))
}

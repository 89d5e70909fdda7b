//! `.NAME.davinci-siem` beside the output: which file this sink has open, and how long it was at that time.
//!
//! The bytes behind that length are this sink's own, so that a torn end may be cut. The record is removed when the
//! sink is closed in an orderly way: what is appended afterwards is somebody else's. Without a record, delivery
//! works and nothing is ever cut.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use super::open::MODE;
use crate::{durable_dir, paths};

/// Bytes before the recorded length that the checksum covers. A record of less is soon written again.
pub(super) const CHECKED: u64 = 4096;

/// Longest record that is read; one has about 100 bytes.
const MAX_BYTES: u64 = 4096;

/// A file and its length in bytes when it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    device: u64,
    inode: u64,
    /// Birth of the inode in ns since the Unix epoch, where the file system knows it: the number of a removed file is
    /// given to the next one.
    born: Option<u64>,
    /// Whole, synced lines.
    length: u64,
    /// CRC-32 of the last [`CHECKED`] bytes of these.
    checksum: u32,
}

/// The hidden name beside `output` with this ending. No pattern such as `events.ndjson*` matches it.
pub(super) fn beside(output: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(output.file_name().unwrap_or_default());
    name.push(".");
    name.push(ending);
    output.with_file_name(name)
}

fn name(output: &Path) -> PathBuf {
    beside(output, "davinci-siem")
}

/// Writes down that `file`, at `output`, is this sink's from `length` on. Durable when it returns.
pub(super) fn write(output: &Path, file: &File, length: u64) -> io::Result<()> {
    let record = serde_json::to_vec(&Record::of(file, length)?)?;
    let unfinished = beside(output, "davinci-siem.tmp");
    remove_if_there(&unfinished)?;
    let mut out = File::options().create_new(true).write(true).mode(MODE).open(&unfinished)?;
    out.write_all(&record)?;
    out.sync_all()?;
    fs::rename(&unfinished, name(output))?;
    durable_dir::sync(output.parent().unwrap_or(Path::new(".")))
}

/// Ends the record: from now on, nothing in the file is this sink's to cut.
pub(super) fn remove(output: &Path) -> io::Result<()> {
    remove_if_there(&name(output))?;
    durable_dir::sync(output.parent().unwrap_or(Path::new(".")))
}

/// Returns the length from which on the bytes of `file` are this sink's, if they are: the record names this file,
/// and what it had at that time is still there.
pub(super) fn own_from(output: &Path, file: &File) -> Option<u64> {
    let name = name(output);
    let is_small = fs::symlink_metadata(&name).ok()?;
    if !is_small.is_file() || is_small.len() > MAX_BYTES {
        return None;
    }
    let record: Record = serde_json::from_slice(&fs::read(name).ok()?).ok()?;
    let is_long_enough = record.length <= file.metadata().ok()?.len();
    (is_long_enough && Record::of(file, record.length).ok()? == record).then_some(record.length)
}

impl Record {
    fn of(file: &File, length: u64) -> io::Result<Record> {
        let metadata = file.metadata()?;
        let (device, inode) = paths::identity(&metadata);
        let born = metadata.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let born = born.and_then(|time| u64::try_from(time.as_nanos()).ok());
        Ok(Record { device, inode, born, length, checksum: checksum(file, length)? })
    }
}

fn checksum(file: &File, length: u64) -> io::Result<u32> {
    let start = length.saturating_sub(CHECKED);
    let mut bytes = vec![0; (length - start) as usize];
    file.read_exact_at(&mut bytes, start)?;
    Ok(crc32fast::hash(&bytes))
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

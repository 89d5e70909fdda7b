//! The record `.NAME.davinci-siem` beside the output: the identity of the open file, and its length when it was
//! opened.
//!
//! The sink has written all bytes after that length, so it may cut a torn end there. Closing the sink removes the
//! record, because another process may append afterwards. Without a record, delivery works, and nothing is cut.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use super::open::MODE;
use crate::{durable_dir, paths};

/// Bytes before the recorded length that the checksum covers. A record that covers less is replaced by the next
/// append.
pub(super) const CHECKED_BYTES: u64 = 4096;

/// Upper bound of a record that is read, in bytes. A valid record has about 100.
const MAX_BYTES: u64 = 4096;

/// A file and its length in bytes when it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    device: u64,
    inode: u64,
    /// Birth of the inode in ns since the Unix epoch, if the file system stores it: the inode number of a removed file
    /// is used again.
    born: Option<u64>,
    /// Length of the whole, synced lines, in bytes.
    length: u64,
    /// CRC-32 of the last [`CHECKED_BYTES`] of these lines.
    checksum: u32,
}

/// Returns the hidden name beside `output` with this ending. Patterns such as `events.ndjson*` do not match it.
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

/// Records that the sink writes all bytes of `file`, at `output`, from `length` on. Durable when it returns.
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

/// Removes the record: the sink may no longer cut any bytes of the file.
pub(super) fn remove(output: &Path) -> io::Result<()> {
    remove_if_there(&name(output))?;
    durable_dir::sync(output.parent().unwrap_or(Path::new(".")))
}

/// Returns the recorded length if the record names this file and the bytes before that length are unchanged. The sink
/// has written all bytes after it.
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
    let start = length.saturating_sub(CHECKED_BYTES);
    let mut bytes = vec![0; (length - start) as usize];
    file.read_exact_at(&mut bytes, start)?;
    Ok(crc32fast::hash(&bytes))
}

pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

//! Finds the torn end that a crash or a power loss leaves, copies it to a file beside the output, and cuts it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use chrono::{DateTime, TimeDelta, Utc};

use super::names::ROTATION_TIME;
use super::open::MODE;
use super::record::beside;
use crate::durable_dir;

/// Bytes per read.
const BLOCK_BYTES: u64 = 64 * 1024;

/// Upper bound of the bytes between two syncs: the largest batch that the configuration allows.
const MAX_UNSYNCED_BYTES: u64 = 128 * 1024 * 1024;

/// Number of torn ends that are kept for one output. The oldest are removed first.
const MAX_KEPT_ENDS: usize = 8;

/// Cuts `file`, at `output`, after its last whole line, but never before `from`: the sink has written the bytes from
/// there on. Copies the cut bytes to `.NAME.torn-TIME` first. Returns the new length.
pub(super) fn repair(output: &Path, file: &mut File, from: u64, length: u64) -> io::Result<u64> {
    let end = before_hole(file, from, length)?;
    let end = whole_lines(file, from, end)?;
    if end == length {
        return Ok(length);
    }
    let kept_in = keep(output, file, end, length)?;
    file.set_len(end)?;
    tracing::warn!(
        path = %output.display(),
        cut_bytes = length - end,
        kept_in = %kept_in.display(),
        "cut a torn last line, or more; its events are delivered again"
    );
    Ok(end)
}

/// Returns the position of the first zero byte among the bytes that may not have been synced; `length` without one.
/// Lines contain no zero bytes. A power loss leaves them where the length of the file was stored and its bytes were
/// not, which may be before its end.
fn before_hole(file: &mut File, from: u64, length: u64) -> io::Result<u64> {
    let mut start = length.saturating_sub(MAX_UNSYNCED_BYTES).max(from);
    file.seek(SeekFrom::Start(start))?;
    let mut block = Vec::with_capacity(BLOCK_BYTES as usize);
    while start < length {
        block.clear();
        file.take(BLOCK_BYTES.min(length - start)).read_to_end(&mut block)?;
        if let Some(found) = memchr::memchr(0, &block) {
            return Ok(start + found as u64);
        }
        if block.is_empty() {
            break;
        }
        start += block.len() as u64;
    }
    Ok(length)
}

/// Returns the position after the last line break that follows `from`; `from` without one.
fn whole_lines(file: &mut File, from: u64, length: u64) -> io::Result<u64> {
    let mut end = length;
    while end > from {
        let start = end.saturating_sub(BLOCK_BYTES).max(from);
        let mut block = Vec::with_capacity(BLOCK_BYTES as usize);
        file.seek(SeekFrom::Start(start))?;
        file.take(end - start).read_to_end(&mut block)?;
        if let Some(found) = memchr::memrchr(b'\n', &block) {
            return Ok(start + found as u64 + 1);
        }
        end = start;
    }
    Ok(from)
}

/// Copies bytes `from..to` to a file of their own, and removes the oldest such files beyond [`MAX_KEPT_ENDS`].
fn keep(output: &Path, file: &mut File, from: u64, to: u64) -> io::Result<PathBuf> {
    let mut time = DateTime::<Utc>::from(SystemTime::now());
    let (path, mut copy) = loop {
        let path = beside(output, &format!("torn-{}", time.format(ROTATION_TIME)));
        match File::options().create_new(true).write(true).mode(MODE).open(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                time += TimeDelta::milliseconds(1);
            }
            opened => break (path, opened?),
        }
    };
    file.seek(SeekFrom::Start(from))?;
    let mut left = file.take(to - from);
    let mut block = Vec::with_capacity(BLOCK_BYTES as usize);
    while left.by_ref().take(BLOCK_BYTES).read_to_end(&mut block)? > 0 {
        copy.write_all(&block)?;
        block.clear();
    }
    copy.sync_all()?;
    let directory = output.parent().unwrap_or(Path::new("."));
    durable_dir::sync(directory)?;
    let prefix = beside(output, "torn-");
    let prefix = prefix.file_name().unwrap_or_default().as_encoded_bytes();
    let mut kept = BTreeSet::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        if name.as_encoded_bytes().starts_with(prefix) {
            kept.insert(name);
        }
    }
    for name in kept.iter().take(kept.len().saturating_sub(MAX_KEPT_ENDS)) {
        fs::remove_file(directory.join(name))?;
    }
    Ok(path)
}

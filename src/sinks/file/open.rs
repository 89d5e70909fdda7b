//! Opening the file so that it ends with a whole line, and knowing whether it is still the file.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::SystemTime;

use crate::folder;

/// Bytes looked at, at a time.
const BLOCK: u64 = 64 * 1024;

/// How much is written between two syncs at most: the largest batch that the configuration allows.
const UNSYNCED: u64 = 128 * 1024 * 1024;

/// Events are personal data; whoever ships the file shares its group.
pub(super) const MODE: u32 = 0o640;

/// As for any folder: the umask decides.
const FOLDER_MODE: u32 = 0o777;

/// An open file and what is known of it.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) file: File,
    /// Bytes of whole, synced lines.
    pub(super) length: u64,
    /// When it was begun.
    pub(super) born: SystemTime,
    /// False for a pipe or a device, which can neither be synced, cut nor rotated.
    pub(super) is_regular: bool,
    identity: (u64, u64),
}

impl Open {
    /// Whether `path` still leads to this file.
    pub(super) fn is_current(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|found| identity(&found) == self.identity)
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        if self.is_regular { self.file.sync_data() } else { Ok(()) }
    }

    /// Takes back what was written since the last sync.
    pub(super) fn cut(&self) -> io::Result<()> {
        if !self.is_regular {
            return Ok(());
        }
        // Never longer than it is: someone else may have cut it meanwhile.
        self.file.set_len(self.length.min(self.file.metadata()?.len()))
    }
}

/// Opens or makes the file, and cuts what a crash has torn: its events were never settled and come again.
/// After a power loss, that may be more than the last line.
pub(super) fn open(path: &Path) -> io::Result<Open> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        folder::make(parent, FOLDER_MODE)?;
    }
    let is_new = !path.exists();
    let mut options = File::options();
    options.create(true).append(true).mode(MODE);
    // A pipe must not be opened for reading as well: the writer would be its own reader.
    if is_new || fs::metadata(path)?.is_file() {
        options.read(true);
    }
    let mut file = options.open(path)?;
    let found = file.metadata()?;
    let is_regular = found.is_file();
    let mut length = found.len();
    if is_regular {
        length = before_hole(&mut file, length)?;
        length = whole_lines(&mut file, length)?;
        if length < found.len() {
            tracing::warn!(
                path = %path.display(),
                cut_bytes = found.len() - length,
                "cut a torn last line, or more; its events are delivered again"
            );
            file.set_len(length)?;
        }
        // What the last process did not get to sync: nothing is written behind it, nor is the file
        // rotated, while a power loss could still tear it.
        file.sync_data()?;
        // Each time: an earlier attempt may have made the file and failed here.
        folder::sync(parent.unwrap_or(Path::new(".")))?;
    }
    let born = found.created().or_else(|_| found.modified())?;
    Ok(Open { file, length, born, is_regular, identity: identity(&found) })
}

/// Length of the file up to the first zero byte in what may never have been synced. No line holds one:
/// a power loss leaves them where the file has grown and its bytes have not arrived, which need not be
/// at its end.
fn before_hole(file: &mut File, length: u64) -> io::Result<u64> {
    let mut start = length.saturating_sub(UNSYNCED);
    file.seek(SeekFrom::Start(start))?;
    let mut block = Vec::with_capacity(BLOCK as usize);
    while start < length {
        block.clear();
        file.take(BLOCK.min(length - start)).read_to_end(&mut block)?;
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

/// Length of the file up to and with its last line break.
fn whole_lines(file: &mut File, length: u64) -> io::Result<u64> {
    let mut end = length;
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        let mut block = Vec::with_capacity(BLOCK as usize);
        file.seek(SeekFrom::Start(start))?;
        file.take(end - start).read_to_end(&mut block)?;
        if let Some(found) = memchr::memrchr(b'\n', &block) {
            return Ok(start + found as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

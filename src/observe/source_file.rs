//! Times of the sources on disk, `spool.sources`, so that a restart does not reset them.
//!
//! The file is overwritten in place and never grows while the service runs, so a full disk does not prevent a
//! write: sources are blocked most often then. It is written when a source becomes blocked or is acknowledged
//! again, and every few minutes; never per batch. A killed process loses none of these writes.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use serde::{Deserialize, Serialize};

const NAME: &str = "spool.sources";

/// The file is padded to a multiple of this size, in bytes.
const BLOCK_BYTES: usize = 4096;

/// Upper bound of the file, in bytes; a larger one is not read.
const MAX_BYTES: u64 = 1024 * 1024;

/// Times of one source, in milliseconds since the epoch; 0 if there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SourceTimes {
    pub(super) source: String,
    pub(super) heard: i64,
    pub(super) acknowledged: i64,
    pub(super) blocked: i64,
}

/// Opens the file in `directory`, and reads the times of the last process.
///
/// # Errors
///
/// Any I/O error, and [`io::ErrorKind::InvalidData`] if the file exists and is not JSON of this form.
pub(super) fn open(directory: &Path) -> (io::Result<Vec<SourceTimes>>, Option<File>) {
    let mut options = File::options();
    let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
    match options.open(directory.join(NAME)) {
        Ok(file) => (read(&file), Some(file)),
        Err(error) => (Err(error), None),
    }
}

fn read(file: &File) -> io::Result<Vec<SourceTimes>> {
    let mut text = String::new();
    file.take(MAX_BYTES).read_to_string(&mut text)?;
    if text.is_empty() { Ok(Vec::new()) } else { Ok(serde_json::from_str(&text)?) }
}

/// Writes the times over the former ones.
///
/// # Errors
///
/// Any I/O error.
pub(super) fn write(file: &File, times: &[SourceTimes]) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(times)?;
    let known = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    // Spaces cover the rest of a longer version.
    bytes.resize(bytes.len().next_multiple_of(BLOCK_BYTES).max(known), b' ');
    file.write_all_at(&bytes, 0)
}

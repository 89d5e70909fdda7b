//! Reader of the audit log. Changes nothing, so it runs beside the service.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind};
use std::path::Path;

use super::{AuditRecord, CURRENT, PREVIOUS};

/// Records, and the number of lines that are none.
#[derive(Debug)]
pub(crate) struct AuditRead {
    /// Oldest first.
    pub(crate) records: Vec<AuditRecord>,
    pub(crate) malformed: u64,
}

/// Reads the records from `since` on, in ms since the Unix epoch. Without a file, there are none.
///
/// # Errors
///
/// A file cannot be read.
pub(crate) fn read(directory: &Path, since: i64) -> io::Result<AuditRead> {
    let mut read = AuditRead { records: Vec::new(), malformed: 0 };
    for name in [PREVIOUS, CURRENT] {
        let file = match File::open(directory.join(name)) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            opened => opened?,
        };
        for line in BufReader::new(file).split(b'\n') {
            match serde_json::from_slice::<AuditRecord>(&line?) {
                Ok(record) if record.time >= since => read.records.push(record),
                Ok(_) => {}
                Err(_) => read.malformed += 1,
            }
        }
    }
    Ok(read)
}

//! Reader of the audit log. Changes nothing, so it runs beside the service.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::{AuditRecord, CURRENT, PREVIOUS};
use crate::error_chain::io_message;

/// Reason why the log cannot be read.
#[derive(Debug, Error)]
pub(crate) enum AuditReadError {
    /// The directory of the spool does not exist.
    #[error("there is no directory {}. Check spool.directory, or start the service once", .0.display())]
    NoDirectory(PathBuf),
    /// A file cannot be read.
    #[error(
        "cannot read {}: {}. Run the command as the owner of the file or as root", path.display(), io_message(error)
    )]
    File { path: PathBuf, error: io::Error },
}

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
/// There is no directory, or a file cannot be read.
pub(crate) fn read(directory: &Path, since: i64) -> Result<AuditRead, AuditReadError> {
    if matches!(directory.metadata(), Err(error) if error.kind() == ErrorKind::NotFound) {
        return Err(AuditReadError::NoDirectory(directory.to_owned()));
    }
    let mut read = AuditRead { records: Vec::new(), malformed: 0 };
    for name in [PREVIOUS, CURRENT] {
        let path = directory.join(name);
        read.add(&path, since).map_err(|error| AuditReadError::File { path, error })?;
    }
    Ok(read)
}

impl AuditRead {
    fn add(&mut self, path: &Path, since: i64) -> io::Result<()> {
        let file = match File::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            opened => opened?,
        };
        for line in BufReader::new(file).split(b'\n') {
            match serde_json::from_slice::<AuditRecord>(&line?) {
                Ok(record) if record.time >= since => self.records.push(record),
                Ok(_) => {}
                Err(_) => self.malformed += 1,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_directory_or_the_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let missing = directory.path().join("nosuch");
        let error = read(&missing, 0).expect_err("no directory").to_string();
        assert_eq!(
            error,
            format!(
                "there is no directory {}. Check spool.directory, or start the service once",
                missing.display()
            )
        );
        std::fs::create_dir(directory.path().join(CURRENT)).expect("created");
        let error = read(directory.path(), 0).expect_err("no file").to_string();
        let file = directory.path().join(CURRENT);
        let expected = format!("cannot read {}: Is a directory. Run the", file.display());
        assert!(error.starts_with(&expected), "{error}");
    }
}

//! Writer of the audit log.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::IntCounter;
use thiserror::Error;

use super::{AuditRecord, CURRENT, PREVIOUS};
use crate::durable_dir;
use crate::error_chain::io_message;

/// Size from which the next record begins a new file, in bytes.
const MAX_FILE_BYTES: u64 = 8 * 1024 * 1024;

/// Database of the embedded spool. Its owner is the user of the service.
const SPOOL_FILE: &str = "spool.db";

/// Failure of the audit log.
#[derive(Debug, Error)]
pub(crate) enum AuditError {
    /// The record is not stored.
    #[error(
        "cannot write {}: {}. The user of the service has to own the file", path.display(), io_message(error)
    )]
    Write { path: PathBuf, error: io::Error },
    /// The record is stored in a file that has outgrown its limit.
    #[error("cannot rename {} to {PREVIOUS}: {}. The record is stored, and the file grows", path.display(), io_message(error))]
    Rotate { path: PathBuf, error: io::Error },
}

/// Appends records. The file is opened for each record, because operators act rarely.
#[derive(Debug)]
pub(crate) struct AuditLog {
    directory: PathBuf,
    /// Held while a record is written, so that lines do not mix.
    writing: Mutex<()>,
    max_bytes: u64,
    /// Counter of failures, in a service.
    failures: Option<IntCounter>,
}

impl AuditLog {
    /// Creates a log in the spool's directory. Opens nothing.
    pub(crate) fn new(directory: PathBuf) -> AuditLog {
        let (writing, max_bytes) = (Mutex::default(), MAX_FILE_BYTES);
        AuditLog { directory, writing, max_bytes, failures: None }
    }

    /// Counts failures.
    pub(crate) fn counting(self, failures: IntCounter) -> AuditLog {
        AuditLog { failures: Some(failures), ..self }
    }

    /// Writes a record to the file and to the log of the service. A failure is logged and counted: the action has
    /// happened.
    pub(crate) async fn note(self: &Arc<AuditLog>, record: AuditRecord) {
        let AuditRecord { actor, action, object, result, .. } = &record;
        let address = record.address.as_deref();
        tracing::info!(action, object, actor, address, result, "operator action");
        let log = Arc::clone(self);
        let writing = tokio::task::spawn_blocking(move || log.append(&record));
        if let Ok(Err(error)) = writing.await {
            self.failures.iter().for_each(IntCounter::inc);
            tracing::error!(%error, "audit log: this action is in the log of the service");
        }
    }

    /// Appends a record and syncs it. A file that cannot be renamed grows: no record is lost for that.
    ///
    /// # Errors
    ///
    /// The record cannot be stored, or the file cannot be renamed.
    pub(crate) fn append(&self, record: &AuditRecord) -> Result<(), AuditError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.directory.join(CURRENT);
        let rotated = self.rotate(&path);
        match self.write(&path, record) {
            Err(error) => Err(AuditError::Write { path, error }),
            Ok(()) => rotated.map_err(|error| AuditError::Rotate { path, error }),
        }
    }

    fn rotate(&self, path: &Path) -> io::Result<()> {
        match fs::metadata(path) {
            Ok(file) if file.len() >= self.max_bytes => {
                fs::rename(path, self.directory.join(PREVIOUS))
            }
            // A file that cannot be read is reported by the write.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    fn write(&self, path: &Path, record: &AuditRecord) -> io::Result<()> {
        let (mut file, size) = open(path)?;
        give_to_owner(&file, &self.directory)?;
        let mut line = Vec::new();
        if size > 0 && last_byte(&mut file)? != b'\n' {
            // The rest of a record whose write was interrupted stays a line of its own.
            line.push(b'\n');
        }
        line.extend(serde_json::to_vec(record)?);
        line.push(b'\n');
        file.write_all(&line)?;
        file.sync_data()?;
        if size == 0 { durable_dir::sync(&self.directory) } else { Ok(()) }
    }
}

/// Gives the file to the owner of the spool, if root runs a command: the service could not write it. SQLite does the
/// same with its files.
fn give_to_owner(file: &File, directory: &Path) -> io::Result<()> {
    let owner = fs::metadata(directory.join(SPOOL_FILE)).or_else(|_| fs::metadata(directory))?;
    if file.metadata()?.uid() == owner.uid() {
        return Ok(());
    }
    match fchown(file, Some(owner.uid()), Some(owner.gid())) {
        // Another user than root: the record is stored, and the owner is as it was.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(()),
        given => given,
    }
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    let mut options = OpenOptions::new();
    let file = options.read(true).append(true).create(true).mode(0o600).open(path)?;
    let size = file.metadata()?.len();
    Ok((file, size))
}

fn last_byte(file: &mut File) -> io::Result<u8> {
    let mut byte = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut byte)?;
    Ok(byte[0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{AuditRead, read};

    fn record(time: i64) -> AuditRecord {
        AuditRecord::new(time, "admin", "pause", "siem", "ok")
    }

    #[test]
    fn the_log_is_bounded_and_keeps_the_newest_records() {
        let directory = tempfile::tempdir().expect("a directory");
        let directory = directory.path();
        let log = AuditLog { max_bytes: 1000, ..AuditLog::new(directory.to_owned()) };
        for time in 0..100 {
            log.append(&record(time)).expect("stored");
        }
        let sizes =
            [CURRENT, PREVIOUS].map(|name| directory.join(name).metadata().expect("there").len());
        assert!(sizes.iter().all(|size| *size < 1200), "{sizes:?}");
        let AuditRead { records, malformed } = read(directory, i64::MIN).expect("read");
        let times: Vec<i64> = records.iter().map(|record| record.time).collect();
        assert_eq!(times.last(), Some(&99));
        assert!(times.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{times:?}");
        assert!(times.len() > 10 && malformed == 0, "{times:?}");
        let newest = read(directory, 98).expect("read").records;
        assert_eq!(newest, [record(98), record(99)]);
    }

    #[test]
    fn an_interrupted_record_does_not_affect_the_next() {
        let directory = tempfile::tempdir().expect("a directory");
        let directory = directory.path();
        assert!(read(directory, 0).expect("no file yet").records.is_empty());
        let log = AuditLog::new(directory.to_owned());
        log.append(&record(1)).expect("stored");
        let mut file = File::options().append(true).open(directory.join(CURRENT)).expect("there");
        file.write_all(b"{\"time\":").expect("written");
        log.append(&record(2)).expect("stored");
        let AuditRead { records, malformed } = read(directory, 0).expect("read");
        assert_eq!((records, malformed), (vec![record(1), record(2)], 1));
    }

    #[test]
    fn a_failing_rotation_loses_no_record() {
        let directory = tempfile::tempdir().expect("a directory");
        let directory = directory.path();
        let log = AuditLog { max_bytes: 1, ..AuditLog::new(directory.to_owned()) };
        fs::create_dir(directory.join(PREVIOUS)).expect("created");
        log.append(&record(1)).expect("no rotation yet");
        let error = log.append(&record(2)).expect_err("no rotation").to_string();
        assert!(error.contains("audit.ndjson to audit.1.ndjson: Is a directory"), "{error}");
        fs::remove_dir(directory.join(PREVIOUS)).expect("removed");
        let AuditRead { records, malformed } = read(directory, 0).expect("read");
        assert_eq!((records, malformed), (vec![record(1), record(2)], 0));
    }

    #[tokio::test]
    async fn a_failure_is_counted() {
        let directory = tempfile::tempdir().expect("a directory");
        fs::create_dir(directory.path().join(CURRENT)).expect("created");
        let failures = IntCounter::new("failures", "failures").expect("a counter");
        let log = AuditLog::new(directory.path().to_owned()).counting(failures.clone());
        Arc::new(log).note(record(1)).await;
        assert_eq!(failures.get(), 1);
    }

    #[test]
    fn root_leaves_the_files_to_the_owner_of_the_spool() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        const SERVICE: u32 = 65_534;
        let directory = tempfile::tempdir().expect("a directory");
        let directory = directory.path();
        std::os::unix::fs::chown(directory, Some(SERVICE), Some(SERVICE)).expect("changed");
        let log = AuditLog { max_bytes: 1, ..AuditLog::new(directory.to_owned()) };
        let owner = |name: &str| {
            let file = fs::metadata(directory.join(name)).expect("there");
            (file.uid(), file.gid(), file.mode() & 0o777)
        };
        for time in 0..2 {
            log.append(&record(time)).expect("stored");
        }
        assert_eq!([CURRENT, PREVIOUS].map(owner), [(SERVICE, SERVICE, 0o600); 2]);
        // The spool may be in a directory of root.
        fs::write(directory.join(SPOOL_FILE), "").expect("written");
        std::os::unix::fs::chown(directory.join(SPOOL_FILE), Some(1), Some(2)).expect("changed");
        log.append(&record(2)).expect("stored");
        assert_eq!(owner(CURRENT), (1, 2, 0o600));
    }
}

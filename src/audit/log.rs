//! Writer of the audit log.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::{AuditRecord, CURRENT, PREVIOUS};
use crate::durable_dir;

/// Size from which the next record begins a new file, in bytes.
const MAX_FILE_BYTES: u64 = 8 * 1024 * 1024;

/// Appends records. The file is opened for each record, because operators act rarely.
#[derive(Debug)]
pub(crate) struct AuditLog {
    directory: PathBuf,
    /// Held while a record is written, so that lines do not mix.
    writing: Mutex<()>,
    max_bytes: u64,
}

impl AuditLog {
    /// Creates a log in the spool's directory. Opens nothing.
    pub(crate) fn new(directory: PathBuf) -> AuditLog {
        AuditLog { directory, writing: Mutex::default(), max_bytes: MAX_FILE_BYTES }
    }

    /// Writes a record to the file and to the log of the service. A record that cannot be stored is logged as such: the
    /// action has happened.
    pub(crate) async fn note(self: &Arc<AuditLog>, record: AuditRecord) {
        let AuditRecord { actor, action, object, result, .. } = &record;
        let address = record.address.as_deref();
        tracing::info!(action, object, actor, address, result, "operator action");
        let log = Arc::clone(self);
        let writing = tokio::task::spawn_blocking(move || log.append(&record));
        if let Ok(Err(error)) = writing.await {
            tracing::error!(file = CURRENT, %error, "cannot write the audit log; the action is in this log only");
        }
    }

    /// Appends a record and syncs it.
    ///
    /// # Errors
    ///
    /// The record cannot be stored.
    pub(crate) fn append(&self, record: &AuditRecord) -> io::Result<()> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.directory.join(CURRENT);
        let (mut file, mut size) = open(&path)?;
        if size >= self.max_bytes {
            fs::rename(&path, self.directory.join(PREVIOUS))?;
            (file, size) = open(&path)?;
        }
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
}

//! Obstacles to writing the write-ahead log back: a reader, or a disk that fails.
//!
//! Each reader holds a lock on a byte of `spool.db-shm`. `/proc/locks` names the process.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::spool::embedded::store::schema;

/// Bytes of `spool.db-shm` on which readers have their locks.
const READ_LOCKS: std::ops::RangeInclusive<u64> = 123..=127;

/// Obstacle to writing the log back.
#[derive(Debug)]
pub(crate) enum Obstacle {
    /// A reader that needs an old state of the database.
    EmbeddedReader,
    /// A failure of the disk.
    Error(rusqlite::Error),
}

impl Obstacle {
    /// Describes the obstacle to an operator, and the remedy. `log` is the size of the log in bytes.
    pub(crate) fn reason(&self, directory: &Path, log: u64) -> String {
        let grown = format!("spool.db-wal has grown to {log} bytes, because");
        match self {
            Obstacle::Error(error) => format!(
                "{grown} it could not be written back ({error}). Batches are answered with 503 until it is; check \
                 the disk"
            ),
            Obstacle::EmbeddedReader => format!(
                "{grown} {} keeps an old state of it open: an sqlite3 shell, a backup, davinci-siem spool verify. \
                 Batches are answered with 503 until it has ended; end it",
                reader_name(directory)
            ),
        }
    }
}

/// Names the processes that hold a reader's lock, where the system tells them.
fn reader_name(directory: &Path) -> String {
    let shared = fs::metadata(schema::shared_memory(directory));
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    let readers = shared.map(|file| readers(&locks, file.ino(), std::process::id()));
    match readers.unwrap_or_default().as_slice() {
        [] => "a process that reads the spool".to_owned(),
        [one] => format!("process {one}, which reads the spool,"),
        many => {
            let many: Vec<String> = many.iter().map(u32::to_string).collect();
            format!("one of the processes {}, which read the spool,", many.join(", "))
        }
    }
}

/// Processes but `own` that hold a reader's lock on the file `inode`, by `/proc/locks`.
fn readers(locks: &str, inode: u64, own: u32) -> Vec<u32> {
    let mut readers: Vec<u32> = locks.lines().filter_map(|line| reader(line, inode)).collect();
    readers.retain(|process| *process != own && *process != 0);
    readers.sort_unstable();
    readers.dedup();
    readers
}

/// `7: POSIX  ADVISORY  READ 4711 fe:01:131134 123 123`
fn reader(line: &str, inode: u64) -> Option<u32> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [_, "POSIX", _, "READ", process, file, first, _] = fields.as_slice() else { return None };
    let (_, number) = file.rsplit_once(':')?;
    let is_reader = READ_LOCKS.contains(&first.parse().ok()?);
    (is_reader && number.parse() == Ok(inode)).then(|| process.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_are_told_from_other_locks() {
        let locks = "1: POSIX  ADVISORY  READ 17 fe:01:42 123 123\n\
                     2: POSIX  ADVISORY  READ 18 fe:01:42 124 124\n\
                     2: POSIX  ADVISORY  READ 18 fe:01:42 125 125\n\
                     3: POSIX  ADVISORY  READ 19 fe:01:42 128 128\n\
                     4: POSIX  ADVISORY  WRITE 20 fe:01:42 123 123\n\
                     5: POSIX  ADVISORY  READ 21 fe:01:43 123 123\n\
                     6: FLOCK  ADVISORY  WRITE 22 fe:01:42 0 EOF\n\
                     6: -> POSIX  ADVISORY  READ 23 fe:01:42 123 123\n";
        assert_eq!(readers(locks, 42, 17), [18]);
        assert_eq!(readers("", 42, 17), [0; 0]);
    }
}

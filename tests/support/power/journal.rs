//! The journal of `power_loss.c`: each change with the state before it, and each sync.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

/// One record.
pub struct Record {
    /// Position of the record in the journal.
    position: u64,
    /// Inode of the changed file, or of the directory with the changed names.
    pub file: u64,
    pub change: Change,
}

pub enum Change {
    /// Write of `count` bytes at `at`, where `old` was, in a file of `length`.
    Written { at: u64, count: u64, length: u64, old: Vec<u8> },
    /// Change of the length from `length` to `at`; `old` was cut off.
    Resized { at: u64, length: u64, old: Vec<u8> },
    /// Names that changed together, with the inode that each had before: 0 for none.
    Named { names: Vec<(OsString, u64)> },
    /// Everything before this position of the journal is durable.
    Synced { at: u64 },
}

const HEAD: usize = 6 * 8;

/// Returns all whole records. The last record may be torn: its change was never made.
pub fn read(path: &Path) -> Vec<Record> {
    let bytes = std::fs::read(path).unwrap_or_default();
    let mut records = Vec::new();
    let mut rest = bytes.as_slice();
    while let Some((record, length)) = parse(rest, (bytes.len() - rest.len()) as u64) {
        records.push(record);
        rest = &rest[length..];
    }
    records
}

/// Removes a torn record at the end of the journal, so that the next process can append.
pub fn cut_torn_record(path: &Path) {
    let bytes = std::fs::read(path).unwrap_or_default();
    let mut whole = 0;
    while let Some((_, length)) = parse(&bytes[whole..], 0) {
        whole += length;
    }
    std::fs::write(path, &bytes[..whole]).expect("written");
}

/// Returns the changes that no sync has made durable, in order.
pub fn unsynced(records: Vec<Record>) -> Vec<Record> {
    let mut durable: HashMap<u64, u64> = HashMap::new();
    for record in &records {
        if let Change::Synced { at } = record.change {
            let known = durable.entry(record.file).or_default();
            *known = at.max(*known);
        }
    }
    let is_unsynced = |record: &Record| {
        !matches!(record.change, Change::Synced { .. })
            && durable.get(&record.file).is_none_or(|durable| record.position >= *durable)
    };
    records.into_iter().filter(is_unsynced).collect()
}

fn parse(bytes: &[u8], position: u64) -> Option<(Record, usize)> {
    let numbers = bytes.get(..HEAD)?.as_chunks().0;
    let [kind, file, at, length, count, payload] =
        *numbers.iter().map(|number| u64::from_ne_bytes(*number)).collect::<Vec<_>>()
    else {
        return None;
    };
    let whole = HEAD + payload as usize;
    let old = bytes.get(HEAD..whole)?.to_vec();
    let change = match kind {
        1 => Change::Written { at, count, length, old },
        2 => Change::Resized { at, length, old },
        3 => Change::Synced { at },
        4 => {
            let (first, second) = old.split_at(count as usize);
            let name = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
            let mut names = vec![(name(first), at)];
            names.extend((!second.is_empty()).then(|| (name(second), length)));
            Change::Named { names }
        }
        kind => panic!("no record has kind {kind}"),
    };
    Some((Record { position, file, change }, whole))
}

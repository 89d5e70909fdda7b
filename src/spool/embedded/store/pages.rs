//! Pages and records of a damaged database, read without SQLite.
//!
//! SQLite finds a row by descending from page 1; one corrupt page on the way hides everything below it. Here every
//! page is read on its own: a leaf lists its records, and a record follows its chain of overflow pages. Only a
//! record's checksum proves that it is intact.

use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rusqlite::types::Value;

use super::schema::{self, PAGE_SIZE};
use super::wal::{self, Wal};

const SIZE: usize = PAGE_SIZE as usize;
/// Size of the database header, before the header of page 1.
const FILE_HEADER: usize = 100;
const OVERFLOW: u8 = 0;
const INDEX_INNER: u8 = 2;
const INDEX_LEAF: u8 = 10;
const TABLE_LEAF: u8 = 13;

/// Database file overlaid with its log.
#[derive(Debug)]
pub(crate) struct Pages {
    file: Option<File>,
    log: Option<File>,
    wal: Wal,
    count: u32,
}

/// Record of a leaf.
#[derive(Debug)]
pub(crate) struct PageRecord {
    /// Row id; `None` for a table without row ids.
    pub(crate) rowid: Option<i64>,
    pub(crate) values: Vec<Value>,
    /// True without signs of corruption or deletion; otherwise only its own checksum counts.
    pub(crate) is_current: bool,
}

impl Pages {
    /// Opens the existing files of a spool.
    pub(crate) fn open(directory: &Path) -> Pages {
        let (database, log) = (schema::database(directory), schema::log(directory));
        let wal = wal::read(&log);
        let file = File::open(&database).ok().filter(|file| length(file).is_some());
        let in_file = file.as_ref().and_then(length).unwrap_or(0).div_ceil(PAGE_SIZE);
        let in_log = wal.sound.keys().max().copied().unwrap_or(0);
        let known = in_file.max(in_log.into());
        // A page number with a flipped bit must not cause hours of reading.
        let likely = known + wal.broken.len() as u64;
        let broken = wal.broken.keys().map(|number| u64::from(*number));
        let count = broken.filter(|number| *number <= likely).fold(known, u64::max);
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        Pages { file, log: File::open(log).ok(), wal, count }
    }

    /// Calls `found` with every record of every leaf.
    pub(crate) fn each(&self, mut found: impl FnMut(PageRecord)) {
        let free = self.free_list();
        for number in 1..=self.count {
            if let Some(page) = self.page(number) {
                self.records(number, &page, !free.contains(&number), &mut found);
            }
            if let Some(page) = self.broken_page(number) {
                self.records(number, &page, false, &mut found);
            }
        }
    }

    fn page(&self, number: u32) -> Option<Vec<u8>> {
        match self.wal.sound.get(&number) {
            Some(at) => read(self.log.as_ref()?, *at),
            None => read(self.file.as_ref()?, u64::from(number.checked_sub(1)?) * PAGE_SIZE),
        }
    }

    fn broken_page(&self, number: u32) -> Option<Vec<u8>> {
        read(self.log.as_ref()?, *self.wal.broken.get(&number)?)
    }

    /// Returns the free pages, which hold deleted rows.
    fn free_list(&self) -> HashSet<u32> {
        let mut free = HashSet::new();
        let first = self.page(1).map_or(0, |page| word(&page, 32).unwrap_or(0));
        let mut next = first;
        while next != 0
            && next <= self.count
            && free.insert(next)
            && let Some(page) = self.page(next)
        {
            let count = word(&page, 4).unwrap_or(0).min(PAGE_SIZE as u32 / 4 - 2) as usize;
            free.extend((0..count).filter_map(|index| word(&page, 8 + 4 * index)));
            next = word(&page, 0).unwrap_or(0);
        }
        free
    }

    fn records(
        &self,
        number: u32,
        page: &[u8],
        is_current: bool,
        found: &mut impl FnMut(PageRecord),
    ) {
        let start = if number == 1 { FILE_HEADER } else { 0 };
        let (is_table, is_leaf) = match page[start] {
            TABLE_LEAF => (true, true),
            INDEX_LEAF => (false, true),
            OVERFLOW | INDEX_INNER => return,
            // An inner page, or a leaf with a flipped bit: the records' checksums decide.
            _ => (true, false),
        };
        let count = usize::from(u16::from_be_bytes([page[start + 3], page[start + 4]]));
        for pointer in page[start + 8..].as_chunks::<2>().0.iter().take(count) {
            let at = usize::from(u16::from_be_bytes(*pointer));
            for of_broken in [false, true] {
                if of_broken && self.wal.broken.is_empty() {
                    break;
                }
                if let Some((rowid, values)) = self.record(page, at, is_table, of_broken) {
                    let is_current = is_current && is_leaf && !of_broken;
                    found(PageRecord { rowid, values, is_current });
                }
            }
        }
    }

    /// Reads the record at an offset of a page. With `of_broken`, prefers overflow pages of corrupt frames.
    fn record(
        &self,
        page: &[u8],
        at: usize,
        is_table: bool,
        of_broken: bool,
    ) -> Option<(Option<i64>, Vec<Value>)> {
        let mut cell = page.get(at..)?;
        let size = usize::try_from(varint(&mut cell)?).ok()?;
        let rowid = if is_table { Some(varint(&mut cell)?) } else { None };
        let most = if is_table { SIZE - 35 } else { (SIZE - 12) * 64 / 255 - 23 };
        if size <= most {
            return Some((rowid, values(cell.get(..size)?)?));
        }
        if size / SIZE > self.count as usize {
            return None;
        }
        let least = (SIZE - 12) * 32 / 255 - 23;
        let fitting = least + (size - least) % (SIZE - 4);
        let local = if fitting <= most { fitting } else { least };
        let mut payload = cell.get(..local)?.to_vec();
        let mut next = word(cell, local)?;
        while payload.len() < size {
            let broken = if of_broken { self.broken_page(next) } else { None };
            let page = broken.or_else(|| self.page(next))?;
            payload.extend_from_slice(&page[4..SIZE.min(4 + size - payload.len())]);
            next = word(&page, 0)?;
        }
        Some((rowid, values(&payload)?))
    }
}

fn length(file: &File) -> Option<u64> {
    file.metadata().ok().filter(std::fs::Metadata::is_file).map(|metadata| metadata.len())
}

/// Reads a page; a missing rest is zero.
fn read(file: &File, at: u64) -> Option<Vec<u8>> {
    let mut page = vec![0; SIZE];
    let mut filled = 0;
    while filled < SIZE {
        match file.read_at(&mut page[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            // Unreadable bytes are zero and yield no record.
            Err(_) => break,
        }
    }
    (filled > 0).then_some(page)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Reads SQLite's variable-length integer of one to nine bytes.
fn varint(bytes: &mut &[u8]) -> Option<i64> {
    let mut value = 0_i64;
    for index in 0..9 {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        if index == 8 {
            return Some(value << 8 | i64::from(*byte));
        }
        value = value << 7 | i64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Parses the values of a record: a header of types, then the contents.
fn values(payload: &[u8]) -> Option<Vec<Value>> {
    let mut header = payload;
    let size = usize::try_from(varint(&mut header)?).ok()?;
    let mut header = payload.get(payload.len() - header.len()..size)?;
    let mut body = payload.get(size..)?;
    let mut values = Vec::new();
    while !header.is_empty() {
        let kind = varint(&mut header)?;
        let length = match kind {
            0 | 8 | 9 => 0,
            1..=4 => kind as usize,
            5 => 6,
            6 | 7 => 8,
            12.. => usize::try_from((kind - 12) / 2).ok()?,
            _ => return None,
        };
        let (bytes, rest) = body.split_at_checked(length)?;
        body = rest;
        values.push(match kind {
            0 => Value::Null,
            8 | 9 => Value::Integer(kind - 8),
            1..=6 => {
                let sign = if bytes[0] & 0x80 == 0 { 0 } else { -1 };
                Value::Integer(bytes.iter().fold(sign, |value, byte| value << 8 | i64::from(*byte)))
            }
            7 => Value::Real(f64::from_be_bytes(bytes.try_into().ok()?)),
            _ if kind % 2 == 0 => Value::Blob(bytes.to_vec()),
            _ => Value::Text(String::from_utf8(bytes.to_vec()).ok()?),
        });
    }
    Some(values)
}

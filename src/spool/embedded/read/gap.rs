//! Gaps: positions between two sound chunks that a reader could not read.
//!
//! Before events count as lost, the file is searched page by page for chunks of the gap: sound pages can lie
//! below a corrupt one, and a search in a corrupt tree can fail without an error.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use super::reader::take;
use crate::spool::embedded::recover::salvage;
use crate::spool::embedded::store::row::ChunkRow;
use crate::spool::{Damage, Read};

/// Maximum size of stored chunks returned by one search, in bytes.
const SEARCHED: usize = 8 * 1024 * 1024;

const BROKEN: &str = "the chunk does not match its checksum";

/// Range of positions that could not be read.
#[derive(Debug)]
pub(crate) struct Gap {
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// Rows of the gap that do not match their checksums.
    pub(crate) broken: Vec<ChunkRow>,
    /// Reason why the gap cannot be read, if known.
    pub(crate) detail: Option<String>,
}

/// Returns the last position of the gap after `after`; `head` if nothing follows. Step sizes grow, so that few
/// reads suffice for a large corrupt range.
pub(crate) fn end(connection: &Connection, after: u64, head: u64) -> u64 {
    let sql =
        format!("SELECT {} FROM chunks WHERE last > ? ORDER BY last LIMIT 1", ChunkRow::COLUMNS);
    let look = |place: u64| {
        connection.prepare_cached(&sql)?.query_row([place], ChunkRow::from_row).optional()
    };
    let mut step = 1;
    while after + step < head {
        match look(after + step) {
            Ok(Some(row)) if row.is_sound() && row.first() > after + 1 => return row.first() - 1,
            Ok(None) => break,
            _ => step *= 2,
        }
    }
    head
}

/// Reads a gap: returns each of its positions once, in order, as an event or as damage.
pub(crate) fn fill(directory: &Path, gap: Gap, max_bytes: usize) -> Vec<Read> {
    let Gap { first, last, broken, detail } = gap;
    if is_filled(first, last, &broken) {
        // Each row is in its position: no search is needed.
        return broken.into_iter().map(|row| Read::Damaged(damaged(row, first))).collect();
    }
    let mut rows = salvage::chunks(directory, first..=last, SEARCHED);
    if rows.chunks.is_empty() {
        // A page may have been checkpointed during the read.
        rows = salvage::chunks(directory, first..=last, SEARCHED);
    }
    let (mut found, mut expected, mut size) = (Vec::new(), first, 0);
    // A misplaced row is kept with the damage it may belong to.
    let (mut broken, mut strays): (Vec<_>, Vec<_>) =
        broken.into_iter().partition(|row| (first..=last).contains(&row.last));
    let mut missing = |first: u64, last: u64| {
        let stray = strays.pop();
        let missing = || format!("positions {first} to {last} are missing from the spool");
        let known = detail.clone().or_else(|| stray.as_ref().map(|_| BROKEN.to_owned()));
        let (detail, bytes) = (known.unwrap_or_else(missing), stray.map(|row| row.body.into()));
        let bytes = bytes.unwrap_or_default();
        Read::Damaged(Damage { first, last, source: String::new(), detail, bytes })
    };
    let mut report = |first: u64, last: u64, found: &mut Vec<Read>| {
        let mut at = first;
        for row in broken.extract_if(.., |row| (first..=last).contains(&row.last)) {
            if row.last < at {
                continue;
            }
            if row.first() > at {
                found.push(missing(at, row.first() - 1));
            }
            let next = row.last + 1;
            found.push(Read::Damaged(damaged(row, at)));
            at = next;
        }
        if at <= last {
            found.push(missing(at, last));
        }
    };
    for row in rows.chunks {
        let Ok(events) = row.events() else { continue };
        if row.last < expected {
            continue;
        }
        if row.first() > expected {
            report(expected, row.first() - 1, &mut found);
        }
        let next = row.last + 1;
        size += take(row, events, expected, &mut found);
        expected = next;
        if size >= max_bytes {
            return found;
        }
    }
    if expected <= last && !rows.has_more {
        report(expected, last, &mut found);
    }
    found
}

/// Returns true if corrupt rows cover a gap from end to end. The first of them may begin
/// before it, where a reader begins in the middle of a chunk.
fn is_filled(first: u64, last: u64, broken: &[ChunkRow]) -> bool {
    let mut at = first;
    broken.iter().all(|row| {
        let is_next = row.last >= at && (row.first() == at || at == first && row.first() < at);
        at = row.last.saturating_add(1);
        is_next
    }) && at == last + 1
}

/// Returns true if the chunk continues at `expected`.
fn damaged(row: ChunkRow, expected: u64) -> Damage {
    Damage {
        first: expected.max(row.first()),
        last: row.last,
        detail: row.events().err().unwrap_or(BROKEN).to_owned(),
        source: row.source,
        bytes: row.body.into(),
    }
}

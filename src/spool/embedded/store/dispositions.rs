//! Rows of the table `dispositions`: for each commit of a cursor, the dispositions of the events that it passes.
//!
//! Rows are appended in the order of commits, so that all sinks of a group share the last page, and are removed from
//! the front. The rows of one sink therefore cover consecutive positions up to its cursor, whatever was removed.

use std::collections::BTreeMap;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;

use super::schema;
use crate::spool::{Millis, RecordedDisposition, Runs, SinkStats};

/// Rows removed per commit, at most, beside those that a spool without room gives up.
const MAX_REMOVED_ROWS: usize = 1024;

/// Rows per query: a long one would keep a running service from reusing its write-ahead log.
const PAGE_ROWS: usize = 1024;

const SELECT: &str = "SELECT number, sink, first, last, at, runs, checksum FROM dispositions
                      WHERE number > ? ORDER BY number LIMIT ?";

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DispositionRow {
    pub(crate) sink: String,
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// Time of the commit.
    pub(crate) at: Millis,
    runs: Vec<u8>,
    checksum: i64,
}

impl DispositionRow {
    /// Returns the row of a commit.
    pub(crate) fn new(sink: &str, positions: (u64, u64), at: Millis, runs: Runs) -> DispositionRow {
        let (first, last) = positions;
        let runs = runs.covering(last - first + 1).encode();
        let mut row = DispositionRow { sink: sink.to_owned(), first, last, at, runs, checksum: 0 };
        row.checksum = row.expected_checksum();
        row
    }

    /// Builds a row from the values of all columns; `None` if it is not a row of the table, or corrupt.
    pub(crate) fn of_values(values: &[Value]) -> Option<DispositionRow> {
        use Value::{Blob, Integer, Null, Text};
        let [
            Null,
            Text(sink),
            Integer(first),
            Integer(last),
            Integer(at),
            Blob(runs),
            Integer(checksum),
        ] = values
        else {
            return None;
        };
        let (first, last) = (u64::try_from(*first).ok()?, u64::try_from(*last).ok()?);
        let (sink, runs, checksum) = (sink.clone(), runs.clone(), *checksum);
        Some(DispositionRow { sink, first, last, at: *at, runs, checksum })
            .filter(|row| row.runs().is_some())
    }

    fn from_row(row: &Row<'_>) -> rusqlite::Result<DispositionRow> {
        Ok(DispositionRow {
            sink: row.get(1)?,
            first: row.get(2)?,
            last: row.get(3)?,
            at: row.get(4)?,
            runs: row.get(5)?,
            checksum: row.get(6)?,
        })
    }

    /// Appends the row, or stores it with the number that it had.
    pub(crate) fn insert(
        &self,
        connection: &Connection,
        number: Option<i64>,
    ) -> rusqlite::Result<()> {
        let DispositionRow { sink, first, last, at, runs, checksum } = self;
        connection
            .prepare_cached(
                "INSERT OR IGNORE INTO dispositions (number, sink, first, last, at, runs, checksum)
                 VALUES (?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![number, sink, first, last, at, runs, checksum])
            .map(drop)
    }

    /// Returns the runs; `None` if the row is corrupt.
    pub(crate) fn runs(&self) -> Option<Runs> {
        let runs =
            Runs::decode(&self.runs).filter(|_| self.checksum == self.expected_checksum())?;
        let count = self.last.checked_sub(self.first)?.checked_add(1)?;
        Some(runs).filter(|runs| runs.events() == count)
    }

    fn expected_checksum(&self) -> i64 {
        let numbers = [self.first, self.last, self.at as u64].map(u64::to_le_bytes).concat();
        i64::from(crc32fast::hash(&[&numbers[..], self.sink.as_bytes(), &[0], &self.runs].concat()))
    }
}

/// Returns true if the spool has the table.
pub(crate) fn exist(connection: &Connection) -> rusqlite::Result<bool> {
    connection
        .query_row("SELECT 1 FROM sqlite_schema WHERE name = 'dispositions'", [], |_| Ok(()))
        .optional()
        .map(|found| found.is_some())
}

/// Removes rows from the front: those up to the position `trimmed`, and `extra` others. Returns true if there may be
/// more.
pub(crate) fn trim(connection: &Connection, trimmed: u64, extra: usize) -> rusqlite::Result<bool> {
    let mut oldest = connection
        .prepare_cached("SELECT number, last FROM dispositions ORDER BY number LIMIT ?")?;
    let mut rows = oldest.query([MAX_REMOVED_ROWS + extra])?;
    let (mut removable, mut count) = (None, 0);
    while let Some(row) = rows.next()? {
        if count >= extra && row.get::<_, u64>(1)? > trimmed {
            break;
        }
        removable = Some(row.get::<_, i64>(0)?);
        count += 1;
    }
    drop(rows);
    if let Some(number) = removable {
        connection
            .prepare_cached("DELETE FROM dispositions WHERE number <= ?")?
            .execute([number])?;
    }
    Ok(count >= MAX_REMOVED_ROWS)
}

/// Removes the rows of each sink that do not lead up to its cursor without a gap: after a repair, some are lost.
pub(crate) fn keep_contiguous(connection: &Connection) -> rusqlite::Result<()> {
    let sql = "SELECT number, first, last FROM dispositions WHERE sink = ? ORDER BY last DESC";
    let mut rows = connection.prepare(sql)?;
    let mut cursors = connection.prepare("SELECT sink, position FROM cursors")?;
    let cursors = cursors.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let cursors = cursors.collect::<rusqlite::Result<Vec<(String, u64)>>>()?;
    let mut kept = Vec::new();
    for (sink, mut reached) in cursors {
        let mut rows = rows.query([sink])?;
        while let Some(row) = rows.next()? {
            let (number, first, last): (i64, u64, u64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            if last == reached {
                kept.push(number);
                reached = first.saturating_sub(1);
            }
        }
    }
    connection.execute_batch("CREATE TEMP TABLE kept (number INTEGER PRIMARY KEY)")?;
    let mut keep = connection.prepare("INSERT INTO kept VALUES (?)")?;
    kept.iter().try_for_each(|number| keep.execute([number]).map(drop))?;
    drop(keep);
    connection.execute_batch(
        "DELETE FROM dispositions WHERE number NOT IN (SELECT number FROM kept); DROP TABLE kept;",
    )
}

/// Calls `visit` with each row, in order.
pub(crate) fn each(
    connection: &Connection,
    mut visit: impl FnMut(DispositionRow),
) -> rusqlite::Result<()> {
    let mut after = 0;
    loop {
        let rows = schema::retry_recovery(|| {
            let mut statement = connection.prepare_cached(SELECT)?;
            let rows = statement.query_map(params![after, PAGE_ROWS], |row| {
                Ok((row.get::<_, i64>(0)?, DispositionRow::from_row(row)?))
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        })?;
        let Some((last, _)) = rows.last() else { return Ok(()) };
        after = *last;
        rows.into_iter().for_each(|(_, row)| visit(row));
    }
}

/// Returns the recorded dispositions of the events at `positions`.
pub(crate) fn find(
    connection: &Connection,
    positions: &[u64],
) -> rusqlite::Result<Vec<RecordedDisposition>> {
    let mut found = Vec::new();
    each(connection, |row| {
        let is_covered = |position: &u64| (row.first..=row.last).contains(position);
        // Most rows concern none of the positions, and are not decoded.
        if !positions.iter().any(is_covered) {
            return;
        }
        let Some(runs) = row.runs() else { return };
        for position in positions.iter().copied().filter(is_covered) {
            if let Some(run) = runs.at(position - row.first) {
                let sink = row.sink.clone();
                found.push(RecordedDisposition { position, sink, at: row.at, run: run.clone() });
            }
        }
    })?;
    Ok(found)
}

/// Positions of a sink that the record covers, and their number by disposition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// Name of the sink.
    pub sink: String,
    /// First position.
    pub first: u64,
    /// Last position: the sink's cursor.
    pub last: u64,
    /// Number of events by disposition.
    pub dispositions: BTreeMap<&'static str, u64>,
    /// Number of events whose disposition was not recorded.
    pub unrecorded: u64,
}

/// Checks checksums and contiguity of the rows, and that they end at the cursors. Returns the coverage of each sink and
/// the problems found. `state` reads the last trimmed position and the cursors: a running service may move them while
/// the rows are read.
pub(crate) fn check(
    connection: &Connection,
    state: impl Fn() -> rusqlite::Result<(u64, Vec<SinkStats>)>,
) -> rusqlite::Result<(Vec<Coverage>, Vec<String>)> {
    let (mut covered, mut problems) = (BTreeMap::<String, Coverage>::new(), Vec::new());
    let mut gaps = Vec::new();
    let (_, before) = state()?;
    each(connection, |row| {
        let DispositionRow { sink, first, last, .. } = &row;
        let Some(runs) = row.runs() else {
            problems.push(format!(
                "the record of sink {sink} for events {first} to {last} does not match its checksum"
            ));
            return;
        };
        let new = Coverage { sink: sink.clone(), first: *first, ..Coverage::default() };
        let known = covered.entry(sink.clone()).or_insert_with(|| new.clone());
        if known.last > 0 && *first != known.last + 1 {
            gaps.push((sink.clone(), known.last, *first));
            *known = new;
        }
        known.last = *last;
        for run in runs.iter() {
            match run.disposition {
                Some(disposition) => {
                    *known.dispositions.entry(disposition.as_str()).or_default() += run.count;
                }
                None => known.unrecorded += run.count,
            }
        }
    })?;
    let (trimmed, after) = state()?;
    // Rows of removed events may be gone or not.
    for (sink, last, first) in gaps.into_iter().filter(|(_, _, first)| *first > trimmed + 1) {
        problems
            .push(format!("the record of sink {sink} has a gap between events {last} and {first}"));
    }
    covered.retain(|_, known| known.last > trimmed);
    for (sink, known) in &covered {
        let cursor = |sinks: &[SinkStats]| {
            sinks.iter().find(|known| known.sink == *sink).map_or(0, |known| known.cursor)
        };
        if known.last < cursor(&before) || known.last > cursor(&after) {
            let (last, cursor) = (known.last, cursor(&after));
            problems.push(format!(
                "the record of sink {sink} ends at event {last}, and its cursor is {cursor}"
            ));
        }
    }
    Ok((covered.into_values().collect(), problems))
}

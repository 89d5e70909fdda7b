//! Rows of the table `plans`: the planned range of each sink that writes objects.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::spool::PlannedRange;

/// First layout with the table.
pub(crate) const SINCE_LAYOUT: i64 = 4;

/// Stores the planned range of a sink.
pub(crate) fn write(
    connection: &Connection,
    sink: &str,
    range: PlannedRange,
) -> rusqlite::Result<()> {
    let PlannedRange { after, last, id, settings } = range;
    let sum = checksum(sink, range);
    connection
        .prepare_cached("INSERT OR REPLACE INTO plans VALUES (?, ?, ?, ?, ?, ?)")?
        .execute(params![sink, after, last, id, settings, sum])
        .map(drop)
}

/// Reads the planned range of a sink. A corrupt row counts as none: its events are written again.
pub(crate) fn read(connection: &Connection, sink: &str) -> rusqlite::Result<Option<PlannedRange>> {
    let sql = format!("{SELECT} WHERE sink = ?");
    let row = connection.prepare_cached(&sql)?.query_row([sink], stored).optional()?;
    let Some((_, range, sum)) = row else { return Ok(None) };
    if sum == i64::from(checksum(sink, range)) {
        return Ok(Some(range));
    }
    tracing::error!(
        sink,
        "the planned range of the sink is corrupt; the target may receive events twice"
    );
    Ok(None)
}

/// Returns the sinks whose rows do not match their checksums.
pub(crate) fn corrupt(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(SELECT)?;
    let mut corrupt = Vec::new();
    for row in statement.query_map([], stored)? {
        let (sink, range, sum) = row?;
        if sum != i64::from(checksum(&sink, range)) {
            corrupt.push(sink);
        }
    }
    Ok(corrupt)
}

const SELECT: &str = "SELECT sink, after, last, id, settings, checksum FROM plans";

/// Reads a row of [`SELECT`]: the sink, its range, and the checksum.
fn stored(row: &Row<'_>) -> rusqlite::Result<(String, PlannedRange, i64)> {
    let range = PlannedRange {
        after: row.get(1)?,
        last: row.get(2)?,
        id: row.get(3)?,
        settings: row.get(4)?,
    };
    Ok((row.get(0)?, range, row.get(5)?))
}

/// Computes the checksum of a row.
pub(crate) fn checksum(sink: &str, range: PlannedRange) -> u32 {
    let PlannedRange { after, last, id, settings } = range;
    let numbers = [after, last, id, settings].map(u64::to_le_bytes).concat();
    crc32fast::hash(&[&numbers[..], sink.as_bytes()].concat())
}

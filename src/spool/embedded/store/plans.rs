//! Rows of the table `plans`: the planned range of each sink that writes objects.

use rusqlite::{Connection, OptionalExtension, params};

use crate::spool::PlannedRange;

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
    let sql = "SELECT after, last, id, settings, checksum FROM plans WHERE sink = ?";
    let row = connection
        .prepare_cached(sql)?
        .query_row([sink], |row| {
            let range = PlannedRange {
                after: row.get(0)?,
                last: row.get(1)?,
                id: row.get(2)?,
                settings: row.get(3)?,
            };
            Ok((range, row.get::<_, i64>(4)?))
        })
        .optional()?;
    let Some((range, sum)) = row else { return Ok(None) };
    if sum == i64::from(checksum(sink, range)) {
        return Ok(Some(range));
    }
    tracing::error!(
        sink,
        "the planned range of the sink is corrupt; the target may receive events twice"
    );
    Ok(None)
}

/// Computes the checksum of a row.
pub(crate) fn checksum(sink: &str, range: PlannedRange) -> u32 {
    let PlannedRange { after, last, id, settings } = range;
    let numbers = [after, last, id, settings].map(u64::to_le_bytes).concat();
    crc32fast::hash(&[&numbers[..], sink.as_bytes()].concat())
}

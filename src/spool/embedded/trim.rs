//! Removes chunks that every sink has passed and whose retention is over, oldest first.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Transaction, params};

use crate::spool::Millis;

/// Chunks removed per commit: unbounded removal of a backlog would stall the callers that wait.
const MAX_CHUNKS: u32 = 64;

/// Removes some of what is no longer needed; returns the last position removed, if any was, and whether
/// there may be more. `keep` is the time that events stay after everyone has passed them.
pub(super) fn trim(
    tx: &Transaction<'_>,
    sinks: &[Arc<str>],
    now: Millis,
    keep: Duration,
) -> rusqlite::Result<(Option<u64>, bool)> {
    let keep = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
    let Some(passed) = passed_by_all(tx, sinks)? else { return Ok((None, false)) };
    let mut oldest = tx.prepare_cached(
        "SELECT last, received_at FROM chunks WHERE last <= ? ORDER BY last LIMIT ?",
    )?;
    let mut rows = oldest.query(params![passed, MAX_CHUNKS])?;
    let (mut removable, mut count) = (None, 0);
    // Only a prefix goes. A time in the future is a clock's mistake that must not keep things.
    while let Some(row) = rows.next()? {
        let age = now.saturating_sub(row.get::<_, Millis>(1)?);
        if (0..keep).contains(&age) {
            break;
        }
        removable = Some(row.get::<_, u64>(0)?);
        count += 1;
    }
    if let Some(last) = removable {
        tx.prepare_cached("DELETE FROM chunks WHERE last <= ?")?.execute([last])?;
    }
    Ok((removable, count == MAX_CHUNKS))
}

/// The last position that every one of `sinks` has settled; `None` without sinks.
fn passed_by_all(tx: &Transaction<'_>, sinks: &[Arc<str>]) -> rusqlite::Result<Option<i64>> {
    let mut cursor = tx.prepare_cached("SELECT position FROM cursors WHERE sink = ?")?;
    let mut passed: Option<i64> = None;
    for sink in sinks {
        let position: i64 = cursor.query_row([sink.as_ref()], |row| row.get(0))?;
        passed = Some(passed.map_or(position, |lowest| lowest.min(position)));
    }
    Ok(passed)
}

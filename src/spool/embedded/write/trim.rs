//! Removes chunks that every sink has passed and whose retention is over, oldest first.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Transaction, params};

use super::group::GroupCommit;
use crate::spool::embedded::store::schema;
use crate::spool::{Disposition, Millis};

/// Chunks removed per commit: unbounded removal of a backlog would stall the callers that wait. A commit that
/// adds more chunks than that removes as many again, so that what is removed keeps up with what comes.
const MAX_CHUNKS: u32 = 64;

/// Removes some of what is no longer needed; returns the last position removed, if any was, and whether
/// there may be more. `keep` is the time that events stay after everyone has passed them.
pub(crate) fn trim(
    group: &mut GroupCommit<'_, '_>,
    sinks: &[Arc<str>],
    keep: Duration,
) -> rusqlite::Result<(Option<u64>, bool)> {
    let (tx, now) = (group.tx, group.now);
    let keep = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
    let most = MAX_CHUNKS.max(2 * group.chunks);
    let Some(passed) = passed_by_all(tx, sinks)? else { return Ok((None, false)) };
    let mut oldest = tx.prepare_cached(
        "SELECT last, received_at FROM chunks WHERE last <= ? ORDER BY last LIMIT ?",
    )?;
    let mut rows = oldest.query(params![passed, most])?;
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
        retire(group, last)?;
    }
    Ok((removable, count == most))
}

/// Moves the cursors of sinks that are not configured past what was removed, which they will never get, and
/// counts it for them. Those that are have passed it.
fn retire(group: &mut GroupCommit<'_, '_>, trimmed: u64) -> rusqlite::Result<()> {
    let mut behind =
        group.tx.prepare_cached("SELECT sink, position FROM cursors WHERE position < ?")?;
    let behind = behind.query_map([trimmed], |row| Ok((row.get(0)?, row.get(1)?)))?;
    for (sink, position) in behind.collect::<rusqlite::Result<Vec<(String, u64)>>>()? {
        group
            .tx
            .prepare_cached("UPDATE cursors SET position = ?2, checksum = ?3 WHERE sink = ?1")?
            .execute(params![sink, trimmed, schema::cursor_checksum(&sink, trimmed)])?;
        group.count("sink", &Arc::from(sink), Disposition::Retired, trimmed - position);
    }
    Ok(())
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

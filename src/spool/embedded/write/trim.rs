//! Trimming: removes chunks that every sink has committed and whose retention is over, oldest first.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Transaction, params};

use super::group::GroupCommit;
use crate::spool::embedded::store::schema;
use crate::spool::{Disposition, Millis};

/// Chunks removed per commit: unbounded removal of a backlog would delay the waiting callers. A commit that
/// adds more chunks removes as many, so that trimming keeps up.
const MAX_CHUNKS: u32 = 64;

/// Removes some of the chunks that are no longer needed. Returns the last removed position, if any, and true if
/// there may be more. `keep` is the retention.
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
    // Only a prefix is removed. A time in the future is a clock error and must not keep chunks.
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

/// Moves the cursors of unconfigured sinks past the removed chunks, and counts those events as retired.
/// Configured sinks have committed them.
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

/// Returns the last position that all `sinks` have committed; `None` without sinks.
fn passed_by_all(tx: &Transaction<'_>, sinks: &[Arc<str>]) -> rusqlite::Result<Option<i64>> {
    let mut cursor = tx.prepare_cached("SELECT position FROM cursors WHERE sink = ?")?;
    let mut passed: Option<i64> = None;
    for sink in sinks {
        let position: i64 = cursor.query_row([sink.as_ref()], |row| row.get(0))?;
        passed = Some(passed.map_or(position, |lowest| lowest.min(position)));
    }
    Ok(passed)
}

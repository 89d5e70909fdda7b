//! Remembered ids on disk: one row per commit, appended in order and removed from the front.

use std::path::Path;

use rusqlite::{Connection, Transaction, params};

use super::schema;
use crate::spool::dedup::{DedupKey, DedupSet};
use crate::spool::{Clock, Millis};

/// Clock of the ids' age: the wall clock, but never faster than the steady clock since the start. Setting the
/// wall clock ahead by a month must not expire every id at once.
pub(crate) struct Age {
    steady: Clock,
    /// Offset of the wall clock from the steady clock at start, in milliseconds.
    ahead: Millis,
}

impl Age {
    /// Starts at `now`. `steady` counts milliseconds from an arbitrary moment and cannot be set.
    pub(crate) fn new(now: Millis, steady: Clock) -> Age {
        let ahead = now.saturating_sub(steady());
        Age { steady, ahead }
    }

    /// Returns the time of the ids' age for a wall clock at `now`.
    pub(crate) fn of(&self, now: Millis) -> Millis {
        now.min(self.ahead.saturating_add((self.steady)()))
    }
}

/// Reads all stored ids into memory, expiring ones included: memory and disk always match.
pub(crate) fn load(
    connection: &Connection,
    directory: &Path,
    max_ids: u64,
) -> rusqlite::Result<DedupSet> {
    let bytes = "SELECT coalesce(sum(length(keys)), 0) FROM ids";
    let bytes: u64 = connection.query_row(bytes, [], |row| row.get(0))?;
    let expected = bytes / DedupKey::SIZE as u64;
    let mut set = DedupSet::new(max_ids, expected);
    set.load(expected, |take| {
        let connection = schema::connect_reader(directory)?;
        let mut rows = connection.prepare("SELECT keys FROM ids ORDER BY number")?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            keys(row.get_ref(0)?.as_blob()?).for_each(&mut *take);
        }
        Ok::<_, rusqlite::Error>(())
    })?;
    Ok(set)
}

/// Stores the ids that a commit adds.
pub(crate) fn insert(tx: &Connection, now: Millis, added: &[DedupKey]) -> rusqlite::Result<()> {
    if added.is_empty() {
        return Ok(());
    }
    let blob: Vec<u8> = added.iter().flat_map(|key| key.to_bytes()).collect();
    tx.prepare_cached("INSERT INTO ids (received_at, keys) VALUES (?, ?)")?
        .execute(params![now, blob])?;
    Ok(())
}

/// Deletes up to `rows` rows from the front that are older than `oldest` or exceed the maximum by `excess` ids.
/// Returns the ids to forget after the commit, and true if there may be more.
pub(crate) fn evict(
    tx: &Transaction<'_>,
    oldest: Millis,
    mut excess: u64,
    rows: usize,
) -> rusqlite::Result<(Vec<DedupKey>, bool)> {
    let mut evicted = Vec::new();
    let mut first =
        tx.prepare_cached("SELECT number, received_at, keys FROM ids ORDER BY number LIMIT 1")?;
    let mut delete = tx.prepare_cached("DELETE FROM ids WHERE number = ?")?;
    for _ in 0..rows {
        let mut found = first.query([])?;
        let Some(row) = found.next()? else { return Ok((evicted, false)) };
        let (number, received_at): (i64, Millis) = (row.get(0)?, row.get(1)?);
        if received_at >= oldest && excess == 0 {
            return Ok((evicted, false));
        }
        let before = evicted.len();
        evicted.extend(keys(row.get_ref(2)?.as_blob()?));
        excess = excess.saturating_sub((evicted.len() - before) as u64);
        drop(found);
        delete.execute([number])?;
    }
    Ok((evicted, true))
}

pub(crate) fn keys(blob: &[u8]) -> impl Iterator<Item = DedupKey> + '_ {
    blob.as_chunks::<{ DedupKey::SIZE }>().0.iter().map(|key| DedupKey::from_bytes(*key))
}

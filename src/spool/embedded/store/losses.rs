//! The table of losses: positions whose events are known to be lost.

use rusqlite::{Connection, params};

use crate::spool::{Loss, Millis};

/// Stores a loss.
pub(crate) fn insert(connection: &Connection, now: Millis, loss: &Loss) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO losses (at, first, last, detail) VALUES (?, ?, ?, ?)")?
        .execute(params![now, loss.first, loss.last, loss.detail])
        .map(drop)
}

/// Lists the known losses.
pub(crate) fn list(connection: &Connection) -> rusqlite::Result<Vec<Loss>> {
    let mut statement =
        connection.prepare_cached("SELECT first, last, detail FROM losses ORDER BY number")?;
    let losses = statement.query_map([], |row| {
        Ok(Loss { first: row.get(0)?, last: row.get(1)?, detail: row.get(2)? })
    })?;
    losses.collect()
}

/// Returns untrimmed positions without a chunk that are not listed yet.
pub(crate) fn unknown(connection: &Connection) -> rusqlite::Result<Vec<Loss>> {
    let known = list(connection)?;
    let (next, trimmed): (u64, u64) =
        connection.query_row("SELECT next, trimmed FROM state", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    let mut statement = connection.prepare("SELECT last, count FROM chunks ORDER BY last")?;
    let mut rows = statement.query([])?;
    let (mut lost, mut expected) = (Vec::new(), trimmed + 1);
    let mut gap = |first: u64, end: u64| {
        if first < end && !is_listed(&known, first, end - 1) {
            let last = end - 1;
            let detail = format!("positions {first} to {last} are missing from the spool");
            lost.push(Loss { first, last, detail });
        }
    };
    while let Some(row) = rows.next()? {
        let (last, count): (u64, u64) = (row.get(0)?, row.get(1)?);
        gap(expected, (last + 1).saturating_sub(count));
        expected = expected.max(last + 1);
    }
    gap(expected, next);
    Ok(lost)
}

/// Returns true if these positions are a known loss.
pub(crate) fn is_listed(known: &[Loss], first: u64, last: u64) -> bool {
    let mut at = first;
    while at <= last {
        let Some(loss) = known.iter().find(|loss| loss.first <= at && at <= loss.last) else {
            return false;
        };
        at = loss.last + 1;
    }
    true
}

//! The quarantine table.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use crate::spool::{Entry, Millis, NewEntry, Origin, Query, Summary, TargetAnswer};

const COLUMNS: &str = "id, at, source, origin, reason, detail, path, position, request_id, encoding, sink, length(bytes), attempts, status, code, answer";

/// Stores one entry.
pub(super) fn insert(
    tx: &Transaction<'_>,
    at: Millis,
    source: &str,
    entry: &NewEntry,
) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO quarantine
           (at, source, origin, reason, detail, path, position, request_id, encoding, sink, bytes,
            attempts, status, code, answer)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        at,
        source,
        entry.origin.as_str(),
        entry.reason,
        entry.detail,
        entry.path,
        entry.index,
        entry.request_id,
        entry.encoding,
        entry.sink.as_deref(),
        entry.bytes.as_ref(),
        entry.target.as_ref().map(|target| target.attempts),
        entry.target.as_ref().and_then(|target| target.status),
        entry.target.as_ref().and_then(|target| target.code.as_deref()),
        entry.target.as_ref().map(|target| target.text.as_str()),
    ])?;
    Ok(())
}

/// Removes an entry; returns its source if there was one.
pub(super) fn remove(tx: &Transaction<'_>, id: i64) -> rusqlite::Result<Option<String>> {
    tx.prepare_cached("DELETE FROM quarantine WHERE id = ? RETURNING source")?
        .query_row([id], |row| row.get(0))
        .optional()
}

/// Entries that match, oldest first, without their bytes.
pub(super) fn list(connection: &Connection, query: &Query) -> rusqlite::Result<Vec<Summary>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM quarantine
         WHERE id > ?1 AND (?2 IS NULL OR reason = ?2) AND (?3 IS NULL OR source = ?3)
           AND (?4 IS NULL OR sink = ?4)
         ORDER BY id LIMIT ?5"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(
        params![query.after, query.reason, query.source, query.sink, query.limit],
        summary,
    )?;
    rows.collect()
}

/// One entry with its bytes.
pub(super) fn get(connection: &Connection, id: i64) -> rusqlite::Result<Option<Entry>> {
    connection
        .query_row(&format!("SELECT {COLUMNS}, bytes FROM quarantine WHERE id = ?"), [id], |row| {
            Ok(Entry { summary: summary(row)?, bytes: row.get(16)? })
        })
        .optional()
}

fn summary(row: &Row<'_>) -> rusqlite::Result<Summary> {
    Ok(Summary {
        id: row.get(0)?,
        at: row.get(1)?,
        source: row.get(2)?,
        origin: Origin::parse(&row.get::<_, String>(3)?),
        reason: row.get(4)?,
        detail: row.get(5)?,
        path: row.get(6)?,
        index: row.get(7)?,
        request_id: row.get(8)?,
        encoding: row.get(9)?,
        sink: row.get(10)?,
        size: row.get(11)?,
        target: target(row)?,
    })
}

fn target(row: &Row<'_>) -> rusqlite::Result<Option<TargetAnswer>> {
    let Some(attempts) = row.get(12)? else { return Ok(None) };
    let text: Option<String> = row.get(15)?;
    Ok(Some(TargetAnswer {
        attempts,
        status: row.get(13)?,
        code: row.get(14)?,
        text: text.unwrap_or_default(),
    }))
}

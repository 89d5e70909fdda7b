//! The quarantine table.
//!
//! The size of an entry is computed from its row alone, so that the total cannot drift. A row's header holds
//! the lengths: SQLite reads no texts and bytes for them.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use crate::spool::quarantine::ENTRY_OVERHEAD;
use crate::spool::{Entry, EntryOrigin, EntrySummary, Millis, NewEntry, Query, TargetAnswer};

const COLUMNS: &str = "id, at, source, origin, reason, detail, path, position, request_id, encoding, sink, length(bytes), attempts, status, code, answer";

/// SQL expression of [`NewEntry::size`].
const SIZE: &str = "octet_length(detail) + octet_length(path) + octet_length(request_id)
    + octet_length(encoding) + octet_length(bytes)
    + coalesce(octet_length(code), 0) + coalesce(octet_length(answer), 0)";

/// Returns the bytes that all entries count.
pub(crate) fn size(connection: &Connection) -> rusqlite::Result<u64> {
    let sql = format!("SELECT coalesce(sum({ENTRY_OVERHEAD} + {SIZE}), 0) FROM quarantine");
    connection.query_row(&sql, [], |row| row.get(0))
}

/// Stores one entry.
pub(crate) fn insert(
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

/// Stores an entry with its number.
#[cfg(feature = "nats")]
pub(crate) fn restore(connection: &Connection, entry: &Entry) -> rusqlite::Result<()> {
    let EntrySummary {
        id,
        at,
        source,
        origin,
        reason,
        detail,
        path,
        index,
        request_id,
        encoding,
        sink,
        target,
        size: _,
    } = &entry.summary;
    let target = target.as_ref();
    connection
        .prepare_cached(
            "INSERT INTO quarantine VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            id,
            at,
            source,
            origin.as_str(),
            reason,
            detail,
            path,
            index,
            request_id,
            encoding,
            sink,
            entry.bytes,
            target.map(|target| target.attempts),
            target.and_then(|target| target.status),
            target.and_then(|target| target.code.as_deref()),
            target.map(|target| target.text.as_str()),
        ])
        .map(drop)
}

/// Removes an entry. Returns its source and size, if there was one.
pub(crate) fn remove(tx: &Transaction<'_>, id: i64) -> rusqlite::Result<Option<(String, u64)>> {
    let sql =
        format!("DELETE FROM quarantine WHERE id = ? RETURNING source, {ENTRY_OVERHEAD} + {SIZE}");
    tx.prepare_cached(&sql)?.query_row([id], |row| Ok((row.get(0)?, row.get(1)?))).optional()
}

/// Lists the entries that match, in the requested order, without their bytes.
pub(crate) fn list(connection: &Connection, query: &Query) -> rusqlite::Result<Vec<EntrySummary>> {
    let order = if query.newest_first { "DESC" } else { "ASC" };
    let sql = format!(
        "SELECT {COLUMNS} FROM quarantine
         WHERE id > ?1 AND (?2 IS NULL OR reason = ?2) AND (?3 IS NULL OR source = ?3)
           AND (?4 IS NULL OR sink = ?4)
         ORDER BY id {order} LIMIT ?5"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(
        params![query.after, query.reason, query.source, query.sink, query.limit],
        summary,
    )?;
    rows.collect()
}

/// Returns one entry with its bytes.
pub(crate) fn get(connection: &Connection, id: i64) -> rusqlite::Result<Option<Entry>> {
    connection
        .query_row(&format!("SELECT {COLUMNS}, bytes FROM quarantine WHERE id = ?"), [id], |row| {
            Ok(Entry { summary: summary(row)?, bytes: row.get(16)? })
        })
        .optional()
}

fn summary(row: &Row<'_>) -> rusqlite::Result<EntrySummary> {
    Ok(EntrySummary {
        id: row.get(0)?,
        at: row.get(1)?,
        source: row.get(2)?,
        origin: EntryOrigin::parse(&row.get::<_, String>(3)?),
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

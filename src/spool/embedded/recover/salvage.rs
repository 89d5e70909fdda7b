//! Salvage: reads the intact rows of a damaged spool and builds a new database from them.
//!
//! Every page is read, without the tree that leads to it, and rows are recognised by their shape. Chunks,
//! cursors and the log's state count if their checksums match; other rows count only on pages without signs
//! of damage. The damaged files are never written.

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, Transaction, params, params_from_iter};
use serde::Serialize;

use crate::spool::embedded::store::dispositions::{self, DispositionRow};
use crate::spool::embedded::store::high_watermark::HighWatermark;
use crate::spool::embedded::store::pages::{PageRecord, Pages};
use crate::spool::embedded::store::row::ChunkRow;
use crate::spool::embedded::store::{losses, plans, schema};
use crate::spool::{Loss, Millis, PlannedRange};

/// Contents of a salvaged database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Salvaged {
    /// Chunks of events.
    pub chunks: u64,
    /// Events in them.
    pub events: u64,
    /// Entries of the quarantine.
    pub quarantined: u64,
    /// Remembered ids.
    pub ids: u64,
    /// Sinks that continue: from their cursor, or from the oldest stored event if the cursor is lost.
    pub sinks: Vec<String>,
    /// Lost positions that a sink may not have committed.
    pub lost: Vec<Loss>,
}

/// Chunks found by a search.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    /// Chunks in order of position.
    pub(crate) chunks: Vec<ChunkRow>,
    /// True if more follow.
    pub(crate) has_more: bool,
}

/// Searches a spool's files for sound chunks with events in `positions`: the first of them, until they
/// take `max_bytes`, and at least one.
pub(crate) fn chunks(directory: &Path, positions: RangeInclusive<u64>, max_bytes: usize) -> Chunks {
    let mut found: BTreeMap<u64, ChunkRow> = BTreeMap::new();
    let (mut size, mut has_more) = (0, false);
    Pages::open(directory).each(|record| {
        let Some(row) = chunk(record) else { return };
        if row.last < *positions.start() || row.first() > *positions.end() {
            return;
        }
        size += row.body.len();
        size -= found.insert(row.last, row).map_or(0, |known| known.body.len());
        while size > max_bytes
            && found.len() > 1
            && let Some((_, last)) = found.pop_last()
        {
            size -= last.body.len();
            has_more = true;
        }
    });
    Chunks { chunks: found.into_values().collect(), has_more }
}

/// Parses a record as a chunk; `None` unless its checksum matches.
fn chunk(record: PageRecord) -> Option<ChunkRow> {
    let PageRecord { rowid: Some(last), mut values, .. } = record else { return None };
    if values.len() != 8 || values[0] != Value::Null || !matches!(values[7], Value::Blob(_)) {
        return None;
    }
    values.remove(0);
    Some(ChunkRow::new(last, values)).filter(ChunkRow::is_sound)
}

/// Rows kept in memory until all pages are read.
#[derive(Default)]
struct Small {
    /// Next position, last trimmed position, and the id if there is one.
    state: Option<(u64, u64, Option<u128>)>,
    cursors: HashMap<String, (u64, bool)>,
    /// Last number assigned in the quarantine.
    number: i64,
}

/// Builds a database in `target` from the files in `directory`.
pub(crate) fn rebuild(
    directory: &Path,
    target: &Path,
    mark: Option<HighWatermark>,
    now: Millis,
) -> rusqlite::Result<Salvaged> {
    let mut connection = schema::create(target)?;
    let tx = connection.transaction()?;
    let (mut small, mut failed) = (Small::default(), Ok(()));
    Pages::open(directory).each(|record| {
        if failed.is_ok() {
            failed = keep(&tx, &mut small, record);
        }
    });
    failed?;
    let lost = settle(&tx, &small, mark, now)?;
    let salvaged = count(&tx, lost)?;
    tx.commit()?;
    connection.close().map_err(|(_, error)| error)?;
    Ok(salvaged)
}

/// Takes over one record.
fn keep(tx: &Transaction<'_>, small: &mut Small, record: PageRecord) -> rusqlite::Result<()> {
    use Value::{Blob, Integer, Null, Text};
    let insert = |sql: &str, values: &[Value]| {
        tx.prepare_cached(sql)?.execute(params_from_iter(values)).map(drop)
    };
    let is_current = record.is_current;
    match (record.rowid, record.values.as_slice()) {
        (Some(_), [Null, Integer(_), _, _, _, _, _, Blob(_)]) => {
            if let Some(row) = chunk(record) {
                insert(
                    "INSERT OR IGNORE INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    &row.into_values(),
                )?;
            }
        }
        (Some(number), [Null, at @ Integer(_), keys @ Blob(_)]) if is_current => {
            insert(
                "INSERT OR IGNORE INTO ids VALUES (?, ?, ?)",
                &[Integer(number), at.clone(), keys.clone()],
            )?;
        }
        (Some(1), [Null, Integer(next), Integer(trimmed), rest @ ..]) if is_state(rest) => {
            let (next, trimmed) = (next.unsigned_abs(), trimmed.unsigned_abs());
            let (id, checksum) = match rest {
                [Text(id), Integer(sum)] => (u128::from_str_radix(id, 16).ok(), Some(*sum)),
                _ => (None, None),
            };
            let expected = schema::state_checksum(next, trimmed, id.unwrap_or(0));
            let is_sound = checksum.map_or(is_current, |sum| sum == i64::from(expected));
            if is_sound && small.state.is_none_or(|(known, ..)| known < next) {
                small.state = Some((next, trimmed, id));
            }
        }
        (None, [Text(sink), Integer(position), rest @ ..]) if rest.len() <= 2 => {
            let position = position.unsigned_abs();
            let is_paused = matches!(rest.first(), Some(Integer(1)));
            let is_sound = match rest.get(1) {
                Some(Integer(sum)) => *sum == i64::from(schema::cursor_checksum(sink, position)),
                _ => is_current,
            };
            // Of two versions, the older repeats events and the newer might skip some.
            let known = small.cursors.get(sink).is_some_and(|(known, _)| *known <= position);
            if is_sound && !known {
                small.cursors.insert(sink.clone(), (position, is_paused));
            }
        }
        (
            None,
            [Text(sink), Integer(after), Integer(last), Integer(id), Integer(settings), sum],
        ) if is_current => {
            let [after, last, id, settings] = [after, last, id, settings].map(|n| n.unsigned_abs());
            let range = PlannedRange { after, last, id, settings };
            if *sum == Integer(i64::from(plans::checksum(sink, range))) {
                plans::write(tx, sink, range)?;
            }
        }
        (None, [Text(_), Text(_), Text(_), Integer(_)]) if is_current => {
            insert("INSERT OR IGNORE INTO totals VALUES (?, ?, ?, ?)", &record.values)?;
        }
        (Some(id), [Null, Integer(_), Text(_), Text(_), ..])
            if is_current && [12, 16].contains(&record.values.len()) =>
        {
            let mut values = record.values;
            values[0] = Integer(id);
            values.resize(16, Null);
            insert(
                "INSERT OR IGNORE INTO quarantine VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                &values,
            )?;
        }
        (Some(number), [Null, Integer(_), Integer(_), Integer(_), Text(_)]) if is_current => {
            let mut values = record.values;
            values[0] = Integer(number);
            insert("INSERT OR IGNORE INTO losses VALUES (?, ?, ?, ?, ?)", &values)?;
        }
        (
            Some(number),
            values @ [Null, Text(_), Integer(_), Integer(_), Integer(_), Blob(_), Integer(_)],
        ) if is_current => {
            if let Some(row) = DispositionRow::of_values(values) {
                row.insert(tx, Some(number))?;
            }
        }
        (Some(_), [Text(table), Integer(number)]) if is_current && table == "quarantine" => {
            small.number = small.number.max(*number);
        }
        _ => {}
    }
    Ok(())
}

/// Returns true if a row that begins like the log's state ends like it, in any layout.
fn is_state(rest: &[Value]) -> bool {
    use Value::{Integer, Null, Text};
    matches!(rest, [] | [Null, Null] | [Text(_), Integer(_)])
}

/// Writes state and losses derived from all rows. Returns the losses.
fn settle(
    tx: &Transaction<'_>,
    small: &Small,
    mark: Option<HighWatermark>,
    now: Millis,
) -> rusqlite::Result<Vec<Loss>> {
    let mark =
        mark.filter(|mark| small.state.and_then(|(.., id)| id).is_none_or(|id| id == mark.id));
    let oldest = "SELECT last - count FROM chunks ORDER BY last LIMIT 1";
    let oldest = tx.query_row(oldest, [], |row| row.get::<_, u64>(0)).ok();
    let newest = "SELECT coalesce(max(last), 0) FROM chunks";
    let newest: u64 = tx.query_row(newest, [], |row| row.get(0))?;
    let state = small.state.map(|(next, trimmed, _)| (next, trimmed));
    let marked = mark.map(|mark| (mark.next, mark.trimmed));
    // An older copy of a database may be trimmed less far than the high watermark says; a database that was
    // just created knows nothing.
    let has_id = small.state.is_some_and(|(.., id)| id.is_some());
    let trimmed = if has_id { state } else { marked.or(state) }.map(|(_, trimmed)| trimmed);
    let cursors = small.cursors.values().map(|(position, _)| position + 1);
    // A sink plans only ranges of stored events.
    let planned: u64 =
        tx.query_row("SELECT coalesce(max(last), 0) FROM plans", [], |row| row.get(0))?;
    let next = [
        state.map_or(1, |(next, _)| next),
        marked.map_or(1, |(next, _)| next),
        newest.max(planned) + 1,
    ];
    let next = next.into_iter().chain(cursors).max().unwrap_or(1);
    let trimmed = trimmed.or(oldest).unwrap_or(next - 1).min(next - 1);
    let id = small.state.and_then(|(.., id)| id).or(mark.map(|mark| mark.id));
    let id = id.unwrap_or_else(rand::random);
    tx.execute("DELETE FROM chunks WHERE last <= ?", [trimmed])?;
    write_state(tx, next, trimmed, id)?;
    for (sink, (position, is_paused)) in &small.cursors {
        let checksum = schema::cursor_checksum(sink, *position);
        tx.execute(
            "INSERT INTO cursors VALUES (?, ?, ?, ?)",
            params![sink, position, is_paused, checksum],
        )?;
    }
    // A sink without its cursor continues with the oldest event, whatever its start setting.
    let mut sinks = tx.prepare("SELECT DISTINCT name FROM totals WHERE scope = 'sink'")?;
    let mut sinks = sinks.query([])?;
    while let Some(row) = sinks.next()? {
        let sink: String = row.get(0)?;
        let checksum = schema::cursor_checksum(&sink, trimmed);
        tx.execute(
            "INSERT OR IGNORE INTO cursors VALUES (?, ?, 0, ?)",
            params![sink, trimmed, checksum],
        )?;
    }
    dispositions::keep_contiguous(tx)?;
    let numbered = "SELECT max(?1, coalesce((SELECT max(id) FROM quarantine), 0))";
    let number: i64 = tx.query_row(numbered, [small.number], |row| row.get(0))?;
    tx.execute("DELETE FROM sqlite_sequence WHERE name = 'quarantine'", [])?;
    tx.execute("INSERT INTO sqlite_sequence VALUES ('quarantine', ?)", [number])?;
    let lost = losses::unknown(tx)?;
    lost.iter().try_for_each(|loss| losses::insert(tx, now, loss))?;
    Ok(lost)
}

/// Writes the state row: next and trimmed position.
pub(crate) fn write_state(
    connection: &Connection,
    next: u64,
    trimmed: u64,
    id: u128,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE state SET next = ?, trimmed = ?, id = ?, checksum = ?")?
        .execute(params![
            next,
            trimmed,
            format!("{id:032x}"),
            schema::state_checksum(next, trimmed, id)
        ])
        .map(drop)
}

fn count(tx: &Transaction<'_>, lost: Vec<Loss>) -> rusqlite::Result<Salvaged> {
    let number = |sql: &str| tx.query_row(sql, [], |row| row.get::<_, u64>(0));
    let mut sinks = tx.prepare("SELECT sink FROM cursors ORDER BY sink")?;
    let sinks = sinks.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    Ok(Salvaged {
        chunks: number("SELECT count(*) FROM chunks")?,
        events: number("SELECT coalesce(sum(count), 0) FROM chunks")?,
        quarantined: number("SELECT count(*) FROM quarantine")?,
        ids: number("SELECT coalesce(sum(length(keys)), 0) / 16 FROM ids")?,
        sinks,
        lost,
    })
}

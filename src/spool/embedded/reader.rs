//! Reading what follows a position, in short transactions, damage included.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rusqlite::{Connection, Row, params};

use super::chunk::{self, Label};
use crate::spool::{Millis, ReadError};

/// A sink's own connection for reading.
#[derive(Debug)]
pub struct Reader {
    connection: Arc<Mutex<Connection>>,
}

/// One stored event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its place in the log, from 1.
    pub position: u64,
    /// When it was received.
    pub received_at: Millis,
    /// The source it came from.
    pub source: Arc<str>,
    /// Set when only this sink is to receive it.
    pub only_sink: Option<Arc<str>>,
    /// Its bytes, exactly as received.
    pub bytes: Bytes,
}

/// Events that were stored once and can no longer be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Position of the first event lost.
    pub first: u64,
    /// Position of the last event lost.
    pub last: u64,
    /// The source of the chunk, as far as it can be trusted.
    pub source: String,
    /// What was found.
    pub detail: String,
    /// What is left of the chunk; empty if the whole row is gone.
    pub bytes: Bytes,
}

/// What a reader finds, in the order of positions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// An event.
    Event(Stored),
    /// A gap.
    Damaged(Damage),
}

impl Reader {
    pub(super) fn new(connection: Connection) -> Reader {
        Reader { connection: Arc::new(Mutex::new(connection)) }
    }

    /// What follows `after`, whole chunks at a time, until `max_bytes` of events are read; at least
    /// one chunk if there is one. Runs off the async threads.
    pub async fn read(&self, after: u64, max_bytes: usize) -> Result<Vec<Read>, ReadError> {
        let connection = Arc::clone(&self.connection);
        let read = tokio::task::spawn_blocking(move || {
            let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            read(&connection, after, max_bytes)
        });
        read.await.unwrap_or(Err(rusqlite::Error::InvalidQuery)).map_err(super::unreadable)
    }
}

/// A chunk as it is stored.
pub(super) struct ChunkRow {
    pub(super) last: u64,
    pub(super) count: u32,
    pub(super) received_at: Millis,
    pub(super) source: String,
    only_sink: Option<String>,
    codec: u8,
    checksum: u32,
    pub(super) body: Vec<u8>,
}

impl ChunkRow {
    pub(super) const COLUMNS: &'static str =
        "last, count, received_at, source, only_sink, codec, checksum, body";

    pub(super) fn from_row(row: &Row<'_>) -> rusqlite::Result<ChunkRow> {
        Ok(ChunkRow {
            last: row.get(0)?,
            count: row.get(1)?,
            received_at: row.get(2)?,
            source: row.get(3)?,
            only_sink: row.get(4)?,
            codec: row.get(5)?,
            checksum: row.get(6)?,
            body: row.get(7)?,
        })
    }

    /// The events in it, unless it is damaged.
    pub(super) fn events(&self) -> Result<Vec<Bytes>, &'static str> {
        let ChunkRow { last, count, received_at, codec, .. } = *self;
        let only_sink = self.only_sink.as_deref();
        let label = Label { last, count, received_at, source: &self.source, only_sink, codec };
        if chunk::checksum(label, &self.body) != self.checksum {
            return Err("the chunk does not match its checksum");
        }
        chunk::decode(codec, count, &self.body).ok_or("the chunk's body cannot be decoded")
    }

    pub(super) fn first(&self) -> u64 {
        (self.last + 1).saturating_sub(u64::from(self.count))
    }
}

fn read(connection: &Connection, after: u64, max_bytes: usize) -> rusqlite::Result<Vec<Read>> {
    let sql = format!("SELECT {} FROM chunks WHERE last > ? ORDER BY last", ChunkRow::COLUMNS);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([after])?;
    let (mut found, mut expected, mut size) = (Vec::new(), after + 1, 0);
    while size < max_bytes {
        let row = match rows.next() {
            Ok(Some(row)) => ChunkRow::from_row(row)?,
            Ok(None) => break,
            // What was read before the broken page is sound; the next call fails at once.
            Err(error) if found.is_empty() => return Err(error),
            Err(_) => break,
        };
        if row.first() > expected {
            found.push(Read::Damaged(missing(expected, row.first() - 1)));
        }
        let last = row.last;
        size += unpack(row, expected, &mut found);
        expected = last + 1;
    }
    Ok(found)
}

/// See [`super::Spool::between`]. Chunks that cannot be read are passed over: their sinks report them.
pub(super) fn between(
    connection: &Connection,
    positions: &Range<u64>,
    time: &Range<Millis>,
    max_bytes: usize,
) -> rusqlite::Result<(Vec<Stored>, u64)> {
    let trimmed = connection.query_row("SELECT trimmed FROM state", [], |row| row.get(0))?;
    let sql = format!(
        "SELECT {} FROM chunks
         WHERE last > ? AND received_at >= ? AND received_at < ? AND only_sink IS NULL
         ORDER BY last",
        ChunkRow::COLUMNS
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![positions.start, time.start, time.end])?;
    let (mut found, mut size) = (Vec::new(), 0);
    while size < max_bytes
        && let Some(row) = rows.next()?
    {
        let added = unpack(ChunkRow::from_row(row)?, positions.start + 1, &mut found);
        let is_damage = matches!(found.last(), Some(Read::Damaged(_)));
        size += if is_damage { 0 } else { added };
    }
    let events = found.into_iter().filter_map(|read| match read {
        Read::Event(stored) if stored.position <= positions.end => Some(stored),
        Read::Event(_) | Read::Damaged(_) => None,
    });
    Ok((events.collect(), trimmed))
}

/// Appends the events of a chunk from `expected` on, or the damage it turned out to be. Returns the
/// bytes that this takes in memory.
fn unpack(row: ChunkRow, expected: u64, found: &mut Vec<Read>) -> usize {
    let events = match row.events() {
        Ok(events) => events,
        Err(detail) => {
            let size = row.body.len();
            found.push(Read::Damaged(Damage {
                first: expected.max(row.first()),
                last: row.last,
                source: row.source,
                detail: detail.to_owned(),
                bytes: row.body.into(),
            }));
            return size;
        }
    };
    let first = row.first();
    let size = events.iter().map(Bytes::len).sum();
    let source: Arc<str> = row.source.into();
    let only_sink: Option<Arc<str>> = row.only_sink.map(Arc::from);
    for (position, bytes) in (first..).zip(events) {
        if position >= expected {
            found.push(Read::Event(Stored {
                position,
                received_at: row.received_at,
                source: Arc::clone(&source),
                only_sink: only_sink.clone(),
                bytes,
            }));
        }
    }
    size
}

fn missing(first: u64, last: u64) -> Damage {
    let detail = format!("positions {first} to {last} are missing from the spool");
    Damage { first, last, source: String::new(), detail, bytes: Bytes::new() }
}

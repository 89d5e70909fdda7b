//! Reads the events after a position, in short transactions, damage included.
//!
//! A chunk's position counts only if its checksum matches: a flipped bit in a row's number must not make a sink
//! skip the events that follow. Positions between two sound chunks, or before the head of the log, are a gap,
//! which [`gap`] fills or reports.

use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rusqlite::{Connection, params};
use tokio::sync::watch;

use super::gap::{self, Gap};
use crate::spool::embedded::store::fault;
use crate::spool::embedded::store::row::ChunkRow;
use crate::spool::embedded::unreadable;
use crate::spool::{Millis, Read, ReadError, StoredEvent};

/// Number of reads of a corrupt page before it counts as a gap: the fault may be transient.
const MAX_TRIES: u32 = 3;

/// Read connection of one sink.
#[derive(Debug)]
pub struct EmbeddedReader {
    inner: Arc<Mutex<ReaderState>>,
    directory: Arc<Path>,
    head: watch::Receiver<u64>,
}

#[derive(Debug)]
struct ReaderState {
    connection: Connection,
    /// Position and number of consecutive failed reads.
    failed: (u64, u32),
}

/// Result of one query of the table.
pub(crate) enum RowsOrGap {
    /// Events and damage that follow, if any.
    Reads(Vec<Read>),
    /// The next positions are a gap.
    Gap(Gap),
}

impl EmbeddedReader {
    pub(crate) fn new(
        connection: Connection,
        directory: &Path,
        head: watch::Receiver<u64>,
    ) -> EmbeddedReader {
        let inner = ReaderState { connection, failed: (0, 0) };
        EmbeddedReader { inner: Arc::new(Mutex::new(inner)), directory: directory.into(), head }
    }

    /// See [`crate::spool::Reader::head`].
    pub(crate) fn head(&self) -> watch::Receiver<u64> {
        self.head.clone()
    }

    /// Reads the events after `after` in whole chunks, until `max_bytes` of events are read; at least
    /// one chunk if there is one. Runs off the async threads. Fails a few times at a position that cannot be
    /// read before it reports damage.
    pub(crate) async fn read(&self, after: u64, max_bytes: usize) -> Result<Vec<Read>, ReadError> {
        let (inner, directory) = (Arc::clone(&self.inner), Arc::clone(&self.directory));
        // All events up to the head are readable now; missing ones are lost.
        let head = *self.head.borrow();
        let read = tokio::task::spawn_blocking(move || {
            inner
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .read(&directory, after, head, max_bytes)
        });
        read.await.unwrap_or(Err(rusqlite::Error::InvalidQuery)).map_err(unreadable)
    }
}

impl ReaderState {
    fn read(
        &mut self,
        directory: &Path,
        after: u64,
        head: u64,
        max_bytes: usize,
    ) -> rusqlite::Result<Vec<Read>> {
        if after >= head {
            return Ok(Vec::new());
        }
        match look(&self.connection, after, head, max_bytes) {
            Ok(RowsOrGap::Reads(reads)) => Ok(reads),
            Ok(RowsOrGap::Gap(gap)) => Ok(gap::fill(directory, gap, max_bytes)),
            Err(error) if fault::is_damaged(&error) => {
                let times = if self.failed.0 == after { self.failed.1 + 1 } else { 1 };
                self.failed = (after, times);
                if times < MAX_TRIES {
                    return Err(error);
                }
                let detail = format!("a page of the spool cannot be read: {error}");
                let last = gap::end(&self.connection, after, head);
                let gap = Gap { first: after + 1, last, broken: Vec::new(), detail: Some(detail) };
                Ok(gap::fill(directory, gap, max_bytes))
            }
            Err(error) => Err(error),
        }
    }
}

/// Reads the chunks after `after` up to `head`, until `max_bytes` of events are read, or returns the gap before them.
pub(crate) fn look(
    connection: &Connection,
    after: u64,
    head: u64,
    max_bytes: usize,
) -> rusqlite::Result<RowsOrGap> {
    let sql = format!("SELECT {} FROM chunks WHERE last > ? ORDER BY last", ChunkRow::COLUMNS);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([after])?;
    let (mut found, mut expected, mut size) = (Vec::new(), after + 1, 0);
    let mut broken = Vec::new();
    let mut last = None;
    while size < max_bytes {
        let row = match rows.next().and_then(|row| row.map(ChunkRow::from_row).transpose()) {
            Ok(Some(row)) => row,
            Ok(None) => {
                last = Some(head);
                break;
            }
            // The events before the corrupt page are sound; the next call fails at once.
            Err(error) if found.is_empty() => return Err(error),
            Err(_) => break,
        };
        let Ok(events) = row.events() else {
            // Its bytes are kept for inspection, as far as they fit.
            size += row.body.len();
            broken.push(row);
            continue;
        };
        if row.first() > expected {
            last = Some(row.first() - 1);
            break;
        }
        if row.last >= expected {
            expected = row.last + 1;
            size += take(row, events, after + 1, &mut found);
        }
        // A misplaced row before the cursor hides nothing.
        broken.clear();
    }
    if !found.is_empty() {
        return Ok(RowsOrGap::Reads(found));
    }
    // The corrupt range is too long to reach the row after it: reads a part at a time.
    let reached = || broken.last().map_or(head, |row: &ChunkRow| row.last.clamp(expected, head));
    let last = last.unwrap_or_else(reached).min(head.max(expected - 1));
    if last < expected {
        return Ok(RowsOrGap::Reads(found));
    }
    Ok(RowsOrGap::Gap(Gap { first: expected, last, broken, detail: None }))
}

/// See [`crate::spool::Spool::between`]. Skips chunks that cannot be read: the sinks' readers report them.
pub(crate) fn between(
    connection: &Connection,
    positions: &Range<u64>,
    time: &Range<Millis>,
    max_bytes: usize,
) -> rusqlite::Result<(Vec<StoredEvent>, u64)> {
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
        let row = ChunkRow::from_row(row)?;
        if let Ok(events) = row.events() {
            size += take(row, events, positions.start + 1, &mut found);
        }
    }
    let events = found.into_iter().filter_map(|read| match read {
        Read::Event(stored) if stored.position <= positions.end => Some(stored),
        Read::Event(_) | Read::Damaged(_) | Read::Repeated(_) => None,
    });
    Ok((events.collect(), trimmed))
}

/// Appends the events of a chunk from `expected` on. Returns their size in memory, in bytes.
pub(crate) fn take(
    row: ChunkRow,
    events: Vec<Bytes>,
    expected: u64,
    found: &mut Vec<Read>,
) -> usize {
    let first = row.first();
    let size = events.iter().map(Bytes::len).sum();
    let source: Arc<str> = row.source.into();
    let only_sink: Option<Arc<str>> = row.only_sink.map(Arc::from);
    for (position, bytes) in (first..).zip(events) {
        if position >= expected {
            found.push(Read::Event(StoredEvent {
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

//! Looking into a spool without changing it, also while a service is running on it.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension};
use serde::Serialize;

use super::reader::ChunkRow;
use super::{entries, schema, unreadable};
use crate::spool::{Door, Entry, OpenError, Query, ReadError, SinkStats, SpoolStats, Summary};

/// A read-only view of a spool directory.
#[derive(Debug)]
pub struct Inspection(Connection);

/// What [`Inspection::verify`] found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// Chunks read.
    pub chunks: u64,
    /// Events in them.
    pub events: u64,
    /// Everything that is wrong; empty for a sound spool.
    pub problems: Vec<String>,
}

/// Opens the spool in `directory` for looking only.
pub fn open(directory: &Path) -> Result<Inspection, OpenError> {
    if !schema::database(directory).exists() {
        return Err(OpenError::Missing(directory.to_owned()));
    }
    let opened = schema::connect_reader(directory)
        .and_then(|connection| Ok((schema::layout(&connection)?, connection)));
    match opened {
        Ok((schema::LAYOUT, connection)) => Ok(Inspection(connection)),
        Ok((found, _)) => {
            Err(OpenError::Layout { directory: directory.to_owned(), found, known: schema::LAYOUT })
        }
        Err(error) => {
            Err(OpenError::Store { directory: directory.to_owned(), source: Box::new(error) })
        }
    }
}

impl Inspection {
    /// What is stored. `max_size`, `full` and `dedup_ids` are only known to a running service.
    pub fn stats(&self) -> Result<SpoolStats, ReadError> {
        stats(&self.0).map_err(unreadable)
    }

    /// Quarantine entries without their bytes.
    pub fn quarantine(&self, query: &Query) -> Result<Vec<Summary>, ReadError> {
        entries::list(&self.0, query).map_err(unreadable)
    }

    /// One quarantine entry.
    pub fn entry(&self, id: i64) -> Result<Option<Entry>, ReadError> {
        entries::get(&self.0, id).map_err(unreadable)
    }

    /// Reads everything: SQLite's own check, every chunk's checksum and contents, the order of
    /// positions, and each cursor's place. `progress` is called with (chunks read, chunks in all).
    pub fn verify(&self, progress: impl FnMut(u64, u64)) -> Result<Verification, ReadError> {
        self.read_everything(progress).map_err(unreadable)
    }

    fn read_everything(
        &self,
        mut progress: impl FnMut(u64, u64),
    ) -> rusqlite::Result<Verification> {
        let mut found = Verification { chunks: 0, events: 0, problems: Vec::new() };
        self.check_integrity(&mut found)?;
        let total = self.0.query_row("SELECT count(*) FROM chunks", [], |row| row.get(0))?;
        // One row per query: a long one would keep a running service from reusing its WAL.
        let sql = format!(
            "SELECT {} FROM chunks WHERE last > ? ORDER BY last LIMIT 1",
            ChunkRow::COLUMNS
        );
        let mut next = self.0.prepare(&sql)?;
        // A running service goes on meanwhile: what was there at first is there to the end, or was
        // removed when every sink had it.
        let number = |sql| self.0.query_row(sql, [], |row| row.get::<_, u64>(0));
        let trimmed = || number("SELECT trimmed FROM state");
        let (head, mut previous) = (number("SELECT next - 1 FROM state")?, 0);
        while let Some(row) = next.query_row([previous], ChunkRow::from_row).optional()? {
            let (first, last) = (row.first(), row.last);
            match row.events() {
                Ok(events) => found.events += events.len() as u64,
                Err(problem) => found.problems.push(format!("events {first} to {last}: {problem}")),
            }
            if first > trimmed()?.max(previous) + 1 {
                found.problems.push(format!("the events before {first} are missing"));
            }
            previous = last;
            found.chunks += 1;
            progress(found.chunks, total);
        }
        let last = trimmed()?.max(previous);
        if last < head {
            found.problems.push(format!("the events after {last} are missing"));
        }
        let stats = stats(&self.0)?;
        for sink in stats.sinks.iter().filter(|sink| sink.cursor > stats.head) {
            let SinkStats { sink, cursor, .. } = sink;
            let head = stats.head;
            found.problems.push(format!("sink {sink} is at {cursor}, past the last event {head}"));
        }
        Ok(found)
    }

    fn check_integrity(&self, found: &mut Verification) -> rusqlite::Result<()> {
        let mut statement = self.0.prepare("PRAGMA integrity_check(100)")?;
        let lines = statement.query_map([], |row| row.get::<_, String>(0))?;
        for line in lines {
            let line = line?;
            if line != "ok" {
                found.problems.push(format!("SQLite: {line}"));
            }
        }
        Ok(())
    }
}

/// What a connection can tell; see [`SpoolStats`]. All of it is of one moment, so that it adds up.
pub(super) fn stats(connection: &Connection) -> rusqlite::Result<SpoolStats> {
    let connection = connection.unchecked_transaction()?;
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, u64>(0));
    let head = number("SELECT next - 1 FROM state")?;
    let pages = number("PRAGMA page_count")? - number("PRAGMA freelist_count")?;
    let mut statement = connection.prepare("SELECT sink, position FROM cursors ORDER BY sink")?;
    let sinks = statement.query_map([], |row| {
        let cursor: u64 = row.get(1)?;
        Ok(SinkStats { sink: row.get(0)?, cursor, lag: head.saturating_sub(cursor) })
    })?;
    let mut statement = connection.prepare("SELECT name, door, count FROM totals")?;
    let totals = statement.query_map([], |row| {
        let door: String = row.get(1)?;
        let door = Door::ALL.into_iter().find(|known| known.as_str() == door);
        Ok((row.get::<_, String>(0)?, door, row.get(2)?))
    })?;
    let known = |row| match row {
        Ok((name, Some(door), count)) => Some(Ok((name, door, count))),
        Ok((_, None, _)) => None,
        Err(error) => Some(Err(error)),
    };
    Ok(SpoolStats {
        head,
        events: number("SELECT next - 1 - trimmed FROM state")?,
        oldest_at: connection
            .query_row("SELECT received_at FROM chunks ORDER BY last LIMIT 1", [], |row| row.get(0))
            .ok(),
        size: pages * schema::PAGE_SIZE,
        max_size: 0,
        full: false,
        dedup_ids: 0,
        quarantined: number("SELECT count(*) FROM quarantine")?,
        sinks: sinks.collect::<rusqlite::Result<_>>()?,
        totals: totals.filter_map(known).collect::<rusqlite::Result<_>>()?,
    })
}

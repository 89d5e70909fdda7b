//! `spool move`: reads a whole spool that no service uses, and builds one from the content of another engine.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};

use super::read::inspect::EmbeddedInspection;
use super::recover::salvage;
use super::store::identity::{self, Locks};
use super::store::row::ChunkRow;
use super::store::{entries, ids, plans, schema};
use super::unreadable;
use crate::durable_dir;
use crate::spool::chunk::{self, Chunk, Label};
use crate::spool::moving::MoveError;
use crate::spool::moving::contents::{MovedChunk, MovedSink, MovedState};
use crate::spool::{DedupKey, Disposition, Entry, Millis, OpenError, inspect};

/// Directory in which a spool is built.
const DRAFT: &str = "moving";

/// Locks a spool against services and other commands, until the result is dropped.
pub(in crate::spool) fn lock(directory: &Path) -> Result<Locks, OpenError> {
    identity::lock(directory)
}

/// Returns true if the directory has an embedded spool.
pub(in crate::spool) fn exists(directory: &Path) -> bool {
    schema::database(directory).exists()
}

impl EmbeddedInspection {
    /// Returns the id of the spool.
    pub(in crate::spool) fn id(&self) -> Result<String, MoveError> {
        let id =
            self.connection.query_row("SELECT coalesce(id, '') FROM state", [], |row| row.get(0));
        Ok(id.map_err(unreadable)?)
    }

    /// Returns everything besides chunks, ids and entries.
    pub(in crate::spool) fn export_state(&self) -> Result<MovedState, MoveError> {
        let stats = self.stats()?;
        let layout = schema::layout(&self.connection).map_err(unreadable)?;
        let has_plans = layout >= plans::SINCE_LAYOUT;
        let sql = "SELECT sink, position, is_paused FROM cursors ORDER BY sink";
        let mut cursors = self.connection.prepare(sql).map_err(unreadable)?;
        let sinks = cursors.query_map([], |row| {
            let name: String = row.get(0)?;
            let plan = match has_plans {
                true => plans::read(&self.connection, &name)?,
                false => None,
            };
            Ok(MovedSink { cursor: row.get(1)?, is_paused: row.get(2)?, plan, name })
        });
        let sinks = sinks.and_then(Iterator::collect).map_err(unreadable)?;
        let trimmed = stats.head - stats.events;
        Ok(MovedState {
            trimmed,
            head: stats.head,
            sinks,
            totals: stats.totals,
            ..MovedState::default()
        })
    }

    /// Calls `visit` with the ids of each commit since `since`, oldest first.
    pub(in crate::spool) fn each_id(
        &self,
        since: Millis,
        mut visit: impl FnMut(Millis, &[DedupKey]) -> Result<(), MoveError>,
    ) -> Result<(), MoveError> {
        let sql = "SELECT received_at, keys FROM ids WHERE received_at >= ? ORDER BY number";
        let mut rows = self.connection.prepare(sql).map_err(unreadable)?;
        let mut rows = rows.query([since]).map_err(unreadable)?;
        while let Some(row) = rows.next().map_err(unreadable)? {
            let at = row.get(0).map_err(unreadable)?;
            let keys: Vec<u8> = row.get(1).map_err(unreadable)?;
            visit(at, &ids::keys(&keys).collect::<Vec<DedupKey>>())?;
        }
        Ok(())
    }

    /// Calls `visit` with each chunk, in order.
    pub(in crate::spool) fn each_chunk(
        &self,
        state: &MovedState,
        mut visit: impl FnMut(MovedChunk) -> Result<(), MoveError>,
    ) -> Result<(), MoveError> {
        let columns = ChunkRow::COLUMNS;
        let sql = format!("SELECT {columns} FROM chunks WHERE last > ? ORDER BY last");
        let mut rows = self.connection.prepare(&sql).map_err(unreadable)?;
        let mut rows = rows.query([state.trimmed]).map_err(unreadable)?;
        let mut reached = state.trimmed;
        while let Some(row) = rows.next().map_err(unreadable)? {
            let row = ChunkRow::from_row(row).map_err(unreadable)?;
            if row.first() != reached + 1 || !row.is_sound() {
                return Err(missing(reached + 1, row.last));
            }
            reached = row.last;
            visit(row.into_moved())?;
        }
        if reached < state.head {
            return Err(missing(reached + 1, state.head));
        }
        Ok(())
    }
}

fn missing(first: u64, last: u64) -> MoveError {
    MoveError::Refused(format!(
        "some events from {first} to {last} are lost or corrupt (spool verify), and cannot be moved"
    ))
}

/// A spool under construction. The service does not see it until it is published.
pub(in crate::spool) struct SpoolDraft {
    connection: Connection,
    directory: PathBuf,
    _locks: Locks,
}

impl SpoolDraft {
    /// Begins a new draft, in place of one that was not published. Returns `None` if the spool with the id `known` is
    /// there already.
    pub(in crate::spool) fn begin(
        directory: &Path,
        known: Option<&str>,
    ) -> Result<Option<SpoolDraft>, MoveError> {
        let locks = identity::lock(directory)?;
        if exists(directory) {
            if known == Some(super::inspect::open(directory)?.id()?.as_str()) {
                return Ok(None);
            }
            return Err(MoveError::Refused(format!(
                "{} has a spool already: set another spool.directory",
                directory.display()
            )));
        }
        let draft = directory.join(DRAFT);
        if draft.exists() {
            fs::remove_dir_all(&draft).map_err(|error| unusable(&draft, error))?;
        }
        durable_dir::make(&draft, 0o700).map_err(|error| unusable(&draft, error))?;
        let connection = schema::create(&schema::database(&draft)).map_err(unreadable)?;
        connection.execute_batch("BEGIN").map_err(unreadable)?;
        Ok(Some(SpoolDraft { connection, directory: directory.to_owned(), _locks: locks }))
    }

    /// Adds ids that were received at the same time.
    pub(in crate::spool) fn add_ids(&self, at: Millis, keys: &[DedupKey]) -> Result<(), MoveError> {
        ids::insert(&self.connection, at, keys).map_err(unreadable)?;
        Ok(())
    }

    /// Adds the next chunk.
    pub(in crate::spool) fn add_chunk(&self, moved: MovedChunk) -> Result<(), MoveError> {
        let MovedChunk { last, received_at, source, only_sink, chunk } = moved;
        let Chunk { count, codec, body } = chunk;
        let label = Label {
            last,
            count,
            received_at,
            source: &source,
            only_sink: only_sink.as_deref(),
            codec,
        };
        let sum = chunk::checksum(label, &body);
        let sql = "INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
        let mut insert = self.connection.prepare_cached(sql).map_err(unreadable)?;
        let values = params![last, count, received_at, source, only_sink, codec, sum, body];
        insert.execute(values).map_err(unreadable)?;
        Ok(())
    }

    /// Adds a quarantine entry, which keeps its number.
    pub(in crate::spool) fn add_entry(&self, entry: &Entry) -> Result<(), MoveError> {
        entries::restore(&self.connection, entry).map_err(unreadable)?;
        Ok(())
    }

    /// Adds state and totals, and syncs the file. Returns a view of the draft.
    pub(in crate::spool) fn finish(
        &self,
        state: &MovedState,
        id: &str,
    ) -> Result<inspect::Inspection, MoveError> {
        let number = u128::from_str_radix(id, 16).unwrap_or_default();
        self.add_state(state, number).map_err(unreadable)?;
        let draft = self.directory.join(DRAFT);
        let file = schema::database(&draft);
        File::open(&file)
            .and_then(|written| written.sync_all())
            .and_then(|()| durable_dir::sync(&draft))
            .map_err(|error| unusable(&file, error))?;
        Ok(inspect::Inspection::Embedded(super::inspect::open(&draft)?))
    }

    fn add_state(&self, state: &MovedState, id: u128) -> rusqlite::Result<()> {
        let connection = &self.connection;
        salvage::write_state(connection, state.head + 1, state.trimmed, id)?;
        for MovedSink { name, cursor, is_paused, plan } in &state.sinks {
            let checksum = schema::cursor_checksum(name, *cursor);
            connection.execute(
                "INSERT INTO cursors VALUES (?, ?, ?, ?)",
                params![name, cursor, is_paused, checksum],
            )?;
            if let Some(range) = plan {
                plans::write(connection, name, *range)?;
            }
        }
        for (name, disposition, count) in &state.totals {
            let is_of_sink = Disposition::OF_SINKS.contains(disposition);
            let scope = if is_of_sink { "sink" } else { "source" };
            connection.execute(
                "INSERT INTO totals VALUES (?, ?, ?, ?)",
                params![scope, name, disposition.as_str(), count],
            )?;
        }
        connection.execute_batch("COMMIT")
    }

    /// Puts the draft in the place of the spool.
    pub(in crate::spool) fn publish(self) -> Result<(), MoveError> {
        let SpoolDraft { connection, directory, _locks } = self;
        connection.close().map_err(|(_, error)| unreadable(error))?;
        let draft = directory.join(DRAFT);
        fs::rename(schema::database(&draft), schema::database(&directory))
            .and_then(|()| durable_dir::sync(&directory))
            .and_then(|()| fs::remove_dir_all(&draft))
            .map_err(|error| unusable(&directory, error).into())
    }
}

fn unusable(file: &Path, source: std::io::Error) -> OpenError {
    OpenError::File { file: file.to_owned(), source }
}

//! `spool move`: reads a whole spool that no service uses, and builds one from the content of another engine.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};

use super::read::inspect::EmbeddedInspection;
use super::recover::{repair, salvage};
use super::store::identity::{self, Locks};
use super::store::row::ChunkRow;
use super::store::{entries, ids, plans, schema, wal};
use super::unreadable;
use crate::durable_dir;
use crate::spool::chunk::{self, Chunk, Label};
use crate::spool::moving::contents::{MovedChunk, MovedSink, MovedState};
use crate::spool::moving::{MoveError, mark};
use crate::spool::{DedupKey, Disposition, Entry, Millis, OpenError, ReadError, inspect};

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
    pub(in crate::spool) fn id(&self) -> Result<String, ReadError> {
        let id =
            self.connection.query_row("SELECT coalesce(id, '') FROM state", [], |row| row.get(0));
        id.map_err(unreadable)
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

/// A directory in which no service starts until the new spool is there.
pub(in crate::spool) struct ReservedDirectory {
    directory: PathBuf,
    locks: Locks,
}

impl ReservedDirectory {
    /// Marks the directory durably by that of the draft ([`mark::draft`]). Returns `None` if the spool with the id
    /// `known`, which the old spool names, is there already.
    pub(in crate::spool) fn reserve(
        directory: &Path,
        known: Option<&str>,
    ) -> Result<Option<ReservedDirectory>, MoveError> {
        let locks = identity::lock(directory)?;
        let draft = mark::draft(directory);
        if exists(directory) && !is_unused(directory)? {
            if known.is_some_and(|known| is_spool(directory, known)) {
                remove_draft(directory).map_err(|error| unusable(&draft, error))?;
                return Ok(None);
            }
            return Err(MoveError::Refused(foreign_spool(directory, known.is_some())));
        }
        if let Some(name) = foreign_file(directory) {
            return Err(MoveError::Refused(format!(
                "{} has the file {name} of another spool: set another spool.directory, or move the file away",
                directory.display()
            )));
        }
        if known.is_none() && exists(&draft) {
            return Err(MoveError::Refused(format!(
                "the copy in {} was made of another stream, or the stream was emptied or its move was given up since: \
                 check spool.jetstream. To begin anew, delete the copy",
                draft.display()
            )));
        }
        durable_dir::make(&draft, 0o700).map_err(|error| unusable(&draft, error))?;
        Ok(Some(ReservedDirectory { directory: directory.to_owned(), locks }))
    }

    /// Begins a new draft, in place of one that was not published.
    pub(in crate::spool) fn begin(self) -> Result<SpoolDraft, MoveError> {
        let ReservedDirectory { directory, locks } = self;
        let draft = mark::draft(&directory);
        // The directory itself stays: it is the mark.
        remove_files(&draft).map_err(|error| unusable(&draft, error))?;
        let connection =
            schema::create(&schema::database(&draft)).map_err(unwritable(&directory))?;
        connection.execute_batch("BEGIN").map_err(unwritable(&directory))?;
        Ok(SpoolDraft { connection, directory, _locks: locks })
    }
}

/// Returns true if the directory has the spool with this id. A damaged spool has none.
fn is_spool(directory: &Path, id: &str) -> bool {
    let found = super::inspect::open(directory).map(|spool| spool.id());
    matches!(found, Ok(Ok(found)) if found == id)
}

/// Returns true if the database has no table and no commit, as a first start leaves it on a full disk.
fn is_unused(directory: &Path) -> Result<bool, MoveError> {
    let Err(OpenError::Layout { found: 0, .. }) = super::inspect::open(directory) else {
        return Ok(false);
    };
    let connection = schema::connect_reader(directory).map_err(unreadable)?;
    let tables = "SELECT count(*) FROM sqlite_master";
    let tables: u64 = connection.query_row(tables, [], |row| row.get(0)).map_err(unreadable)?;
    Ok(tables == 0 && wal::read(&schema::log(directory)).commits == 0)
}

/// Returns the file of another spool that would take effect on the new one.
fn foreign_file(directory: &Path) -> Option<&'static str> {
    let is_there = |name: &&str| directory.join(name).metadata().is_ok_and(|file| file.len() > 0);
    let log = (!exists(directory)).then_some("spool.db-wal");
    log.into_iter().chain(["repair.db"]).find(is_there)
}

fn foreign_spool(directory: &Path, has_begun: bool) -> String {
    let directory = directory.display();
    match has_begun {
        false => format!("{directory} has a spool already: set another spool.directory"),
        true => format!(
            "{directory} has another spool than this move builds there. It may have events: move its files (spool.db, \
             spool.db-wal, spool.db-shm, spool.mark) to a new directory, deliver them from there with \
             spool.directory set to that, and repeat the command"
        ),
    }
}

/// Removes the database of a directory, with its log and index.
fn remove_files(directory: &Path) -> io::Result<()> {
    for name in repair::FILES {
        match fs::remove_file(directory.join(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    durable_dir::sync(directory)
}

/// Removes the mark of an incoming move, durably: it must not come back after a power loss.
fn remove_draft(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(mark::draft(directory)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed.and_then(|()| durable_dir::sync(directory)),
    }
}

/// A spool under construction. The service does not start until it is published.
pub(in crate::spool) struct SpoolDraft {
    connection: Connection,
    directory: PathBuf,
    _locks: Locks,
}

impl SpoolDraft {
    /// Adds ids that were received at the same time.
    pub(in crate::spool) fn add_ids(&self, at: Millis, keys: &[DedupKey]) -> Result<(), MoveError> {
        ids::insert(&self.connection, at, keys).map_err(unwritable(&self.directory))?;
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
        let mut insert =
            self.connection.prepare_cached(sql).map_err(unwritable(&self.directory))?;
        let values = params![last, count, received_at, source, only_sink, codec, sum, body];
        insert.execute(values).map_err(unwritable(&self.directory))?;
        Ok(())
    }

    /// Adds a quarantine entry, which keeps its number.
    pub(in crate::spool) fn add_entry(&self, entry: &Entry) -> Result<(), MoveError> {
        entries::restore(&self.connection, entry).map_err(unwritable(&self.directory))?;
        Ok(())
    }

    /// Adds state and totals, and syncs the file. Returns a view of the draft.
    pub(in crate::spool) fn finish(
        &self,
        state: &MovedState,
        id: &str,
    ) -> Result<inspect::Inspection, MoveError> {
        let number = u128::from_str_radix(id, 16).unwrap_or_default();
        self.add_state(state, number).map_err(unwritable(&self.directory))?;
        let draft = mark::draft(&self.directory);
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

    /// Puts the draft in the place of the spool, and lets the service start.
    pub(in crate::spool) fn publish(self) -> Result<(), MoveError> {
        let SpoolDraft { connection, directory, _locks } = self;
        connection.close().map_err(|(_, error)| unwritable(&directory)(error))?;
        let draft = mark::draft(&directory);
        // SQLite would apply the log of an unused database to the new one.
        remove_files(&directory)
            .and_then(|()| fs::rename(schema::database(&draft), schema::database(&directory)))
            .and_then(|()| durable_dir::sync(&directory))
            .and_then(|()| remove_draft(&directory))
            .map_err(|error| unusable(&directory, error).into())
    }
}

fn unusable(file: &Path, source: io::Error) -> OpenError {
    OpenError::File { file: file.to_owned(), source }
}

fn unwritable(directory: &Path) -> impl Fn(rusqlite::Error) -> MoveError {
    move |error| MoveError::Draft { directory: directory.to_owned(), message: error.to_string() }
}

//! Read-only inspection of a spool directory, also while a service uses it.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OptionalExtension};
use url::Url;

use super::gap;
use crate::spool::embedded::store::high_watermark::{self, HighWatermark};
use crate::spool::embedded::store::row::ChunkRow;
use crate::spool::embedded::store::schema::retry_recovery;
use crate::spool::embedded::store::wal::{self, WalTail};
use crate::spool::embedded::store::{dispositions, entries, fault, losses, plans, schema};
use crate::spool::embedded::unreadable;
use crate::spool::inspect::Verification;
use crate::spool::{
    Disposition, Entry, EntrySummary, OpenError, Query, ReadError, RecordedDisposition, SinkStats,
    SpoolStats,
};

/// Maximum time that one read may keep a running service from restarting its log.
const MAX_READ_UNDER_WRITER: Duration = Duration::from_secs(2);

/// Interval of the check for that.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// A read-only view of a spool directory.
#[derive(Debug)]
pub struct EmbeddedInspection {
    pub(crate) connection: Connection,
    pub(crate) directory: PathBuf,
    /// Read before the database: the database holds at least this state.
    mark: Option<HighWatermark>,
}

/// Opens the spool in `directory` read-only.
pub(in crate::spool) fn open(directory: &Path) -> Result<EmbeddedInspection, OpenError> {
    if !schema::database(directory).exists() {
        return Err(OpenError::Missing(directory.to_owned()));
    }
    let mark = high_watermark::read(directory);
    let opened =
        connect(directory).and_then(|connection| Ok((schema::layout(&connection)?, connection)));
    match opened {
        Ok((schema::INSPECTED_FROM..=schema::LAYOUT, connection)) => {
            Ok(EmbeddedInspection { connection, directory: directory.to_owned(), mark })
        }
        Ok((found, _)) => {
            Err(OpenError::Layout { directory: directory.to_owned(), found, known: schema::LAYOUT })
        }
        Err(error) => {
            Err(OpenError::Store { directory: directory.to_owned(), source: Box::new(error) })
        }
    }
}

/// Opens a connection that changes no byte of the directory, with or without a running service. Otherwise SQLite
/// writes `spool.db-shm` as a reader, and creates it if it is missing.
fn connect(directory: &Path) -> rusqlite::Result<Connection> {
    let file = schema::database(directory);
    let is_there = |path: &Path| path.metadata().is_ok_and(|found| found.len() > 0);
    let parameters = if schema::shared_memory(directory).exists() {
        // Mapped for reading; without a running service, SQLite builds the index of the log in memory.
        "readonly_shm=1"
    } else if !is_there(&schema::log(directory)) {
        // All data is in the database: a running service would have the other two files.
        "immutable=1"
    } else {
        // A copy without its index, which SQLite has to create.
        return schema::connect_reader(directory);
    };
    let url = std::path::absolute(&file).ok().and_then(|file| Url::from_file_path(file).ok());
    let Some(mut url) = url else { return schema::connect_reader(directory) };
    url.set_query(Some(&format!("mode=ro&{parameters}")));
    schema::connect_reader_at(url.as_str())
}

impl EmbeddedInspection {
    /// Returns the contents. The bounds are in the configuration; only a running service knows if one is reached.
    pub(crate) fn stats(&self) -> Result<SpoolStats, ReadError> {
        let stats = retry_recovery(|| {
            let stats = stats(&self.connection)?;
            let ids = "SELECT coalesce(sum(octet_length(keys) / 16), 0) FROM ids";
            let dedup_ids = self.connection.query_row(ids, [], |row| row.get(0))?;
            let quarantine_size = entries::size(&self.connection)?;
            Ok(SpoolStats { dedup_ids, quarantine_size, ..stats })
        });
        stats.map_err(unreadable)
    }

    /// Lists quarantine entries without their bytes.
    pub(crate) fn quarantine(&self, query: &Query) -> Result<Vec<EntrySummary>, ReadError> {
        retry_recovery(|| entries::list(&self.connection, query)).map_err(unreadable)
    }

    /// Returns one quarantine entry.
    pub(crate) fn entry(&self, id: i64) -> Result<Option<Entry>, ReadError> {
        retry_recovery(|| entries::get(&self.connection, id)).map_err(unreadable)
    }

    /// Checks everything: SQLite's own check, every chunk's checksum and contents, the order of
    /// positions, and each cursor. `progress` is called with (chunks read, chunks in all).
    pub(crate) fn verify(&self, progress: impl FnMut(u64, u64)) -> Result<Verification, ReadError> {
        self.read_everything(progress).map_err(unreadable)
    }

    fn read_everything(
        &self,
        mut progress: impl FnMut(u64, u64),
    ) -> rusqlite::Result<Verification> {
        let mut found = retry_recovery(|| {
            let mut found = Verification::default();
            self.check_files(&mut found)?;
            found.losses = losses::list(&self.connection)?;
            Ok(found)
        })?;
        self.check_chunks(&mut found, &mut progress)?;
        let stats = retry_recovery(|| stats(&self.connection))?;
        for sink in stats.sinks.iter().filter(|sink| sink.cursor > stats.head) {
            let SinkStats { sink, cursor, .. } = sink;
            let head = stats.head;
            found.problems.push(format!("sink {sink} is at {cursor}, past the last event {head}"));
        }
        self.check_record(&mut found)?;
        Ok(found)
    }

    fn check_record(&self, found: &mut Verification) -> rusqlite::Result<()> {
        if !retry_recovery(|| dispositions::exist(&self.connection))? {
            return Ok(());
        }
        let state = || {
            let stats = retry_recovery(|| stats(&self.connection))?;
            Ok((stats.head - stats.events, stats.sinks))
        };
        let (records, problems) = dispositions::check(&self.connection, state)?;
        found.records = records;
        found.problems.extend(problems);
        Ok(())
    }

    /// Returns the recorded dispositions of the events at `positions`; `None` if the spool has no record yet.
    pub(crate) fn dispositions(
        &self,
        positions: &[u64],
    ) -> Result<Option<Vec<RecordedDisposition>>, ReadError> {
        let find = || match retry_recovery(|| dispositions::exist(&self.connection))? {
            true => dispositions::find(&self.connection, positions).map(Some),
            false => Ok(None),
        };
        find().map_err(unreadable)
    }

    fn check_files(&self, found: &mut Verification) -> rusqlite::Result<()> {
        if let Err(error) = self.check_integrity(found) {
            found.problems.push(format!("SQLite: {error}"));
        }
        if wal::read(&schema::log(&self.directory)).tail == WalTail::Lost {
            found.problems.push(
                "spool.db-wal: a frame is corrupt, with commits behind it; a start repairs it"
                    .to_owned(),
            );
        }
        let (next, trimmed, id, sum): (u64, u64, Option<String>, Option<u32>) = self
            .connection
            .query_row("SELECT next, trimmed, id, checksum FROM state", [], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })?;
        let id = id.and_then(|id| u128::from_str_radix(&id, 16).ok());
        if sum.is_some_and(|sum| sum != schema::state_checksum(next, trimmed, id.unwrap_or(0))) {
            found.problems.push("the log's state does not match its checksum".to_owned());
        }
        let mut cursors =
            self.connection.prepare("SELECT sink, position, checksum FROM cursors")?;
        let mut rows = cursors.query([])?;
        while let Some(row) = rows.next()? {
            let (sink, position, sum): (String, u64, Option<u32>) =
                (row.get(0)?, row.get(1)?, row.get(2)?);
            if sum.is_some_and(|sum| sum != schema::cursor_checksum(&sink, position)) {
                found
                    .problems
                    .push(format!("the cursor of sink {sink} does not match its checksum"));
            }
        }
        if schema::layout(&self.connection)? >= plans::SINCE_LAYOUT {
            let corrupt = plans::corrupt(&self.connection)?.into_iter();
            found.problems.extend(corrupt.map(|sink| {
                format!("the planned range of sink {sink} does not match its checksum")
            }));
        }
        let Some(mark) = self.mark.filter(|mark| Some(mark.id) == id) else { return Ok(()) };
        if mark.next > next {
            let last = mark.next - 1;
            found.problems.push(format!(
                "spool.mark: events {next} to {last} were stored, and the database does not know of them"
            ));
        }
        if mark.is_damaged {
            found.problems.push("a corrupt page was met while the service ran".to_owned());
        }
        Ok(())
    }

    fn check_chunks(
        &self,
        found: &mut Verification,
        mut progress: impl FnMut(u64, u64),
    ) -> rusqlite::Result<()> {
        let count = "SELECT count(*) FROM chunks";
        let number =
            |sql: &str| retry_recovery(|| self.connection.query_row(sql, [], |row| row.get(0)));
        let total = number(count).unwrap_or(0);
        let state = "SELECT trimmed, next - 1 FROM state";
        let (trimmed, head): (u64, u64) = retry_recovery(|| {
            self.connection.query_row(state, [], |row| Ok((row.get(0)?, row.get(1)?)))
        })?;
        // A running service goes on meanwhile: a chunk that was stored at first stays, or is trimmed after
        // every sink has committed it.
        let trimmed_now = || number("SELECT trimmed FROM state");
        // One row per query: a long one would keep a running service from reusing its WAL.
        let sql = format!(
            "SELECT {} FROM chunks WHERE last > ? ORDER BY last LIMIT 1",
            ChunkRow::COLUMNS
        );
        let mut next = self.connection.prepare(&sql)?;
        // Position to continue after, and the last position accounted for.
        let (mut after, mut passed) = (0, trimmed);
        loop {
            let row = retry_recovery(|| next.query_row([after], ChunkRow::from_row).optional());
            let row = match row {
                Ok(Some(row)) => row,
                Ok(None) => break,
                Err(error) if fault::is_damaged(&error) && after < head => {
                    let end = gap::end(&self.connection, after, head);
                    let first = after + 1;
                    found.problems.push(format!("events {first} to {end} cannot be read: {error}"));
                    (after, passed) = (end, passed.max(end));
                    continue;
                }
                Err(error) => return Err(error),
            };
            let (first, last) = (row.first(), row.last);
            match row.events() {
                Ok(events) => found.events += events.len() as u64,
                Err(problem) => found.problems.push(format!("events {first} to {last}: {problem}")),
            }
            if row.is_sound() && first > passed + 1 {
                passed = passed.max(trimmed_now()?);
            }
            if row.is_sound()
                && first > passed + 1
                && !losses::is_listed(&found.losses, passed + 1, first - 1)
            {
                found.problems.push(format!("the events before {first} are missing"));
            }
            // A corrupt page may return a row out of order.
            after = last.max(after + 1);
            // A corrupt row's position counts if it fits.
            if row.is_sound() || (first == passed + 1 && last <= head) {
                passed = passed.max(last);
            }
            found.chunks += 1;
            progress(found.chunks, total);
        }
        passed = passed.max(trimmed_now()?);
        if passed < head && !losses::is_listed(&found.losses, passed + 1, head) {
            found.problems.push(format!("the events after {passed} are missing"));
        }
        Ok(())
    }

    /// Runs SQLite's own check of all pages, or of each small table if a running service cannot wait for that.
    fn check_integrity(&self, found: &mut Verification) -> rusqlite::Result<()> {
        if self.check_pages("PRAGMA integrity_check(100)", found)? {
            return Ok(());
        }
        let mut unfinished = vec!["chunks"];
        let record = retry_recovery(|| dispositions::exist(&self.connection))?;
        let record = record.then_some("dispositions");
        let tables = ["state", "cursors", "totals", "losses", "quarantine", "ids"];
        for table in tables.into_iter().chain(record) {
            if !self.check_pages(&format!("PRAGMA integrity_check({table})"), found)? {
                unfinished.push(table);
            }
        }
        found.notes.push(format!(
            "SQLite's check of {} was ended, so as not to hold up the running service; every chunk was read and \
             checked. For the whole, stop the service",
            unfinished.join(", ")
        ));
        Ok(())
    }

    /// Returns false if the check was ended because it delayed a running service.
    fn check_pages(&self, sql: &str, found: &mut Verification) -> rusqlite::Result<bool> {
        let checked = self.while_nobody_waits(|| {
            retry_recovery(|| {
                let mut statement = self.connection.prepare(sql)?;
                let lines = statement.query_map([], |row| row.get::<_, String>(0))?;
                lines.collect::<rusqlite::Result<Vec<_>>>()
            })
        });
        let is_ended = |error: &rusqlite::Error| {
            error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted)
        };
        match checked {
            Ok(lines) => {
                let problems = lines.into_iter().filter(|line| line != "ok");
                found.problems.extend(problems.map(|line| format!("SQLite: {line}")));
                Ok(true)
            }
            Err(error) if is_ended(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Runs a read; interrupts it after [`MAX_READ_UNDER_WRITER`] if a service writes meanwhile, because the service's
    /// log cannot restart before the read has ended, and grows.
    fn while_nobody_waits<T>(
        &self,
        read: impl FnOnce() -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let log = schema::log(&self.directory);
        let stamp = || log.metadata().map(|found| (found.len(), found.modified().ok())).ok();
        let (begin, before) = (Instant::now(), stamp());
        let reader = self.connection.get_interrupt_handle();
        std::thread::scope(|scope| {
            let (reading, has_ended) = mpsc::channel::<()>();
            let stamp = &stamp;
            scope.spawn(move || {
                while has_ended.recv_timeout(LOOK_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                    if begin.elapsed() > MAX_READ_UNDER_WRITER && stamp() != before {
                        reader.interrupt();
                    }
                }
            });
            let result = read();
            drop(reading);
            result
        })
    }
}

/// Reads the counts that are cheap to query; see [`SpoolStats`]. All are of one snapshot, so that they add
/// up.
pub(crate) fn stats(connection: &Connection) -> rusqlite::Result<SpoolStats> {
    let connection = connection.unchecked_transaction()?;
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, u64>(0));
    let head = number("SELECT next - 1 FROM state")?;
    let pages = number("PRAGMA page_count")? - number("PRAGMA freelist_count")?;
    let mut statement = connection.prepare("SELECT sink, position FROM cursors ORDER BY sink")?;
    let sinks = statement.query_map([], |row| {
        let cursor: u64 = row.get(1)?;
        Ok(SinkStats { sink: row.get(0)?, cursor, lag: head.saturating_sub(cursor) })
    })?;
    let mut statement = connection.prepare("SELECT name, disposition, count FROM totals")?;
    let totals = statement.query_map([], |row| {
        let disposition: String = row.get(1)?;
        let disposition = Disposition::ALL.into_iter().find(|known| known.as_str() == disposition);
        Ok((row.get::<_, String>(0)?, disposition, row.get(2)?))
    })?;
    let known = |row| match row {
        Ok((name, Some(disposition), count)) => Some(Ok((name, disposition, count))),
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
        lost: losses::list(&connection)?,
        quarantined: number("SELECT count(*) FROM quarantine")?,
        quarantine_size: 0,
        quarantine_max_size: 0,
        quarantine_full: false,
        sinks: sinks.collect::<rusqlite::Result<_>>()?,
        totals: totals.filter_map(known).collect::<rusqlite::Result<_>>()?,
    })
}

//! Opens and recovers a spool.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};
use tokio::sync::watch;

use super::{repair, salvage};
use crate::durable_dir;
use crate::spool::embedded::read::inspect;
use crate::spool::embedded::store::bounds::DiskUsage;
use crate::spool::embedded::store::high_watermark::{HighWatermark, HighWatermarkFile};
use crate::spool::embedded::store::identity::{self, SpoolFiles};
use crate::spool::embedded::store::ids::Age;
use crate::spool::embedded::store::room::QuarantineRoom;
use crate::spool::embedded::store::row::ChunkRow;
use crate::spool::embedded::store::wal::{self, WalTail};
use crate::spool::embedded::store::{entries, fault, ids, losses, schema};
use crate::spool::embedded::write::command::WriterCommand;
use crate::spool::embedded::write::group::LogState;
use crate::spool::embedded::write::writer::Writer;
use crate::spool::embedded::{EmbeddedSpool, WriterStatus};
use crate::spool::health::RecentFailure;
use crate::spool::{Clock, Loss, Millis, OpenError, SpoolConfig, moving};

/// Waits for the next command of the writer, up to a timeout.
pub(crate) type ReceiveCommand =
    fn(&Receiver<WriterCommand>, Duration) -> Result<WriterCommand, RecvTimeoutError>;

/// Recovers the store, or creates a new one. Returns a writer that is not running yet. `steady` is a millisecond
/// clock that cannot be set.
pub(crate) fn recover(
    settings: &SpoolConfig,
    clock: Clock,
    steady: Clock,
) -> Result<Writer, OpenError> {
    let directory = settings.directory.clone();
    let locks = identity::lock(&directory)?;
    moving::mark::refuse(&directory)?;
    let now = clock();
    let unusable = |source| OpenError::Directory { directory: directory.clone(), source };
    let mut set_aside = repair::finish(&directory, now).map_err(unusable)?;
    if settings.sync {
        sync_log(&directory).map_err(unusable)?;
    }
    let mut mark = HighWatermarkFile::open(&directory);
    let known = mark.mark();
    let repaired = |why: &str| rebuild(&directory, known, now, why).map_err(unusable);
    // The log has to be read before SQLite opens and changes it.
    let wal = wal::read(&schema::log(&directory));
    if let Some(why) = repair::reason(&directory, &wal, known) {
        set_aside = Some(repaired(why)?);
    }
    let mut recovered = connect(settings, &mut mark, known);
    let why = match &recovered {
        Err(error) => error.is_damage(&directory, known).then(|| error.to_string()),
        // A torn last commit is no damage only if no caller was answered.
        Ok(Recovered { loss: Some(_), .. }) if wal.tail == WalTail::Torn && set_aside.is_none() => {
            Some("the end of the write-ahead log is corrupt".to_owned())
        }
        Ok(_) => None,
    };
    if let Some(why) = why {
        drop(recovered);
        set_aside = Some(repaired(&why)?);
        recovered = connect(settings, &mut mark, known);
    }
    let recovered = recovered.map_err(|error| error.explain(&directory))?;
    let lost = store_results(&recovered, now)
        .map_err(|error| DatabaseError::Store(error).explain(&directory))?;
    let Recovered { connection, log, .. } = recovered;
    // SQLite does so as well, but does not report a failure.
    durable_dir::sync(&directory).map_err(unusable)?;
    let files = SpoolFiles::open(&directory, locks)?;
    let was_full = known.is_some_and(|mark| mark.id == log.id && mark.is_full);
    let shared = Arc::new(WriterStatus {
        head: watch::Sender::new(log.next - 1),
        fatal: watch::Sender::new(None),
        full: AtomicBool::new(was_full),
        failing: RecentFailure::default(),
        misplaced: Mutex::new(None),
        stuck_log: Mutex::new(None),
        used: AtomicU64::new(0),
        log_beyond_share: AtomicU64::new(0),
        quarantined: watch::Sender::new(log.room.used()),
        quarantine_full: AtomicBool::new(false),
        quarantine_max_size: settings.quarantine_max_size,
        dedup_ids: AtomicU64::new(0),
        max_size: settings.max_size,
        set_aside,
        lost: lost.iter().map(Loss::events).sum(),
        damaged: AtomicBool::new(false),
    });
    let settings = settings.clone();
    let (age, usage) = (Age::new(now, steady), DiskUsage::default());
    let mut writer =
        Writer { connection, log, mark, settings, clock, age, usage, shared, directory, files };
    writer.begin();
    Ok(writer)
}

/// Syncs the log of a killed process: its commits count from here on, and the high watermark includes them. A power
/// failure must not lose them after that, or leave a commit of this process behind a corrupt one.
fn sync_log(directory: &Path) -> std::io::Result<()> {
    match File::open(schema::log(directory)).and_then(|log| log.sync_data()) {
        // SQLite reports anything else at this path.
        Err(error) if error.kind() == ErrorKind::NotFound || !schema::log(directory).is_file() => {
            Ok(())
        }
        synced => synced,
    }
}

/// Starts a writer on its own thread.
pub(crate) fn start(writer: Writer, receive: ReceiveCommand) -> Result<EmbeddedSpool, OpenError> {
    let (directory, shared) = (writer.directory.clone(), Arc::clone(&writer.shared));
    let (commands, received) = mpsc::channel();
    let thread = std::thread::Builder::new()
        .name("spool".to_owned())
        .spawn(move || writer.run(|timeout| receive(&received, timeout)))
        .map_err(|source| OpenError::Directory { directory: directory.clone(), source })?;
    Ok(EmbeddedSpool { directory, commands, shared, thread: Mutex::new(Some(thread)) })
}

/// Rebuilds a damaged database from its readable rows. If that fails, moves it aside and starts an empty one: a
/// spool that does not open must not refuse later events.
fn rebuild(
    directory: &Path,
    mark: Option<HighWatermark>,
    now: Millis,
    why: &str,
) -> std::io::Result<PathBuf> {
    tracing::error!(why, "the spool is damaged; it is being repaired");
    match repair::rebuild(directory, mark, now) {
        Ok((moved_to, salvaged)) => {
            tracing::error!(
                moved_to = %moved_to.display(),
                events = salvaged.events,
                quarantined = salvaged.quarantined,
                lost = salvaged.lost.iter().map(Loss::events).sum::<u64>(),
                "the spool was repaired: its files were moved aside, and what could be read of them goes on"
            );
            Ok(moved_to)
        }
        Err(error) => {
            let moved_to = repair::move_aside(directory, now)?;
            tracing::error!(
                %error, moved_to = %moved_to.display(),
                "the spool cannot be repaired; it was moved aside and a new one was created. Events in it \
                 that were not delivered are still there: keep it"
            );
            Ok(moved_to)
        }
    }
}

/// Stores the results of opening. Returns all known losses.
fn store_results(recovered: &Recovered, now: Millis) -> rusqlite::Result<Vec<Loss>> {
    let Recovered { connection, log, loss, lost, is_changed } = recovered;
    if *is_changed {
        let tx = connection.unchecked_transaction()?;
        salvage::write_state(&tx, log.next, log.trimmed, log.id)?;
        if let Some(loss) = loss {
            tracing::error!(
                first = loss.first,
                last = loss.last,
                detail = loss.detail,
                "acknowledged events are lost; see davinci-siem spool stats"
            );
            losses::insert(&tx, now, loss)?;
        }
        tx.commit()?;
    }
    let lost = lost.iter().chain(loss).cloned();
    Ok(lost.collect())
}

/// Open database and its log.
struct Recovered {
    connection: Connection,
    log: LogState,
    /// Loss that the high watermark shows and the database does not know.
    loss: Option<Loss>,
    /// Losses known before.
    lost: Vec<Loss>,
    /// True if the log's state differs from the stored state.
    is_changed: bool,
}

/// Reason not to use a database.
#[derive(Debug)]
enum DatabaseError {
    Layout(i64),
    Store(rusqlite::Error),
    State,
}

impl From<rusqlite::Error> for DatabaseError {
    fn from(error: rusqlite::Error) -> DatabaseError {
        DatabaseError::Store(error)
    }
}

impl std::fmt::Display for DatabaseError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DatabaseError::Layout(found) => write!(out, "its header says layout {found}"),
            DatabaseError::Store(error) => error.fmt(out),
            DatabaseError::State => {
                out.write_str("a cursor or the log's state has a wrong checksum")
            }
        }
    }
}

impl DatabaseError {
    /// Returns true if the file is corrupt, rather than foreign or out of reach.
    fn is_damage(&self, directory: &Path, mark: Option<HighWatermark>) -> bool {
        match self {
            // The version that wrote the high watermark writes this layout only.
            DatabaseError::Layout(_) => mark.is_some_and(|mark| mark.layout == schema::LAYOUT),
            DatabaseError::Store(error)
                if error.sqlite_error_code() == Some(ErrorCode::ReadOnly) =>
            {
                File::options().write(true).open(schema::database(directory)).is_ok()
            }
            DatabaseError::Store(error) => fault::is_damaged_at_start(error),
            DatabaseError::State => true,
        }
    }

    fn explain(self, directory: &Path) -> OpenError {
        if let (DatabaseError::Store(_), Some(unusable)) = (&self, unusable_file(directory)) {
            return unusable;
        }
        let directory = directory.to_owned();
        let source = match self {
            DatabaseError::Layout(found) => {
                return OpenError::Layout { directory, found, known: schema::LAYOUT };
            }
            DatabaseError::Store(error) => Box::new(error),
            DatabaseError::State => Box::new(rusqlite::Error::InvalidQuery),
        };
        OpenError::Store { directory, source }
    }
}

/// Returns the file that the system refuses to open, if there is one: SQLite does not name it.
fn unusable_file(directory: &Path) -> Option<OpenError> {
    repair::FILES.iter().map(|name| directory.join(name)).find_map(|file| {
        let opened = File::options().read(true).write(true).open(&file);
        let source = opened.err().filter(|error| error.kind() != ErrorKind::NotFound)?;
        Some(OpenError::File { file, source })
    })
}

/// Opens the database and reads the state of its log. Changes only an older layout.
fn connect(
    settings: &SpoolConfig,
    file: &mut HighWatermarkFile,
    mark: Option<HighWatermark>,
) -> Result<Recovered, DatabaseError> {
    let SpoolConfig { directory, max_size, sync, .. } = settings;
    let announce = || file.announce(schema::LAYOUT);
    let (connection, layout) = schema::connect_writer(directory, *max_size, *sync, announce)?;
    if !(0..=schema::LAYOUT).contains(&layout) {
        return Err(DatabaseError::Layout(layout));
    }
    read_log(connection, settings, mark, layout == 0)
}

fn read_log(
    connection: Connection,
    settings: &SpoolConfig,
    mark: Option<HighWatermark>,
    is_new: bool,
) -> Result<Recovered, DatabaseError> {
    let state = "SELECT next, trimmed, id, checksum FROM state";
    let (mut next, mut trimmed, id, checksum): (u64, u64, Option<String>, Option<u32>) = connection
        .query_row(state, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    let known_id = id.and_then(|id| u128::from_str_radix(&id, 16).ok());
    let id = known_id.unwrap_or_else(rand::random);
    if checksum.is_some_and(|sum| sum != schema::state_checksum(next, trimmed, id)) {
        return Err(DatabaseError::State);
    }
    // Highest position of any row.
    let stored = next;
    next = next.max(highest(&connection)? + 1);
    let mark = mark.filter(|mark| {
        let is_own = is_new || known_id.is_none_or(|id| id == mark.id);
        if !is_own {
            tracing::warn!("spool.mark belongs to another spool; it is rewritten");
        }
        is_own
    });
    let mut loss = None;
    if let Some(mark) = mark
        && mark.next > next
    {
        // The database is missing: events up to the last trimmed position were delivered.
        let first = if is_new { mark.trimmed + 1 } else { next };
        let last = mark.next - 1;
        let detail = format!(
            "positions {first} to {last} were stored, and the database does not know of them: it is an \
             older copy, or its -wal file was lost"
        );
        loss = Some(Loss { first, last, detail }).filter(|_| first <= last);
        trimmed = if is_new { mark.trimmed } else { trimmed };
        next = mark.next;
    }
    // Reads every other table, so that a missing one is found.
    let lost = inspect::stats(&connection)?.lost;
    for table in ["sqlite_sequence", "plans", "dispositions"] {
        let _: u64 =
            connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?;
    }
    let dedup = ids::load(&connection, &settings.directory, settings.dedup_max_ids)?;
    let wanted = mark.map_or(0, |mark| mark.wanted).min(settings.quarantine_max_size);
    let room =
        QuarantineRoom::new(settings.quarantine_max_size, entries::size(&connection)?, wanted);
    let is_changed = known_id.is_none() || next != stored;
    let log = LogState { next, trimmed, id, dedup, room, sinks: Vec::new() };
    Ok(Recovered { connection, log, loss, lost, is_changed })
}

/// Returns the highest position of a cursor or a sound chunk.
fn highest(connection: &Connection) -> Result<u64, DatabaseError> {
    let mut highest = 0;
    let mut cursors = connection.prepare("SELECT sink, position, checksum FROM cursors")?;
    let mut rows = cursors.query([])?;
    while let Some(row) = rows.next()? {
        let (sink, position, checksum): (String, u64, Option<u32>) =
            (row.get(0)?, row.get(1)?, row.get(2)?);
        if checksum.is_some_and(|sum| sum != schema::cursor_checksum(&sink, position)) {
            return Err(DatabaseError::State);
        }
        highest = highest.max(position);
    }
    let newest = format!("SELECT {} FROM chunks ORDER BY last DESC LIMIT 1", ChunkRow::COLUMNS);
    let mut newest = connection.prepare(&newest)?;
    let mut rows = newest.query([])?;
    if let Some(row) = rows.next()? {
        let row = ChunkRow::from_row(row)?;
        highest = highest.max(if row.is_sound() { row.last } else { 0 });
    }
    Ok(highest)
}

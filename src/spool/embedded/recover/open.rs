//! Opening and recovering a spool.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};
use tokio::sync::watch;

use super::repair;
use super::salvage;
use crate::durable_dir;
use crate::spool::Clock;
use crate::spool::embedded::EmbeddedSpool;
use crate::spool::embedded::WriterStatus;
use crate::spool::embedded::read::inspect;
use crate::spool::embedded::store::bounds::DiskUsage;
use crate::spool::embedded::store::entries;
use crate::spool::embedded::store::fault;
use crate::spool::embedded::store::high_watermark::{HighWatermark, HighWatermarkFile};
use crate::spool::embedded::store::identity::{self, SpoolFiles};
use crate::spool::embedded::store::ids;
use crate::spool::embedded::store::ids::Age;
use crate::spool::embedded::store::losses;
use crate::spool::embedded::store::room::QuarantineRoom;
use crate::spool::embedded::store::row::ChunkRow;
use crate::spool::embedded::store::schema;
use crate::spool::embedded::store::wal::{self, WalTail};
use crate::spool::embedded::write::command::WriterCommand;
use crate::spool::embedded::write::group::LogState;
use crate::spool::embedded::write::writer::Writer;
use crate::spool::{Loss, Millis, OpenError, Settings};

/// How the writer waits for the next command, and for how long at most.
pub(crate) type ReceiveCommand =
    fn(&Receiver<WriterCommand>, Duration) -> Result<WriterCommand, RecvTimeoutError>;

/// Recovers what is stored, or makes a new store: a writer that has not begun to work.
/// `steady` counts milliseconds, and nobody can set it.
pub(crate) fn recover(
    settings: &Settings,
    clock: Clock,
    steady: Clock,
) -> Result<Writer, OpenError> {
    let directory = settings.directory.clone();
    let locks = identity::lock(&directory)?;
    let now = clock();
    let unusable = |source| OpenError::Directory { directory: directory.clone(), source };
    let mut set_aside = repair::finish(&directory, now).map_err(unusable)?;
    if settings.sync {
        sync_log(&directory).map_err(unusable)?;
    }
    let mark = HighWatermarkFile::open(&directory);
    let known = mark.mark();
    let mend = |why: &str| mend(&directory, known, now, why).map_err(unusable);
    // What SQLite would do to the log has to be known before it opens it.
    let wal = wal::read(&schema::log(&directory));
    if let Some(why) = repair::reason(&directory, &wal, known) {
        set_aside = Some(mend(why)?);
    }
    let mut recovered = connect(settings, known);
    let why = match &recovered {
        Err(error) => error.is_damage(&directory, known).then(|| error.to_string()),
        // The last commit may be torn only as long as nobody was answered.
        Ok(Recovered { loss: Some(_), .. }) if wal.tail == WalTail::Torn && set_aside.is_none() => {
            Some("the end of the write-ahead log is broken".to_owned())
        }
        Ok(_) => None,
    };
    if let Some(why) = why {
        drop(recovered);
        set_aside = Some(mend(&why)?);
        recovered = connect(settings, known);
    }
    let recovered = recovered.map_err(|error| error.explain(&directory))?;
    let lost =
        settle(&recovered, now).map_err(|error| DatabaseError::Store(error).explain(&directory))?;
    let Recovered { connection, log, .. } = recovered;
    // SQLite does so as well, and does not say when it fails.
    durable_dir::sync(&directory).map_err(unusable)?;
    let files = SpoolFiles::open(&directory, locks)?;
    let was_full = known.is_some_and(|mark| mark.id == log.id && mark.is_full);
    let shared = Arc::new(WriterStatus {
        head: watch::Sender::new(log.next - 1),
        fatal: watch::Sender::new(None),
        full: AtomicBool::new(was_full),
        failing: Mutex::new(None),
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

/// Makes what a killed process has left in the log last, if it synced it or not: from here on it is believed,
/// and the mark will say so. A power failure must not take it from under the mark, or leave a commit of this
/// process behind one that is broken.
fn sync_log(directory: &Path) -> std::io::Result<()> {
    match File::open(schema::log(directory)).and_then(|log| log.sync_data()) {
        // What is there instead, if anything, SQLite will tell.
        Err(error) if error.kind() == ErrorKind::NotFound || !schema::log(directory).is_file() => {
            Ok(())
        }
        synced => synced,
    }
}

/// Has a writer work on a thread of its own.
pub(crate) fn start(writer: Writer, receive: ReceiveCommand) -> Result<EmbeddedSpool, OpenError> {
    let (directory, shared) = (writer.directory.clone(), Arc::clone(&writer.shared));
    let (commands, received) = mpsc::channel();
    let thread = std::thread::Builder::new()
        .name("spool".to_owned())
        .spawn(move || writer.run(|timeout| receive(&received, timeout)))
        .map_err(|source| OpenError::Directory { directory: directory.clone(), source })?;
    Ok(EmbeddedSpool { directory, commands, shared, thread: Mutex::new(Some(thread)) })
}

/// Makes a new database of what a damaged one holds, or where even that fails, of nothing: a spool that
/// will not open must not keep later events out.
fn mend(
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
                "the spool cannot be repaired; it was moved aside and a new one was begun. Events in it \
                 that were not delivered are still there: keep it"
            );
            Ok(moved_to)
        }
    }
}

/// Writes down what opening has found out. Returns everything that is known to be lost.
fn settle(recovered: &Recovered, now: Millis) -> rusqlite::Result<Vec<Loss>> {
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

/// An open database.
struct Recovered {
    connection: Connection,
    log: LogState,
    /// What the mark knows of and the database does not.
    loss: Option<Loss>,
    /// What was known before to be lost.
    lost: Vec<Loss>,
    /// Whether the log's state differs from what is stored.
    is_changed: bool,
}

/// Why a database is not used.
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
    /// Whether the file is broken, rather than somebody else's or out of reach.
    fn is_damage(&self, directory: &Path, mark: Option<HighWatermark>) -> bool {
        match self {
            // This version wrote the mark, and would have written no other layout.
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

/// The file that SQLite could not use, if it is the system that refuses it: SQLite does not say which.
fn unusable_file(directory: &Path) -> Option<OpenError> {
    repair::FILES.iter().map(|name| directory.join(name)).find_map(|file| {
        let opened = File::options().read(true).write(true).open(&file);
        let source = opened.err().filter(|error| error.kind() != ErrorKind::NotFound)?;
        Some(OpenError::File { file, source })
    })
}

/// Opens the database and finds out how far its log has come. Changes nothing but an older layout.
fn connect(settings: &Settings, mark: Option<HighWatermark>) -> Result<Recovered, DatabaseError> {
    let (connection, layout) =
        schema::connect_writer(&settings.directory, settings.max_size, settings.sync)?;
    if !(0..=schema::LAYOUT).contains(&layout) {
        return Err(DatabaseError::Layout(layout));
    }
    read_log(connection, settings, mark, layout == 0)
}

fn read_log(
    connection: Connection,
    settings: &Settings,
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
    // The highest position that anything in the file knows of.
    let stored = next;
    next = next.max(highest(&connection)? + 1);
    let mark = mark.filter(|mark| {
        let is_own = is_new || known_id.is_none_or(|id| id == mark.id);
        if !is_own {
            tracing::warn!("spool.mark belongs to another spool; it is written anew");
        }
        is_own
    });
    let mut loss = None;
    if let Some(mark) = mark
        && mark.next > next
    {
        // The database is gone altogether: what is before the last trimmed position had been delivered.
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
    // Every other table that the service cannot do without.
    let lost = inspect::stats(&connection)?.lost;
    let _: u64 =
        connection.query_row("SELECT count(*) FROM sqlite_sequence", [], |row| row.get(0))?;
    let dedup = ids::load(&connection, &settings.directory, settings.dedup_max_ids)?;
    let wanted = mark.map_or(0, |mark| mark.wanted).min(settings.quarantine_max_size);
    let room =
        QuarantineRoom::new(settings.quarantine_max_size, entries::size(&connection)?, wanted);
    let is_changed = known_id.is_none() || next != stored;
    let log = LogState { next, trimmed, id, dedup, room, sinks: Vec::new() };
    Ok(Recovered { connection, log, loss, lost, is_changed })
}

/// The highest position that a cursor or a sound chunk has.
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

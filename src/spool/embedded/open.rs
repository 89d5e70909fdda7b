//! Opening and recovering a spool.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::watch;

use super::command::Command;
use super::group::Log;
use super::writer::Writer;
use super::{Clock, Shared, Spool, fault, ids, schema};
use crate::folder;
use crate::spool::{Millis, OpenError, Settings};

/// How the writer waits for the next command, and for how long at most.
pub(super) type Receive = fn(&Receiver<Command>, Duration) -> Result<Command, RecvTimeoutError>;

/// Recovers what is stored, or makes a new store: a writer that has not begun to work.
pub(super) fn recover(settings: &Settings, clock: Clock) -> Result<Writer, OpenError> {
    let directory = settings.directory.clone();
    let lock = lock(&directory)?;
    let mut set_aside = None;
    let mut recovered = connect(settings);
    if let Err(ConnectError::Store(error)) = &recovered
        && fault::is_damaged(error)
    {
        // A spool that will not open must not keep later events out.
        let target = move_aside(&directory, clock())
            .map_err(|source| OpenError::Directory { directory: directory.clone(), source })?;
        tracing::error!(
            %error,
            moved_to = %target.display(),
            "the spool cannot be read; it was moved aside and a new one was begun. Events in it that \
             were not delivered are still there: keep it"
        );
        set_aside = Some(target);
        recovered = connect(settings);
    }
    let (connection, log) = recovered.map_err(|error| match error {
        ConnectError::Layout(found) => {
            OpenError::Layout { directory: directory.clone(), found, known: schema::LAYOUT }
        }
        ConnectError::Store(error) => {
            OpenError::Store { directory: directory.clone(), source: Box::new(error) }
        }
    })?;
    // SQLite does so as well, and does not say when it fails.
    folder::sync(&directory)
        .map_err(|source| OpenError::Directory { directory: directory.clone(), source })?;
    let shared = Arc::new(Shared {
        head: watch::Sender::new(log.next - 1),
        fatal: watch::Sender::new(None),
        full: AtomicBool::new(false),
        failing: Mutex::new(None),
        used: AtomicU64::new(0),
        dedup_ids: AtomicU64::new(0),
        max_size: settings.max_size,
        set_aside,
    });
    let writer =
        Writer { connection, log, settings: settings.clone(), clock, shared, directory, lock };
    writer.publish();
    Ok(writer)
}

/// Has a writer work on a thread of its own.
pub(super) fn start(writer: Writer, receive: Receive) -> Result<Spool, OpenError> {
    let (directory, shared) = (writer.directory.clone(), Arc::clone(&writer.shared));
    let (commands, received) = mpsc::channel();
    let thread = std::thread::Builder::new()
        .name("spool".to_owned())
        .spawn(move || writer.run(|patience| receive(&received, patience)))
        .map_err(|source| OpenError::Directory { directory: directory.clone(), source })?;
    Ok(Spool { directory, commands, shared, thread: Mutex::new(Some(thread)) })
}

/// Makes the directory and takes the lock that the one writing process holds.
fn lock(directory: &Path) -> Result<File, OpenError> {
    let unusable = |source| OpenError::Directory { directory: directory.to_owned(), source };
    // Events are personal data: a directory that we make is for this user only.
    folder::make(directory, 0o700).map_err(unusable)?;
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(directory.join("spool.lock"))
        .map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(directory.to_owned())),
        Err(TryLockError::Error(source)) => Err(unusable(source)),
    }
}

/// Why a database is not used.
enum ConnectError {
    Layout(i64),
    Store(rusqlite::Error),
}

impl From<rusqlite::Error> for ConnectError {
    fn from(error: rusqlite::Error) -> ConnectError {
        ConnectError::Store(error)
    }
}

fn connect(settings: &Settings) -> Result<(Connection, Log), ConnectError> {
    let (connection, layout) =
        schema::connect_writer(&settings.directory, settings.max_size, settings.sync)?;
    if layout != schema::LAYOUT {
        return Err(ConnectError::Layout(layout));
    }
    let log = read_log(&connection, settings)?;
    Ok((connection, log))
}

fn move_aside(directory: &Path, now: Millis) -> std::io::Result<PathBuf> {
    let target = directory.join(format!("damaged-{now}"));
    fs::create_dir(&target)?;
    // The WAL first: one that is left without its database would be deleted.
    for name in ["spool.db-wal", "spool.db-shm", "spool.db"] {
        match fs::rename(directory.join(name), target.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    folder::sync(&target)?;
    folder::sync(directory)?;
    Ok(target)
}

fn read_log(connection: &Connection, settings: &Settings) -> rusqlite::Result<Log> {
    // The highest position that anything in the file knows of, whichever of them is damaged.
    let next = connection.query_row(
        "SELECT max(
           coalesce((SELECT next FROM state), 1),
           coalesce((SELECT max(last) + 1 FROM chunks), 1),
           coalesce((SELECT max(position) + 1 FROM cursors), 1))",
        [],
        |row| row.get(0),
    )?;
    let dedup = ids::load(connection, &settings.directory, settings.dedup_max_ids)?;
    Ok(Log { next, dedup, sinks: Vec::new() })
}

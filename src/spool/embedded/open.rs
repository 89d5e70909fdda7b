//! Opening and recovering a spool.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, mpsc};

use rusqlite::Connection;
use tokio::sync::watch;

use super::group::Log;
use super::writer::Writer;
use super::{Clock, Shared, Spool, fault, ids, schema};
use crate::spool::{Millis, OpenError, Settings};

pub(super) fn open(settings: &Settings, clock: Clock) -> Result<Spool, OpenError> {
    let directory = settings.directory.clone();
    let lock = lock(&directory)?;
    let (connection, set_aside) = connect(settings, clock())?;
    let store = |error: rusqlite::Error| OpenError::Store {
        directory: directory.clone(),
        source: Box::new(error),
    };
    let log = recover(&connection, settings, clock()).map_err(store)?;
    let shared = Arc::new(Shared {
        head: watch::Sender::new(log.next - 1),
        fatal: watch::Sender::new(None),
        full: AtomicBool::new(false),
        used: AtomicU64::new(0),
        dedup_ids: AtomicU64::new(0),
        max_size: settings.max_size,
        set_aside,
    });
    let writer = Writer {
        connection,
        log,
        settings: settings.clone(),
        clock,
        shared: Arc::clone(&shared),
        directory: directory.clone(),
        lock,
    };
    writer.publish();
    let (commands, received) = mpsc::channel();
    let thread = std::thread::Builder::new()
        .name("spool".to_owned())
        .spawn(move || writer.run(&received))
        .map_err(|source| OpenError::Directory { directory: directory.clone(), source })?;
    Ok(Spool { directory, commands, shared, thread: Mutex::new(Some(thread)) })
}

/// Makes the directory and takes the lock that the one writing process holds.
fn lock(directory: &Path) -> Result<File, OpenError> {
    let unusable = |source| OpenError::Directory { directory: directory.to_owned(), source };
    // Events are personal data: a directory that we make is for this user only.
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(unusable)?;
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

/// Opens the database. One that SQLite calls no database is moved aside, whole, and a new one is
/// begun: a spool that will not open must not keep later events out.
fn connect(settings: &Settings, now: Millis) -> Result<(Connection, Option<PathBuf>), OpenError> {
    let directory = &settings.directory;
    let store = |error: rusqlite::Error| OpenError::Store {
        directory: directory.clone(),
        source: Box::new(error),
    };
    let mut set_aside = None;
    let (connection, layout) = match schema::connect_writer(directory, settings.max_size) {
        Err(error) if fault::is_damaged(&error) => {
            let target = move_aside(directory, now)
                .map_err(|source| OpenError::Directory { directory: directory.clone(), source })?;
            tracing::error!(
                %error,
                moved_to = %target.display(),
                "the spool's file is no database; it was moved aside and a new spool was begun. \
                 Events in it that were not delivered are still there: keep it"
            );
            set_aside = Some(target);
            schema::connect_writer(directory, settings.max_size).map_err(store)?
        }
        other => other.map_err(store)?,
    };
    if layout != schema::LAYOUT {
        let directory = directory.clone();
        return Err(OpenError::Layout { directory, found: layout, known: schema::LAYOUT });
    }
    Ok((connection, set_aside))
}

fn move_aside(directory: &Path, now: Millis) -> std::io::Result<PathBuf> {
    let target = directory.join(format!("damaged-{now}"));
    fs::create_dir(&target)?;
    for name in ["spool.db", "spool.db-wal", "spool.db-shm"] {
        match fs::rename(directory.join(name), target.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    File::open(directory)?.sync_all()?;
    Ok(target)
}

fn recover(connection: &Connection, settings: &Settings, now: Millis) -> rusqlite::Result<Log> {
    // The highest position that anything in the file knows of, whichever of them is damaged.
    let next = connection.query_row(
        "SELECT max(
           coalesce((SELECT next FROM state), 1),
           coalesce((SELECT max(last) + 1 FROM chunks), 1),
           coalesce((SELECT max(position) + 1 FROM cursors), 1))",
        [],
        |row| row.get(0),
    )?;
    let window = i64::try_from(settings.dedup_window.as_millis()).unwrap_or(i64::MAX);
    let dedup = ids::load(connection, now.saturating_sub(window))?;
    Ok(Log { next, dedup, sinks: Vec::new() })
}

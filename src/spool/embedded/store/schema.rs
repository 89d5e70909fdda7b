//! Tables, and setup of connections.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::bounds;
use crate::spool::embedded::write::writer::BUSY_TIMEOUT;

/// Layout that this version reads and writes. Changes to the tables raise it.
pub(crate) const LAYOUT: i64 = 4;

/// Oldest layout that is inspected without a migration: it differs only by tables that no inspection requires.
pub(crate) const INSPECTED_FROM: i64 = 3;

/// Size of a database page in bytes. 16 KiB are faster than 4 and 8 KiB for chunks of this size.
pub(crate) const PAGE_SIZE: u64 = 16 * 1024;

/// Size of the write-ahead log that is kept for reuse, in bytes.
const KEPT_LOG_BYTES: u64 = 16 * 1024 * 1024;

const TABLES: &str = "
CREATE TABLE chunks (
    last        INTEGER PRIMARY KEY,   -- position of the last event in it
    count       INTEGER NOT NULL,
    received_at INTEGER NOT NULL,      -- milliseconds since the epoch
    source      TEXT    NOT NULL,
    only_sink   TEXT,                  -- set for a retried dead letter and a replay
    codec       INTEGER NOT NULL,      -- 0 plain, 1 zstd
    checksum    INTEGER NOT NULL,      -- CRC-32 of the columns and the stored body
    body        BLOB    NOT NULL       -- (length u32 LE, bytes) per event
);
CREATE TABLE ids (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    received_at INTEGER NOT NULL,
    keys        BLOB    NOT NULL       -- 16 bytes each
);
CREATE TABLE cursors (
    sink        TEXT PRIMARY KEY,
    position    INTEGER NOT NULL,
    is_paused   INTEGER NOT NULL DEFAULT 0,
    checksum    INTEGER                -- CRC-32 of sink and position
) WITHOUT ROWID;
CREATE TABLE quarantine (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    at          INTEGER NOT NULL,
    source      TEXT    NOT NULL,
    origin      TEXT    NOT NULL,
    reason      TEXT    NOT NULL,
    detail      TEXT    NOT NULL,
    path        TEXT    NOT NULL,
    position    INTEGER NOT NULL,      -- in the received body
    request_id  TEXT    NOT NULL,
    encoding    TEXT    NOT NULL,
    sink        TEXT,
    bytes       BLOB    NOT NULL,
    attempts    INTEGER,               -- this and the following: what a sink's target said
    status      INTEGER,
    code        TEXT,
    answer      TEXT
);
CREATE TABLE totals (
    scope       TEXT    NOT NULL,      -- 'source' or 'sink'
    name        TEXT    NOT NULL,
    disposition        TEXT    NOT NULL,
    count       INTEGER NOT NULL,
    PRIMARY KEY (scope, name, disposition)
) WITHOUT ROWID;
CREATE TABLE state (
    one         INTEGER PRIMARY KEY CHECK (one = 1),
    next        INTEGER NOT NULL,      -- position of the next event
    trimmed     INTEGER NOT NULL,      -- last position removed after every sink had passed it
    id          TEXT,                  -- which spool this is: 32 hexadecimal digits
    checksum    INTEGER                -- CRC-32 of next, trimmed and id
);
CREATE TABLE losses (
    number      INTEGER PRIMARY KEY,
    at          INTEGER NOT NULL,
    first       INTEGER NOT NULL,      -- positions that were stored once and are not there
    last        INTEGER NOT NULL,
    detail      TEXT    NOT NULL
);
CREATE TABLE plans (
    sink        TEXT PRIMARY KEY,
    after       INTEGER NOT NULL,      -- cursor of the sink at that time
    last        INTEGER NOT NULL,      -- last position of the range
    id          INTEGER NOT NULL,      -- random
    settings    INTEGER NOT NULL,      -- fingerprint of what decides the written bytes
    checksum    INTEGER NOT NULL       -- CRC-32 of the other columns
) WITHOUT ROWID;
INSERT INTO state (one, next, trimmed) VALUES (1, 1, 0);
";

/// Record of dispositions. A spool of layout 4 may lack the table if no release has written it.
const DISPOSITIONS: &str = "
CREATE TABLE IF NOT EXISTS dispositions (
    number      INTEGER PRIMARY KEY,
    sink        TEXT    NOT NULL,
    first       INTEGER NOT NULL,      -- positions that one commit has passed
    last        INTEGER NOT NULL,
    at          INTEGER NOT NULL,      -- milliseconds since the epoch
    runs        BLOB    NOT NULL,      -- dispositions in the order of positions
    checksum    INTEGER NOT NULL       -- CRC-32 of the other columns
);
";

/// Migration from layout 1 to 2.
const TO_LAYOUT_2: &str = "
ALTER TABLE cursors ADD COLUMN is_paused INTEGER NOT NULL DEFAULT 0;
ALTER TABLE quarantine ADD COLUMN attempts INTEGER;
ALTER TABLE quarantine ADD COLUMN status INTEGER;
ALTER TABLE quarantine ADD COLUMN code TEXT;
ALTER TABLE quarantine ADD COLUMN answer TEXT;
";

/// Migration from layout 2 to 3. A row without a checksum counts as intact.
const TO_LAYOUT_3: &str = "
ALTER TABLE cursors ADD COLUMN checksum INTEGER;
ALTER TABLE state ADD COLUMN id TEXT;
ALTER TABLE state ADD COLUMN checksum INTEGER;
CREATE TABLE losses (
    number      INTEGER PRIMARY KEY,
    at          INTEGER NOT NULL,
    first       INTEGER NOT NULL,
    last        INTEGER NOT NULL,
    detail      TEXT    NOT NULL
);
";

/// Migration from layout 3 to 4.
const TO_LAYOUT_4: &str = "
CREATE TABLE plans (
    sink        TEXT PRIMARY KEY,
    after       INTEGER NOT NULL,
    last        INTEGER NOT NULL,
    id          INTEGER NOT NULL,
    settings    INTEGER NOT NULL,
    checksum    INTEGER NOT NULL
) WITHOUT ROWID;
";

/// Path of the database in a spool directory.
pub(crate) fn database(directory: &Path) -> PathBuf {
    directory.join("spool.db")
}

/// Path of the write-ahead log.
pub(crate) fn log(directory: &Path) -> PathBuf {
    directory.join("spool.db-wal")
}

/// Path of the log's index, which the connections share.
pub(crate) fn shared_memory(directory: &Path) -> PathBuf {
    directory.join("spool.db-shm")
}

/// Opens the connection that writes. Creates the tables in a new file and migrates older ones, after a call of
/// `before_migration`. Returns the layout found.
pub(crate) fn connect_writer(
    directory: &Path,
    max_size: u64,
    sync: bool,
    before_migration: impl FnOnce(),
) -> rusqlite::Result<(Connection, i64)> {
    make_private(&database(directory));
    let connection = Connection::open(database(directory))?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "page_size", PAGE_SIZE)?;
    let _mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    connection.pragma_update(None, "synchronous", if sync { "FULL" } else { "OFF" })?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(
        None,
        "journal_size_limit",
        bounds::log(max_size).min(KEPT_LOG_BYTES),
    )?;
    connection.pragma_update(None, "cache_size", -16 * 1024)?;
    // The last connection to close would otherwise checkpoint, also after a failed sync.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    let found = layout(&connection)?;
    let statements = match found {
        0 => vec![TABLES],
        1 => vec![TO_LAYOUT_2, TO_LAYOUT_3, TO_LAYOUT_4],
        2 => vec![TO_LAYOUT_3, TO_LAYOUT_4],
        3 => vec![TO_LAYOUT_4],
        _ => Vec::new(),
    };
    if !statements.is_empty() {
        if found > 0 {
            before_migration();
        }
        let statements = statements.concat();
        connection.execute_batch(&format!(
            "BEGIN IMMEDIATE; {statements} {DISPOSITIONS} PRAGMA user_version = {LAYOUT}; COMMIT;"
        ))?;
    }
    if found == LAYOUT {
        connection.execute_batch(DISPOSITIONS)?;
    }
    // After the migration: it may need a page more than a spool has that is full, or whose max_size was lowered.
    let pages = bounds::pages(max_size);
    let _limit: i64 =
        connection.pragma_update_and_check(None, "max_page_count", pages, |row| row.get(0))?;
    Ok((connection, found))
}

/// Creates the file for this user only: events are personal data, and the directory may be open to others. SQLite's
/// other files get the same mode. SQLite reports a failure when it opens the file.
fn make_private(file: &Path) {
    drop(File::options().create(true).append(true).mode(0o600).open(file));
}

/// Creates a database to be filled and renamed when complete: until then it need not survive a crash.
pub(crate) fn create(file: &Path) -> rusqlite::Result<Connection> {
    make_private(file);
    let connection = Connection::open(file)?;
    connection.pragma_update(None, "page_size", PAGE_SIZE)?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    let _mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "OFF", |row| row.get(0))?;
    connection.execute_batch(&format!(
        "BEGIN; {TABLES} {DISPOSITIONS} PRAGMA user_version = {LAYOUT}; COMMIT;"
    ))?;
    Ok(connection)
}

/// Computes the checksum of a cursor.
pub(crate) fn cursor_checksum(sink: &str, position: u64) -> u32 {
    crc32fast::hash(&[&position.to_le_bytes()[..], sink.as_bytes()].concat())
}

/// Computes the checksum of the state row.
pub(crate) fn state_checksum(next: u64, trimmed: u64, id: u128) -> u32 {
    crc32fast::hash(&[&next.to_le_bytes()[..], &trimmed.to_le_bytes(), &id.to_le_bytes()].concat())
}

/// Reads the stored position of the next event.
pub(crate) fn next_position(connection: &Connection) -> rusqlite::Result<u64> {
    connection.prepare_cached("SELECT next FROM state")?.query_row([], |row| row.get(0))
}

/// Writes a row that is never read.
pub(crate) fn probe(connection: &Connection) -> rusqlite::Result<()> {
    let sql = "INSERT INTO totals VALUES ('spool', '', 'probe', 1)
               ON CONFLICT DO UPDATE SET count = count + 1";
    connection.prepare_cached(sql)?.execute([]).map(drop)
}

/// Reads the layout of a file; 0 for a new one.
pub(crate) fn layout(connection: &Connection) -> rusqlite::Result<i64> {
    retry_recovery(|| connection.pragma_query_value(None, "user_version", |row| row.get(0)))
}

/// Opens a read-only connection. It does not block the writer, nor the other way round.
pub(crate) fn connect_reader(directory: &Path) -> rusqlite::Result<Connection> {
    connect_reader_at(database(directory))
}

/// As [`connect_reader`], for a file or a URI with parameters.
pub(crate) fn connect_reader_at(file: impl AsRef<Path>) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "cache_size", -2 * 1024)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(connection)
}

/// Runs a read-only query again while SQLite would have to write to the log's index for it, which a read-only
/// connection cannot do. Beside a running service that is over within moments: the service rebuilds the index, or was
/// only writing its header while the query read it. Returns the error `INDEX_TIMEOUT` after the first one.
pub(crate) fn retry_recovery<T>(
    mut query: impl FnMut() -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let mut deadline = None;
    loop {
        let result = query();
        let code = result.as_ref().err().and_then(rusqlite::Error::sqlite_error_code);
        let now = Instant::now();
        if code != Some(ErrorCode::ReadOnly)
            || now >= *deadline.get_or_insert_with(|| now + INDEX_TIMEOUT)
        {
            return result;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Longest wait of a query for another process's writing to the log's index.
const INDEX_TIMEOUT: Duration = Duration::from_secs(5);

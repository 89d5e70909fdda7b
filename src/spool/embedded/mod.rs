//! The embedded engine: SQLite in WAL mode, one writer thread, one reader per sink.
//!
//! # Storage
//!
//! The database `spool.db`, with its `-wal` and `-shm` files; `spool.lock`, held by the one process that
//! writes; and `spool.mark`, the [high watermark](store::high_watermark) outside the database.
//! [`schema`] defines the tables:
//!
//! | table | one row per | key |
//! | --- | --- | --- |
//! | `chunks` | up to 512 KiB of one batch's events, compressed if more than 2 KiB, with a checksum | position of its last event |
//! | `ids` | commit: the dedup keys it added, 16 bytes each, in order | running number |
//! | `cursors` | sink that was ever configured | its name |
//! | `quarantine` | refused element, body, dead letter or damaged chunk | running number |
//! | `totals` | scope (source or sink), disposition | both |
//! | `state` | (one row) the next position, the last one trimmed, and the spool's id | |
//! | `dispositions` | commit of a cursor: the dispositions of the events that it passes, with a checksum | running number |
//! | `plans` | sink that writes objects: the range that it is about to write | its name |
//! | `losses` | range of positions whose events are known to be lost | running number |
//!
//! # Durability
//!
//! The writer takes all waiting commands, up to 4 MiB, into one transaction: chunks, ids, entries,
//! cursors and totals. `synchronous=FULL` syncs the WAL once at its end; only then the writer answers the
//! callers and wakes the readers. If the commit fails, nothing is stored and the ids are forgotten
//! again. Cursors alone wait up to 4 ms to share the commit of events. Checkpoints run on the writer thread
//! after the answers, or before a commit for which the log leaves no room. The writer starts them itself
//! (`wal_autocheckpoint=0`), because SQLite ignores errors of its own checkpoints.
//!
//! # Bound of the quarantine
//!
//! [`room`](store::room) adds up the size of the rows, at start and with each commit. A batch or a cursor that
//! would exceed `quarantine_max_size` is refused on its own, before anything of it is in the transaction; the
//! rest of the group is committed.
//!
//! # Recovery
//!
//! Opening syncs the WAL, since a killed process may not have, and replays it up to its last complete
//! transaction: a torn tail was never acknowledged. The ids in the window are read back into memory. No
//! position is assigned twice: the next one is above every position in the database and the high watermark.
//! A failed sync ends the process: the kernel may have dropped the pages it could not write, and a second
//! sync would succeed without them.
//!
//! # Detected damage
//!
//! | damage | detected by | reaction |
//! | --- | --- | --- |
//! | a chunk's row | its checksum, which covers the position | quarantine, counted, skipped |
//! | a cursor, the state | their checksums, at start | repair ([`repair`]) |
//! | a page on the way to chunks | SQLite's error, or a gap | the file is searched page by page ([`gap`](read::gap)) |
//! | a page that the writer needs | SQLite's error | 503 or no more trimming; repair at the next start |
//! | page 1, the schema, an empty file | SQLite's error, at start | repair |
//! | a WAL frame with commits behind it | the frames' own checksums, before SQLite opens it | repair |
//! | a lost WAL, a lost or older database | the high watermark | positions continue behind it; the gap is a loss |
//!
//! Not detected: a whole directory restored together with its high watermark; commits since the high
//! watermark was last synced, if the WAL is lost in a power failure; a flipped bit in an id, a total, or the
//! bytes of a quarantine entry, which have no checksum.

mod read;
mod recover;
mod store;
#[cfg(feature = "nats")]
pub(super) mod transfer;
mod write;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Instant;

use rusqlite::Connection;
use tokio::sync::{oneshot, watch};

use super::health::RecentFailure;
use super::{
    AppendError, Clock, CommitError, CommitRecord, Entry, EntrySummary, Millis, NewEntry,
    OpenError, PlannedRange, PreparedBatch, Query, ReadError, Receipt, Registered, SpoolConfig,
    SpoolHealth, SpoolStats, Start, StoredEvent,
};
pub(super) use read::inspect;
use read::reader;
pub(super) use read::reader::EmbeddedReader;
use recover::open;
pub use recover::repair;
pub use recover::salvage::Salvaged;
pub use store::bounds::Shares;
pub use store::dispositions::Coverage;
use store::{bounds, entries, plans, schema};
use write::command::WriterCommand;

/// An open spool. Cheap to share behind an `Arc`; every method may be called from any task.
#[derive(Debug)]
pub struct EmbeddedSpool {
    directory: PathBuf,
    commands: mpsc::Sender<WriterCommand>,
    shared: Arc<WriterStatus>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

/// Status of the writer, readable by the rest of the process without a request.
#[derive(Debug)]
struct WriterStatus {
    head: watch::Sender<u64>,
    fatal: watch::Sender<Option<String>>,
    full: AtomicBool,
    /// Time and reason of the last failure to store events, until some are stored.
    failing: RecentFailure,
    /// File that is not in its place any more, and the remedy.
    misplaced: Mutex<Option<String>>,
    /// The obstacle to writing the write-ahead log back, while there is no room for more of it.
    stuck_log: Mutex<Option<String>>,
    /// Bytes of the database's pages in use.
    used: AtomicU64,
    /// Bytes of the write-ahead log beyond its share of `max_size`.
    log_beyond_share: AtomicU64,
    /// Bytes that quarantine entries count.
    quarantined: watch::Sender<u64>,
    quarantine_full: AtomicBool,
    quarantine_max_size: u64,
    dedup_ids: AtomicU64,
    max_size: u64,
    /// Files that could not be read at start and were moved aside.
    set_aside: Option<PathBuf>,
    /// Events that were known to be lost at start.
    lost: u64,
    /// True if the writer has met a corrupt page.
    damaged: AtomicBool,
}

impl WriterStatus {
    fn misplaced(&self) -> Option<String> {
        self.misplaced.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_misplaced(&self, reason: Option<String>) {
        *self.misplaced.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }

    fn stuck_log(&self) -> Option<String> {
        self.stuck_log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_stuck_log(&self, reason: Option<String>) {
        *self.stuck_log.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }
}

impl EmbeddedSpool {
    /// Opens the spool, recovering it first, and starts its writer. Blocks; takes time that grows
    /// with the number of remembered ids (about a second for ten million).
    pub(crate) fn open(settings: &SpoolConfig, clock: Clock) -> Result<EmbeddedSpool, OpenError> {
        let start = Instant::now();
        let steady = move || i64::try_from(start.elapsed().as_millis()).unwrap_or(i64::MAX);
        let writer = open::recover(settings, clock, Arc::new(steady))?;
        open::start(writer, mpsc::Receiver::recv_timeout)
    }

    /// Stores a batch. When this returns `Ok`, all of it is on stable storage; when it returns
    /// `Err`, nothing of it is.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not take the batch back: it may still be stored, and a repetition
    /// will then find duplicates.
    pub(crate) async fn append(&self, batch: PreparedBatch) -> Result<Receipt, AppendError> {
        let (reply, answer) = oneshot::channel();
        self.commands
            .send(WriterCommand::Append { batch: Box::new(batch), reply })
            .map_err(|_| AppendError::Closed)?;
        answer.await.unwrap_or(Err(AppendError::Closed))
    }

    /// Creates missing cursors at their start position; from now on only these sinks keep events from being trimmed.
    /// Returns the cursors in the given order.
    pub(crate) async fn register(
        &self,
        sinks: &[(Arc<str>, Start)],
    ) -> Result<Vec<Registered>, CommitError> {
        let (reply, answer) = oneshot::channel();
        self.send(WriterCommand::Register { sinks: sinks.to_vec(), reply })?;
        answer.await.unwrap_or(Err(CommitError::Closed))
    }

    /// Stores that an operator has paused or resumed a sink.
    pub(crate) async fn pause(&self, sink: &Arc<str>, is_paused: bool) -> Result<(), CommitError> {
        let (reply, answer) = oneshot::channel();
        self.send(WriterCommand::Pause { sink: Arc::clone(sink), is_paused, reply })?;
        answer.await.unwrap_or(Err(CommitError::Closed))
    }

    /// Stores the range that a sink is about to write.
    pub(crate) async fn plan(
        &self,
        sink: &Arc<str>,
        range: PlannedRange,
    ) -> Result<(), CommitError> {
        let (reply, answer) = oneshot::channel();
        self.send(WriterCommand::Plan { sink: Arc::clone(sink), range, reply })?;
        answer.await.unwrap_or(Err(CommitError::Closed))
    }

    /// Returns the last planned range of a sink.
    pub(crate) async fn planned(&self, sink: &Arc<str>) -> Result<Option<PlannedRange>, ReadError> {
        let sink = Arc::clone(sink);
        self.look(move |connection| plans::read(connection, &sink)).await
    }

    /// Moves a sink's cursor to `position`, records the dispositions of the events up to there, and stores its dead
    /// letters, in one commit. Refused if the quarantine has no room for all of them.
    pub(crate) async fn commit(
        &self,
        sink: &Arc<str>,
        position: u64,
        record: impl Into<CommitRecord>,
        dead_letters: Vec<(String, NewEntry)>,
    ) -> Result<(), CommitError> {
        let (reply, answer) = oneshot::channel();
        let (sink, record) = (Arc::clone(sink), Box::new(record.into()));
        self.send(WriterCommand::Commit { sink, position, record, dead_letters, reply })?;
        answer.await.unwrap_or(Err(CommitError::Closed))
    }

    /// Creates a reader for one sink.
    pub(crate) fn reader(&self) -> Result<EmbeddedReader, ReadError> {
        let connection = schema::connect_reader(&self.directory).map_err(unreadable)?;
        Ok(EmbeddedReader::new(connection, &self.directory, self.head()))
    }

    /// Returns the stored events after `positions.start` up to `positions.end` that were received in `time`, in whole
    /// chunks until `max_bytes` are read, and the last trimmed position. Leaves out copies for one sink.
    pub(crate) async fn between(
        &self,
        positions: std::ops::Range<u64>,
        time: std::ops::Range<Millis>,
        max_bytes: usize,
    ) -> Result<(Vec<StoredEvent>, u64), ReadError> {
        self.look(move |connection| reader::between(connection, &positions, &time, max_bytes)).await
    }

    /// Lists quarantine entries without their bytes, oldest first.
    pub(crate) async fn quarantine(&self, query: Query) -> Result<Vec<EntrySummary>, ReadError> {
        self.look(move |connection| entries::list(connection, &query)).await
    }

    /// Returns one quarantine entry with its bytes.
    pub(crate) async fn entry(&self, id: i64) -> Result<Option<Entry>, ReadError> {
        self.look(move |connection| entries::get(connection, id)).await
    }

    /// Deletes quarantine entries. Returns the number of deleted entries by source.
    pub(crate) async fn remove(
        &self,
        ids: Vec<i64>,
    ) -> Result<BTreeMap<Arc<str>, u64>, CommitError> {
        let (reply, answer) = oneshot::channel();
        self.send(WriterCommand::Remove { ids, reply })?;
        answer.await.unwrap_or(Err(CommitError::Closed))
    }

    /// Returns contents, bounds and totals.
    pub(crate) async fn stats(&self) -> Result<SpoolStats, ReadError> {
        let mut stats = self.look(inspect::stats).await?;
        stats.size += self.shared.log_beyond_share.load(Ordering::Relaxed);
        stats.full = self.is_full();
        stats.max_size = self.shared.max_size;
        stats.dedup_ids = self.shared.dedup_ids.load(Ordering::Relaxed);
        stats.quarantine_size = *self.shared.quarantined.borrow();
        stats.quarantine_max_size = self.shared.quarantine_max_size;
        stats.quarantine_full = self.is_quarantine_full();
        Ok(stats)
    }

    /// Watches the position of the last stored event, which changes after the events are readable.
    pub(crate) fn head(&self) -> watch::Receiver<u64> {
        self.shared.head.subscribe()
    }

    /// Returns true if appends are refused because `max_size` is reached.
    pub(crate) fn is_full(&self) -> bool {
        self.shared.full.load(Ordering::Relaxed)
    }

    /// Returns true if events without a reader are removed before their retention is over.
    pub(crate) fn is_tight(&self) -> bool {
        let max_size = self.shared.max_size;
        let used = self.shared.used.load(Ordering::Relaxed) + bounds::log(max_size);
        used > bounds::resume_threshold(max_size)
    }

    /// Returns true if an entry exceeded the quarantine's bound and would be refused again.
    pub(crate) fn is_quarantine_full(&self) -> bool {
        self.shared.quarantine_full.load(Ordering::Relaxed)
    }

    /// Watches the bytes that quarantine entries count.
    pub(crate) fn quarantine_size(&self) -> watch::Receiver<u64> {
        self.shared.quarantined.subscribe()
    }

    /// See [`crate::spool::Spool::health`]. Events cannot be stored if a file is not in its place, the log has no
    /// room, or the store has refused events recently.
    pub(crate) fn health(&self) -> SpoolHealth {
        let shared = &self.shared;
        let failing = shared.misplaced().or_else(|| shared.stuck_log());
        SpoolHealth {
            failing: failing.or_else(|| shared.failing.get()),
            denied: None,
            too_large: None,
            is_damaged: shared.damaged.load(Ordering::Relaxed),
            lost: shared.lost,
            set_aside: shared.set_aside.clone(),
        }
    }

    /// Waits until the store has failed in a way that only a new process can recover from, and returns
    /// the reason. Never returns otherwise.
    pub(crate) async fn failed(&self) -> String {
        let mut fatal = self.shared.fatal.subscribe();
        loop {
            if let Some(message) = fatal.borrow_and_update().clone() {
                return message;
            }
            if fatal.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Answers all pending commands, writes the WAL back and closes the files. Blocks.
    pub(crate) fn close(&self) {
        // The writer may have ended already.
        drop(self.commands.send(WriterCommand::Close));
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the spool's writer thread panicked");
        }
    }

    fn send(&self, command: WriterCommand) -> Result<(), CommitError> {
        self.commands.send(command).map_err(|_| CommitError::Closed)
    }

    /// Runs a query on a connection of its own, off the async threads.
    async fn look<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, ReadError> {
        let directory = self.directory.clone();
        let looked =
            tokio::task::spawn_blocking(move || query(&schema::connect_reader(&directory)?));
        looked.await.unwrap_or(Err(rusqlite::Error::InvalidQuery)).map_err(unreadable)
    }
}

fn unreadable(error: rusqlite::Error) -> ReadError {
    ReadError(Box::new(error))
}

#[cfg(test)]
mod tests;

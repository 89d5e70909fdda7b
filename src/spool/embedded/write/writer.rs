//! Writer thread: takes all waiting commands, commits them as one group, answers, then trims and checkpoints.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};

use super::command::{CommandOutcome, WriterCommand};
use super::group::{GroupCommit, LogState};
use super::trim;
use crate::spans;
use crate::spool::embedded::WriterStatus;
use crate::spool::embedded::store::bounds;
use crate::spool::embedded::store::fault::{self, Fault};
use crate::spool::embedded::store::high_watermark::HighWatermarkFile;
use crate::spool::embedded::store::identity::SpoolFiles;
use crate::spool::embedded::store::ids::Age;
use crate::spool::embedded::store::plans;
use crate::spool::embedded::store::schema::{self, PAGE_SIZE};
use crate::spool::{Clock, SpoolConfig};

/// Maximum size of the batches in one commit, in bytes.
const GROUP_BYTES: u64 = 4 * 1024 * 1024;

/// Bytes written to the WAL after which it is checkpointed, at most.
const CHECKPOINT_BYTES: u64 = 4 * 1024 * 1024;

/// Bytes a commit writes besides the added rows: inner pages and small tables.
pub(crate) const COMMIT_OVERHEAD: u64 = 6 * PAGE_SIZE;

/// Timeout for locks of other processes on the database; not for readers of the WAL.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Interval of retention and eviction while the writer is idle.
const TICK: Duration = Duration::from_secs(1);

/// Time that cursors wait for events to share their commit: they are not urgent, and a sync of their own
/// would hold up the events that come next.
const CURSOR_WAIT: Duration = Duration::from_millis(4);

pub(crate) struct Writer {
    pub(crate) connection: Connection,
    pub(crate) log: LogState,
    pub(crate) mark: HighWatermarkFile,
    pub(crate) settings: SpoolConfig,
    pub(crate) clock: Clock,
    pub(crate) age: Age,
    pub(crate) usage: bounds::DiskUsage,
    pub(crate) shared: Arc<WriterStatus>,
    pub(crate) directory: PathBuf,
    pub(crate) files: SpoolFiles,
}

/// Fatal failure: the process has to end.
pub(crate) struct MustEnd;

/// Reports a panic of the writer.
struct EndsWithPanic(Arc<WriterStatus>);

impl Drop for EndsWithPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0
                .fatal
                .send_replace(Some("the spool's writer panicked, which is a bug".to_owned()));
        }
    }
}

impl Writer {
    /// Runs until [`WriterCommand::Close`] or a fatal failure of the store. `receive` waits for the next command up
    /// to a timeout.
    pub(crate) fn run(
        mut self,
        receive: impl Fn(Duration) -> Result<WriterCommand, RecvTimeoutError>,
    ) {
        // Without its writer the service could only refuse; a new process recovers.
        let _guard = EndsWithPanic(Arc::clone(&self.shared));
        let (mut unwritten, mut more_to_trim) = (0, false);
        let most_unwritten = CHECKPOINT_BYTES.min(bounds::log(self.settings.max_size) / 2);
        loop {
            let timeout = if more_to_trim { Duration::ZERO } else { TICK };
            let (group, closing) = next_group(&receive, timeout);
            let room = self.log.room.left();
            let size = group.iter().map(|command| command.size(room)).sum::<u64>();
            let is_idle = group.is_empty() && !more_to_trim;
            match self.commit(group) {
                Ok(more) => more_to_trim = more,
                Err(MustEnd) => return self.abandon(),
            }
            unwritten += size + COMMIT_OVERHEAD;
            if unwritten >= most_unwritten {
                unwritten = 0;
                if self.write_back().is_err() {
                    return self.abandon();
                }
                self.sync_high_watermark();
            } else if is_idle {
                self.sync_high_watermark();
            }
            if closing {
                return self.close();
            }
        }
    }

    /// Commits a group and answers its commands. Returns true if there is more to trim.
    pub(crate) fn commit(&mut self, group: Vec<WriterCommand>) -> Result<bool, MustEnd> {
        step(group.iter().any(WriterCommand::is_append), "writer woken");
        if let Err(error) = self.check_files()? {
            let reason = error.to_string();
            group.into_iter().for_each(|command| command.fail(&reason, Fault::Other));
            return Ok(false);
        }
        if group.is_empty() {
            self.cut_log(Duration::ZERO)?;
        }
        let room = self.log.room.left();
        let appended = group.iter().filter(|command| command.is_append());
        let added = appended.map(|command| command.size(room)).sum();
        self.relieve_log(added)?;
        if let Some(reason) = self.no_room_for_log() {
            group.into_iter().for_each(|command| command.fail(&reason, Fault::Other));
            return Ok(false);
        }
        if group.is_empty() && self.shared.failing.get().is_some() {
            self.probe();
        }
        self.make_room(&group)?;
        self.relieve_log(added)?;
        let (mut group, refused) = self.admit(group);
        refused.into_iter().for_each(WriterCommand::refuse);
        let max_size = self.settings.max_size;
        let is_tight = self.usage.counted(max_size) > bounds::resume_threshold(max_size);
        loop {
            let error = match self.try_commit(&mut group, is_tight) {
                Ok(more) => return Ok(more),
                Err(error) => error,
            };
            self.log.dedup.roll_back_to(0);
            let fault = fault::classify(&error);
            if fault::is_damaged(&error) && !self.is_damaged() {
                // The newest rows may be intact: from now on old rows are not touched.
                self.report_damage(&error);
                continue;
            }
            if group.iter().any(WriterCommand::is_append) {
                self.shared.failing.set(Some(error.to_string()));
            }
            if fault != Fault::Fatal && group.iter().any(WriterCommand::is_append) {
                // Cursors and removals make room, so they are committed without the appends.
                tracing::error!(%error, "the spool could not store events; they were not acknowledged");
                let (appends, rest): (Vec<_>, Vec<_>) =
                    group.into_iter().partition(WriterCommand::is_append);
                let reason = error.to_string();
                appends.into_iter().for_each(|append| append.fail(&reason, fault));
                group = rest;
                continue;
            }
            tracing::error!(%error, "the spool could not commit");
            if fault == Fault::Fatal {
                self.report_fatal(&error);
            }
            let reason = error.to_string();
            group.into_iter().for_each(|command| command.fail(&reason, fault));
            return if fault == Fault::Fatal { Err(MustEnd) } else { Ok(false) };
        }
    }

    /// Commits the whole group in one transaction; the group is emptied only on success. If room is tight, retention
    /// is ignored: it applies only while there is room for undelivered events.
    pub(crate) fn try_commit(
        &mut self,
        group: &mut Vec<WriterCommand>,
        is_tight: bool,
    ) -> rusqlite::Result<bool> {
        let now = (self.clock)();
        let has_little_room = self.is_above_full_threshold(0);
        let Writer { connection, log, settings, shared, age, .. } = self;
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if !group.is_empty() && schema::next_position(&tx)? != log.next {
            return Err(fault::foreign_writer());
        }
        let mut work = GroupCommit::new(&tx, now, log);
        let (mut done, mut sinks): (_, Option<Vec<_>>) = (Vec::with_capacity(group.len()), None);
        for command in group.iter() {
            done.push(match command {
                WriterCommand::Append { batch, .. } => {
                    CommandOutcome::Appended(work.append(&mut log.dedup, batch)?)
                }
                WriterCommand::Register { sinks: asked, .. } => {
                    sinks = Some(asked.iter().map(|(sink, _)| Arc::clone(sink)).collect());
                    let registered = asked.iter().map(|(sink, start)| work.register(sink, *start));
                    CommandOutcome::Registered(registered.collect::<Result<_, _>>()?)
                }
                WriterCommand::Pause { sink, is_paused, .. } => {
                    work.pause(sink, *is_paused)?;
                    CommandOutcome::Moved(Ok(()))
                }
                WriterCommand::Plan { sink, range, .. } => {
                    plans::write(work.tx, sink, *range)?;
                    CommandOutcome::Moved(Ok(()))
                }
                WriterCommand::Commit { sink, position, record, dead_letters, .. } => {
                    let moved = work.move_cursor(sink, *position, record, dead_letters)?;
                    CommandOutcome::Moved(moved)
                }
                WriterCommand::Remove { ids, .. } => CommandOutcome::Removed(work.purge(ids)?),
                WriterCommand::Close => CommandOutcome::Moved(Ok(())),
            });
        }
        let (next, room) = (work.next, work.room);
        let is_damaged = shared.damaged.load(Ordering::Relaxed);
        let (evicted, more_to_evict) =
            if is_damaged { (Vec::new(), false) } else { work.evict(log, settings, age.of(now))? };
        let keep = if is_tight { Duration::ZERO } else { settings.retention };
        // Sinks registered by this commit already keep events from being trimmed in it.
        let holding: &[Arc<str>] = sinks.as_deref().unwrap_or(&log.sinks);
        let (removed, more_to_trim) =
            if is_damaged { (None, false) } else { trim::trim(&mut work, holding, keep)? };
        let trimmed = removed.unwrap_or(log.trimmed);
        let more_to_trim =
            more_to_trim | (!is_damaged && work.trim_record(trimmed, has_little_room)?);
        work.finish(log, trimmed)?;
        let has_events = work.chunks > 0;
        step(has_events, "in the transaction");
        tx.commit()?;
        step(has_events, "written and synced");

        log.next = next;
        log.room = room;
        log.trimmed = trimmed;
        if let Some(sinks) = sinks {
            log.sinks = sinks;
        }
        log.dedup.make_permanent();
        evicted.into_iter().for_each(|key| log.dedup.remove(key));
        self.note_room();
        self.publish();
        self.write_high_watermark();
        if done.iter().any(|done| matches!(done, CommandOutcome::Appended(Ok(_)))) {
            self.shared.failing.set(None);
        }
        // The batch is stored in a file that a restart would not find.
        let misplaced = if done.is_empty() {
            None
        } else {
            self.files.check().err().map(|error| error.to_string())
        };
        step(has_events, "published");
        for (command, done) in group.drain(..).zip(done) {
            match (done, &misplaced) {
                (CommandOutcome::Appended(Ok(_)), Some(reason)) => {
                    command.fail(reason, Fault::Other);
                }
                (done, _) => command.succeed(done),
            }
        }
        Ok(more_to_trim || more_to_evict)
    }

    /// Publishes the last readable position and the bytes in use.
    pub(crate) fn publish(&mut self) {
        self.measure();
        self.shared.dedup_ids.store(self.log.dedup.len(), Ordering::Relaxed);
        let quarantined = self.log.room.used();
        self.shared
            .quarantined
            .send_if_modified(|known| std::mem::replace(known, quarantined) != quarantined);
        let head = self.log.next - 1;
        self.shared.head.send_if_modified(|known| std::mem::replace(known, head) != head);
    }

    pub(crate) fn is_damaged(&self) -> bool {
        self.shared.damaged.load(Ordering::Relaxed)
    }

    fn close(mut self) {
        let checkpoint = self.checkpoint("TRUNCATE");
        self.sync_high_watermark();
        if checkpoint.is_ok()
            && let Err((_, error)) = self.connection.close()
        {
            tracing::error!(%error, "the spool did not close cleanly; nothing is lost");
        }
        drop(self.files);
    }

    /// Ends without closing the files, which would write to them once more.
    #[expect(clippy::mem_forget, reason = "dropping the connection is what must not happen")]
    fn abandon(self) {
        std::mem::forget((self.connection, self.files));
    }
}

/// Reports a step of a commit with events.
fn step(has_events: bool, step: &'static str) {
    if has_events {
        spans::step(step);
    }
}

/// Returns the first command within `timeout` and all others waiting by then. The second value is true if no
/// command follows.
fn next_group(
    receive: impl Fn(Duration) -> Result<WriterCommand, RecvTimeoutError>,
    timeout: Duration,
) -> (Vec<WriterCommand>, bool) {
    let mut group = Vec::new();
    let (mut size, mut may_wait) = (0, true);
    let mut next = match receive(timeout) {
        Ok(command) => Some(command),
        Err(RecvTimeoutError::Timeout) => None,
        Err(RecvTimeoutError::Disconnected) => return (group, true),
    };
    while let Some(command) = next {
        if matches!(command, WriterCommand::Close) {
            return (group, true);
        }
        size += command.size(u64::MAX);
        group.push(command);
        next = if size < GROUP_BYTES { receive(Duration::ZERO).ok() } else { None };
        if next.is_none() && may_wait && group.iter().all(WriterCommand::is_cursor) {
            may_wait = false;
            next = receive(CURSOR_WAIT).ok();
        }
    }
    (group, false)
}

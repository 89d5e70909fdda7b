//! The writer thread: takes what waits, commits it once, answers everyone, then tidies up.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};

use super::command::{Command, Done};
use super::fault::{self, Fault};
use super::group::{Group, Log};
use super::mark::Keeper;
use super::schema::PAGE_SIZE;
use super::{Clock, Shared, trim};
use crate::spool::Settings;

/// Bytes of batches that share one commit at most.
const GROUP_BYTES: u64 = 4 * 1024 * 1024;

/// Bytes written to the WAL after which it is written back.
const CHECKPOINT_BYTES: u64 = 4 * 1024 * 1024;

/// Pages a commit writes besides what it adds: the inner pages and the small tables.
const COMMIT_OVERHEAD: u64 = 6 * PAGE_SIZE;

/// How often retention and the dedup window are looked after while nothing else happens.
const TICK: Duration = Duration::from_secs(1);

/// How long cursors wait for events to be committed with: they are in no hurry, and a sync of their own
/// would hold up the events that come next.
const CURSOR_PATIENCE: Duration = Duration::from_millis(4);

/// Percent of `max_size` at which appends are refused, and at which they are taken again, or when no event is
/// left. What is above the high mark is for cursors, dead letters and the removal of what was delivered.
const HIGH_WATER: u64 = 95;
const LOW_WATER: u64 = 70;

pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) log: Log,
    pub(super) mark: Keeper,
    pub(super) settings: Settings,
    pub(super) clock: Clock,
    pub(super) shared: Arc<Shared>,
    pub(super) directory: PathBuf,
    /// Held for as long as the writer lives; released by the system when the process dies.
    pub(super) lock: std::fs::File,
}

/// The process has to end.
struct MustEnd;

/// Reports the writer's end where that is a panic.
struct EndsWithPanic(Arc<Shared>);

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
    /// Works until told to close, or until the store fails for good. `receive` waits for the next command
    /// for as long as it is told.
    pub(super) fn run(mut self, receive: impl Fn(Duration) -> Result<Command, RecvTimeoutError>) {
        // Without its writer the service can only refuse; a new process can do better.
        let _guard = EndsWithPanic(Arc::clone(&self.shared));
        let (mut unwritten, mut more_to_trim) = (0, false);
        loop {
            let patience = if more_to_trim { Duration::ZERO } else { TICK };
            let (group, closing) = next_group(&receive, patience);
            let room = self.log.room.left();
            let size = group.iter().map(|command| command.size(room)).sum::<u64>();
            let is_idle = group.is_empty() && !more_to_trim;
            match self.commit(group) {
                Ok(more) => more_to_trim = more,
                Err(MustEnd) => return self.abandon(),
            }
            unwritten += size + COMMIT_OVERHEAD;
            if unwritten >= CHECKPOINT_BYTES {
                unwritten = 0;
                if self.checkpoint("PASSIVE").is_err() {
                    return self.abandon();
                }
                self.sync_mark();
            } else if is_idle {
                self.sync_mark();
            }
            if closing {
                return self.close();
            }
        }
    }

    /// Commits a group and answers everyone in it. Tells whether there is more to trim.
    fn commit(&mut self, group: Vec<Command>) -> Result<bool, MustEnd> {
        let mut group = self.refuse_if_full(group);
        loop {
            let error = match self.try_commit(&mut group) {
                Ok(more) => return Ok(more),
                Err(error) => error,
            };
            self.log.dedup.roll_back_to(0);
            let fault = fault::classify(&error);
            if fault::is_damaged(&error) && !self.is_damaged() {
                // What is stored last may be as it should be: only old rows are left alone from now on.
                self.report_damage(&error);
                continue;
            }
            if group.iter().any(Command::is_append) {
                self.shared.set_failing(Some(error.to_string()));
            }
            if fault != Fault::Fatal && group.iter().any(Command::is_append) {
                // Cursors and removals make room, so they get a try without the appends.
                tracing::error!(%error, "the spool could not store events; they were not acknowledged");
                let (appends, rest): (Vec<_>, Vec<_>) =
                    group.into_iter().partition(Command::is_append);
                appends.into_iter().for_each(|append| append.fail(&error, fault));
                group = rest;
                continue;
            }
            tracing::error!(%error, "the spool could not commit");
            if fault == Fault::Fatal {
                self.report_failed_sync(&error);
            }
            group.into_iter().for_each(|command| command.fail(&error, fault));
            return if fault == Fault::Fatal { Err(MustEnd) } else { Ok(false) };
        }
    }

    /// One transaction for the whole group, which is emptied only if it succeeds.
    fn try_commit(&mut self, group: &mut Vec<Command>) -> rusqlite::Result<bool> {
        let now = (self.clock)();
        let Writer { connection, log, settings, shared, mark, .. } = self;
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut work = Group::new(&tx, now, log);
        let (mut done, mut sinks): (_, Option<Vec<_>>) = (Vec::with_capacity(group.len()), None);
        for command in group.iter() {
            done.push(match command {
                Command::Append { batch, .. } => {
                    Done::Appended(work.append(&mut log.dedup, batch)?)
                }
                Command::Register { sinks: asked, .. } => {
                    sinks = Some(asked.iter().map(|(sink, _)| Arc::clone(sink)).collect());
                    let registered = asked.iter().map(|(sink, start)| work.register(sink, *start));
                    Done::Registered(registered.collect::<Result<_, _>>()?)
                }
                Command::Pause { sink, is_paused, .. } => {
                    work.pause(sink, *is_paused)?;
                    Done::Moved(Ok(()))
                }
                Command::Commit { sink, position, tally, dead_letters, .. } => {
                    Done::Moved(work.move_cursor(sink, *position, *tally, dead_letters)?)
                }
                Command::Remove { ids, .. } => Done::Removed(work.purge(ids)?),
                Command::Close => Done::Moved(Ok(())),
            });
        }
        let (next, room) = (work.next, work.room);
        let is_damaged = shared.damaged.load(Ordering::Relaxed);
        let evicted = if is_damaged { Vec::new() } else { work.evict(log, settings)? };
        // What everyone has is kept for its time only while there is room for what nobody has.
        let is_tight = shared.used.load(Ordering::Relaxed) > settings.max_size / 100 * LOW_WATER;
        let keep = if is_tight { Duration::ZERO } else { settings.retention };
        // Sinks that begin with this commit hold back already what it could remove.
        let holding: &[Arc<str>] = sinks.as_deref().unwrap_or(&log.sinks);
        let (removed, more_to_trim) =
            if is_damaged { (None, false) } else { trim::trim(&tx, holding, now, keep)? };
        let trimmed = removed.unwrap_or(log.trimmed);
        work.finish(log, trimmed)?;
        tx.commit()?;

        log.next = next;
        log.room = room;
        log.trimmed = trimmed;
        if let Some(sinks) = sinks {
            log.sinks = sinks;
        }
        mark.write(log.mark(is_damaged));
        log.dedup.settle();
        evicted.into_iter().for_each(|key| log.dedup.remove(key));
        self.note_room();
        self.publish();
        if done.iter().any(|done| matches!(done, Done::Appended(Ok(_)))) {
            self.shared.set_failing(None);
        }
        for (command, done) in group.drain(..).zip(done) {
            command.succeed(done);
        }
        Ok(more_to_trim)
    }

    /// Takes the appends out that would pass the high-water mark, and refuses them.
    fn refuse_if_full(&self, group: Vec<Command>) -> Vec<Command> {
        let mark = |percent: u64| self.settings.max_size / 100 * percent;
        // What the quarantine will not take must not seem to fill the spool.
        let room = self.log.room.left();
        let mut used = self.shared.used.load(Ordering::Relaxed);
        let was_full = self.shared.full.load(Ordering::Relaxed);
        // What ids and the quarantine take does not go with the events.
        let has_events = self.log.trimmed + 1 < self.log.next;
        let low = if has_events { LOW_WATER } else { HIGH_WATER };
        let mut full = was_full && used > mark(low);
        let mut taken = Vec::with_capacity(group.len());
        for command in group {
            full |= command.is_append()
                && !command.is_copy()
                && used + command.size(room) > mark(HIGH_WATER);
            // Copies must neither push out what they are made of nor keep new events out.
            let is_too_much = command.is_copy() && used + command.size(room) > mark(LOW_WATER);
            if (full && command.is_append()) || is_too_much {
                command.refuse();
            } else {
                used += command.size(room);
                taken.push(command);
            }
        }
        if full != was_full {
            self.shared.full.store(full, Ordering::Relaxed);
            if full {
                tracing::error!(
                    used_bytes = used,
                    max_size_bytes = self.settings.max_size,
                    "the spool is full: answering 503 until the sinks have caught up"
                );
            } else {
                tracing::info!(used_bytes = used, "the spool has room again");
            }
        }
        taken
    }

    /// Says, once each time, that the quarantine has no room for something, and that it has again.
    fn note_room(&mut self) {
        let is_full = self.log.room.is_full();
        let used = self.log.room.used();
        if self.shared.quarantine_full.swap(is_full, Ordering::Relaxed) == is_full {
            return;
        }
        if is_full {
            tracing::error!(
                used_bytes = used,
                max_size_bytes = self.settings.quarantine_max_size,
                "the quarantine is full: batches that would add to it are answered with 503 and kept by \
                 PingOne, and sinks wait with what their targets refuse; the rest goes on. See davinci-siem \
                 quarantine list, then retry or purge entries, or raise spool.quarantine_max_size"
            );
        } else {
            tracing::info!(used_bytes = used, "the quarantine has room again");
        }
    }

    /// Tells the rest of the process what is readable and how much is used.
    pub(super) fn publish(&self) {
        let pragma = |name| self.connection.pragma_query_value(None, name, |row| row.get(0));
        if let (Ok(pages), Ok(free)) = (pragma("page_count"), pragma("freelist_count")) {
            let (pages, free): (u64, u64) = (pages, free);
            self.shared.used.store(pages.saturating_sub(free) * PAGE_SIZE, Ordering::Relaxed);
        }
        self.shared.dedup_ids.store(self.log.dedup.len(), Ordering::Relaxed);
        let quarantined = self.log.room.used();
        self.shared
            .quarantined
            .send_if_modified(|known| std::mem::replace(known, quarantined) != quarantined);
        let head = self.log.next - 1;
        self.shared.head.send_if_modified(|known| std::mem::replace(known, head) != head);
    }

    /// Writes the WAL back into the database file.
    fn checkpoint(&self, mode: &str) -> Result<(), MustEnd> {
        let result =
            self.connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()));
        let Err(error) = result else { return Ok(()) };
        if fault::classify(&error) == Fault::Fatal {
            self.report_failed_sync(&error);
            return Err(MustEnd);
        }
        tracing::warn!(%error, "the spool could not write its WAL back; it will try again");
        Ok(())
    }

    fn is_damaged(&self) -> bool {
        self.shared.damaged.load(Ordering::Relaxed)
    }

    /// Has the next start repair what this one cannot.
    fn report_damage(&mut self, error: &rusqlite::Error) {
        tracing::error!(
            %error,
            "a page of the spool is broken; nothing is removed from it until it is repaired. Start the \
             service again, or stop it and run davinci-siem spool repair"
        );
        self.shared.damaged.store(true, Ordering::Relaxed);
        self.mark.write(self.log.mark(true));
        self.mark.sync();
    }

    fn sync_mark(&mut self) {
        if self.settings.sync {
            self.mark.sync();
        }
    }

    fn report_failed_sync(&self, error: &rusqlite::Error) {
        self.shared.fatal.send_replace(Some(format!(
            "a sync of the spool in {} failed ({error}). What reached the disk is unknown, so the \
             process ends; it recovers when it is started again. Check the disk",
            self.directory.display()
        )));
    }

    fn close(mut self) {
        let checkpoint = self.checkpoint("TRUNCATE");
        self.sync_mark();
        if checkpoint.is_ok()
            && let Err((_, error)) = self.connection.close()
        {
            tracing::error!(%error, "the spool did not close cleanly; nothing is lost");
        }
        drop(self.lock);
    }

    /// Leaves everything as it is: closing the files would write to them once more.
    #[expect(clippy::mem_forget, reason = "dropping the connection is what must not happen")]
    fn abandon(self) {
        std::mem::forget(self.connection);
    }
}

/// The first command that comes within `patience`, and what else waits by then. The second value
/// tells that nothing comes after these.
fn next_group(
    receive: impl Fn(Duration) -> Result<Command, RecvTimeoutError>,
    patience: Duration,
) -> (Vec<Command>, bool) {
    let mut group = Vec::new();
    let (mut size, mut is_patient) = (0, true);
    let mut next = match receive(patience) {
        Ok(command) => Some(command),
        Err(RecvTimeoutError::Timeout) => None,
        Err(RecvTimeoutError::Disconnected) => return (group, true),
    };
    while let Some(command) = next {
        if matches!(command, Command::Close) {
            return (group, true);
        }
        size += command.size(u64::MAX);
        group.push(command);
        next = if size < GROUP_BYTES { receive(Duration::ZERO).ok() } else { None };
        if next.is_none() && is_patient && group.iter().all(Command::is_cursor) {
            is_patient = false;
            next = receive(CURSOR_PATIENCE).ok();
        }
    }
    (group, false)
}

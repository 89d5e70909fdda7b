//! The task that makes summaries: reads the spool, appends summaries to it, and moves its cursor.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::analytics::FlowAnalytics;
use super::covered::CoveredRanges;
use super::document;
use super::table::{EndReason, EndedInteraction};
use super::tracker::Tracker;
use super::{CURSOR_NAME, InteractionsConfig, SUMMARY_SOURCE};
use crate::decode;
use crate::event::{Outcome, OutcomeWords};
use crate::metrics::{Metrics, SharedMetrics};
use crate::shutdown::Shutdown;
use crate::spool::{
    AppendError, Batch, Clock, CommitError, Disposition, Read, ReadError, Reader, Spool, Tally,
};

/// Stored bytes per read.
const READ_BYTES: usize = 1024 * 1024;

/// Maximum number of summaries per append.
const BATCH_SUMMARIES: usize = 500;

/// Longest and shortest interval of timeouts and of moves of the cursor: a quarter of `settle`.
const MAX_TICK: Duration = Duration::from_secs(1);
const MIN_TICK: Duration = Duration::from_millis(10);

/// Longest interval while the spool has little room.
const TIGHT_TICK: Duration = Duration::from_millis(100);

/// Wait before the spool is accessed again after a failure.
const RETRY_WAIT: Duration = Duration::from_secs(1);

/// Task that makes summaries.
pub struct Summariser {
    config: InteractionsConfig,
    outcomes: Arc<OutcomeWords>,
    spool: Arc<Spool>,
    reader: Reader,
    cursor: u64,
    /// Sinks of the configuration.
    sinks: watch::Receiver<Vec<Arc<str>>>,
    name: Arc<str>,
    source: Arc<str>,
    analytics: Arc<FlowAnalytics>,
    metrics: SharedMetrics,
    clock: Clock,
}

impl std::fmt::Debug for Summariser {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Summariser").field("cursor", &self.cursor).finish_non_exhaustive()
    }
}

/// Shutdown has begun, or the spool is closed.
#[derive(Debug)]
struct SummariserStopped;

impl Summariser {
    /// Creates the task, which starts after `cursor`.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the spool cannot be read.
    pub fn new(
        config: InteractionsConfig,
        outcomes: Arc<OutcomeWords>,
        spool: Arc<Spool>,
        cursor: u64,
        analytics: Arc<FlowAnalytics>,
        metrics: SharedMetrics,
        clock: Clock,
    ) -> Result<Summariser, ReadError> {
        create_series(&metrics);
        Ok(Summariser {
            config,
            outcomes,
            reader: spool.reader(CURSOR_NAME)?,
            spool,
            cursor,
            sinks: watch::channel(Vec::new()).1,
            name: CURSOR_NAME.into(),
            source: SUMMARY_SOURCE.into(),
            analytics,
            metrics,
            clock,
        })
    }

    /// Sets the sinks whose cursors keep events in the spool: those of the configuration.
    #[must_use]
    pub fn with_sinks(self, sinks: watch::Receiver<Vec<Arc<str>>>) -> Summariser {
        Summariser { sinks, ..self }
    }

    /// Makes summaries until shutdown. Open interactions stay open: the next process continues them.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: the log is the only state.
    pub async fn run(self, mut shutdown: Shutdown) {
        let Ok(covered) = self.covered(&mut shutdown).await else { return };
        let outcomes = Arc::clone(&self.outcomes);
        let tracker = Tracker::new(&self.config, outcomes, covered, self.cursor);
        // The loop ends only by an error.
        drop(self.follow(tracker, &mut shutdown).await);
    }

    /// Finds the summaries in the log after the cursor.
    async fn covered(&self, shutdown: &mut Shutdown) -> Result<CoveredRanges, SummariserStopped> {
        let (mut covered, mut after) = (CoveredRanges::default(), self.cursor);
        loop {
            let reads = self.read(after, shutdown).await?;
            let Some(last) = reads.last() else { return Ok(covered) };
            after = position(last);
            let noted = tokio::task::spawn_blocking(move || {
                for read in &reads {
                    if let Read::Event(stored) = read
                        && *stored.source == *SUMMARY_SOURCE
                        && let Ok(typed) = decode::event(&stored.bytes)
                    {
                        covered.note(&typed.event);
                    }
                }
                covered
            });
            covered = joined(noted.await);
        }
    }

    /// Follows the log. Timeouts and the cursor wait for the next tick. The clock counts only at the end of the log:
    /// before it, later events of an interaction may be waiting.
    async fn follow(
        &self,
        mut tracker: Tracker,
        shutdown: &mut Shutdown,
    ) -> Result<(), SummariserStopped> {
        let mut head = self.reader.head();
        let tick = (self.config.settle / 4).clamp(MIN_TICK, MAX_TICK);
        let mut next_tick = Instant::now() + tick;
        loop {
            head.borrow_and_update();
            let reads = self.read(tracker.read(), shutdown).await?;
            let is_at_end = reads.is_empty();
            if !is_at_end {
                let clock = (self.clock)();
                let taken = tokio::task::spawn_blocking(move || {
                    let damaged = tracker.take(&reads, clock);
                    (tracker, damaged)
                });
                let damaged;
                (tracker, damaged) = joined(taken.await);
                self.metrics.damaged.with_label_values(&[CURSOR_NAME]).inc_by(damaged);
                self.append(&mut tracker, shutdown).await?;
            }
            if Instant::now() >= next_tick {
                if is_at_end {
                    tracker.tick((self.clock)());
                }
                let is_tight = self.make_room(&mut tracker).await;
                self.append(&mut tracker, shutdown).await?;
                self.commit(tracker.take_passed(), shutdown).await?;
                self.metrics.open_interactions.set(tracker.open() as i64);
                next_tick = Instant::now() + if is_tight { tick.min(TIGHT_TICK) } else { tick };
            }
            if is_at_end {
                tokio::select! {
                    changed = head.changed() => changed.map_err(|_| SummariserStopped)?,
                    () = sleep_until(next_tick) => {}
                    () = shutdown.begun() => return Err(SummariserStopped),
                }
            }
        }
    }

    /// Reads the events after a position. Retries until shutdown.
    async fn read(
        &self,
        after: u64,
        shutdown: &mut Shutdown,
    ) -> Result<Vec<Read>, SummariserStopped> {
        loop {
            if shutdown.has_begun() {
                return Err(SummariserStopped);
            }
            match self.reader.read(after, READ_BYTES).await {
                Ok(reads) => return Ok(reads),
                Err(error) => {
                    tracing::error!(%error, "cannot read the spool for summaries of interactions; retrying");
                    pause(shutdown).await?;
                }
            }
        }
    }

    /// Ends some interactions early if the spool has little room and only the summariser's cursor keeps events from
    /// being trimmed. Returns true if the spool has little room.
    async fn make_room(&self, tracker: &mut Tracker) -> bool {
        if !self.spool.is_tight() {
            return false;
        }
        // Without the cursors of the sinks, nothing is ended early; the next tick asks again.
        let Ok(stats) = self.spool.stats().await else { return true };
        // The cursor of a sink that was removed from the configuration keeps no event.
        let sinks = self.sinks.borrow().clone();
        let is_configured = |sink: &str| sinks.iter().any(|name| **name == *sink);
        let sinks = stats.sinks.iter().filter(|sink| is_configured(&sink.sink));
        let lowest = sinks.map(|sink| sink.cursor).min();
        tracker.release(lowest.unwrap_or(stats.head));
        true
    }

    /// Appends the summaries of the interactions that have ended. Retries until shutdown: the cursor must not pass
    /// their events before.
    async fn append(
        &self,
        tracker: &mut Tracker,
        shutdown: &mut Shutdown,
    ) -> Result<(), SummariserStopped> {
        let mut rest = tracker.take_ended();
        while !rest.is_empty() {
            let later = rest.split_off(rest.len().min(BATCH_SUMMARIES));
            let part = std::mem::replace(&mut rest, later);
            let first = part.iter().chain(&rest).map(|ended| ended.run.first).min();
            let first = first.unwrap_or(u64::MAX);
            self.append_part(&part, (tracker, first), shutdown).await?;
        }
        Ok(())
    }

    /// Appends a part. `first` is the first position of all interactions that wait for their summaries.
    async fn append_part(
        &self,
        part: &[EndedInteraction],
        (tracker, first): (&mut Tracker, u64),
        shutdown: &mut Shutdown,
    ) -> Result<(), SummariserStopped> {
        let (mut left, mut copy): (Vec<&EndedInteraction>, u32) = (part.iter().collect(), 0);
        // After a failure, a summary may be stored.
        let mut has_failed = false;
        loop {
            let now = (self.clock)();
            let batch = Batch {
                source: Arc::clone(&self.source),
                received_at: now,
                events: left.iter().map(|ended| document::event(ended, copy)).collect(),
                is_derived: true,
                ..Batch::default()
            };
            match self.spool.append(batch.prepare()).await {
                Ok(receipt) => {
                    for (disposition, count) in [
                        (Disposition::Accepted, receipt.accepted),
                        (Disposition::Duplicate, receipt.duplicates),
                    ] {
                        let labels = [SUMMARY_SOURCE, disposition.as_str()];
                        self.metrics.events.with_label_values(&labels).inc_by(count);
                    }
                    // The log has no readable summary of these events, or they would not be open. Its key was
                    // stored with a summary that is corrupt now.
                    let repeated = if has_failed { Vec::new() } else { receipt.repeated };
                    let is_repeated = |index: usize| repeated.contains(&(index as u32));
                    let (again, stored): (Vec<_>, Vec<_>) =
                        left.into_iter().enumerate().partition(|(index, _)| is_repeated(*index));
                    stored.into_iter().for_each(|(_, ended)| self.count(ended, now));
                    if again.is_empty() {
                        return Ok(());
                    }
                    left = again.into_iter().map(|(_, ended)| ended).collect();
                    copy += 1;
                }
                Err(AppendError::Closed) => return Err(SummariserStopped),
                Err(error) => {
                    if !std::mem::replace(&mut has_failed, true) {
                        tracing::error!(%error, "cannot store summaries of interactions; retrying");
                    }
                    // The disk may be full: trimming the events before these interactions makes room.
                    self.commit_before(tracker, first).await;
                    pause(shutdown).await?;
                }
            }
        }
    }

    /// Counts a stored summary.
    fn count(&self, ended: &EndedInteraction, now: i64) {
        let outcome = document::outcome(&ended.run);
        let labels = [ended.ended_by.as_str(), outcome.as_str()];
        self.metrics.interactions.with_label_values(&labels).inc();
        if ended.run.outcome.is_some() {
            let seconds = document::duration(&ended.run).max(0) as f64 / 1000.0;
            self.metrics.interaction_seconds.observe(seconds);
        }
        self.analytics.count(ended, now);
    }

    /// Moves the cursor as far as the interactions allow whose summaries are not stored yet. Tries once.
    async fn commit_before(&self, tracker: &mut Tracker, first: u64) {
        let Some((position, tally)) = tracker.take_passed_before(first) else { return };
        match self.spool.commit(&self.name, position, tally, Vec::new()).await {
            Ok(()) => self.count_passed(tally),
            Err(error) => {
                tracing::debug!(%error, "cannot move the cursor of the summaries of interactions");
                tracker.restore((position, tally));
            }
        }
    }

    fn count_passed(&self, tally: Tally) {
        for (disposition, count) in tally.counts() {
            let labels = [CURSOR_NAME, disposition.as_str()];
            self.metrics.sink_events.with_label_values(&labels).inc_by(count);
        }
    }

    /// Moves the cursor. A failed move is made up for by a later one.
    async fn commit(
        &self,
        passed: Option<(u64, Tally)>,
        shutdown: &mut Shutdown,
    ) -> Result<(), SummariserStopped> {
        let Some((position, tally)) = passed else { return Ok(()) };
        loop {
            match self.spool.commit(&self.name, position, tally, Vec::new()).await {
                Ok(()) => {
                    self.count_passed(tally);
                    return Ok(());
                }
                Err(CommitError::Closed) => return Err(SummariserStopped),
                Err(error) => {
                    tracing::error!(%error, "cannot move the cursor of the summaries of interactions; retrying");
                    pause(shutdown).await?;
                }
            }
        }
    }
}

/// Creates every series with fixed labels: Prometheus `increase()` needs an initial 0 sample.
fn create_series(metrics: &Metrics) {
    for ended_by in EndReason::ALL {
        for outcome in [Outcome::Success, Outcome::Failure, Outcome::Unknown] {
            metrics.interactions.with_label_values(&[ended_by.as_str(), outcome.as_str()]);
        }
    }
    metrics.events.with_label_values(&[SUMMARY_SOURCE, Disposition::Accepted.as_str()]);
    metrics.damaged.with_label_values(&[CURSOR_NAME]);
}

/// Waits before the next attempt.
async fn pause(shutdown: &mut Shutdown) -> Result<(), SummariserStopped> {
    tokio::select! {
        () = sleep(RETRY_WAIT) => Ok(()),
        () = shutdown.begun() => Err(SummariserStopped),
    }
}

/// Returns the task's result, or continues its panic: a bug must end the process.
fn joined<T>(done: Result<T, tokio::task::JoinError>) -> T {
    done.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// Last position of an entry of the log.
fn position(read: &Read) -> u64 {
    match read {
        Read::Event(stored) => stored.position,
        Read::Damaged(damage) => damage.last,
        Read::Repeated(position) => *position,
    }
}

#[cfg(test)]
mod tests;

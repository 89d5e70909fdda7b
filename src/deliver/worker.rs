//! One sink's worker: its loop, its waiting, and what it reports.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::batch::{Batch, Settled};
use super::{Backoff, SinkState, SinkStatus};
use crate::config;
use crate::metrics::SharedMetrics;
use crate::shutdown::Shutdown;
use crate::sinks::{Deliver, Sink, Verdict};
use crate::spool::{CommitError, Door, Read, Reader, Spool};

/// Stored bytes read at a time.
const READ_BYTES: usize = 1024 * 1024;

/// A sink's worker.
#[derive(Debug)]
pub struct Worker {
    config: config::Sink,
    name: Arc<str>,
    sink: Sink,
    spool: Arc<Spool>,
    reader: Reader,
    head: watch::Receiver<u64>,
    status: Arc<SinkStatus>,
    metrics: SharedMetrics,
    /// Read, and not yet part of a batch.
    waiting: VecDeque<Read>,
    /// Position of the last event read.
    read: u64,
}

/// The worker has come to its end.
struct Stopped;

impl Worker {
    /// A worker for a sink whose cursor is known.
    pub fn new(
        config: config::Sink,
        spool: Arc<Spool>,
        reader: Reader,
        status: Arc<SinkStatus>,
        metrics: SharedMetrics,
    ) -> Worker {
        Worker {
            name: Arc::clone(&status.name),
            sink: Sink::new(&config.kind),
            head: spool.head(),
            read: status.cursor(),
            waiting: VecDeque::new(),
            config,
            spool,
            reader,
            status,
            metrics,
        }
    }

    /// Delivers until shutdown begins, and then what is spooled by then, for as long as the target
    /// takes it at the first attempt.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: what was sent and not committed is sent again.
    pub async fn run(mut self, mut shutdown: Shutdown) {
        while let Ok(batch) = self.next_batch(&mut shutdown).await {
            let (settled, stopped) = self.deliver(batch, &mut shutdown).await;
            if self.commit(settled, &mut shutdown).await.is_err() || stopped {
                break;
            }
        }
    }

    /// Waits for events and takes a batch of them.
    async fn next_batch(&mut self, shutdown: &mut Shutdown) -> Result<Batch, Stopped> {
        let mut backoff = self.backoff();
        while self.waiting.is_empty() {
            // Seen before looking, so that what is appended meanwhile wakes us.
            self.head.borrow_and_update();
            match self.reader.read(self.read, READ_BYTES).await {
                Ok(found) => self.waiting.extend(found),
                Err(error) => {
                    tracing::error!(sink = %self.name, %error, "cannot read the spool; trying again");
                    let attempts = backoff.attempts() + 1;
                    self.status.set(SinkState::Retrying { attempts, reason: error.to_string() });
                    self.pause(&mut backoff, None, shutdown).await?;
                    continue;
                }
            }
            if self.waiting.is_empty() {
                self.status.waits_since(None);
                if shutdown.has_begun() {
                    return Err(Stopped);
                }
                tokio::select! {
                    changed = self.head.changed() => changed.map_err(|_| Stopped)?,
                    () = shutdown.begun() => {}
                }
            }
        }
        self.note_what_was_read();
        Ok(Batch::take(&mut self.waiting, &self.config))
    }

    fn note_what_was_read(&mut self) {
        if let Some(read) = self.waiting.back() {
            self.read = match read {
                Read::Event(stored) => stored.position,
                Read::Damaged(damage) => damage.last,
            };
        }
        let first = self.waiting.iter().find_map(|read| match read {
            Read::Event(stored) => Some(stored.received_at),
            Read::Damaged(_) => None,
        });
        self.status.waits_since(first);
    }

    /// Sends until everything is settled or shutdown stops it. Returns the settled prefix.
    async fn deliver(&mut self, mut batch: Batch, shutdown: &mut Shutdown) -> (Settled, bool) {
        let mut backoff = self.backoff();
        while !batch.items.is_empty() {
            let verdicts = self.sink.deliver(&batch.items).await;
            let asked = self.report(&verdicts, backoff.attempts());
            batch.settle(verdicts, &self.name, backoff.attempts());
            if batch.items.is_empty() {
                break;
            }
            if shutdown.has_begun() || self.pause(&mut backoff, asked, shutdown).await.is_err() {
                return (batch.into_settled(), true);
            }
        }
        self.running();
        (batch.into_settled(), false)
    }

    /// Counts and shows what failed. Returns the wait that the target asks for.
    fn report(&self, verdicts: &[Verdict], attempts: u32) -> Option<Duration> {
        let mut asked = None;
        let mut state = None;
        for verdict in verdicts {
            let kind = match verdict {
                Verdict::Delivered => continue,
                Verdict::Rejected { .. } => "rejected",
                Verdict::Retry { after, reason } => {
                    asked = asked.max(*after);
                    let retrying =
                        || SinkState::Retrying { attempts: attempts + 1, reason: reason.clone() };
                    state.get_or_insert_with(retrying);
                    "retry"
                }
                Verdict::Fatal { reason } => {
                    // Whatever else was said, somebody is needed; until then, look rarely.
                    asked = Some(self.config.retry.max);
                    state = Some(SinkState::Paused { reason: reason.clone() });
                    "fatal"
                }
            };
            self.metrics.sink_failures.with_label_values(&[&*self.name, kind]).inc();
        }
        if let Some(state) = state {
            self.show(&state);
        }
        asked
    }

    fn show(&self, state: &SinkState) {
        let before = self.status.set(state.clone());
        match (&before, state) {
            (SinkState::Running, SinkState::Retrying { reason, .. }) => {
                tracing::warn!(sink = %self.name, reason, "delivery failed; trying again");
            }
            (SinkState::Running | SinkState::Retrying { .. }, SinkState::Paused { reason }) => {
                tracing::error!(sink = %self.name, reason, "delivery is paused; its events are kept");
            }
            _ => {}
        }
    }

    fn running(&self) {
        if self.status.set(SinkState::Running) != SinkState::Running {
            tracing::info!(sink = %self.name, "delivery goes on");
        }
    }

    /// Moves the cursor. A store that cannot commit is asked again: what was delivered stays so.
    async fn commit(&mut self, settled: Settled, shutdown: &mut Shutdown) -> Result<(), Stopped> {
        let Some(position) = settled.position else { return Ok(()) };
        let mut backoff = self.backoff();
        loop {
            let dead_letters = settled.dead_letters.clone();
            match self.spool.commit(&self.name, position, settled.tally, dead_letters).await {
                Ok(()) => break,
                Err(CommitError::Closed) => return Err(Stopped),
                Err(CommitError::Store(reason)) => {
                    tracing::error!(sink = %self.name, reason, "cannot move the cursor; trying again");
                    self.pause(&mut backoff, None, shutdown).await?;
                }
            }
        }
        self.status.settled(position);
        for (door, count) in [
            (Door::Delivered, settled.tally.delivered),
            (Door::Filtered, settled.tally.filtered),
            (Door::DeadLettered, settled.tally.dead_lettered),
        ] {
            self.metrics.sink_events.with_label_values(&[&*self.name, door.as_str()]).inc_by(count);
        }
        self.metrics.damaged.with_label_values(&[&self.name]).inc_by(settled.damaged);
        for (_, entry) in &settled.dead_letters {
            tracing::error!(
                sink = %self.name, reason = entry.reason, detail = entry.detail,
                "an event went to quarantine; see davinci-siem quarantine list"
            );
        }
        Ok(())
    }

    /// Waits before the next attempt, unless shutdown comes first.
    async fn pause(
        &self,
        backoff: &mut Backoff,
        asked: Option<Duration>,
        shutdown: &mut Shutdown,
    ) -> Result<(), Stopped> {
        let wait = backoff.next_wait(asked, &mut rand::rng());
        tokio::select! {
            () = tokio::time::sleep(wait) => Ok(()),
            () = shutdown.begun() => Err(Stopped),
        }
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(self.config.retry.min, self.config.retry.max)
    }
}

//! Worker of one sink: reads the spool, hands batches to the connections, and commits their results in order.

mod encoding;
mod handoff;
mod leadership;
mod plan;
mod ranges;
mod window;

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use tokio::sync::watch;
use tokio::task::JoinError;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use super::batch::{CommitPart, DeliveryBatch};
use super::connection::{BatchResult, SinkConnection};
use super::{Backoff, SinkState, SinkStatus};
use crate::deliver::SinkConfig;
use crate::metrics::SharedMetrics;
use crate::redact::Redaction;
use crate::shutdown::Shutdown;
use crate::spool::{Clock, CommitError, Millis, Read, Reader, SharedSinkState, Spool};
use encoding::Encoding;

/// Stored bytes per read.
const READ_BYTES: usize = 1024 * 1024;

/// Worker of one sink.
pub(crate) struct Worker {
    config: Arc<SinkConfig>,
    /// Settings that a reload replaces.
    configs: watch::Receiver<Arc<SinkConfig>>,
    redaction: Option<Arc<Redaction>>,
    name: Arc<str>,
    spool: Arc<Spool>,
    reader: Reader,
    head: watch::Receiver<u64>,
    status: Arc<SinkStatus>,
    metrics: SharedMetrics,
    clock: Clock,
    /// Events read, and not yet part of a batch.
    waiting: VecDeque<Read>,
    waiting_bytes: usize,
    /// Start of the wait for the next batch to fill.
    filling_since: Option<Instant>,
    /// Position of the last event read.
    read: u64,
    /// Batch being encoded.
    encoding: Option<Encoding>,
    /// Rest of a batch that its connection gave back. It goes before the next batch.
    returned: Option<DeliveryBatch>,
    /// Encoded batch that waits for an idle connection.
    ready: Option<DeliveryBatch>,
    /// Receive time of the first event of each batch in flight.
    in_flight: VecDeque<Option<Millis>>,
    idle: Vec<SinkConnection>,
    /// Cursor, pause flag and lease holder of the sink, if several receivers share the spool.
    shared: Option<watch::Receiver<SharedSinkState>>,
    /// True if the last access to the spool failed.
    has_failed: bool,
}

/// Running deliveries, in order.
type Deliveries = FuturesOrdered<AbortOnDropHandle<BatchResult>>;

/// Reason why delivery ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WorkerExit {
    /// Shutdown was requested, or the spool is closed.
    Stopped,
    /// Another receiver holds the sink's lease.
    Superseded,
}

impl Worker {
    /// Creates the worker of a sink that starts at the cursor in `status`.
    pub(crate) fn new(
        mut configs: watch::Receiver<Arc<SinkConfig>>,
        spool: Arc<Spool>,
        reader: Reader,
        status: Arc<SinkStatus>,
        metrics: SharedMetrics,
        clock: Clock,
    ) -> Worker {
        let config = Arc::clone(&configs.borrow_and_update());
        status.set_target(config.target.kind(), config.target.target());
        Worker {
            name: Arc::clone(&status.name),
            head: reader.head(),
            shared: spool.sink_state(&status.name),
            read: status.cursor(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            filling_since: None,
            encoding: None,
            returned: None,
            ready: None,
            in_flight: VecDeque::new(),
            idle: Vec::new(),
            has_failed: false,
            redaction: redaction_of(&config),
            config,
            configs,
            spool,
            reader,
            status,
            metrics,
            clock,
        }
    }

    /// Delivers from `self.read` on.
    async fn deliver(&mut self, shutdown: &mut Shutdown) -> WorkerExit {
        let mut deliveries = Deliveries::new();
        let mut has_more = true;
        while has_more || self.ready.is_some() || !deliveries.is_empty() {
            if self.has_new_config() {
                // What is under way is finished; the rest is read again and delivered with the new settings.
                self.forget_unsent();
                has_more = false;
                if deliveries.is_empty() {
                    break;
                }
            } else {
                self.begin_next(&mut deliveries, shutdown);
            }
            let mut shared = self.shared.clone();
            tokio::select! {
                biased;
                () = leadership::shared_state_changed(&mut shared) => {
                    self.shared = shared;
                    if self.follow_shared_state().is_some() {
                        return WorkerExit::Superseded;
                    }
                }
                Some(done) = deliveries.next(), if !deliveries.is_empty() => {
                    let BatchResult { connection, parts, is_stopped, remaining, .. } = joined(done);
                    self.idle.push(connection);
                    self.returned = remaining;
                    self.in_flight.pop_front();
                    if !is_stopped && !self.has_new_config() {
                        // The target works while the spool syncs the commit.
                        self.begin_next(&mut deliveries, shutdown);
                    }
                    if let Err(ended) = self.commit(parts, shutdown).await {
                        return ended;
                    }
                    if is_stopped {
                        break;
                    }
                    self.note_lag();
                }
                batch = self.next_batch(shutdown), if has_more && self.ready.is_none() => {
                    has_more = batch.is_ok();
                    self.ready = batch.ok();
                    self.note_next();
                }
            }
        }
        WorkerExit::Stopped
    }

    /// Hands the next batch to an idle connection, if there are both.
    fn begin_next(&mut self, deliveries: &mut Deliveries, shutdown: &Shutdown) {
        if !self.idle.is_empty()
            && let Some(batch) = self.take_next()
            && let Some(connection) = self.idle.pop()
        {
            self.in_flight.push_back(batch.received_at);
            self.note_next();
            self.note_lag();
            let delivery = connection.deliver(batch, shutdown.clone());
            deliveries.push_back(AbortOnDropHandle::new(tokio::spawn(delivery)));
        }
    }

    /// Waits for events and takes a batch of them. While all connections are busy, waits for a full batch, so
    /// that the batch is ready when a connection becomes idle.
    ///
    /// # Cancel safety
    ///
    /// Events that were read and a batch that is being encoded stay for the next call.
    async fn next_batch(&mut self, shutdown: &mut Shutdown) -> Result<DeliveryBatch, WorkerExit> {
        loop {
            if self.encoding.is_some() {
                self.read_ahead().await;
                return Ok(self.encoded().await);
            }
            let head = *self.head.borrow_and_update();
            self.read_on(shutdown).await?;
            let mut deadline = None;
            // Smallest head that is worth another read: any new event, or while a batch fills, a full batch.
            let mut enough = head + 1;
            if !self.waiting.is_empty() {
                let since = *self.filling_since.get_or_insert_with(Instant::now);
                let is_due = !self.idle.is_empty() && since.elapsed() >= self.config.batch.age;
                if is_due || self.is_full() || shutdown.has_begun() {
                    self.encode();
                    continue;
                }
                deadline = Some(since + self.config.batch.age).filter(|_| !self.idle.is_empty());
                let missing = self.config.batch.events - self.waiting.len();
                enough = enough.max(self.read + missing as u64);
            } else if shutdown.has_begun() {
                return Err(WorkerExit::Stopped);
            }
            let until_due = async {
                match deadline {
                    Some(deadline) => sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            let more = async {
                if !self.waiting.is_empty() {
                    return self.head.wait_for(|head| *head >= enough).await.map(drop);
                }
                // Any change counts: the head falls when a JetStream stream has lost its last messages.
                self.head.changed().await
            };
            tokio::select! {
                changed = more => changed.map_err(|_| WorkerExit::Stopped)?,
                () = until_due => {}
                () = shutdown.begun() => {}
            }
        }
    }

    /// Reads until a batch is full or the end of the log is reached.
    async fn read_on(&mut self, shutdown: &mut Shutdown) -> Result<(), WorkerExit> {
        let mut backoff = self.backoff();
        while !self.is_full() {
            match self.reader.read(self.read, READ_BYTES).await {
                Ok(found) => {
                    self.clear_failure();
                    if found.is_empty() {
                        break;
                    }
                    found.into_iter().for_each(|read| self.wait_with(read));
                }
                Err(error) => {
                    tracing::error!(sink = %self.name, %error, "cannot read the spool; retrying");
                    let attempts = backoff.attempts() + 1;
                    self.show_failure(attempts, error.to_string());
                    self.pause(&mut backoff, shutdown).await?;
                    // Events that were read before the failure are delivered now.
                    if !self.waiting.is_empty() {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    fn wait_with(&mut self, read: Read) {
        self.read = read.last_position();
        self.waiting_bytes += read.size();
        self.waiting.push_back(read);
        self.note_next();
    }

    fn is_full(&self) -> bool {
        let limits = self.config.batch;
        self.waiting.len() >= limits.events || self.waiting_bytes >= limits.bytes
    }

    /// Publishes the receive time of the oldest event that is not committed.
    fn note_lag(&self) {
        let in_flight = self.in_flight.iter().flatten().next().copied();
        let ready = || self.ready.as_ref().and_then(|batch| batch.received_at);
        let encoding = || self.encoding.as_ref().and_then(|encoding| encoding.received_at);
        let oldest = in_flight.or_else(ready).or_else(encoding);
        self.status.set_waiting_since(oldest.or_else(|| self.first_waiting()));
    }

    fn first_waiting(&self) -> Option<Millis> {
        self.waiting.iter().find_map(|read| match read {
            Read::Event(stored) => Some(stored.received_at),
            Read::Damaged(_) | Read::Repeated(_) => None,
        })
    }

    /// Commits the cursor. A failed commit is retried. If the quarantine is full, commits the parts before the
    /// first dead letter that does not fit, and retries when entries are removed.
    async fn commit(
        &mut self,
        mut parts: Vec<CommitPart>,
        shutdown: &mut Shutdown,
    ) -> Result<(), WorkerExit> {
        let mut backoff = self.backoff();
        let mut count = parts.len();
        while count > 0 {
            let merged = CommitPart::of(&parts[..count]);
            let Some(position) = merged.position else { break };
            // Read before the commit: entries removed in between are noticed.
            let mut room = self.spool.quarantine_size();
            let full = *room.borrow();
            let dead_letters = merged.dead_letters.clone();
            let record = merged.record.clone();
            match self.spool.commit(&self.name, position, record, dead_letters).await {
                Ok(()) => {
                    self.clear_failure();
                    backoff = self.backoff();
                    self.note_committed(position, &merged);
                    parts.drain(..count);
                }
                Err(CommitError::Closed) => return Err(WorkerExit::Stopped),
                Err(CommitError::Superseded) => return Err(WorkerExit::Superseded),
                Err(CommitError::QuarantineFull) if count > 1 => {
                    count /= 2;
                    continue;
                }
                Err(error) => {
                    let is_full = error == CommitError::QuarantineFull;
                    if !is_full || backoff.attempts() == 0 {
                        tracing::error!(sink = %self.name, %error, "cannot commit the cursor; retrying");
                    }
                    self.show_failure(backoff.attempts() + 1, error.to_string());
                    tokio::select! {
                        paused = self.pause(&mut backoff, shutdown) => paused?,
                        Ok(_) = room.wait_for(|size| *size < full), if is_full => {}
                    }
                }
            }
            count = parts.len();
        }
        Ok(())
    }

    /// Shows a failure of the spool as the worker's own state, beside those of the connections.
    fn show_failure(&mut self, attempts: u32, reason: String) {
        self.has_failed = true;
        self.status.set(self.config.concurrency, SinkState::Retrying { attempts, reason });
    }

    fn clear_failure(&mut self) {
        if std::mem::take(&mut self.has_failed) {
            self.status.set(self.config.concurrency, SinkState::Running);
        }
    }

    /// Waits for the backoff before the spool is accessed again.
    async fn pause(
        &self,
        backoff: &mut Backoff,
        shutdown: &mut Shutdown,
    ) -> Result<(), WorkerExit> {
        let wait = backoff.next_wait(None, &mut rand::rng());
        tokio::select! {
            () = sleep(wait) => Ok(()),
            () = shutdown.begun() => Err(WorkerExit::Stopped),
        }
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(self.config.retry.min, self.config.retry.max)
    }
}

/// Returns the rules of a sink's own `[redact]`.
fn redaction_of(config: &SinkConfig) -> Option<Arc<Redaction>> {
    config.redact.as_ref().map(Redaction::new).map(Arc::new)
}

/// Returns the task's result, or continues its panic: a bug must end the process.
fn joined<T>(done: Result<T, JoinError>) -> T {
    done.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

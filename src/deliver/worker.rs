//! One sink's worker: reads, hands batches to its connections, and commits what comes back, in order.

mod leadership;
mod settled;

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use super::batch::{Batch, Settled};
use super::connection::{Done, SinkConnection};
use super::{Backoff, SinkState, SinkStatus};
use crate::config;
use crate::metrics::SharedMetrics;
use crate::redact::Redaction;
use crate::shutdown::Shutdown;
use crate::sinks::SinkFinding;
use crate::spool::{CommitError, Millis, Read, Reader, SharedSinkState, Spool};

/// Stored bytes read at a time.
const READ_BYTES: usize = 1024 * 1024;

/// A sink's worker.
#[derive(Debug)]
pub struct Worker {
    config: Arc<config::Sink>,
    redaction: Option<Arc<Redaction>>,
    name: Arc<str>,
    spool: Arc<Spool>,
    reader: Reader,
    head: watch::Receiver<u64>,
    status: Arc<SinkStatus>,
    metrics: SharedMetrics,
    /// Read, and not yet part of a batch.
    waiting: VecDeque<Read>,
    /// Bytes of the events in `waiting`.
    waiting_bytes: usize,
    /// Since when something waits for its batch to fill.
    filling_since: Option<Instant>,
    /// Position of the last event read.
    read: u64,
    /// What waited, on its way to become a batch.
    encoding: Option<Encoding>,
    /// A batch that its connection has given back, which goes before the next.
    returned: Option<Batch>,
    /// The next batch, where all connections are busy.
    ready: Option<Batch>,
    /// When the first event of each batch under way was received.
    under_way: VecDeque<Option<Millis>>,
    idle: Vec<SinkConnection>,
    /// The sink's place, where receivers share it.
    place: Option<watch::Receiver<SharedSinkState>>,
    /// Whether the spool was in its way when it was last asked.
    is_troubled: bool,
}

/// Deliveries that have begun, in order.
type UnderWay = FuturesOrdered<AbortOnDropHandle<Done>>;

/// A batch that is made on another thread, with what is left over.
#[derive(Debug)]
struct Encoding {
    thread: JoinHandle<(Batch, VecDeque<Read>)>,
    /// When its first event was received.
    received_at: Option<Millis>,
}

/// Why a worker does not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// Shutdown has begun, or the spool is closed.
    Stopped,
    /// Another receiver delivers to the sink now.
    Superseded,
}

impl Worker {
    /// A worker for a sink whose cursor is known.
    pub fn new(
        config: config::Sink,
        spool: Arc<Spool>,
        reader: Reader,
        status: Arc<SinkStatus>,
        metrics: SharedMetrics,
    ) -> Worker {
        let config = Arc::new(config);
        Worker {
            name: Arc::clone(&status.name),
            head: reader.head(),
            place: spool.sink_state(&status.name),
            read: status.cursor(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            filling_since: None,
            encoding: None,
            returned: None,
            ready: None,
            under_way: VecDeque::new(),
            idle: Vec::new(),
            is_troubled: false,
            redaction: config.redact.as_ref().map(Redaction::new).map(Arc::new),
            config,
            spool,
            reader,
            status,
            metrics,
        }
    }

    /// Delivers from where it is.
    async fn deliver(&mut self, shutdown: &mut Shutdown) -> Ended {
        let mut under_way = UnderWay::new();
        let mut has_more = true;
        while has_more || self.ready.is_some() || !under_way.is_empty() {
            self.begin_next(&mut under_way, shutdown);
            let mut place = self.place.clone();
            tokio::select! {
                biased;
                () = leadership::moved(&mut place) => {
                    self.place = place;
                    if self.note_place().is_some() {
                        return Ended::Superseded;
                    }
                }
                Some(done) = under_way.next(), if !under_way.is_empty() => {
                    let Done { connection, settled, is_stopped, unsettled } = outcome(done);
                    self.idle.push(connection);
                    self.returned = unsettled;
                    self.under_way.pop_front();
                    if !is_stopped {
                        // The target need not wait for our disk.
                        self.begin_next(&mut under_way, shutdown);
                    }
                    if let Err(ended) = self.commit(settled, shutdown).await {
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
        Ended::Stopped
    }

    /// Hands the next batch to a connection that is idle, if there are both.
    fn begin_next(&mut self, under_way: &mut UnderWay, shutdown: &Shutdown) {
        if !self.idle.is_empty()
            && let Some(batch) = self.take_next()
            && let Some(connection) = self.idle.pop()
        {
            self.under_way.push_back(batch.received_at);
            self.note_next();
            self.note_lag();
            let delivering = connection.deliver(batch, shutdown.clone());
            under_way.push_back(AbortOnDropHandle::new(tokio::spawn(delivering)));
        }
    }

    /// Waits for events and takes a batch of them: a full one while all connections are busy, so that they need
    /// not wait for it then.
    ///
    /// # Cancel safety
    ///
    /// What was read stays for the next call, and a batch that is being made as well.
    async fn next_batch(&mut self, shutdown: &mut Shutdown) -> Result<Batch, Ended> {
        loop {
            if self.encoding.is_some() {
                return Ok(self.encoded().await);
            }
            let seen = *self.head.borrow_and_update();
            self.read_on(shutdown).await?;
            let mut deadline = None;
            // Worth looking again: something new, or while a batch fills, enough to make it full.
            let mut enough = seen + 1;
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
                return Err(Ended::Stopped);
            }
            let until_due = async {
                match deadline {
                    Some(deadline) => sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            let news = async {
                if !self.waiting.is_empty() {
                    return self.head.wait_for(|head| *head >= enough).await.map(drop);
                }
                // However it has moved: with a stream that has lost its end it falls.
                self.head.changed().await
            };
            tokio::select! {
                moved = news => moved.map_err(|_| Ended::Stopped)?,
                () = until_due => {}
                () = shutdown.begun() => {}
            }
        }
    }

    /// Reads until a batch is full or nothing more is there.
    async fn read_on(&mut self, shutdown: &mut Shutdown) -> Result<(), Ended> {
        let mut backoff = self.backoff();
        while !self.is_full() {
            match self.reader.read(self.read, READ_BYTES).await {
                Ok(found) => {
                    self.show_no_trouble();
                    if found.is_empty() {
                        break;
                    }
                    found.into_iter().for_each(|read| self.wait_with(read));
                }
                Err(error) => {
                    tracing::error!(sink = %self.name, %error, "cannot read the spool; trying again");
                    let attempts = backoff.attempts() + 1;
                    self.show_trouble(attempts, error.to_string());
                    self.pause(&mut backoff, shutdown).await?;
                    // What was read before is not kept waiting for what cannot be.
                    if !self.waiting.is_empty() {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    fn wait_with(&mut self, read: Read) {
        self.read = match &read {
            Read::Event(stored) => stored.position,
            Read::Damaged(damage) => damage.last,
        };
        self.waiting_bytes += size(&read);
        self.waiting.push_back(read);
        self.note_next();
    }

    fn is_full(&self) -> bool {
        let limits = self.config.batch;
        self.waiting.len() >= limits.events || self.waiting_bytes >= limits.bytes
    }

    /// Begins to make a batch of what waits. Some formats take a while for it, and whoever waits for an
    /// answer must not wait for that.
    fn encode(&mut self) {
        let (config, redaction) = (Arc::clone(&self.config), self.redaction.clone());
        let received_at = self.first_waiting();
        let mut waiting = std::mem::take(&mut self.waiting);
        let thread = tokio::task::spawn_blocking(move || {
            let batch = Batch::take(&mut waiting, &config, redaction.as_deref());
            (batch, waiting)
        });
        self.encoding = Some(Encoding { thread, received_at });
    }

    /// The batch that is being made. What is left over waits again.
    async fn encoded(&mut self) -> Batch {
        let Some(encoding) = &mut self.encoding else { return Batch::default() };
        let (batch, waiting) = outcome((&mut encoding.thread).await);
        self.encoding = None;
        self.waiting = waiting;
        self.waiting_bytes = self.waiting.iter().map(size).sum();
        self.filling_since = None;
        let notice = SinkFinding::Truncated.as_str();
        self.metrics
            .sink_findings
            .with_label_values(&[&*self.name, notice])
            .inc_by(batch.truncated);
        batch
    }

    /// Shows how old the oldest event is that is not settled.
    fn note_lag(&self) {
        let under_way = self.under_way.iter().flatten().next().copied();
        let ready = || self.ready.as_ref().and_then(|batch| batch.received_at);
        let encoding = || self.encoding.as_ref().and_then(|encoding| encoding.received_at);
        let oldest = under_way.or_else(ready).or_else(encoding);
        self.status.waits_since(oldest.or_else(|| self.first_waiting()));
    }

    fn first_waiting(&self) -> Option<Millis> {
        self.waiting.iter().find_map(|read| match read {
            Read::Event(stored) => Some(stored.received_at),
            Read::Damaged(_) => None,
        })
    }

    /// Moves the cursor. A store that cannot commit is asked again: what was delivered stays so. Where the
    /// quarantine is full, it stops before the first dead letter that finds no room, and goes on by itself.
    async fn commit(
        &mut self,
        mut parts: Vec<Settled>,
        shutdown: &mut Shutdown,
    ) -> Result<(), Ended> {
        let mut backoff = self.backoff();
        let mut count = parts.len();
        while count > 0 {
            let settled = Settled::of(&parts[..count]);
            let Some(position) = settled.position else { break };
            // Seen before it is asked for: room that is made meanwhile is not missed.
            let mut room = self.spool.quarantine_size();
            let full = *room.borrow();
            let dead_letters = settled.dead_letters.clone();
            match self.spool.commit(&self.name, position, settled.tally, dead_letters).await {
                Ok(()) => {
                    self.show_no_trouble();
                    backoff = self.backoff();
                    self.note_settled(position, &settled);
                    parts.drain(..count);
                }
                Err(CommitError::Closed) => return Err(Ended::Stopped),
                Err(CommitError::Superseded) => return Err(Ended::Superseded),
                Err(CommitError::QuarantineFull) if count > 1 => {
                    count /= 2;
                    continue;
                }
                Err(error) => {
                    let is_full = error == CommitError::QuarantineFull;
                    if !is_full || backoff.attempts() == 0 {
                        tracing::error!(sink = %self.name, %error, "cannot move the cursor; trying again");
                    }
                    self.show_trouble(backoff.attempts() + 1, error.to_string());
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

    /// Trouble with the spool is the worker's own, whatever its connections are doing.
    fn show_trouble(&mut self, attempts: u32, reason: String) {
        self.is_troubled = true;
        self.status.set(self.config.concurrency, SinkState::Retrying { attempts, reason });
    }

    fn show_no_trouble(&mut self) {
        if std::mem::take(&mut self.is_troubled) {
            self.status.set(self.config.concurrency, SinkState::Running);
        }
    }

    /// Waits before the store is asked again, unless shutdown comes first.
    async fn pause(&self, backoff: &mut Backoff, shutdown: &mut Shutdown) -> Result<(), Ended> {
        let wait = backoff.next_wait(None, &mut rand::rng());
        tokio::select! {
            () = sleep(wait) => Ok(()),
            () = shutdown.begun() => Err(Ended::Stopped),
        }
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(self.config.retry.min, self.config.retry.max)
    }
}

/// What panicked takes its worker along, and that the process: a bug must not go unnoticed.
fn outcome<T>(done: Result<T, JoinError>) -> T {
    done.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

fn size(read: &Read) -> usize {
    match read {
        Read::Event(stored) => stored.bytes.len(),
        Read::Damaged(damage) => damage.bytes.len(),
    }
}

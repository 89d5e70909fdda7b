//! Cached state of the streams, readable without a round trip to NATS.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::lease_store::{HeldLease, SinkLease};
use super::parallel::Outstanding;
use super::permissions::Denials;
use super::stream_identity::LeaderLag;
use crate::spool::SharedSinkState;

/// Time that a failure to store counts as lasting. A sender retries much sooner.
const FAILURE_LASTS: Duration = Duration::from_secs(30);

/// Time that the servers have to answer after a failure to count as healthy.
const RECOVERED_AFTER: Duration = Duration::from_secs(5);

/// Cached state of the streams.
#[derive(Debug)]
pub(super) struct StreamStatus {
    head: watch::Sender<u64>,
    full: AtomicBool,
    quarantine_full: AtomicBool,
    quarantine_size: watch::Sender<u64>,
    failing: Mutex<Option<(Instant, String)>>,
    pub(super) denials: Arc<Denials>,
    sinks: Mutex<HashMap<Arc<str>, Arc<SinkLeaseState>>>,
}

/// Last known lease of a sink, and the lease if this process holds it.
#[derive(Debug)]
pub(super) struct SinkLeaseState {
    seen: watch::Sender<SharedSinkState>,
    /// Revision of `seen`.
    revision: AtomicU64,
    /// Set while this process holds the lease. Locked during each change of the lease.
    pub(super) held_lease: tokio::sync::Mutex<Option<HeldLease>>,
    /// Storage times of messages that were read and not committed, by position.
    given: Mutex<VecDeque<(u64, i64)>>,
    pub(super) absence: Mutex<LeaderLag>,
    /// Messages that this process has taken and not acknowledged, where receivers deliver in parallel.
    pub(super) outstanding: Arc<Outstanding>,
}

impl SinkLeaseState {
    /// Records a message that was read, with its storage time.
    pub(super) fn give(&self, position: u64, at: i64) {
        self.given.lock().unwrap_or_else(PoisonError::into_inner).push_back((position, at));
    }

    /// Returns the storage time of the message at a position, 0 if unknown, and forgets earlier ones.
    pub(super) fn given(&self, position: u64) -> i64 {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        while given.front().is_some_and(|(first, _)| *first < position) {
            given.pop_front();
        }
        given.front().filter(|(first, _)| *first == position).map_or(0, |(_, at)| *at)
    }

    /// Returns the last position that was read and not committed; 0 if there is none.
    pub(super) fn read_up_to(&self) -> u64 {
        let given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        given.back().map_or(0, |(position, _)| *position)
    }

    /// Forgets the messages that were read.
    pub(super) fn forget(&self) {
        self.given.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Drops the lease, which no other process has taken: it has to be acquired again.
    pub(super) fn give_up(&self, held_lease: &mut Option<HeldLease>, reason: &str) {
        *held_lease = None;
        self.forget();
        self.seen.send_modify(|seen| seen.leader = Some(reason.to_owned()));
    }

    /// Watches the lease as other receivers see it.
    pub(super) fn seen(&self) -> watch::Receiver<SharedSinkState> {
        self.seen.subscribe()
    }

    /// Publishes a stored lease. Ignores an older revision from a lagging server.
    pub(super) fn show(&self, lease: &SinkLease, revision: u64, own: &str) {
        if self.revision.fetch_max(revision, Ordering::Relaxed) > revision {
            return;
        }
        let leader = lease.holder.clone().filter(|holder| holder != own);
        let (cursor, is_paused) = (lease.cursor, lease.is_paused);
        self.seen.send_if_modified(|seen| {
            let shown =
                SharedSinkState { cursor, is_paused, leader, trouble: seen.trouble.clone() };
            let has_changed = *seen != shown;
            *seen = shown;
            has_changed
        });
    }

    /// Publishes the reason why this process cannot acquire the lease; `None` if it can. Returns true if that is
    /// new.
    pub(super) fn show_trouble(&self, trouble: Option<String>) -> bool {
        self.seen.send_if_modified(|seen| {
            let has_changed = seen.trouble != trouble;
            seen.trouble = trouble;
            has_changed
        })
    }
}

impl StreamStatus {
    pub(super) fn new(head: u64, denials: Arc<Denials>) -> StreamStatus {
        StreamStatus {
            head: watch::Sender::new(head),
            full: AtomicBool::new(false),
            quarantine_full: AtomicBool::new(false),
            quarantine_size: watch::Sender::new(0),
            failing: Mutex::default(),
            denials,
            sinks: Mutex::default(),
        }
    }

    /// Watches the last known position.
    pub(super) fn head(&self) -> watch::Receiver<u64> {
        self.head.subscribe()
    }

    /// Records a position that the stream has reached.
    pub(super) fn note_head(&self, sequence: u64) {
        self.head.send_if_modified(|head| {
            let has_moved = sequence > *head;
            *head = sequence.max(*head);
            has_moved
        });
    }

    /// Returns the state of a sink of this process.
    pub(super) fn sink(&self, name: &str) -> Arc<SinkLeaseState> {
        let mut sinks = self.sinks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = sinks.get(name) {
            return Arc::clone(known);
        }
        let lease = SinkLeaseState {
            seen: watch::Sender::new(SharedSinkState::default()),
            revision: AtomicU64::new(0),
            held_lease: tokio::sync::Mutex::default(),
            given: Mutex::default(),
            absence: Mutex::default(),
            outstanding: Arc::default(),
        };
        Arc::clone(sinks.entry(name.into()).or_insert_with(|| Arc::new(lease)))
    }

    /// Returns the states of all sinks of this process.
    pub(super) fn sinks(&self) -> Vec<(Arc<str>, Arc<SinkLeaseState>)> {
        let sinks = self.sinks.lock().unwrap_or_else(PoisonError::into_inner);
        sinks.iter().map(|(name, sink)| (Arc::clone(name), Arc::clone(sink))).collect()
    }

    pub(super) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    pub(super) fn set_full(&self, is_full: bool) {
        self.full.store(is_full, Ordering::Relaxed);
    }

    pub(super) fn is_quarantine_full(&self) -> bool {
        self.quarantine_full.load(Ordering::Relaxed)
    }

    pub(super) fn set_quarantine_full(&self, is_full: bool) {
        self.quarantine_full.store(is_full, Ordering::Relaxed);
    }

    pub(super) fn quarantine_size(&self) -> watch::Receiver<u64> {
        self.quarantine_size.subscribe()
    }

    /// Records the quarantine's size. A smaller one means that there is room.
    pub(super) fn note_quarantine(&self, size: u64) {
        let before = self.quarantine_size.send_replace(size);
        if size < before {
            self.set_quarantine_full(false);
        }
    }

    /// Records that the servers answer and the stream has a leader, which clears an older failure.
    pub(super) fn set_answering(&self) {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        if failing.as_ref().is_some_and(|(at, _)| at.elapsed() >= RECOVERED_AFTER) {
            *failing = None;
        }
    }

    /// Resets the head of a stream that starts again.
    pub(super) fn reset_head(&self, sequence: u64) {
        self.head.send_replace(sequence);
    }

    /// Returns the reason of a recent failure to store events.
    pub(super) fn failing(&self) -> Option<String> {
        let failure = self.failing.lock().unwrap_or_else(PoisonError::into_inner).clone();
        failure.filter(|(at, _)| at.elapsed() < FAILURE_LASTS).map(|(_, error)| error)
    }

    pub(super) fn set_failing(&self, error: Option<String>) {
        let failure = error.map(|error| (Instant::now(), error));
        *self.failing.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }
}

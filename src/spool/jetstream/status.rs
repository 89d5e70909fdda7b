//! What the engine knows of the streams without asking, for whoever waits or must not wait.

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

/// How long a failure to store counts as lasting. A sender repeats much sooner.
const FAILURE_LASTS: Duration = Duration::from_secs(30);

/// How long the servers have to answer after a failure to count as being well.
const RECOVERED_AFTER: Duration = Duration::from_secs(5);

/// See the methods.
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

/// One sink's place, as it was seen last, and whether it is ours.
#[derive(Debug)]
pub(super) struct SinkLeaseState {
    seen: watch::Sender<SharedSinkState>,
    /// The revision of `seen`.
    revision: AtomicU64,
    /// Held while this process delivers to the sink. Whoever changes the place has it locked.
    pub(super) held_lease: tokio::sync::Mutex<Option<HeldLease>>,
    /// When the servers stored what was read and is not settled, by position.
    given: Mutex<VecDeque<(u64, i64)>>,
    pub(super) absence: Mutex<LeaderLag>,
    /// What this process has taken of it and not acknowledged, where receivers deliver in parallel.
    pub(super) outstanding: Arc<Outstanding>,
}

impl SinkLeaseState {
    /// A message was read, which the servers stored at this time.
    pub(super) fn give(&self, position: u64, at: i64) {
        self.given.lock().unwrap_or_else(PoisonError::into_inner).push_back((position, at));
    }

    /// When the message at a position was stored, and forgets what comes before; 0 if that is not known.
    pub(super) fn given(&self, position: u64) -> i64 {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        while given.front().is_some_and(|(first, _)| *first < position) {
            given.pop_front();
        }
        given.front().filter(|(first, _)| *first == position).map_or(0, |(_, at)| *at)
    }

    /// The position that was read last of what is not settled; 0 if nothing was.
    pub(super) fn read_up_to(&self) -> u64 {
        let given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        given.back().map_or(0, |(position, _)| *position)
    }

    /// Forgets what was read.
    pub(super) fn forget(&self) {
        self.given.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The place is not ours any more, though nobody has taken it: it has to be taken anew.
    pub(super) fn give_up(&self, held_lease: &mut Option<HeldLease>, reason: &str) {
        *held_lease = None;
        self.forget();
        self.seen.send_modify(|seen| seen.leader = Some(reason.to_owned()));
    }

    /// The place as others see it, to wait on.
    pub(super) fn seen(&self) -> watch::Receiver<SharedSinkState> {
        self.seen.subscribe()
    }

    /// The place is stored like this. What a server that is behind says of earlier is passed over.
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

    /// Shows why this process cannot deliver to the sink, whoever's turn it is; `None` if it can. Returns
    /// whether that is new.
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

    /// The position of the last event, as far as is known.
    pub(super) fn head(&self) -> watch::Receiver<u64> {
        self.head.subscribe()
    }

    /// The stream has come to here.
    pub(super) fn note_head(&self, sequence: u64) {
        self.head.send_if_modified(|head| {
            let has_moved = sequence > *head;
            *head = sequence.max(*head);
            has_moved
        });
    }

    /// A sink of this process.
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

    /// Every sink of this process.
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

    /// Bytes that the quarantine has now. Less than before is room.
    pub(super) fn note_quarantine(&self, size: u64) {
        let before = self.quarantine_size.send_replace(size);
        if size < before {
            self.set_quarantine_full(false);
        }
    }

    /// The servers answer, and one leads the stream. What failed a while ago says nothing any more.
    pub(super) fn set_answering(&self) {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        if failing.as_ref().is_some_and(|(at, _)| at.elapsed() >= RECOVERED_AFTER) {
            *failing = None;
        }
    }

    /// The stream begins again.
    pub(super) fn reset_head(&self, sequence: u64) {
        self.head.send_replace(sequence);
    }

    /// Why events could not be stored a moment ago.
    pub(super) fn failing(&self) -> Option<String> {
        let failure = self.failing.lock().unwrap_or_else(PoisonError::into_inner).clone();
        failure.filter(|(at, _)| at.elapsed() < FAILURE_LASTS).map(|(_, error)| error)
    }

    pub(super) fn set_failing(&self, error: Option<String>) {
        let failure = error.map(|error| (Instant::now(), error));
        *self.failing.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }
}

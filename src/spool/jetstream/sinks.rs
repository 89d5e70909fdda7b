//! The sinks of this process: the last known lease of each, and what it has read of the log.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::sink_lease::{HeldLease, ReadMessage, SinkLease};
use crate::spool::SharedSinkState;

/// Time for which an older revision is taken for the answer of a lagging server. After it, the bucket was recreated.
const REVISION_LAG: Duration = Duration::from_secs(3);

/// Sinks by name.
#[derive(Debug, Default)]
pub(super) struct Sinks(Mutex<HashMap<Arc<str>, Arc<SinkLeaseState>>>);

/// Last known lease of a sink, and the lease if this process holds it.
#[derive(Debug, Default)]
pub(super) struct SinkLeaseState {
    seen: watch::Sender<SharedSinkState>,
    last: Mutex<Option<LastSeen>>,
    /// Set while this process holds the lease. Locked during each change of the lease.
    pub(super) held: tokio::sync::Mutex<Option<HeldLease>>,
    progress: Mutex<ReadProgress>,
}

#[derive(Debug)]
struct LastSeen {
    lease: SinkLease,
    revision: u64,
    at: Instant,
}

/// Messages that were read and not committed.
#[derive(Debug, Default)]
struct ReadProgress {
    /// Sequence of the first message to read, and the position before it, after the last commit.
    start: (u64, u64),
    messages: VecDeque<ReadMessage>,
}

impl Sinks {
    /// Returns the state of a sink of this process.
    pub(super) fn get(&self, name: &str) -> Arc<SinkLeaseState> {
        let mut sinks = locked(&self.0);
        if let Some(known) = sinks.get(name) {
            return Arc::clone(known);
        }
        Arc::clone(sinks.entry(name.into()).or_default())
    }

    /// Returns the states of all sinks of this process.
    pub(super) fn all(&self) -> Vec<(Arc<str>, Arc<SinkLeaseState>)> {
        let sinks = locked(&self.0);
        sinks.iter().map(|(name, sink)| (Arc::clone(name), Arc::clone(sink))).collect()
    }
}

impl SinkLeaseState {
    /// Records a message that was read.
    pub(super) fn note_read(&self, message: ReadMessage) {
        locked(&self.progress).messages.push_back(message);
    }

    /// Returns the message of a position that was read, and forgets earlier messages.
    pub(super) fn message_of(&self, position: u64) -> Option<ReadMessage> {
        let messages = &mut locked(&self.progress).messages;
        while messages.front().is_some_and(|first| first.mark.position < position) {
            messages.pop_front();
        }
        messages.front().filter(|first| first.before < position).copied()
    }

    /// Returns where reading starts: the sequence of the first message, and the position before it.
    pub(super) fn start(&self) -> (u64, u64) {
        locked(&self.progress).start
    }

    /// Forgets the messages that were read, and reads from `lease` on.
    pub(super) fn start_at(&self, lease: &SinkLease) {
        let start = lease.first_message();
        *locked(&self.progress) = ReadProgress { start, messages: VecDeque::new() };
    }

    /// Records where reading starts after a commit.
    pub(super) fn note_committed(&self, lease: &SinkLease) {
        locked(&self.progress).start = lease.first_message();
    }

    /// Drops the lease, which no other process has taken: it has to be acquired again.
    pub(super) fn give_up(&self, held: &mut Option<HeldLease>, reason: &str) {
        *held = None;
        self.seen.send_modify(|seen| seen.leader = Some(reason.to_owned()));
    }

    /// Watches the lease as other receivers see it.
    pub(super) fn seen(&self) -> watch::Receiver<SharedSinkState> {
        self.seen.subscribe()
    }

    /// Returns the lease as it was last seen.
    pub(super) fn last(&self) -> Option<SinkLease> {
        locked(&self.last).as_ref().map(|last| last.lease.clone())
    }

    /// Publishes a stored lease. Ignores an older revision from a lagging server.
    pub(super) fn show(&self, lease: &SinkLease, revision: u64, own: &str) {
        {
            let mut last = locked(&self.last);
            let is_older =
                |last: &LastSeen| revision < last.revision && last.at.elapsed() < REVISION_LAG;
            if last.as_ref().is_some_and(is_older) {
                return;
            }
            *last = Some(LastSeen { lease: lease.clone(), revision, at: Instant::now() });
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

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

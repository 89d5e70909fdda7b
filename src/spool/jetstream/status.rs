//! State of the log and the streams in memory, readable without a round trip to NATS.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::checkpoint::{Checkpoint, Mark};
use super::frame::BatchFrame;
use super::index::{DedupWindow, LogIndex};
use super::permissions::Denials;
use crate::spool::health::RecentFailure;

/// Value that any task may read and set.
#[derive(Debug, Default)]
pub(super) struct Flag(AtomicBool);

impl Flag {
    pub(super) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn set(&self, value: bool) {
        self.0.store(value, Ordering::Relaxed);
    }
}

/// State of the log and the streams, shared by all tasks of the engine.
#[derive(Debug)]
pub(super) struct LogStatus {
    index: Mutex<LogIndex>,
    /// Position of the last indexed event.
    head: watch::Sender<u64>,
    /// Epoch and sequence of the last indexed message.
    indexed: watch::Sender<(String, u64)>,
    /// Checkpoint as last read, with its revision.
    checkpoint: watch::Sender<Option<(Arc<Checkpoint>, u64)>>,
    window: DedupWindow,
    pub(super) full: Flag,
    /// True while replays are refused, so that they leave room for new events.
    pub(super) crowded: Flag,
    pub(super) quarantine_full: Flag,
    quarantine_size: watch::Sender<u64>,
    pub(super) failing: RecentFailure,
    /// Last batch above `max_payload`.
    pub(super) too_large: RecentFailure,
    pub(super) denials: Arc<Denials>,
}

impl LogStatus {
    pub(super) fn new(window: DedupWindow, denials: Arc<Denials>) -> LogStatus {
        LogStatus {
            index: Mutex::new(LogIndex::new(&Checkpoint::default(), window)),
            head: watch::Sender::new(0),
            indexed: watch::Sender::default(),
            checkpoint: watch::Sender::default(),
            window,
            full: Flag::default(),
            crowded: Flag::default(),
            quarantine_full: Flag::default(),
            quarantine_size: watch::Sender::new(0),
            failing: RecentFailure::default(),
            too_large: RecentFailure::default(),
            denials,
        }
    }

    pub(super) fn window(&self) -> DedupWindow {
        self.window
    }

    /// Locks the index. It belongs to no epoch until a checkpoint was read.
    pub(super) fn index(&self) -> MutexGuard<'_, LogIndex> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches the position of the last event.
    pub(super) fn head(&self) -> watch::Receiver<u64> {
        self.head.subscribe()
    }

    /// Watches the epoch and the sequence of the last indexed message.
    pub(super) fn indexed(&self) -> watch::Receiver<(String, u64)> {
        self.indexed.subscribe()
    }

    /// Starts a new index at a checkpoint.
    pub(super) fn begin(&self, checkpoint: &Checkpoint) {
        *self.index() = LogIndex::new(checkpoint, self.window);
        self.publish(checkpoint.epoch.clone(), checkpoint.trimmed);
    }

    /// Adds the next message to the index.
    pub(super) fn add(&self, sequence: u64, at: i64, frame: Option<&BatchFrame>) {
        let (epoch, head) = {
            let mut index = self.index();
            index.add(sequence, at, frame);
            (index.epoch.clone(), index.head())
        };
        self.publish(epoch, head);
    }

    fn publish(&self, epoch: String, head: Mark) {
        self.indexed.send_replace((epoch, head.sequence));
        self.head.send_replace(head.position);
    }

    /// Returns the checkpoint as last read, with its revision.
    pub(super) fn checkpoint(&self) -> Option<(Arc<Checkpoint>, u64)> {
        self.checkpoint.borrow().clone()
    }

    /// Watches the checkpoint.
    pub(super) fn checkpoints(&self) -> watch::Receiver<Option<(Arc<Checkpoint>, u64)>> {
        self.checkpoint.subscribe()
    }

    /// Records the stored checkpoint.
    pub(super) fn note_checkpoint(&self, checkpoint: Checkpoint, revision: u64) {
        self.index().follow(&checkpoint);
        self.checkpoint.send_if_modified(|known| {
            let is_new = known.as_ref().is_none_or(|(_, known)| *known != revision);
            if is_new {
                *known = Some((Arc::new(checkpoint), revision));
            }
            is_new
        });
    }

    pub(super) fn quarantine_size(&self) -> watch::Receiver<u64> {
        self.quarantine_size.subscribe()
    }

    /// Records the quarantine's size. A smaller one means that there is room.
    pub(super) fn note_quarantine(&self, size: u64) {
        let before = self.quarantine_size.send_replace(size);
        if size < before {
            self.quarantine_full.set(false);
        }
    }
}

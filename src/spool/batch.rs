//! Batches: the events and quarantine entries of one request, stored atomically.

use std::sync::Arc;

use bytes::Bytes;

use super::chunk::{self, Chunk};
use super::{DedupKey, Millis, NewEntry};

/// One event of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// Deduplication key: a second event with the same key is a duplicate.
    pub key: DedupKey,
    /// Bytes of the event, usually a slice of the received body.
    pub bytes: Bytes,
}

/// Events and quarantine entries that become durable together.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Name of the configured source.
    pub source: Arc<str>,
    /// Time of receipt.
    pub received_at: Millis,
    /// Events to spool, in order.
    pub events: Vec<NewEvent>,
    /// Entries to put into quarantine.
    pub quarantine: Vec<NewEntry>,
    /// The quarantine entry that this batch replaces: it goes in the same commit, and if it has gone
    /// before, the batch is not stored.
    pub resolves: Option<i64>,
    /// Set when only this sink is to receive the events (a retried dead letter, a replay), and then
    /// events are not checked for duplicates: they were spooled once before.
    pub only_sink: Option<Arc<str>>,
    /// True for events that the service makes of stored ones. A full spool stores them, because the events that they
    /// are made of are removed after them.
    pub is_derived: bool,
}

/// A batch whose chunks are encoded and compressed, ready for the writer. Making one is the costly
/// part of an append and needs no lock: do it on the thread that received the batch.
#[derive(Debug)]
pub struct PreparedBatch {
    pub(super) batch: Batch,
    pub(super) chunks: Vec<Chunk>,
}

impl Batch {
    /// Encodes and compresses the events.
    pub fn prepare(self) -> PreparedBatch {
        let chunks = chunk::encode(self.events.iter().map(|event| event.bytes.as_ref()));
        PreparedBatch { batch: self, chunks }
    }
}

impl PreparedBatch {
    /// Returns the number of elements, quarantined ones included.
    pub fn events(&self) -> usize {
        self.batch.events.len() + self.batch.quarantine.len()
    }

    /// Returns true for a replay: a copy of stored events for one sink.
    pub(super) fn is_copy(&self) -> bool {
        self.batch.only_sink.is_some() && self.batch.resolves.is_none()
    }

    /// Bytes this batch will add to the store at most, before the store's own overhead, where the
    /// quarantine has `room` for that many: what does not fit there is not added at all.
    pub(super) fn size(&self, room: u64) -> u64 {
        let chunks: usize = self.chunks.iter().map(|chunk| chunk.body.len()).sum();
        let entries: u64 = self.batch.quarantine.iter().map(NewEntry::size).sum();
        (chunks + DedupKey::SIZE * self.batch.events.len()) as u64 + entries.min(room)
    }
}

/// Result of an append: the batch is on stable storage.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Receipt {
    /// Events spooled.
    pub accepted: u64,
    /// Duplicates.
    pub duplicates: u64,
    /// Entries put into quarantine.
    pub quarantined: u64,
    /// Indexes of the batch's events that are duplicates, in ascending order.
    pub repeated: Vec<u32>,
}

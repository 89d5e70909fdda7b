//! Events as readers receive them, and the damage between them.

use std::sync::Arc;

use bytes::Bytes;

use super::Millis;

/// One stored event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Position in the log, from 1.
    pub position: u64,
    /// Time of receipt.
    pub received_at: Millis,
    /// Source of the event.
    pub source: Arc<str>,
    /// Set when only this sink is to receive it.
    pub only_sink: Option<Arc<str>>,
    /// Bytes of the event, exactly as received.
    pub bytes: Bytes,
}

/// Events that were stored once and can no longer be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Position of the first event lost.
    pub first: u64,
    /// Position of the last event lost.
    pub last: u64,
    /// The source of the chunk, as far as it can be trusted.
    pub source: String,
    /// Description of the damage.
    pub detail: String,
    /// Remaining bytes of the chunk; empty if the whole row is lost.
    pub bytes: Bytes,
}

/// Result of a read, in the order of positions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// An event.
    Event(StoredEvent),
    /// A gap.
    Damaged(Damage),
    /// Position of an event that is in the log before. Only a shared spool has such events.
    Repeated(u64),
}

impl Read {
    /// Returns the position of the first event.
    pub fn first_position(&self) -> u64 {
        match self {
            Read::Event(stored) => stored.position,
            Read::Damaged(damage) => damage.first,
            Read::Repeated(position) => *position,
        }
    }

    /// Returns the position of the last event.
    pub fn last_position(&self) -> u64 {
        match self {
            Read::Event(stored) => stored.position,
            Read::Damaged(damage) => damage.last,
            Read::Repeated(position) => *position,
        }
    }

    /// Returns the stored bytes that it holds.
    pub fn size(&self) -> usize {
        match self {
            Read::Event(stored) => stored.bytes.len(),
            Read::Damaged(damage) => damage.bytes.len(),
            Read::Repeated(_) => 0,
        }
    }
}

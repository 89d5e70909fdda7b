//! The checkpoint of the log: where its numbering starts, and its totals. One record, shared by all receivers.
//!
//! A message holds a number of events, so the position of an event is the count of the events before it, from the
//! checkpoint on. The checkpoint moves with trimming: it is written first, then the messages up to it are removed.
//!
//! An epoch is one numbering of one stream. A stream that was recreated, that has lost its end, or from which another
//! program has removed messages gets a new epoch: its stored events are numbered again, after every position that was
//! ever assigned, and each sink starts at the oldest of them.

use async_nats::jetstream::stream::Info;
use serde::{Deserialize, Serialize};

use crate::spool::Disposition;

/// Key of the record in the bucket. Names of sinks have no capital letters.
pub(super) const KEY: &str = "LOG";

/// A message of the log, and the position of its last event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// Sequence of the message in the stream.
    pub(super) sequence: u64,
    /// Position of its last event.
    pub(super) position: u64,
    /// Storage time of the message, in ns since the Unix epoch; 0 if no message is meant.
    pub(super) at: i64,
}

/// The stored record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    /// Random id of the numbering.
    pub(super) epoch: String,
    /// Creation time of the stream, in ns since the Unix epoch.
    pub(super) created: i64,
    /// Last message that may be gone: everything after it is stored.
    pub(super) trimmed: Mark,
    /// Last message whose quarantine entries are all in the quarantine's stream.
    pub(super) head: Mark,
    /// Totals of the sources up to `head`.
    pub(super) totals: Vec<(String, Disposition, u64)>,
}

impl Checkpoint {
    /// Returns the checkpoint of a new epoch: the stored messages are numbered after `position`.
    pub(super) fn renumbered(&self, info: &Info, position: u64) -> Checkpoint {
        let state = &info.state;
        let sequence = match state.messages {
            0 => state.last_sequence,
            _ => state.first_sequence.saturating_sub(1),
        };
        let start = Mark { sequence, position: position.max(self.head.position), at: 0 };
        Checkpoint {
            epoch: uuid::Uuid::new_v4().to_string(),
            created: created(info),
            trimmed: start,
            head: start,
            totals: self.totals.clone(),
        }
    }
}

/// Returns the creation time of the stream, in ns since the Unix epoch.
pub(super) fn created(info: &Info) -> i64 {
    info.created.timestamp_nanos_opt().unwrap_or_default()
}

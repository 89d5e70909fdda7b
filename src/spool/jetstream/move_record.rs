//! Record of a move between the engines: a stream that is being filled, or that was moved elsewhere, is not used.

use async_nats::jetstream::kv::Store;
use serde::{Deserialize, Serialize};

use super::records;
use crate::spool::{Millis, OpenError, ReadError};

/// Key of the record in the bucket. Names of sinks have no capital letters.
pub(super) const KEY: &str = "MOVE";

/// The stored record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MoveRecord {
    /// Move into the stream.
    pub(super) incoming: Option<IncomingMove>,
    /// Move of the stream's content to an embedded spool.
    pub(super) outgoing: Option<OutgoingMove>,
}

/// Move into the stream. All values are fixed when it begins, so that a repetition copies the same messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct IncomingMove {
    /// Id of the embedded spool.
    pub(super) from: String,
    /// Epoch of the log that the move creates.
    pub(super) epoch: String,
    /// Time of the oldest ids that are moved, in ms since the Unix epoch.
    pub(super) since: Millis,
    pub(super) is_complete: bool,
}

/// Move of the stream's content to an embedded spool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OutgoingMove {
    /// Description of the new spool.
    pub(super) to: String,
    /// Id of the new spool, as 32 hexadecimal digits.
    pub(super) id: String,
}

/// Reads the record and its revision; 0 if there is none.
pub(super) async fn read(leases: &Store) -> Result<(MoveRecord, u64), ReadError> {
    match records::read::<MoveRecord>(leases, KEY).await? {
        Some(stored) => Ok((stored.value, stored.revision)),
        // An administrator may have deleted it, to give a move up.
        None => Ok((MoveRecord::default(), records::revision(leases, KEY).await?)),
    }
}

/// Refuses a stream that is being filled, or that was moved elsewhere.
pub(super) fn refuse(record: &MoveRecord, stream: &str) -> Result<(), OpenError> {
    if let Some(OutgoingMove { to, .. }) = &record.outgoing {
        return Err(OpenError::Moved {
            spool: format!("stream {stream}"),
            to: to.clone(),
            undo: format!("delete the key {KEY} of the bucket {stream}-sinks"),
        });
    }
    match &record.incoming {
        Some(incoming) if !incoming.is_complete => Err(OpenError::Moving(stream.to_owned())),
        _ => Ok(()),
    }
}

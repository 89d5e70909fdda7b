//! Stored lease of a sink: its cursor and the holder, in a key-value bucket.

use std::time::Duration;

use async_nats::jetstream::kv::{Store, UpdateErrorKind};
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};

use super::{error_chain, unreadable};
use crate::spool::{CommitError, ReadError, Tally};

/// Time after which a lease that is not renewed may be taken over, by the clock of the receiver that takes it.
pub(super) const LEASE_STALE_AFTER: Duration = Duration::from_secs(10);

/// Lease and state of a sink.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SinkLease {
    /// Last committed position.
    pub(super) cursor: u64,
    pub(super) is_paused: bool,
    /// Process that holds the lease.
    pub(super) holder: Option<String>,
    /// Creation time of the stream that `cursor` belongs to, in nanoseconds since the Unix epoch: a stream that
    /// was recreated counts from 1 again.
    pub(super) stream: i64,
    /// Storage time of the message at `cursor`, in nanoseconds since the Unix epoch; 0 where that is not
    /// known. Another message there later means that the stream has lost its end, and has counted anew.
    #[serde(default)]
    pub(super) at: i64,
    pub(super) delivered: u64,
    pub(super) filtered: u64,
    pub(super) dead_lettered: u64,
    #[serde(default)]
    pub(super) not_addressed: u64,
}

/// Stored lease with its revision, which an update has to name.
#[derive(Debug, Clone)]
pub(super) struct StoredLease {
    pub(super) lease: SinkLease,
    pub(super) revision: u64,
    /// Storage time by the servers' clock, in milliseconds since the Unix epoch.
    pub(super) at: i64,
}

/// Lease that this process holds.
#[derive(Debug)]
pub(super) struct HeldLease {
    pub(super) lease: SinkLease,
    pub(super) revision: u64,
}

impl SinkLease {
    /// Returns the lease after a commit of `position`, whose message was stored `at`.
    pub(super) fn settled(&self, position: u64, at: i64, tally: Tally) -> SinkLease {
        let has_moved = position > self.cursor;
        SinkLease {
            cursor: self.cursor.max(position),
            at: if has_moved { at } else { self.at },
            delivered: self.delivered + tally.delivered,
            filtered: self.filtered + tally.filtered,
            dead_lettered: self.dead_lettered + tally.dead_lettered,
            not_addressed: self.not_addressed + tally.not_addressed,
            ..self.clone()
        }
    }

    fn to_bytes(&self) -> bytes::Bytes {
        serde_json::to_vec(self).unwrap_or_default().into()
    }
}

/// Reads the lease of a sink, if there is one. Asks the leader, also where the bucket allows direct reads,
/// which any server answers and which take a permission of their own.
pub(super) async fn read(store: &Store, sink: &str) -> Result<Option<StoredLease>, ReadError> {
    let subject = format!("$KV.{}.{sink}", store.name);
    let found = match store.stream.get_last_raw_message_by_subject(&subject).await {
        Ok(found) => found,
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    // It marks what was deleted.
    if found.headers.get("KV-Operation").is_some() {
        return Ok(None);
    }
    let lease = serde_json::from_slice(&found.payload).map_err(unreadable)?;
    Ok(Some(StoredLease { lease, revision: found.sequence, at: found.time.timestamp_millis() }))
}

/// Reads the leases of all sinks, by name.
pub(super) async fn all(store: &Store) -> Result<Vec<(String, StoredLease)>, ReadError> {
    let prefix = format!("$KV.{}.", store.name);
    let subjects = store.stream.info_with_subjects(format!("{prefix}>")).await;
    let subjects = subjects.map_err(unreadable)?;
    let mut sinks = Vec::new();
    let mut subjects = std::pin::pin!(subjects);
    while let Some(subject) = futures_util::StreamExt::next(&mut subjects).await {
        let (subject, _) = subject.map_err(unreadable)?;
        sinks.extend(subject.strip_prefix(&prefix).map(str::to_owned));
    }
    sinks.sort_unstable();
    let held = sinks.into_iter().map(|sink| async {
        let held = read(store, &sink).await?;
        Ok::<_, ReadError>(held.map(|held| (sink, held)))
    });
    Ok(try_join_all(held).await?.into_iter().flatten().collect())
}

/// Creates a lease; `None` if there is one.
pub(super) async fn create(
    store: &Store,
    sink: &str,
    lease: &SinkLease,
) -> Result<Option<u64>, CommitError> {
    update(store, sink, lease, 0).await
}

/// Updates a lease that was read with `revision`. Returns its new revision; `None` if it has another
/// meanwhile.
pub(super) async fn update(
    store: &Store,
    sink: &str,
    lease: &SinkLease,
    revision: u64,
) -> Result<Option<u64>, CommitError> {
    match store.update(sink, lease.to_bytes(), revision).await {
        Ok(revision) => Ok(Some(revision)),
        Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => Ok(None),
        Err(error) => Err(CommitError::Store(error_chain(&error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_never_goes_back_and_doors_add_up() {
        let tally = Tally { delivered: 3, filtered: 2, dead_lettered: 1, not_addressed: 0 };
        let lease = SinkLease { cursor: 10, holder: Some("me".to_owned()), ..SinkLease::default() };
        let moved = lease.settled(16, 5, tally);
        assert_eq!((moved.cursor, moved.holder.as_deref()), (16, Some("me")));
        assert_eq!((moved.delivered, moved.filtered, moved.dead_lettered), (3, 2, 1));
        let again = moved.settled(12, 4, Tally::default());
        assert_eq!((again.cursor, again.at), (16, 5));
        let stored: SinkLease = serde_json::from_slice(&moved.to_bytes()).expect("JSON");
        assert_eq!(stored, moved);
    }
}

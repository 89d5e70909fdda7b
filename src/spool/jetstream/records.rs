//! Records in the engine's key-value bucket: read from the leader, changed by compare-and-set.

use async_nats::jetstream::kv::{Store, UpdateErrorKind};
use async_nats::jetstream::message::StreamMessage;
use futures_util::StreamExt;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{log, unreadable};
use crate::error_chain::error_chain;
use crate::spool::{CommitError, ReadError};

/// A stored record.
#[derive(Debug, Clone)]
pub(super) struct Stored<T> {
    pub(super) value: T,
    /// Revision that an update has to name.
    pub(super) revision: u64,
    /// Storage time by the servers' clock, in ms since the Unix epoch.
    pub(super) at: i64,
}

/// Reads a record, if there is one.
pub(super) async fn read<T: DeserializeOwned>(
    store: &Store,
    key: &str,
) -> Result<Option<Stored<T>>, ReadError> {
    // The header marks a deleted record.
    let is_there = |found: &StreamMessage| found.headers.get("KV-Operation").is_none();
    let Some(found) = last(store, key).await?.filter(is_there) else { return Ok(None) };
    let value = serde_json::from_slice(&found.payload).map_err(unreadable)?;
    Ok(Some(Stored { value, revision: found.sequence, at: found.time.timestamp_millis() }))
}

/// Returns the revision of a record, also of a deleted one; 0 if there never was one.
pub(super) async fn revision(store: &Store, key: &str) -> Result<u64, ReadError> {
    Ok(last(store, key).await?.map_or(0, |found| found.sequence))
}

/// Returns the last message of a key. Asks the leader, also where the bucket allows direct reads, which any server
/// answers and which need a permission of their own.
async fn last(store: &Store, key: &str) -> Result<Option<StreamMessage>, ReadError> {
    let subject = format!("$KV.{}.{key}", store.name);
    log::stored(store.stream.get_last_raw_message_by_subject(&subject).await)
}

/// Lists the keys of all records, sorted.
pub(super) async fn keys(store: &Store) -> Result<Vec<String>, ReadError> {
    let prefix = format!("$KV.{}.", store.name);
    let subjects = store.stream.info_with_subjects(format!("{prefix}>")).await;
    let mut subjects = std::pin::pin!(subjects.map_err(unreadable)?);
    let mut keys = Vec::new();
    while let Some(subject) = subjects.next().await {
        let (subject, _) = subject.map_err(unreadable)?;
        keys.extend(subject.strip_prefix(&prefix).map(str::to_owned));
    }
    keys.sort_unstable();
    Ok(keys)
}

/// Updates a record that was read with `revision`; 0 creates it. Returns the new revision; `None` if the record has
/// another revision meanwhile.
pub(super) async fn update(
    store: &Store,
    key: &str,
    value: &impl Serialize,
    revision: u64,
) -> Result<Option<u64>, CommitError> {
    let bytes = serde_json::to_vec(value).unwrap_or_default().into();
    match store.update(key, bytes, revision).await {
        Ok(revision) => Ok(Some(revision)),
        Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => Ok(None),
        Err(error) => Err(CommitError::Store(error_chain(&error))),
    }
}

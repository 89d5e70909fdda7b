//! Groups of quarantine entries with the same reason and target answer, and operations on a group.
//!
//! The groups come from one pass over the newest entries. The pass is repeated only after the quarantine has changed.
//! An operation names entries by their numbers, so that it changes exactly the entries that the operator has confirmed.

use std::collections::HashMap;
use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::Admin;
use super::operations::{failure, retry_one};
use crate::spool::{Entry, EntrySummary, Query, ReadError, Spool, SpoolStats};

/// Maximum number of grouped entries, the newest ones.
pub(super) const MAX_GROUPED: u32 = 10_000;

/// Time after which the pass is repeated, even if number and size of the entries are the same.
const MAX_AGE: Duration = Duration::from_secs(60);

/// Maximum number of entries that one request retries.
const MAX_RETRIED: usize = 200;

/// Number of characters of an answer that distinguish groups.
const ANSWER_CHARS: usize = 160;

/// Entries with the same origin, reason and answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    /// Name in addresses.
    pub(super) key: String,
    /// Sink whose target refused the events; `None` for refused elements and bodies.
    pub(super) sink: Option<String>,
    pub(super) source: String,
    pub(super) reason: String,
    /// Status and code of the target, or else the beginning of its answer, or the detail of the newest entry.
    pub(super) answer: String,
    /// Numbers of the entries, the newest first.
    pub(super) ids: Vec<i64>,
    pub(super) bytes: u64,
    pub(super) newest_at: i64,
    pub(super) oldest_at: i64,
}

/// Groups of the newest entries, those with the most entries first.
#[derive(Debug, Default)]
pub(super) struct Groups {
    pub(super) groups: Vec<Group>,
    /// Number of grouped entries.
    pub(super) counted: u64,
    /// Grouped dead letters by sink.
    pub(super) dead_letters: HashMap<String, u64>,
}

/// Groups of the last pass.
#[derive(Debug, Default)]
pub(super) struct GroupCache(Mutex<Option<CachedGroups>>);

#[derive(Debug)]
struct CachedGroups {
    /// Number and size of the entries.
    stamp: (u64, u64),
    at: Instant,
    groups: Arc<Groups>,
}

/// Body of a retry of several entries.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RetryRequest {
    /// Numbers of the entries.
    ids: Vec<i64>,
}

/// Answer to a retry of several entries.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct BulkRetryResponse {
    /// Number of events added to the spool.
    released: u64,
    /// Number of events that had been accepted before.
    duplicates: u64,
    /// Number of entries that stay in quarantine.
    failed: u64,
    /// First reason of a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_error: Option<String>,
}

/// Numbers of the entries of a group.
#[derive(Debug, Serialize, Deserialize)]
struct GroupIds {
    ids: Vec<i64>,
}

/// An entry as JSON: the summary's fields and the bytes.
#[derive(Serialize)]
pub(crate) struct ExportedEntry<'a> {
    #[serde(flatten)]
    summary: &'a EntrySummary,
    bytes_base64: String,
}

impl<'a> From<&'a Entry> for ExportedEntry<'a> {
    fn from(entry: &'a Entry) -> ExportedEntry<'a> {
        ExportedEntry { summary: &entry.summary, bytes_base64: STANDARD.encode(&entry.bytes) }
    }
}

impl Groups {
    fn of(entries: Vec<EntrySummary>) -> Groups {
        let mut found: HashMap<String, Group> = HashMap::new();
        let (mut dead_letters, counted) = (HashMap::new(), entries.len() as u64);
        for entry in entries {
            if let Some(sink) = &entry.sink {
                *dead_letters.entry(sink.clone()).or_default() += 1;
            }
            let EntrySummary { id, at, source, reason, sink, size, .. } = &entry;
            let answer = answer(&entry);
            let mut hasher = DefaultHasher::new();
            let place = sink.as_ref().unwrap_or(source);
            (sink.is_some(), place, reason, without_digits(&answer)).hash(&mut hasher);
            let key = format!("{:016x}", hasher.finish());
            let group = found.entry(key.clone()).or_insert_with(|| Group {
                key,
                sink: sink.clone(),
                source: source.clone(),
                reason: reason.clone(),
                answer,
                ids: Vec::new(),
                bytes: 0,
                newest_at: *at,
                oldest_at: *at,
            });
            group.ids.push(*id);
            group.bytes += size;
            group.newest_at = group.newest_at.max(*at);
            group.oldest_at = group.oldest_at.min(*at);
        }
        let mut groups: Vec<Group> = found.into_values().collect();
        groups.sort_by(|one, other| (other.ids.len(), &other.key).cmp(&(one.ids.len(), &one.key)));
        Groups { groups, counted, dead_letters }
    }

    pub(super) fn find(&self, key: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.key == key)
    }
}

/// Returns the text that distinguishes entries of the same reason.
fn answer(entry: &EntrySummary) -> String {
    let Some(target) = &entry.target else { return beginning(&entry.detail) };
    let status = target.status.map(|status| format!("HTTP {status}"));
    let parts: Vec<String> = status.into_iter().chain(target.code.clone()).collect();
    match parts.is_empty() {
        true => beginning(if target.text.is_empty() { &entry.detail } else { &target.text }),
        false => parts.join(", "),
    }
}

fn beginning(text: &str) -> String {
    match text.char_indices().nth(ANSWER_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Replaces each number by `#`: answers often differ only in positions and times.
fn without_digits(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_ascii_digit() {
            true if plain.ends_with('#') => {}
            true => plain.push('#'),
            false => plain.push(c),
        }
    }
    plain
}

/// Returns the groups of the newest entries.
pub(super) async fn groups(
    spool: &Spool,
    cache: &GroupCache,
    stats: &SpoolStats,
) -> Result<Arc<Groups>, ReadError> {
    let stamp = (stats.quarantined, stats.quarantine_size);
    if let Some(known) = cache.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref()
        && known.stamp == stamp
        && known.at.elapsed() < MAX_AGE
    {
        return Ok(Arc::clone(&known.groups));
    }
    let entries = match stats.quarantined {
        0 => Vec::new(),
        _ => {
            let newest = Query { newest_first: true, limit: MAX_GROUPED, ..Query::default() };
            spool.quarantine(newest).await?
        }
    };
    let groups = Arc::new(Groups::of(entries));
    let cached = CachedGroups { stamp, at: Instant::now(), groups: Arc::clone(&groups) };
    *cache.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(cached);
    Ok(groups)
}

async fn ids_of(admin: &Admin, key: &str) -> Result<Vec<i64>, Box<Response>> {
    let unavailable = |error: &dyn std::error::Error| {
        failure(StatusCode::SERVICE_UNAVAILABLE, &error.to_string())
    };
    let stats = admin.stats().await.map_err(|error| unavailable(&error))?;
    let groups = groups(&admin.spool, &admin.console.groups, &stats).await;
    let groups = groups.map_err(|error| unavailable(&error))?;
    let group = groups.find(key).map(|group| group.ids.clone());
    group.ok_or_else(|| {
        let message = "this group has no entries any more; reload the page";
        Box::new(failure(StatusCode::NOT_FOUND, message))
    })
}

/// Returns the numbers of a group's entries, for the question before an operation.
pub(super) async fn ids(State(admin): State<Arc<Admin>>, Path(key): Path<String>) -> Response {
    match ids_of(&admin, &key).await {
        Ok(ids) => Json(GroupIds { ids }).into_response(),
        Err(response) => *response,
    }
}

/// Streams the entries of a group as JSON lines, as `davinci-siem quarantine export` prints them.
pub(super) async fn export(State(admin): State<Arc<Admin>>, Path(key): Path<String>) -> Response {
    let ids = match ids_of(&admin, &key).await {
        Ok(ids) => ids,
        Err(response) => return *response,
    };
    let lines = stream::unfold((admin, ids.into_iter()), |(admin, mut ids)| async {
        let id = ids.next()?;
        // An entry that was retried or purged meanwhile is left out.
        let line = match admin.spool.entry(id).await {
            Ok(Some(entry)) => serde_json::to_vec(&ExportedEntry::from(&entry)).unwrap_or_default(),
            Ok(None) => Vec::new(),
            Err(error) => {
                tracing::warn!(%error, "the export of a quarantine group was cut short");
                return None;
            }
        };
        let end: &[u8] = if line.is_empty() { b"" } else { b"\n" };
        let line = Bytes::from([line.as_slice(), end].concat());
        Some((Ok::<_, Infallible>(line), (admin, ids)))
    });
    let headers = [
        (header::CONTENT_TYPE, "application/x-ndjson"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"quarantine.ndjson\""),
    ];
    (headers, Body::from_stream(lines)).into_response()
}

/// Retries several entries, each in a commit of its own.
pub(super) async fn retry(
    State(admin): State<Arc<Admin>>,
    Json(request): Json<RetryRequest>,
) -> Response {
    if request.ids.len() > MAX_RETRIED {
        let message = format!("at most {MAX_RETRIED} entries per request");
        return failure(StatusCode::UNPROCESSABLE_ENTITY, &message);
    }
    let mut sum = BulkRetryResponse::default();
    for id in request.ids {
        match retry_one(&admin, id, None).await {
            Ok(receipt) => {
                sum.released += receipt.accepted;
                sum.duplicates += receipt.duplicates;
            }
            Err(error) => {
                sum.failed += 1;
                sum.first_error.get_or_insert_with(|| error.to_string());
            }
        }
    }
    Json(sum).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::{EntryOrigin, TargetAnswer};

    fn entry(id: i64, sink: Option<&str>, status: Option<u16>, text: &str) -> EntrySummary {
        let target = TargetAnswer { attempts: 1, status, code: None, text: text.to_owned() };
        EntrySummary {
            id,
            at: id * 1000,
            source: "pingone".to_owned(),
            origin: EntryOrigin::DeadLetter,
            reason: "rejected".to_owned(),
            detail: text.to_owned(),
            path: String::new(),
            index: 0,
            request_id: String::new(),
            encoding: String::new(),
            sink: sink.map(str::to_owned),
            target: sink.is_some().then_some(target),
            size: 10,
        }
    }

    #[test]
    fn entries_are_grouped_by_sink_reason_and_answer() {
        let entries = vec![
            entry(6, Some("a"), Some(400), "one text"),
            entry(5, Some("a"), Some(400), "another text"),
            entry(4, Some("a"), None, "field 12 at 07:15"),
            entry(3, Some("a"), None, "field 9 at 08:20"),
            entry(2, Some("b"), Some(400), "one text"),
            entry(1, None, None, "no time"),
        ];
        let groups = Groups::of(entries);
        let mut found: Vec<(Option<&str>, &str, &[i64])> = groups
            .groups
            .iter()
            .map(|group| (group.sink.as_deref(), &*group.answer, &*group.ids))
            .collect();
        found.sort();
        let expected: [(Option<&str>, &str, &[i64]); 4] = [
            (None, "no time", &[1]),
            (Some("a"), "HTTP 400", &[6, 5]),
            (Some("a"), "field 12 at 07:15", &[4, 3]),
            (Some("b"), "HTTP 400", &[2]),
        ];
        assert_eq!(found, expected);
        assert_eq!((groups.dead_letters["a"], groups.dead_letters["b"], groups.counted), (4, 1, 6));
        let first = &groups.groups[0];
        assert_eq!((first.ids.len(), first.bytes), (2, 20));
        assert_eq!(groups.find(&first.key), Some(first));
        let long = "ä".repeat(500);
        assert_eq!(beginning(&long).chars().count(), ANSWER_CHARS + 1);
    }
}

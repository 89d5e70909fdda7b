//! Operations of operators on the running service; the command line calls them.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::Admin;
use crate::audit::AuditDetails;
use crate::deliver::{SinkState, SinkStatus, SinkTarget};
use crate::receive::retry::{self, RetryError, RetryRules};
use crate::spool::{Disposition, Receipt, StatsListing};

/// Document of `/api/status`.
#[derive(Debug, Serialize)]
struct StatusDocument<'a> {
    version: &'static str,
    /// `null` if the spool cannot be read.
    spool: Option<StatsListing<'a>>,
    /// Reason why the spool cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    spool_error: Option<String>,
    sinks: Vec<SinkStatusLine>,
}

#[derive(Debug, Serialize)]
struct SinkStatusLine {
    sink: String,
    cursor: u64,
    /// `null` if the spool cannot be read.
    lag: Option<u64>,
    #[serde(flatten)]
    state: SinkState,
    #[serde(rename = "type")]
    kind: &'static str,
    /// Address of the target, without credentials.
    target: String,
    /// Time of the next attempt, in ms since the Unix epoch; `null` if the sink does not wait for one.
    next_attempt_at: Option<i64>,
    /// Reason of the last failure since the start, also after recovery.
    last_error: Option<String>,
    /// Time of `last_error`, in ms since the Unix epoch.
    last_error_at: Option<i64>,
}

impl SinkStatusLine {
    fn new(sink: &SinkStatus, head: Option<u64>, now: i64) -> SinkStatusLine {
        let SinkTarget { kind, address } = sink.target();
        let last_error = sink.last_error();
        SinkStatusLine {
            sink: sink.name.to_string(),
            cursor: sink.cursor(),
            lag: head.map(|head| head.saturating_sub(sink.cursor())),
            state: sink.state(),
            kind,
            target: address,
            next_attempt_at: sink.next_attempt().map(|at| moment(at, now)),
            last_error_at: last_error.as_ref().map(|error| moment(error.at, now)),
            last_error: last_error.map(|error| error.reason),
        }
    }
}

/// Converts a time of the process to ms since the Unix epoch.
pub(super) fn moment(at: Instant, now: i64) -> i64 {
    let millis = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    let current = Instant::now();
    now + millis(at.saturating_duration_since(current))
        - millis(current.saturating_duration_since(at))
}

/// Body of a purge.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PurgeRequest {
    /// Numbers of the entries to remove.
    pub ids: Vec<i64>,
}

/// Answer to a purge.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PurgeResponse {
    /// Number of removed entries.
    pub removed: u64,
}

/// Answer to a retry.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RetryResponse {
    /// Number of events added to the spool.
    pub released: u64,
    /// Number of events that had been accepted before.
    pub duplicates: u64,
}

impl From<Receipt> for RetryResponse {
    fn from(receipt: Receipt) -> RetryResponse {
        RetryResponse { released: receipt.accepted, duplicates: receipt.duplicates }
    }
}

/// Body of an error answer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ErrorResponse {
    /// Message for people.
    pub error: String,
}

pub(super) async fn status(State(admin): State<Arc<Admin>>) -> Response {
    let (spool, spool_error) = match admin.stats().await {
        Ok(spool) => (Some(spool), None),
        Err(error) => (None, Some(error.to_string())),
    };
    let head = spool.as_ref().map(|spool| spool.head);
    let spool = spool.as_ref().map(StatsListing::from);
    let now = (admin.clock)();
    let sinks = admin.sinks.all();
    let sinks = sinks.iter().map(|sink| SinkStatusLine::new(sink, head, now));
    let sinks = sinks.collect();
    Json(StatusDocument { version: env!("CARGO_PKG_VERSION"), spool, spool_error, sinks })
        .into_response()
}

pub(super) async fn retry(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<i64>,
    replacement: Bytes,
) -> Response {
    let replacement = Some(replacement).filter(|bytes| !bytes.is_empty());
    let details = AuditDetails::retry(replacement.is_some());
    let response = match retry_one(&admin, id, replacement).await {
        Ok(receipt) => Json(RetryResponse::from(receipt)).into_response(),
        Err(error) => {
            let status = match &error {
                RetryError::Missing(_) => StatusCode::NOT_FOUND,
                RetryError::Refused { .. } | RetryError::Damage | RetryError::NoSink(_) => {
                    StatusCode::UNPROCESSABLE_ENTITY
                }
                RetryError::Append(_) | RetryError::Read(_) => StatusCode::SERVICE_UNAVAILABLE,
            };
            failure(status, &error.to_string())
        }
    };
    (Extension(details), response).into_response()
}

/// Retries one entry and counts its events.
pub(super) async fn retry_one(
    admin: &Admin,
    id: i64,
    replacement: Option<Bytes>,
) -> Result<Receipt, RetryError> {
    // A reload adds sinks.
    let names = admin.sinks.all().into_iter().map(|sink| sink.name.to_string());
    let rules = RetryRules { sinks: names.collect(), ..admin.rules.clone() };
    let (source, receipt) = retry::retry(&admin.spool, id, replacement, &rules).await?;
    let dispositions =
        [(Disposition::Released, receipt.accepted), (Disposition::Duplicate, receipt.duplicates)];
    for (disposition, count) in dispositions {
        let events = &admin.metrics.events;
        events.with_label_values(&[&source, disposition.as_str()]).inc_by(count);
    }
    Ok(receipt)
}

pub(super) async fn purge(
    State(admin): State<Arc<Admin>>,
    Json(purge): Json<PurgeRequest>,
) -> Response {
    let details = Extension(AuditDetails::purge(&purge.ids));
    let response = match admin.spool.remove(purge.ids).await {
        Ok(removed) => {
            let disposition = Disposition::Purged.as_str();
            for (source, count) in &removed {
                admin.metrics.events.with_label_values(&[source, disposition]).inc_by(*count);
            }
            Json(PurgeResponse { removed: removed.values().sum() }).into_response()
        }
        Err(error) => failure(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    };
    (details, response).into_response()
}

pub(super) fn failure(status: StatusCode, message: &str) -> Response {
    (status, Json(ErrorResponse { error: message.to_owned() })).into_response()
}

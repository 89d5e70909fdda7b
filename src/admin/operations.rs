//! What operators do while the service runs; the command line is their front.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::Admin;
use crate::deliver::SinkState;
use crate::receive::retry::{self, RetryError};
use crate::spool::{Disposition, Receipt, StatsListing};

/// What is stored and how every sink is doing.
#[derive(Debug, Serialize)]
struct Status<'a> {
    version: &'static str,
    /// `null` where it cannot be read.
    spool: Option<StatsListing<'a>>,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    spool_error: Option<String>,
    sinks: Vec<SinkLine>,
}

#[derive(Debug, Serialize)]
struct SinkLine {
    sink: String,
    cursor: u64,
    /// `null` where the spool cannot be read.
    lag: Option<u64>,
    #[serde(flatten)]
    state: SinkState,
}

/// The entries to remove.
#[derive(Debug, Serialize, Deserialize)]
pub struct Purge {
    /// Their numbers.
    pub ids: Vec<i64>,
}

/// How many were removed.
#[derive(Debug, Serialize, Deserialize)]
pub struct Purged {
    /// Entries that are gone.
    pub removed: u64,
}

/// What became of a retried entry.
#[derive(Debug, Serialize, Deserialize)]
pub struct Retried {
    /// Events that are in the spool now.
    pub released: u64,
    /// Events that had been accepted already.
    pub duplicates: u64,
}

impl From<Receipt> for Retried {
    fn from(receipt: Receipt) -> Retried {
        Retried { released: receipt.accepted, duplicates: receipt.duplicates }
    }
}

/// Why an operation was not done.
#[derive(Debug, Serialize, Deserialize)]
pub struct Failure {
    /// For people.
    pub error: String,
}

pub(super) async fn status(State(admin): State<Arc<Admin>>) -> Response {
    let (spool, spool_error) = match admin.stats().await {
        Ok(spool) => (Some(spool), None),
        Err(error) => (None, Some(error)),
    };
    let head = spool.as_ref().map(|spool| spool.head);
    let spool = spool.as_ref().map(StatsListing::from);
    let sinks = admin.sinks.iter().map(|sink| SinkLine {
        sink: sink.name.to_string(),
        cursor: sink.cursor(),
        lag: head.map(|head| head.saturating_sub(sink.cursor())),
        state: sink.state(),
    });
    let sinks = sinks.collect();
    Json(Status { version: env!("CARGO_PKG_VERSION"), spool, spool_error, sinks }).into_response()
}

pub(super) async fn retry(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<i64>,
    replacement: Bytes,
) -> Response {
    let replacement = Some(replacement).filter(|bytes| !bytes.is_empty());
    match retry::retry(&admin.spool, id, replacement, &admin.rules).await {
        Ok((source, receipt)) => {
            let dispositions = [
                (Disposition::Released, receipt.accepted),
                (Disposition::Duplicate, receipt.duplicates),
            ];
            for (disposition, count) in dispositions {
                let events = &admin.metrics.events;
                events.with_label_values(&[&source, disposition.as_str()]).inc_by(count);
            }
            Json(Retried::from(receipt)).into_response()
        }
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
    }
}

pub(super) async fn purge(State(admin): State<Arc<Admin>>, Json(purge): Json<Purge>) -> Response {
    match admin.spool.remove(purge.ids).await {
        Ok(removed) => {
            let disposition = Disposition::Purged.as_str();
            for (source, count) in &removed {
                admin.metrics.events.with_label_values(&[source, disposition]).inc_by(*count);
            }
            Json(Purged { removed: removed.values().sum() }).into_response()
        }
        Err(error) => failure(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
}

pub(super) fn failure(status: StatusCode, message: &str) -> Response {
    (status, Json(Failure { error: message.to_owned() })).into_response()
}

//! Takes in events that `reconcile` has fetched from PingOne.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::Admin;
use super::operations::failure;
use crate::receive::FetchedError;

/// Answer: the number of events by disposition.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FetchedResponse {
    /// New in the spool.
    pub accepted: u64,
    /// Received before.
    pub duplicates: u64,
    /// Put into quarantine.
    pub quarantined: u64,
}

pub(super) async fn take_in(
    State(admin): State<Arc<Admin>>,
    Path(source): Path<String>,
    body: Bytes,
) -> Response {
    match admin.fetched.take_in(&source, &body).await {
        Ok(receipt) => {
            let (accepted, duplicates, quarantined) =
                (receipt.accepted, receipt.duplicates, receipt.quarantined);
            tracing::info!(source, accepted, duplicates, quarantined, "took in fetched events");
            Json(FetchedResponse { accepted, duplicates, quarantined }).into_response()
        }
        Err(error) => {
            let status = match &error {
                FetchedError::UnknownSource(..) => StatusCode::NOT_FOUND,
                FetchedError::Malformed => StatusCode::UNPROCESSABLE_ENTITY,
                FetchedError::Append(_) => StatusCode::SERVICE_UNAVAILABLE,
            };
            failure(status, &error.to_string())
        }
    }
}

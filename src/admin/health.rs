//! Liveness and readiness.
//!
//! A failing sink does not make the service unready: it must go on receiving, or PingOne would stop sending to
//! every sink. The readiness document contains the state of each sink.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::Admin;
use crate::deliver::SinkState;

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    /// Reason why the service is not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Path of a spool that was unreadable at start and was moved aside.
    #[serde(skip_serializing_if = "Option::is_none")]
    spool_set_aside: Option<String>,
    /// Number of acknowledged events that are known to be lost.
    #[serde(skip_serializing_if = "is_zero")]
    spool_lost_events: u64,
    /// Advice about a full quarantine. The service stays ready, because it still accepts batches without
    /// refused elements.
    #[serde(skip_serializing_if = "Option::is_none")]
    quarantine_full: Option<&'static str>,
    /// Permissions that the NATS servers have denied, with advice.
    #[serde(skip_serializing_if = "Option::is_none")]
    spool_denied: Option<String>,
    /// Batch above `max_payload` of the NATS servers, with advice. The service stays ready, because it still accepts
    /// smaller batches.
    #[serde(skip_serializing_if = "Option::is_none")]
    batch_too_large: Option<String>,
    /// Advice about a corrupt page of the spool.
    #[serde(skip_serializing_if = "Option::is_none")]
    spool_damaged: Option<&'static str>,
    sinks: Vec<SinkReadiness>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[derive(Serialize)]
struct SinkReadiness {
    sink: String,
    #[serde(flatten)]
    state: SinkState,
}

pub(super) async fn live() -> &'static str {
    "alive\n"
}

/// Returns the reason why batches are refused; `None` while they are accepted.
pub(super) fn unready(admin: &Admin) -> Option<String> {
    if admin.shutdown.has_begun() {
        return Some("shutting down".to_owned());
    }
    if admin.spool.is_full() {
        let reason = "the spool is full: PingOne is blocked until the sinks have caught up";
        return Some(reason.to_owned());
    }
    admin.spool.health().failing.map(|error| format!("the spool cannot store events: {error}"))
}

pub(super) async fn ready(State(admin): State<Arc<Admin>>) -> Response {
    let reason = unready(&admin);
    let spool = admin.spool.health();
    let sinks = admin
        .sinks
        .all()
        .into_iter()
        .map(|sink| SinkReadiness { sink: sink.name.to_string(), state: sink.state() });
    let readiness = Readiness {
        ready: reason.is_none(),
        reason,
        spool_set_aside: spool.set_aside.map(|path| path.display().to_string()),
        spool_lost_events: spool.lost,
        quarantine_full: admin.spool.is_quarantine_full().then_some(
            "batches with refused elements are answered with 503: see davinci-siem quarantine list, then retry or purge entries, or raise spool.quarantine_max_size",
        ),
        spool_denied: spool.denied,
        batch_too_large: spool.too_large,
        spool_damaged: spool.is_damaged.then_some(
            "a page is corrupt: restart the service, which repairs it, or stop it and run davinci-siem spool repair",
        ),
        sinks: sinks.collect(),
    };
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

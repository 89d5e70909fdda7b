//! Is it alive, and does it take batches?
//!
//! A sink in trouble does not make the service unready: it must go on receiving, or PingOne's stream
//! would stop because a target does. The sink's state is in the answer all the same.

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
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Where an unreadable spool was moved when the service started.
    #[serde(skip_serializing_if = "Option::is_none")]
    spool_set_aside: Option<String>,
    /// Events that were acknowledged and are known to be lost.
    #[serde(skip_serializing_if = "is_zero")]
    spool_lost_events: u64,
    /// What to do about a full quarantine. Good batches are taken all the same, so it is ready: whoever
    /// asks in order to send events elsewhere, or nowhere, must not hold those back.
    #[serde(skip_serializing_if = "Option::is_none")]
    quarantine_full: Option<&'static str>,
    /// Permissions that the servers of the spool have denied, and what to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    spool_denied: Option<String>,
    /// What to do about a broken page of the spool.
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

/// Why no batches are taken; `None` while they are.
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
        .iter()
        .map(|sink| SinkReadiness { sink: sink.name.to_string(), state: sink.state() });
    let readiness = Readiness {
        ready: reason.is_none(),
        reason,
        spool_set_aside: spool.set_aside.map(|path| path.display().to_string()),
        spool_lost_events: spool.lost,
        quarantine_full: admin.spool.is_quarantine_full().then_some(
            "batches that would add to it are answered with 503: see davinci-siem quarantine list, then retry or purge entries, or raise spool.quarantine_max_size",
        ),
        spool_denied: spool.denied,
        spool_damaged: spool.is_damaged.then_some(
            "a page is broken: restart the service, which repairs it, or stop it and run davinci-siem spool repair",
        ),
        sinks: sinks.collect(),
    };
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

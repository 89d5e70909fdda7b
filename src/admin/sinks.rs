//! Operations on a sink: pause, resume, replay.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use url::form_urlencoded;

use super::Admin;
use super::operations::failure;
use crate::audit::AuditDetails;
use crate::deliver::SinkStatus;
use crate::deliver::replay::{self, ReplayRange};
use crate::spool::{Disposition, Millis};

/// Body of one replay step.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ReplayRequest {
    /// Start of the time range, inclusive, in ms since the Unix epoch.
    pub from: Millis,
    /// End of the time range, exclusive, in ms since the Unix epoch.
    pub to: Millis,
    /// Position where the previous step ended; 0 for the first step.
    pub after: u64,
}

/// Answer to the question before a replay.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ReplayCount {
    /// Number of events that the replay would deliver.
    pub events: u64,
}

pub(super) async fn pause(State(admin): State<Arc<Admin>>, Path(name): Path<String>) -> Response {
    set_paused(&admin, &name, true).await
}

pub(super) async fn resume(State(admin): State<Arc<Admin>>, Path(name): Path<String>) -> Response {
    set_paused(&admin, &name, false).await
}

/// Sets the pause flag, on disk first so that it survives a restart.
async fn set_paused(admin: &Admin, name: &str, is_paused: bool) -> Response {
    let sink = match find(admin, name) {
        Ok(sink) => sink,
        Err(response) => return *response,
    };
    if let Err(error) = admin.spool.pause(&sink.name, is_paused).await {
        return failure(StatusCode::SERVICE_UNAVAILABLE, &error.to_string());
    }
    if is_paused {
        sink.pause();
    } else {
        sink.resume();
    }
    Json(sink.state()).into_response()
}

pub(super) async fn replay(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
    Json(request): Json<ReplayRequest>,
) -> Response {
    let details = AuditDetails::replay(request.from, request.to);
    (Extension(details), replay_step(&admin, &name, &request).await).into_response()
}

async fn replay_step(admin: &Admin, name: &str, request: &ReplayRequest) -> Response {
    let sink = match find(admin, name) {
        Ok(sink) => sink,
        Err(response) => return *response,
    };
    let range = ReplayRange {
        positions: request.after..sink.cursor(),
        // Events received from now on are not part of the range.
        time: request.from..request.to.min((admin.clock)()),
    };
    let step = replay::step(&admin.spool, &sink.name, range).await;
    for (source, count) in &step.sources {
        let disposition = Disposition::Replayed.as_str();
        admin.metrics.events.with_label_values(&[source, disposition]).inc_by(*count);
    }
    match step.progress {
        Ok(progress) => Json(progress).into_response(),
        Err(error) => failure(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
}

/// Returns the number of events that a replay would deliver, for the question before it. The query has `from` and `to`,
/// as in [`ReplayRequest`].
pub(super) async fn count_replay(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let sink = match find(&admin, &name) {
        Ok(sink) => sink,
        Err(response) => return *response,
    };
    let query = query.unwrap_or_default();
    let bound = |wanted: &str| {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs.find(|(name, _)| name == wanted)?.1.parse::<Millis>().ok()
    };
    let (Some(from), Some(to)) = (bound("from"), bound("to")) else {
        let message = "from and to have to be numbers of ms since the Unix epoch";
        return failure(StatusCode::BAD_REQUEST, message);
    };
    let range = ReplayRange { positions: 0..sink.cursor(), time: from..to.min((admin.clock)()) };
    match replay::count(&admin.spool, range).await {
        Ok(events) => Json(ReplayCount { events }).into_response(),
        Err(error) => failure(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
}

fn find(admin: &Admin, name: &str) -> Result<Arc<SinkStatus>, Box<Response>> {
    admin.sinks.find(name).ok_or_else(|| {
        let sinks = admin.sinks.all();
        let names: Vec<&str> = sinks.iter().map(|sink| &*sink.name).collect();
        let message = format!("unknown sink {name:?}; known are {}", names.join(", "));
        Box::new(failure(StatusCode::NOT_FOUND, &message))
    })
}

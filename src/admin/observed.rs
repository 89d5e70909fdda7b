//! Statistics of accepted events as JSON. They contain text of the events, so they are for operators only.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use memchr::memmem;
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until};
use url::form_urlencoded;

use super::Admin;
use super::operations::failure;
use crate::observe::{Kind, Observed, Observer, ShownEvent, TailEvent, TailReader, TailUpdate};
use crate::shutdown::Shutdown;

/// Interval between two updates of a tail, and the maximum number of events per update: 1000 events per second
/// cost less than 1 % of a core.
const UPDATE_INTERVAL: Duration = Duration::from_millis(250);
const MAX_UPDATE_EVENTS: usize = 250;

/// Interval of keep-alive lines.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Filter of a tail.
#[derive(Debug, Default, PartialEq, Eq)]
struct TailFilter {
    kind: Option<String>,
    flow: Option<String>,
    outcome: Option<String>,
    source: Option<String>,
    text: Option<String>,
}

/// One client of the tail.
struct TailStream {
    observer: Arc<Observer>,
    watcher: TailReader,
    filter: TailFilter,
    shutdown: Shutdown,
    /// Earliest time of the next update; `None` before the first.
    next: Option<Instant>,
}

pub(super) async fn observed(State(admin): State<Arc<Admin>>) -> Json<Observed> {
    Json(admin.observer.observed((admin.clock)()))
}

pub(super) async fn drift(State(admin): State<Arc<Admin>>) -> Response {
    Json(admin.observer.drifted()).into_response()
}

pub(super) async fn tail(State(admin): State<Arc<Admin>>, RawQuery(query): RawQuery) -> Response {
    let filter = match TailFilter::parse(query.as_deref().unwrap_or_default()) {
        Ok(filter) => filter,
        Err(error) => return failure(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let Some(watcher) = admin.observer.watch() else {
        return failure(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many clients follow the tail; close one",
        );
    };
    let (observer, shutdown) = (Arc::clone(&admin.observer), admin.shutdown.clone());
    let tail = TailStream { observer, watcher, filter, shutdown, next: None };
    let lines = stream::unfold(tail, |mut tail| async {
        let lines = tail.next().await?;
        Some((Ok::<_, Infallible>(lines), tail))
    });
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
}

impl TailStream {
    /// Returns the next lines; `None` at shutdown.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            // The first update is immediate, even if empty: it confirms the connection.
            let is_first = self.next.is_none();
            if let Some(next) = self.next {
                let update = async {
                    self.watcher.changed().await;
                    sleep_until(next).await;
                };
                tokio::select! {
                    () = update => {}
                    // A write is needed to detect a closed connection.
                    () = sleep(KEEP_ALIVE) => return Some(Bytes::from_static(b"\n")),
                    () = self.shutdown.begun() => return None,
                }
            }
            self.next = Some(Instant::now() + UPDATE_INTERVAL);
            let lines = self.lines();
            if is_first || !lines.is_empty() {
                return Some(Bytes::from(lines));
            }
        }
    }

    /// Returns the new events that match, up to `MAX_UPDATE_EVENTS`. The rest follows in the next update, unless
    /// the ring has overwritten it by then.
    fn lines(&mut self) -> Vec<u8> {
        let TailUpdate { missed, events } = self.observer.read(&mut self.watcher);
        let mut lines = Vec::new();
        if missed > 0 {
            line(&mut lines, &json!({ "missed": missed }));
        }
        let mut candidates = events.iter().filter(|event| self.filter.may_match(event));
        let now = candidates.by_ref().take(MAX_UPDATE_EVENTS);
        let seen = now.map(TailEvent::show).filter(|event| self.filter.matches(event));
        seen.for_each(|event| line(&mut lines, &event));
        if let Some(next) = candidates.next() {
            self.watcher.again_after(next.sequence - 1);
        }
        lines
    }
}

fn line(lines: &mut Vec<u8>, value: &impl serde::Serialize) {
    let start = lines.len();
    match serde_json::to_writer(&mut *lines, value) {
        Ok(()) => lines.push(b'\n'),
        // Unreachable: these values always serialize.
        Err(_) => lines.truncate(start),
    }
}

/// A parameter of the query is not a filter.
#[derive(Debug, thiserror::Error)]
#[error("unknown filter {0:?}; known are type, flow, outcome, source, match")]
struct UnknownFilter(String);

impl TailFilter {
    fn parse(query: &str) -> Result<TailFilter, UnknownFilter> {
        let mut filter = TailFilter::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let field = match &*name {
                "type" => &mut filter.kind,
                "flow" => &mut filter.flow,
                "outcome" => &mut filter.outcome,
                "source" => &mut filter.source,
                "match" => &mut filter.text,
                _ => return Err(UnknownFilter(name.into_owned())),
            };
            *field = Some(value.into_owned()).filter(|value| !value.is_empty());
        }
        Ok(filter)
    }

    /// Returns false if an event cannot match, without decoding it. `match` is searched in the whole event.
    fn may_match(&self, event: &TailEvent) -> bool {
        let is_named_by_kind =
            !matches!(event.kind, Kind::Admin | Kind::DeliveryTest | Kind::Other);
        let is = |filter: &Option<String>, value: &str| {
            filter.as_ref().is_none_or(|filter| value.eq_ignore_ascii_case(filter))
        };
        let may_be_of_type = self.kind.as_ref().is_none_or(|filter| {
            let last = filter.rsplit('.').next().unwrap_or_default();
            !is_named_by_kind || event.kind.as_str().eq_ignore_ascii_case(last)
        });
        may_be_of_type
            && is(&self.outcome, event.outcome)
            && is(&self.source, &event.source)
            && self
                .text
                .as_ref()
                .is_none_or(|text| memmem::find(&event.bytes, text.as_bytes()).is_some())
    }

    /// Returns true if a decoded event matches. A type is a metrics label, an `action.type` or its last part; a
    /// flow is an id or a name.
    fn matches(&self, event: &ShownEvent) -> bool {
        let is = |filter: &Option<String>, values: &[&str]| {
            let Some(filter) = filter else { return true };
            values.iter().any(|value| value.eq_ignore_ascii_case(filter))
        };
        let last = event.action.rsplit('.').next().unwrap_or_default();
        is(&self.kind, &[event.kind, &event.action, last])
            && is(&self.flow, &[&event.flow_id, &event.flow_name])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read_from_the_query() {
        let filter = TailFilter::parse("type=admin&flow=My+flow%21&match=").expect("read");
        let expected = TailFilter {
            kind: Some("admin".to_owned()),
            flow: Some("My flow!".to_owned()),
            ..TailFilter::default()
        };
        assert_eq!(filter, expected);
        assert!(
            TailFilter::parse("typ=admin")
                .is_err_and(|error| error.to_string().contains("\"typ\""))
        );
    }
}

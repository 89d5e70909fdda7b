//! What is observed of the events, as JSON. It shows what they say, so it is for operators.

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
use crate::observe::{Kept, Kind, News, Observed, Observer, Seen, Watcher};
use crate::shutdown::Shutdown;

/// How often one who looks on is sent something, and how many events are looked into for it: a thousand a
/// second, which cost less than a hundredth of a processor. Whoever wants more has a sink.
const EVERY: Duration = Duration::from_millis(250);
const AT_ONCE: usize = 250;

/// How often an empty line is sent to one for whom there is nothing.
const BEAT: Duration = Duration::from_secs(10);

/// Which events somebody wants to see.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    kind: Option<String>,
    flow: Option<String>,
    outcome: Option<String>,
    source: Option<String>,
    text: Option<String>,
}

/// Somebody who is sent what comes.
struct Tail {
    observer: Arc<Observer>,
    watcher: Watcher,
    wanted: Wanted,
    shutdown: Shutdown,
    /// When something is sent again; at first, at once.
    next: Option<Instant>,
}

pub(super) async fn observed(State(admin): State<Arc<Admin>>) -> Json<Observed> {
    Json(admin.observer.observed((admin.clock)()))
}

pub(super) async fn drift(State(admin): State<Arc<Admin>>) -> Response {
    Json(admin.observer.drifted()).into_response()
}

pub(super) async fn tail(State(admin): State<Arc<Admin>>, RawQuery(query): RawQuery) -> Response {
    let wanted = match Wanted::read(query.as_deref().unwrap_or_default()) {
        Ok(wanted) => wanted,
        Err(message) => return failure(StatusCode::BAD_REQUEST, &message),
    };
    let Some(watcher) = admin.observer.watch() else {
        return failure(StatusCode::SERVICE_UNAVAILABLE, "too many look on already");
    };
    let (observer, shutdown) = (Arc::clone(&admin.observer), admin.shutdown.clone());
    let tail = Tail { observer, watcher, wanted, shutdown, next: None };
    let lines = stream::unfold(tail, |mut tail| async {
        let lines = tail.next().await?;
        Some((Ok::<_, Infallible>(lines), tail))
    });
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
}

impl Tail {
    /// The next lines; `None` when the service ends.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            // What is there already is sent at once, even if that is nothing: it says that one is looking on.
            let is_first = self.next.is_none();
            if let Some(next) = self.next {
                let something = async {
                    self.watcher.changed().await;
                    sleep_until(next).await;
                };
                tokio::select! {
                    () = something => {}
                    // That nobody reads any more shows when something is sent.
                    () = sleep(BEAT) => return Some(Bytes::from_static(b"\n")),
                    () = self.shutdown.begun() => return None,
                }
            }
            self.next = Some(Instant::now() + EVERY);
            let lines = self.lines();
            if is_first || !lines.is_empty() {
                return Some(Bytes::from(lines));
            }
        }
    }

    /// What is new, as far as it may be looked into now. The rest is there the next time, unless more has come
    /// by then than is kept.
    fn lines(&mut self) -> Vec<u8> {
        let News { missed, events } = self.observer.read(&mut self.watcher);
        let mut lines = Vec::new();
        if missed > 0 {
            line(&mut lines, &json!({ "missed": missed }));
        }
        let mut may_be = events.iter().filter(|event| self.wanted.may_be(event));
        let now = may_be.by_ref().take(AT_ONCE);
        let seen = now.map(Kept::show).filter(|event| self.wanted.is(event));
        seen.for_each(|event| line(&mut lines, &event));
        if let Some(next) = may_be.next() {
            self.watcher.again_after(next.sequence - 1);
        }
        lines
    }
}

fn line(lines: &mut Vec<u8>, value: &impl serde::Serialize) {
    let start = lines.len();
    match serde_json::to_writer(&mut *lines, value) {
        Ok(()) => lines.push(b'\n'),
        // Not reachable: nothing here can fail to be JSON.
        Err(_) => lines.truncate(start),
    }
}

impl Wanted {
    fn read(query: &str) -> Result<Wanted, String> {
        let mut wanted = Wanted::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let place = match &*name {
                "type" => &mut wanted.kind,
                "flow" => &mut wanted.flow,
                "outcome" => &mut wanted.outcome,
                "source" => &mut wanted.source,
                "match" => &mut wanted.text,
                _ => {
                    return Err(format!(
                        "there is no filter {name:?}; there are type, flow, outcome, source, match"
                    ));
                }
            };
            *place = Some(value.into_owned()).filter(|value| !value.is_empty());
        }
        Ok(wanted)
    }

    /// Whether an event may pass, as far as can be told without typing it. A text is looked for in the whole
    /// event.
    fn may_be(&self, event: &Kept) -> bool {
        let is_named_by_kind =
            !matches!(event.kind, Kind::Admin | Kind::DeliveryTest | Kind::Other);
        let is = |wanted: &Option<String>, value: &str| {
            wanted.as_ref().is_none_or(|wanted| value.eq_ignore_ascii_case(wanted))
        };
        let may_be_of_kind = self.kind.as_ref().is_none_or(|wanted| {
            let last = wanted.rsplit('.').next().unwrap_or_default();
            !is_named_by_kind || event.kind.as_str().eq_ignore_ascii_case(last)
        });
        may_be_of_kind
            && is(&self.outcome, event.outcome)
            && is(&self.source, &event.source)
            && self
                .text
                .as_ref()
                .is_none_or(|text| memmem::find(&event.bytes, text.as_bytes()).is_some())
    }

    /// Whether one that may pass does. A type is a word of the metrics, an `action.type` or the last part of
    /// one; a flow is an id or a name.
    fn is(&self, event: &Seen) -> bool {
        let is = |wanted: &Option<String>, values: &[&str]| {
            let Some(wanted) = wanted else { return true };
            values.iter().any(|value| value.eq_ignore_ascii_case(wanted))
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
        let wanted = Wanted::read("type=admin&flow=My+flow%21&match=").expect("read");
        let expected = Wanted {
            kind: Some("admin".to_owned()),
            flow: Some("My flow!".to_owned()),
            ..Wanted::default()
        };
        assert_eq!(wanted, expected);
        assert!(Wanted::read("typ=admin").is_err_and(|message| message.contains("\"typ\"")));
    }
}

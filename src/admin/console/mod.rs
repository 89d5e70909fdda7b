//! Console: one page with a verdict on top and the details below.
//!
//! Pages are rendered on the server, and the templates escape all text of events. Style and script come from this
//! listener; the content security policy allows no other source, nothing inline, and no frame. The script updates the
//! page, follows the tail and sends operations.

mod bins;
mod drift;
mod entry;
mod events;
mod flows;
mod group;
mod json_text;
mod page;
mod quarantine;
mod replay;
mod sinks;
mod sources;
mod table;
mod tail;
mod trace;
mod verdict;
mod view;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use maud::{Markup, html};
use serde_json::Value;
use tokio::sync::Semaphore;

use super::quarantine::GroupCache;
use super::rates::Rates;
use super::{Admin, health, quarantine as groups};
use bins::ChartRange;

/// Policy of all pages. Forms send searches only; operations need a header that no form sends.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Search for an event by its id in the whole spool and quarantine. Blocks; returns the document of
/// `davinci-siem trace --json`, with a `text` per sink, or an error for people.
pub(crate) type Tracer = Arc<dyn Fn(&str) -> Result<Value, String> + Send + Sync>;

/// Data that the console keeps between two requests.
pub(crate) struct ConsoleState {
    pub(super) rates: Rates,
    pub(super) groups: GroupCache,
    tracer: Option<Tracer>,
    /// One search at a time: it reads the whole spool.
    searches: Arc<Semaphore>,
}

impl ConsoleState {
    pub(crate) fn new(tracer: Option<Tracer>) -> ConsoleState {
        ConsoleState {
            rates: Rates::default(),
            groups: GroupCache::default(),
            tracer,
            searches: Arc::new(Semaphore::new(1)),
        }
    }
}

/// Returns the console's routes.
pub(super) fn router() -> Router<Arc<Admin>> {
    const STYLE: [&str; 2] = [include_str!("style.css"), include_str!("parts.css")];
    let style = ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE.concat());
    let script = |text: &'static str| {
        let answer = ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], text);
        get(move || async move { answer })
    };
    Router::new()
        .route("/", get(|| async { Redirect::to("/console") }))
        .route("/console", get(overview))
        .route("/console/trace", get(trace))
        .route("/console/quarantine/{id}", get(entry))
        .route("/console/quarantine/group/{key}", get(group))
        .route("/console/style.css", get(|| async move { style }))
        .route("/console/preferences.js", script(include_str!("preferences.js")))
        .route("/console/script.js", script(include_str!("script.js")))
        .route("/console/operations.js", script(include_str!("operations.js")))
        .route("/console/tail.js", script(include_str!("tail.js")))
}

async fn overview(State(admin): State<Arc<Admin>>, RawQuery(query): RawQuery) -> Response {
    let range = ChartRange::parse(query.as_deref().unwrap_or_default());
    page::overview(&view::view(&admin, range).await).into_response()
}

async fn trace(State(admin): State<Arc<Admin>>, RawQuery(query): RawQuery) -> Response {
    let id = trace::id_of(query.as_deref().unwrap_or_default());
    let found = trace::search(&admin.console, &id).await;
    page::page("davinci-siem, search", &trace::page(&id, &found, (admin.clock)())).into_response()
}

async fn entry(State(admin): State<Arc<Admin>>, Path(id): Path<i64>) -> Response {
    match admin.spool.entry(id).await {
        Ok(Some(entry)) => {
            let body = entry::page(&entry, &admin.access, (admin.clock)());
            page::page(&format!("davinci-siem, entry {id}"), &body).into_response()
        }
        Ok(None) => {
            let body = message("This entry does not exist; it may have been retried or purged.");
            (StatusCode::NOT_FOUND, page::page("davinci-siem", &body)).into_response()
        }
        Err(error) => failed(&error),
    }
}

async fn group(State(admin): State<Arc<Admin>>, Path(key): Path<String>) -> Response {
    let stats = match admin.stats().await {
        Ok(stats) => stats,
        Err(error) => return failed(&error),
    };
    let groups = match groups::groups(&admin.spool, &admin.console.groups, &stats).await {
        Ok(groups) => groups,
        Err(error) => return failed(&error),
    };
    let Some(group) = groups.find(&key) else {
        let body = message("This group has no entries any more.");
        return (StatusCode::NOT_FOUND, page::page("davinci-siem", &body)).into_response();
    };
    let offers_operations = admin.access.offers_operations();
    match group::page(&admin.spool, group, offers_operations, (admin.clock)()).await {
        Ok(body) => page::page("davinci-siem, quarantine group", &body).into_response(),
        Err(error) => failed(&error),
    }
}

fn failed(error: &dyn std::error::Error) -> Response {
    tracing::warn!(%error, "the console cannot read the spool");
    let body = message("The spool cannot be read; see the log.");
    (StatusCode::INTERNAL_SERVER_ERROR, page::page("davinci-siem", &body)).into_response()
}

fn message(text: &str) -> Markup {
    html! { h1 { "Console" } p { (text) } p { a href="/console" { "Back to the console" } } }
}

/// Adds the security headers to every answer of the console and the API.
pub(super) async fn with_policy(mut response: Response) -> Response {
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

//! Console: one page with a verdict on top and the details below.
//!
//! Pages are rendered on the server, and the templates escape all text of events. Style and script come from this
//! listener; the content security policy allows no other source, nothing inline, and no frame. The script updates the
//! page, follows the tail and sends operations.

mod page;
mod plot;
mod quarantine;
mod tables;
mod verdict;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use maud::{Markup, html};

use super::{Admin, StatsError, health};
use crate::deliver::{SinkState, SinkStatus};
use crate::interactions::FlowReport;
use crate::observe::{DriftReport, Observed};
use crate::spool::{EntrySummary, Query, ReadError, SpoolStats};

/// Maximum number of dead letters counted per sink.
const MAX_COUNTED_DEAD_LETTERS: u32 = 1000;

/// Maximum number of quarantine entries in the overview.
const MAX_LISTED_ENTRIES: u32 = 20;

const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Returns the console's routes.
pub(super) fn router() -> Router<Arc<Admin>> {
    let style = ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("style.css"));
    let script =
        ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], include_str!("script.js"));
    Router::new()
        .route("/", get(|| async { Redirect::to("/console") }))
        .route("/console", get(overview))
        .route("/console/quarantine/{id}", get(entry))
        .route("/console/style.css", get(|| async move { style }))
        .route("/console/script.js", get(|| async move { script }))
}

/// Data of the overview.
struct View {
    now: i64,
    /// Reason why batches are refused.
    unready: Option<String>,
    is_damaged: bool,
    is_quarantine_full: bool,
    /// True if other receivers share the spool.
    is_shared: bool,
    offers_operations: bool,
    /// Content of the spool, or the reason why it cannot be read.
    stored: Result<StoredView, StatsError>,
    sinks: Vec<SinkView>,
    observed: Observed,
    /// Statistics from summaries, if they are made.
    runs: Option<FlowReport>,
    drifted: DriftReport,
}

/// Content of the spool.
struct StoredView {
    stats: SpoolStats,
    /// Newest entries of the quarantine.
    entries: Vec<EntrySummary>,
}

struct SinkView {
    name: Arc<str>,
    state: SinkState,
    /// `None` if the spool cannot be read.
    lag: Option<u64>,
    /// Receive time of the oldest uncommitted event, in ms since the Unix epoch.
    waiting_since: Option<i64>,
    last_error: Option<String>,
    /// Dead letters in quarantine, counted up to `MAX_COUNTED_DEAD_LETTERS`.
    dead_letters: usize,
}

async fn overview(State(admin): State<Arc<Admin>>) -> Response {
    page::overview(&view(&admin).await).into_response()
}

async fn view(admin: &Admin) -> View {
    let now = (admin.clock)();
    let stored = stored(admin).await;
    let head = stored.as_ref().ok().map(|stored| stored.stats.head);
    let sinks = admin.sinks.all();
    let letters = dead_letters(admin, &sinks, &stored).await;
    let sinks = sinks.iter().zip(letters);
    let sinks = sinks.map(|(sink, dead_letters)| SinkView {
        dead_letters,
        name: Arc::clone(&sink.name),
        state: sink.state(),
        lag: head.map(|head| head.saturating_sub(sink.cursor())),
        waiting_since: sink.waiting_since(),
        last_error: sink.last_error(),
    });
    View {
        now,
        unready: health::unready(admin),
        is_damaged: admin.spool.health().is_damaged,
        is_quarantine_full: admin.spool.is_quarantine_full(),
        is_shared: admin.spool.is_shared(),
        offers_operations: admin.access.offers_operations(),
        sinks: sinks.collect(),
        observed: admin.observer.observed(now),
        runs: admin.analytics.as_ref().map(|analytics| analytics.report(0)),
        drifted: admin.observer.drifted(),
        stored,
    }
}

async fn stored(admin: &Admin) -> Result<StoredView, StatsError> {
    let stats = admin.stats().await?;
    let newest = Query { newest_first: true, limit: MAX_LISTED_ENTRIES, ..Query::default() };
    let entries = admin.spool.quarantine(newest).await?;
    Ok(StoredView { stats, entries })
}

/// Counts the dead letters of each sink in quarantine. The spool keeps no such count; an empty quarantine is not
/// queried.
async fn dead_letters(
    admin: &Admin,
    sinks: &[Arc<SinkStatus>],
    stored: &Result<StoredView, StatsError>,
) -> Vec<usize> {
    let is_empty = stored.as_ref().is_ok_and(|stored| stored.stats.quarantined == 0);
    let mut counts = Vec::with_capacity(sinks.len());
    for sink in sinks {
        let sink = Some(sink.name.to_string());
        let query =
            Query { sink, newest_first: true, limit: MAX_COUNTED_DEAD_LETTERS, ..Query::default() };
        counts.push(match stored.is_ok() && !is_empty {
            true => admin.spool.quarantine(query).await.map_or(0, |letters| letters.len()),
            false => 0,
        });
    }
    counts
}

async fn entry(State(admin): State<Arc<Admin>>, Path(id): Path<i64>) -> Response {
    match admin.spool.entry(id).await {
        Ok(Some(entry)) => {
            let body = quarantine::entry(&entry, &admin.access, (admin.clock)());
            page::page(&format!("davinci-siem, entry {id}"), &body).into_response()
        }
        Ok(None) => {
            let body = message("This entry does not exist; it may have been retried or purged.");
            (StatusCode::NOT_FOUND, page::page("davinci-siem", &body)).into_response()
        }
        Err(error) => failed(&error),
    }
}

fn failed(error: &ReadError) -> Response {
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

//! Sources: requests, events per second, dispositions, and the time until PingOne loses events.

use maud::{Markup, html};

use super::table::{Cell, Column, row, table};
use super::view::View;
use super::words::{ago, count, number, per_second, span};
use crate::observe::SourceLine;

const STATE: Column = Column::Text("State");
const RATE: Column = Column::Number("Events/s in");
const ACCEPTED: Column = Column::Number("Accepted");
const DUPLICATES: Column = Column::Number("Duplicates");
const QUARANTINED: Column = Column::Number("Quarantined");
const LAST: Column = Column::Text("Last request");

/// Renders one row per source.
pub(super) fn sources(view: &View) -> Markup {
    let columns = [Column::Text("Source"), STATE, RATE, ACCEPTED, DUPLICATES, QUARANTINED, LAST];
    let rows = html! { @for source in &view.observed.sources { (source_row(source, view)) } };
    table("Sources", &columns, &rows, view.observed.sources.is_empty(), "No sources.")
}

fn source_row(source: &SourceLine, view: &View) -> Markup {
    let name = &source.source;
    let total = |disposition| html! { (number(view.flow.total(name, disposition))) };
    let cells = [
        Cell(STATE, state(source, view.now)),
        Cell(RATE, html! { (per_second(view.flow.rate(name, "accepted"))) }),
        Cell(ACCEPTED, total("accepted")),
        Cell(DUPLICATES, total("duplicate")),
        Cell(QUARANTINED, total("quarantined")),
        Cell(
            LAST,
            html! {
                @match source.last_heard { Some(at) => (ago(at, view.now)), None => "None since the start" }
            },
        ),
    ];
    let class = if source.blocked_since.is_some() { "is-bad" } else { "" };
    row(Some(&format!("source-{name}")), class, &html! { (name) }, &cells)
}

fn state(source: &SourceLine, now: i64) -> Markup {
    html! {
        @match (source.blocked_since, source.loses_events_at) {
            (Some(since), Some(loses)) => {
                span class="state paused" { "blocked" }
                span class="note" {
                    " for " (span(now - since)) ", " (count(source.refusals, "refused request")) ". "
                    @if loses > now { "PingOne loses events in " (span(loses - now)) "." }
                    @else { "PingOne has been losing events for " (span(now - loses)) "." }
                }
            }
            _ if source.last_heard.is_none() => { span class="state waiting" { "waiting" } }
            _ => { span class="state running" { "receiving" } }
        }
    }
}

//! What flows, connectors, sinks and sources do, and how events differ from what is documented.

use maud::{Markup, html};

use super::View;
use super::words::{ago, number, span};
use crate::deliver::SinkState;

/// Rows of a table whose length the sender decides.
const ROWS: usize = 20;

/// A table that may be wider than the screen: scrollable by keyboard, too.
fn table(label: &str, heading: &[&str], rows: &Markup, is_empty: bool, empty: &str) -> Markup {
    html! {
        @if is_empty { p class="empty" { (empty) } } @else {
            div class="scroll" role="group" aria-label=(label) tabindex="0" {
                table {
                    thead { tr { @for name in heading { th scope="col" { (name) } } } }
                    tbody { (rows) }
                }
            }
        }
    }
}

pub(super) fn sources(view: &View) -> Markup {
    let rows = html! {
        @for source in &view.observed.sources {
            tr {
                th scope="row" { (source.source) }
                td { @match source.last_heard { Some(at) => (ago(at, view.now)), None => "not since the start" } }
                td {
                    @match (source.blocked_since, source.loses_events_at) {
                        (Some(since), Some(loses)) => {
                            strong class="bad" { (span(view.now - since)) " of 7 days" }
                            ", " (number(source.refusals)) " refusals; "
                            @if loses > view.now { "events are lost in " (span(loses - view.now)) }
                            @else { "events are being lost since " (ago(loses, view.now)) }
                        }
                        _ => "no"
                    }
                }
            }
        }
    };
    table("Sources", &["source", "last heard", "blocked"], &rows, false, "")
}

pub(super) fn sinks(view: &View) -> Markup {
    let rows = html! {
        @for sink in &view.sinks {
            tr {
                th scope="row" { (sink.name) }
                td {
                    span class={ "state " (sink.state.as_str()) } { (sink.state.as_str()) }
                    @match &sink.state {
                        SinkState::Running => {}
                        SinkState::Retrying { attempts, reason } => { " attempt " (attempts) ": " (reason) }
                        SinkState::Paused { reason } => { " " (reason) }
                        SinkState::Standby { leader } => { " for " (leader) }
                    }
                }
                td class="number" { @match sink.lag { Some(lag) => (number(lag)), None => "?" } }
                td { @if let Some(since) = sink.waiting_since { (span(view.now - since)) } @else { "none" } }
                td {
                    @if let Some(reason) = &sink.last_error { (reason) } @else { "none since the start" }
                }
                @if view.offers_operations {
                    td {
                        @let is_paused = matches!(sink.state, SinkState::Paused { .. });
                        @let verb = if is_paused { "resume" } else { "pause" };
                        button data-post={ "/api/sinks/" (sink.name) "/" (verb) } { (verb) span class="unseen" { " sink " (sink.name) } }
                    }
                }
            }
        }
    };
    let heading = ["sink", "state", "events behind", "time behind", "last error", "operate"];
    let columns = heading.len() - usize::from(!view.offers_operations);
    table("Sinks", &heading[..columns], &rows, view.sinks.is_empty(), "No sinks.")
}

pub(super) fn flows(view: &View) -> Markup {
    let rows = html! {
        @for flow in view.observed.flows.iter().take(ROWS) {
            tr {
                th scope="row" title=(flow.id) {
                    @if !flow.name.is_empty() { (flow.name) } @else if !flow.id.is_empty() { (flow.id) } @else { "others" }
                }
                td class="number" { (number(flow.starts)) }
                td {
                    @for (status, events) in &flow.outcomes { span class="pair" { (status) " " b { (number(*events)) } } " " }
                    @if flow.outcomes.is_empty() { "none reported" }
                }
                td class="number" { (number(flow.errors)) }
                td class="number" { (rate(flow.errors, flow.starts)) }
                td { (ago(flow.last_seen, view.now)) }
            }
        }
    };
    let heading = ["flow", "starts", "outcomes", "errors", "errors per start", "last seen"];
    table(
        "Flows",
        &heading,
        &rows,
        view.observed.flows.is_empty(),
        "No flow has been seen since the start.",
    )
}

fn rate(errors: u64, starts: u64) -> String {
    match starts {
        0 => "–".to_owned(),
        _ => format!("{:.1} %", errors as f64 * 100.0 / starts as f64),
    }
}

pub(super) fn connectors(view: &View) -> Markup {
    let rows = html! {
        @for line in view.observed.connectors.iter().take(ROWS) {
            tr {
                th scope="row" { @if line.connector.is_empty() { "others" } @else { (line.connector) } }
                td { (line.capability) }
                td class="number" { (number(line.errors)) }
                td { (ago(line.last_error, view.now)) }
            }
        }
    };
    let heading = ["connector", "capability", "errors", "last"];
    table(
        "Connectors that fail",
        &heading,
        &rows,
        view.observed.connectors.is_empty(),
        "No connector has failed since the start.",
    )
}

pub(super) fn drift(view: &View) -> Markup {
    let rows = html! {
        @for line in view.drifted.drift.iter().take(ROWS) {
            tr {
                th scope="row" { (line.kind) }
                td { (line.finding.replace('_', " ")) }
                td { code { (line.path) } }
                td {
                    @if let Some(example) = &line.example {
                        (example.kind) @if let Some(length) = example.length { " of " (length) }
                    }
                }
                td class="number" { (number(line.count)) }
                td { (ago(line.first_seen, view.now)) }
                td { (ago(line.last_seen, view.now)) }
            }
        }
    };
    let heading = ["type", "what", "where", "looks like", "how often", "first seen", "last seen"];
    table(
        "Schema drift",
        &heading,
        &rows,
        view.drifted.drift.is_empty(),
        "Everything was as documented.",
    )
}

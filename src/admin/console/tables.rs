//! Tables: sources, sinks, flows, connectors, schema drift.

use maud::{Markup, html};

use super::View;
use super::words::{ago, number, span};
use crate::deliver::SinkState;
use crate::interactions::FlowReport;

/// Maximum number of rows of a table whose length senders control.
const MAX_ROWS: usize = 20;

/// Maximum number of failing steps per flow.
const MAX_STEPS: usize = 3;

/// Renders a table that scrolls horizontally, also by keyboard.
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
                td { @match source.last_heard { Some(at) => (ago(at, view.now)), None => "None since the start" } }
                td {
                    @match (source.blocked_since, source.loses_events_at) {
                        (Some(since), Some(loses)) => {
                            strong class="bad" { (span(view.now - since)) " of 7 days" }
                            ", " (number(source.refusals)) " refused requests; "
                            @if loses > view.now { "PingOne loses events in " (span(loses - view.now)) }
                            @else { "PingOne loses events since " (ago(loses, view.now)) }
                        }
                        _ => "No"
                    }
                }
            }
        }
    };
    table("Sources", &["Source", "Last request", "Blocked"], &rows, false, "")
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
                        SinkState::Standby { leader } => { " (lease held by " (leader) ")" }
                    }
                }
                td class="number" { @match sink.lag { Some(lag) => (number(lag)), None => "?" } }
                td { @if let Some(since) = sink.waiting_since { (span(view.now - since)) } @else { "None" } }
                td {
                    @if let Some(reason) = &sink.last_error { (reason) } @else { "None since the start" }
                }
                @if view.offers_operations {
                    td {
                        @let is_paused = matches!(sink.state, SinkState::Paused { .. });
                        @let (verb, label) = if is_paused { ("resume", "Resume") } else { ("pause", "Pause") };
                        button data-post={ "/api/sinks/" (sink.name) "/" (verb) } { (label) span class="visually-hidden" { " sink " (sink.name) } }
                    }
                }
            }
        }
    };
    let heading = ["Sink", "State", "Lag in events", "Lag in time", "Last error", "Operation"];
    let columns = heading.len() - usize::from(!view.offers_operations);
    table("Sinks", &heading[..columns], &rows, view.sinks.is_empty(), "No sinks.")
}

pub(super) fn flows(view: &View) -> Markup {
    let rows = html! {
        @for flow in view.observed.flows.iter().take(MAX_ROWS) {
            tr {
                th scope="row" title=(flow.id) {
                    @if !flow.name.is_empty() { (flow.name) } @else if !flow.id.is_empty() { (flow.id) } @else { "Others" }
                }
                td class="number" { (number(flow.starts)) }
                td {
                    @for (status, events) in &flow.outcomes { span class="pair" { (status) " " b { (number(*events)) } } " " }
                    @if flow.outcomes.is_empty() { "None reported" }
                }
                td class="number" { (number(flow.errors)) }
                td class="number" { (rate(flow.errors, flow.starts)) }
                td { (ago(flow.last_seen, view.now)) }
            }
        }
    };
    let heading = ["Flow", "Starts", "Outcomes", "Errors", "Errors per start", "Last event"];
    table(
        "Flows",
        &heading,
        &rows,
        view.observed.flows.is_empty(),
        "No flow events since the start.",
    )
}

/// Renders the statistics of flow runs by version.
pub(super) fn runs(report: &FlowReport) -> Markup {
    let percent = |rate: Option<f64>| {
        rate.map_or_else(|| "–".to_owned(), |rate| format!("{:.1} %", rate * 100.0))
    };
    let duration = |time: Option<u64>| {
        time.map_or_else(|| "–".to_owned(), |time| format!("{:.1} s", time as f64 / 1000.0))
    };
    let rows = html! {
        @for flow in report.flows.iter().take(MAX_ROWS) {
            tr {
                th scope="row" title=(flow.flow_id) {
                    @if !flow.name.is_empty() { (flow.name) } @else if !flow.flow_id.is_empty() { (flow.flow_id) } @else { "Others" }
                }
                td class="number" { @if let Some(version) = flow.version { (version) } @else { "?" } }
                td class="number" { (number(flow.interactions)) }
                td class="number" { (percent(flow.success_rate)) }
                td class="number" { (percent(flow.abandonment_rate)) }
                td class="number" { (duration(flow.p50_ms)) }
                td class="number" { (duration(flow.p95_ms)) }
                td {
                    @for step in flow.failing_steps.iter().take(MAX_STEPS) {
                        span class="pair" { (step.connector) " " (step.capability) " " b { (number(step.errors)) } } " "
                    }
                    @if flow.failing_steps.is_empty() { "None" }
                }
            }
        }
    };
    let heading = [
        "Flow",
        "Version",
        "Runs",
        "Success",
        "Abandoned",
        "Median time",
        "95th percentile",
        "Failing steps",
    ];
    let empty = "No flow run was summarised since the start.";
    table("Flow runs", &heading, &rows, report.flows.is_empty(), empty)
}

fn rate(errors: u64, starts: u64) -> String {
    match starts {
        0 => "–".to_owned(),
        _ => format!("{:.1} %", errors as f64 * 100.0 / starts as f64),
    }
}

pub(super) fn connectors(view: &View) -> Markup {
    let rows = html! {
        @for line in view.observed.connectors.iter().take(MAX_ROWS) {
            tr {
                th scope="row" { @if line.connector.is_empty() { "Others" } @else { (line.connector) } }
                td { (line.capability) }
                td class="number" { (number(line.errors)) }
                td { (ago(line.last_error, view.now)) }
            }
        }
    };
    let heading = ["Connector", "Capability", "Errors", "Last error"];
    table(
        "Failing connectors",
        &heading,
        &rows,
        view.observed.connectors.is_empty(),
        "No connector errors since the start.",
    )
}

pub(super) fn drift(view: &View) -> Markup {
    let rows = html! {
        @for line in view.drifted.drift.iter().take(MAX_ROWS) {
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
    let heading = ["Type", "Finding", "Field", "Example", "Count", "First seen", "Last seen"];
    table(
        "Schema drift",
        &heading,
        &rows,
        view.drifted.drift.is_empty(),
        "All events match PingOne's documentation.",
    )
}

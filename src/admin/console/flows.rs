//! Flows: starts, outcomes and errors, runs by version, and failing connectors.

use maud::{Markup, html};

use super::table::{Cell, Column, row, table};
use super::view::View;
use super::words::{ago, number};
use crate::interactions::FlowReport;

/// Maximum number of rows of a table whose length senders control.
pub(super) const MAX_ROWS: usize = 20;

/// Maximum number of failing steps per flow.
const MAX_STEPS: usize = 3;

/// Renders the flows.
pub(super) fn flows(view: &View) -> Markup {
    let [starts, outcomes, errors, rate_of, last] = [
        Column::Number("Starts"),
        Column::Text("Outcomes"),
        Column::Number("Errors"),
        Column::Number("Errors per start"),
        Column::Text("Last event"),
    ];
    let rows = html! {
        @for flow in view.observed.flows.iter().take(MAX_ROWS) {
            (row(None, "", &name(&flow.name, &flow.id), &[
                Cell(starts, html! { (number(flow.starts)) }),
                Cell(outcomes, html! {
                    @for (status, events) in &flow.outcomes { span class="pair" { (status) " " b { (number(*events)) } } " " }
                    @if flow.outcomes.is_empty() { "None reported" }
                }),
                Cell(errors, html! { (number(flow.errors)) }),
                Cell(rate_of, html! { (rate(flow.errors, flow.starts)) }),
                Cell(last, ago(flow.last_seen, view.now)),
            ]))
        }
    };
    let columns = [Column::Text("Flow"), starts, outcomes, errors, rate_of, last];
    let empty = "No flow events since the start.";
    html! {
        (table("Flows", &columns, &rows, view.observed.flows.is_empty(), empty))
        (rest(view.observed.flows.len(), "flow"))
    }
}

fn name(name: &str, id: &str) -> Markup {
    html! {
        span title=(id) { @if !name.is_empty() { (name) } @else if !id.is_empty() { (id) } @else { "Others" } }
    }
}

fn rest(length: usize, noun: &str) -> Markup {
    let rest = length.saturating_sub(MAX_ROWS);
    html! { @if rest > 0 { p class="empty" { "and " (super::words::count(rest as u64, noun)) " more" } } }
}

/// Renders the statistics of flow runs by version.
pub(super) fn runs(report: &FlowReport) -> Markup {
    let percent = |rate: Option<f64>| {
        rate.map_or_else(|| "–".to_owned(), |rate| format!("{:.1} %", rate * 100.0))
    };
    let duration = |time: Option<u64>| {
        time.map_or_else(|| "–".to_owned(), |time| format!("{:.1} s", time as f64 / 1000.0))
    };
    let [version, runs, success, abandoned, median, high, steps] = [
        Column::Number("Version"),
        Column::Number("Runs"),
        Column::Number("Success"),
        Column::Number("Abandoned"),
        Column::Number("Median time"),
        Column::Number("95th percentile"),
        Column::Text("Failing steps"),
    ];
    let rows = html! {
        @for flow in report.flows.iter().take(MAX_ROWS) {
            (row(None, "", &name(&flow.name, &flow.flow_id), &[
                Cell(version, html! { @if let Some(version) = flow.version { (version) } @else { "?" } }),
                Cell(runs, html! { (number(flow.interactions)) }),
                Cell(success, html! { (percent(flow.success_rate)) }),
                Cell(abandoned, html! { (percent(flow.abandonment_rate)) }),
                Cell(median, html! { (duration(flow.p50_ms)) }),
                Cell(high, html! { (duration(flow.p95_ms)) }),
                Cell(steps, html! {
                    @for step in flow.failing_steps.iter().take(MAX_STEPS) {
                        span class="pair" { (step.connector) " " (step.capability) " " b { (number(step.errors)) } } " "
                    }
                    @if flow.failing_steps.is_empty() { "None" }
                }),
            ]))
        }
    };
    let columns = [Column::Text("Flow"), version, runs, success, abandoned, median, high, steps];
    let empty = "No flow run was summarised since the start.";
    table("Flow runs", &columns, &rows, report.flows.is_empty(), empty)
}

fn rate(errors: u64, starts: u64) -> String {
    match starts {
        0 => "–".to_owned(),
        _ => format!("{:.1} %", errors as f64 * 100.0 / starts as f64),
    }
}

/// Renders the connectors with errors.
pub(super) fn connectors(view: &View) -> Markup {
    let [capability, errors, last] =
        [Column::Text("Capability"), Column::Number("Errors"), Column::Text("Last error")];
    let rows = html! {
        @for line in view.observed.connectors.iter().take(MAX_ROWS) {
            @let connector = if line.connector.is_empty() { "Others" } else { &line.connector };
            (row(None, "", &html! { (connector) }, &[
                Cell(capability, html! { (line.capability) }),
                Cell(errors, html! { (number(line.errors)) }),
                Cell(last, ago(line.last_error, view.now)),
            ]))
        }
    };
    let columns = [Column::Text("Connector"), capability, errors, last];
    let empty = "No connector errors since the start.";
    html! {
        (table("Failing connectors", &columns, &rows, view.observed.connectors.is_empty(), empty))
        (rest(view.observed.connectors.len(), "connector"))
    }
}

//! Sinks: state, target, rates, totals, lag, next retry, last error, and the buttons that pause and resume.

use maud::{Markup, html};

use super::table::{Cell, Column, row, table};
use super::view::{SinkView, View};
use super::words::{ago, number, per_second, span};
use crate::deliver::SinkState;

const STATE: Column = Column::Text("State");
const TARGET: Column = Column::Text("Target");
const RATES: Column = Column::Number("Events/s in, out");
const DELIVERED: Column = Column::Number("Delivered");
const REFUSED: Column = Column::Number("Refused");
const LAG: Column = Column::Number("Lag");
const LAST_ERROR: Column = Column::Text("Last error");
const OPERATION: Column = Column::Text("Operation");

/// Renders one row per sink, those in trouble first.
pub(super) fn sinks(view: &View) -> Markup {
    let columns = [
        Column::Text("Sink"),
        STATE,
        TARGET,
        RATES,
        DELIVERED,
        REFUSED,
        LAG,
        LAST_ERROR,
        OPERATION,
    ];
    let mut sinks: Vec<&SinkView> = view.sinks.iter().collect();
    sinks.sort_by_key(|sink| std::cmp::Reverse(severity(sink)));
    let rows = html! { @for sink in sinks { (sink_row(sink, view)) } };
    let shown = columns.len() - usize::from(!view.offers_operations);
    table(
        "Sinks",
        columns.get(..shown).unwrap_or(&columns),
        &rows,
        view.sinks.is_empty(),
        "No sinks.",
    )
}

fn severity(sink: &SinkView) -> u8 {
    match sink.state {
        SinkState::Paused { .. } => 3,
        SinkState::Retrying { .. } => 2,
        SinkState::Running | SinkState::Standby { .. } => u8::from(sink.dead_letters > 0),
    }
}

fn sink_row(sink: &SinkView, view: &View) -> Markup {
    let (name, now) = (&sink.name, view.now);
    let total = |disposition| number(view.flow.total(name, disposition));
    let refused = view.flow.total(name, "dead_lettered");
    let mut cells = vec![
        Cell(STATE, state(sink, now)),
        Cell(
            TARGET,
            html! { (sink.target.kind) @if !sink.target.address.is_empty() { " " code { (sink.target.address) } } },
        ),
        Cell(
            RATES,
            html! { (per_second(view.flow.rate_in())) ", " b { (per_second(view.flow.rate(name, "delivered"))) } },
        ),
        Cell(DELIVERED, html! { (total("delivered")) }),
        Cell(
            REFUSED,
            html! {
                @if sink.dead_letters > 0 { a href="#quarantine-title" class="warning-text" { (number(refused)) } }
                @else { (number(refused)) }
            },
        ),
        Cell(
            LAG,
            html! {
                @match sink.lag { Some(lag) => (number(lag)), None => "unknown" }
                @if let Some(since) = sink.waiting_since { span class="note" { (span(now - since)) } }
            },
        ),
        Cell(
            LAST_ERROR,
            html! {
                @match &sink.last_error {
                    // The state repeats the text of a current error.
                    Some((_, at)) if is_failing(sink) => { (ago(*at, now)) }
                    Some((reason, at)) => { (ago(*at, now)) span class="note" { (reason) } }
                    None => { span class="empty" { "None since the start" } }
                }
            },
        ),
    ];
    if view.offers_operations {
        cells.push(Cell(OPERATION, button(sink)));
    }
    let class = match severity(sink) {
        3 => "is-bad",
        1 | 2 => "is-warning",
        _ => "",
    };
    row(Some(&format!("sink-{name}")), class, &html! { (name) }, &cells)
}

fn is_failing(sink: &SinkView) -> bool {
    let is_failing = matches!(sink.state, SinkState::Retrying { .. } | SinkState::Paused { .. });
    is_failing && !sink.is_paused_by_operator
}

fn state(sink: &SinkView, now: i64) -> Markup {
    let next = sink.next_attempt_at.map(|at| match at - now {
        ..=0 => "Next attempt now.".to_owned(),
        left => format!("Next attempt in {}.", span(left.max(1000))),
    });
    html! {
        span class={ "state " (sink.state.as_str()) } { (sink.state.as_str()) }
        @match &sink.state {
            SinkState::Running => {}
            SinkState::Retrying { attempts, reason } => {
                span class="note" { "Attempt " (attempts) ": " (reason) ". " @if let Some(next) = next { (next) } }
            }
            SinkState::Paused { .. } if sink.is_paused_by_operator => {
                span class="note" { "By an operator. Its events are kept." }
            }
            SinkState::Paused { reason } => {
                span class="note" { (reason) ". " @if let Some(next) = next { (next) } }
            }
            SinkState::Standby { leader } => { span class="note" { "Another receiver delivers: " (leader) } }
        }
    }
}

fn button(sink: &SinkView) -> Markup {
    let name = &sink.name;
    let label = |verb| html! { (verb) span class="visually-hidden" { " sink " (name) } };
    html! {
        @if matches!(sink.state, SinkState::Paused { .. }) {
            button type="button" data-post={ "/api/sinks/" (name) "/resume" }
                data-done={ "Sink " (name) " delivers again." } { (label("Resume")) }
        } @else {
            button type="button" data-post={ "/api/sinks/" (name) "/pause" } data-verb="Pause"
                data-confirm={ "Pause sink " (name) "? Its events are kept, and delivered after you resume it. Other sinks are not affected." }
                data-done={ "Sink " (name) " is paused. Its events are kept." } { (label("Pause")) }
        }
    }
}

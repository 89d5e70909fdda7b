//! Schema drift: differences between the events and PingOne's documentation.

use maud::{Markup, html};

use super::flows::MAX_ROWS;
use super::table::{Cell, Column, row, table};
use super::view::View;
use super::words::{ago, breakable, number};

/// Renders one row per difference.
pub(super) fn drift(view: &View) -> Markup {
    let [finding, field, example, count, first, last] = [
        Column::Text("Finding"),
        Column::Text("Field"),
        Column::Text("Example"),
        Column::Number("Count"),
        Column::Text("First seen"),
        Column::Text("Last seen"),
    ];
    let rows = html! {
        @for line in view.drifted.drift.iter().take(MAX_ROWS) {
            (row(None, "", &breakable(&line.kind), &[
                Cell(finding, html! { (line.finding.replace('_', " ")) }),
                Cell(field, html! { code { (breakable(&line.path)) } }),
                Cell(example, html! {
                    @if let Some(example) = &line.example {
                        (example.kind) @if let Some(length) = example.length { " of " (length) }
                    }
                }),
                Cell(count, html! { (number(line.count)) }),
                Cell(first, ago(line.first_seen, view.now)),
                Cell(last, ago(line.last_seen, view.now)),
            ]))
        }
    };
    let columns = [Column::Text("Type"), finding, field, example, count, first, last];
    let empty = "All events match PingOne's documentation.";
    table("Schema drift", &columns, &rows, view.drifted.drift.is_empty(), empty)
}

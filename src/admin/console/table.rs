//! Tables that become cards on a narrow screen.

use maud::{Markup, html};

/// Alignment of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Text(&'static str),
    /// Right-aligned.
    Number(&'static str),
}

/// One cell, with the name of its column for cards.
pub(super) struct Cell(pub(super) Column, pub(super) Markup);

impl Column {
    fn name(self) -> &'static str {
        match self {
            Column::Text(name) | Column::Number(name) => name,
        }
    }

    fn class(self) -> Option<&'static str> {
        matches!(self, Column::Number(_)).then_some("number")
    }
}

/// Renders a table that scrolls horizontally, also by keyboard, or a sentence if it is empty.
pub(super) fn table(
    label: &str,
    columns: &[Column],
    rows: &Markup,
    is_empty: bool,
    empty: &str,
) -> Markup {
    html! {
        @if is_empty { p class="empty" { (empty) } } @else {
            div class="scroll" role="group" aria-label=(label) tabindex="0" {
                table {
                    thead { tr { @for column in columns {
                        th scope="col" class=[column.class()] { (column.name()) }
                    } } }
                    tbody { (rows) }
                }
            }
        }
    }
}

/// Renders a row: its heading, and one cell per further column.
pub(super) fn row(id: Option<&str>, class: &str, heading: &Markup, cells: &[Cell]) -> Markup {
    html! {
        tr id=[id] class=[Some(class).filter(|class| !class.is_empty())] {
            th scope="row" { (heading) }
            @for Cell(column, content) in cells {
                td class=[column.class()] data-label=(column.name()) { div { (content) } }
            }
        }
    }
}

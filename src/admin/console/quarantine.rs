//! Quarantine on the overview: groups of entries, each with its operations.

use maud::{Markup, html};

use super::table::{Cell, Column, row, table};
use super::view::{StoredView, View};
use super::words::{ago, entries, number, size};
use crate::admin::quarantine::Group;

/// Maximum number of groups in the overview.
const MAX_ROWS: usize = 20;

const FROM: Column = Column::Text("Sink or source");
const ANSWER: Column = Column::Text("Answer or detail");
const COUNT: Column = Column::Number("Entries");
const BYTES: Column = Column::Number("Size");
const NEWEST: Column = Column::Text("Newest");
const OPERATION: Column = Column::Text("Operation");

/// Renders the groups, those with the most entries first.
pub(super) fn list(view: &View) -> Markup {
    let StoredView { stats, groups } = match &view.stored {
        Ok(stored) => stored,
        Err(error) => {
            return html! { p { "The quarantine cannot be read: " (error.to_string()) "." } };
        }
    };
    let columns = [Column::Text("Reason"), FROM, ANSWER, COUNT, BYTES, NEWEST, OPERATION];
    let shown = columns.len() - usize::from(!view.offers_operations);
    let rows = html! {
        @for group in groups.groups.iter().take(MAX_ROWS) { (group_row(group, view)) }
    };
    let rest = groups.groups.len().saturating_sub(MAX_ROWS);
    html! {
        p {
            (entries(stats.quarantined)) ", "
            (size(stats.quarantine_size)) " of " (size(stats.quarantine_max_size))
            @if groups.counted < stats.quarantined {
                "; grouped are the newest " (number(groups.counted))
            }
        }
        (table("Quarantine", columns.get(..shown).unwrap_or(&columns), &rows, groups.groups.is_empty(), "The quarantine is empty."))
        @if rest > 0 { p class="empty" { "and " (super::words::count(rest as u64, "smaller group")) } }
    }
}

fn group_row(group: &Group, view: &View) -> Markup {
    let reason = html! {
        a href={ "/console/quarantine/group/" (group.key) } { (group.reason.replace('_', " ")) }
    };
    let mut cells = vec![
        Cell(FROM, place(group)),
        Cell(ANSWER, html! { (group.answer) }),
        Cell(COUNT, html! { (number(group.ids.len() as u64)) }),
        Cell(BYTES, html! { (size(group.bytes)) }),
        Cell(NEWEST, ago(group.newest_at, view.now)),
    ];
    if view.offers_operations {
        cells.push(Cell(OPERATION, operations(group)));
    }
    row(None, "", &reason, &cells)
}

/// Names the sink or the source of a group.
pub(super) fn place(group: &Group) -> Markup {
    html! { @match &group.sink { Some(sink) => { "sink " (sink) } None => { "source " (group.source) } } }
}

/// Renders the buttons of a group.
pub(super) fn operations(group: &Group) -> Markup {
    let of = html! { span class="visually-hidden" { " the group " (group.reason.replace('_', " ")) " of " (place(group)) } };
    html! {
        span class="buttons" {
            button type="button" data-group=(group.key) data-verb="retry" { "Retry" (of) }
            button type="button" data-group=(group.key) data-verb="purge" { "Purge" (of) }
        }
    }
}

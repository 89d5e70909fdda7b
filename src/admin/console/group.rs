//! Page of one group of quarantine entries.

use maud::{Markup, html};

use super::quarantine::{operations, place};
use super::table::{Cell, Column, row, table};
use super::words::{ago, entries, number, size};
use crate::admin::quarantine::Group;
use crate::spool::{ReadError, Spool};

/// Maximum number of listed entries.
const MAX_LISTED: usize = 100;

/// Renders the group and its newest entries.
pub(super) async fn page(
    spool: &Spool,
    group: &Group,
    offers_operations: bool,
    now: i64,
) -> Result<Markup, ReadError> {
    let [detail, bytes, age] =
        [Column::Text("Detail"), Column::Number("Size"), Column::Text("Age")];
    let mut listed = Vec::new();
    for id in group.ids.iter().take(MAX_LISTED) {
        // An entry that was retried or purged meanwhile is absent.
        listed.extend(spool.entry(*id).await?.map(|entry| entry.summary));
    }
    let rows = html! {
        @for entry in &listed {
            (row(None, "", &html! { a href={ "/console/quarantine/" (entry.id) } { (entry.id) } }, &[
                Cell(detail, html! { (entry.detail) }),
                Cell(bytes, html! { (size(entry.size)) }),
                Cell(age, ago(entry.at, now)),
            ]))
        }
    };
    let rest = group.ids.len().saturating_sub(MAX_LISTED);
    Ok(html! {
        h1 { "Quarantine: " (group.reason.replace('_', " ")) ", " (place(group)) }
        dl {
            dt { "Answer or detail" } dd { (group.answer) }
            dt { "Entries" } dd { (number(group.ids.len() as u64)) ", " (size(group.bytes)) }
            dt { "Newest" } dd { (ago(group.newest_at, now)) }
            dt { "Oldest" } dd { (ago(group.oldest_at, now)) }
        }
        p class="buttons" {
            @if offers_operations { (operations(group)) }
            a class="button" href={ "/api/quarantine/groups/" (group.key) "/export" } download="quarantine.ndjson" {
                "Export as JSON lines"
            }
        }
        p id="group-progress" role="status" {}
        (table("Entries", &[Column::Text("Entry"), detail, bytes, age], &rows, listed.is_empty(), "No entries."))
        @if rest > 0 { p class="empty" { "and " (entries(rest as u64)) " more; the export has all" } }
        p { a href="/console#quarantine-title" { "Back to the console" } }
    })
}

//! Form of a replay. The script asks for the number of events and for a confirmation before it replays.

use maud::{Markup, html};

use super::view::View;

/// Renders the form, or nothing if the page offers no operations.
pub(super) fn form(view: &View) -> Markup {
    html! {
        @if view.offers_operations && !view.sinks.is_empty() {
            details class="replay" id="replay-part" {
                summary { "Replay events to a sink" }
                p { "Delivers stored events of a time range once more to one sink, by the time of receipt. Other sinks do not get them." }
                form id="replay" class="filter" {
                    label { "Sink " select name="sink" { @for sink in &view.sinks { option { (sink.name) } } } }
                    label { "From " input type="datetime-local" name="from" step="1" required; }
                    label { "To " input type="datetime-local" name="to" step="1" required; }
                    button type="submit" { "Replay" }
                    span class="note" data-zone {}
                }
                p id="replay-progress" role="status" {}
            }
        }
    }
}

//! Frame of the live tail, which the script fills.

use maud::{Markup, html};

use crate::observe::Kind;

/// Renders the filter and the empty list.
pub(super) fn tail() -> Markup {
    html! {
        form id="filter" class="filter" {
            label { "Type " select name="type" {
                option value="" { "all" }
                @for kind in Kind::ALL { option value=(kind.as_str()) { (kind.as_str().replace('_', " ")) } }
            } }
            label { "Outcome " select name="outcome" {
                option value="" { "all" }
                @for outcome in ["success", "failure", "unknown"] { option { (outcome) } }
            } }
            label { "Flow " input name="flow" autocomplete="off" maxlength="128"; }
            label { "Text " input name="match" autocomplete="off" maxlength="128"; }
            button type="button" id="pause" aria-pressed="false" { "Pause" }
        }
        noscript { p { "The tail needs JavaScript; without it, use " code { "davinci-siem tail" } "." } }
        ol id="tail" class="tail" tabindex="0" aria-label="Accepted events, newest first" {}
    }
}

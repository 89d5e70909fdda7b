//! The page around everything, and the overview.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::verdict::{self, verdict};
use super::words::{clock, count, number, size};
use super::{View, plot, quarantine, tables};
use crate::observe::Kind;
use crate::printable;
use crate::spool::{Disposition, Loss, SpoolStats};

/// A whole page. What strangers say in it is text, without characters that would change how the rest is read.
pub(super) fn page(title: &str, body: &Markup) -> Markup {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                link rel="stylesheet" href="/console/style.css";
                script src="/console/script.js" defer {}
            }
            body {
                a class="skip" href="#main" { "To the content" }
                header { a href="/console" { "davinci-siem" } }
                main id="main" { (body) }
                // What an operation came to.
                p id="said" role="status" aria-live="polite" {}
                // For whoever listens: the sentence at the top, when it becomes another colour.
                p id="told" class="unseen" role="status" aria-live="polite" {}
                footer { "davinci-siem " (env!("CARGO_PKG_VERSION")) }
            }
        }
    };
    PreEscaped(printable::lines(&page.into_string()).into_owned())
}

/// Everything at once; parts marked as live are brought up to date by the script.
pub(super) fn overview(view: &View) -> Markup {
    let (level, sentence) = verdict(view);
    let body = html! {
        h1 class="unseen" { "Console" }
        // The script says when it changes: who listens must not hear each second that passes.
        div id="verdict" data-live {
            p class={ "verdict " (level.class()) } {
                b { (level.word()) ". " } (sentence)
                @if let Some(section) = verdict::section(view, &sentence) { " " a href=(section) { "Go to the quarantine" } }
            }
        }
        (section("events", "Events", &html! {
            (plot::plots(&view.observed))
            p class="facts" {
                @match &view.stored { Ok(stored) => (spool(&stored.stats)), Err(_) => { span { "the spool cannot be read" } " " } }
                span { "counting since " (clock(view.observed.since)) " UTC" }
            }
        }))
        (section("sources", "PingOne", &tables::sources(view)))
        (section("sinks", "Sinks", &tables::sinks(view)))
        (section("flows", "Flows", &tables::flows(view)))
        (section("connectors", "Connectors that fail", &tables::connectors(view)))
        (section("quarantine", "Quarantine", &quarantine::list(view)))
        (section("drift", "Schema drift", &tables::drift(view)))
        section aria-labelledby="tail-title" {
            h2 id="tail-title" { "Live tail" }
            (tail())
        }
    };
    page("davinci-siem", &body)
}

fn spool(stats: &SpoolStats) -> Markup {
    let accepted =
        stats.totals.iter().filter(|(_, disposition, _)| *disposition == Disposition::Accepted);
    let accepted: u64 = accepted.map(|(_, _, count)| count).sum();
    let lost: u64 = stats.lost.iter().map(Loss::events).sum();
    html! {
        span { "spool " b { (number(stats.events)) } " events, " b { (size(stats.size)) } " of " (size(stats.max_size)) } " "
        // Not every engine counts them.
        @if accepted > 0 { span { "accepted since it was made " b { (number(accepted)) } } " " }
        // Known for ever: a sentence at the top would hide what is new.
        @if lost > 0 {
            strong class="bad" { (count(lost, "event")) " acknowledged and lost: davinci-siem spool stats" } " "
        }
    }
}

fn section(id: &str, title: &str, body: &Markup) -> Markup {
    let title_id = format!("{id}-title");
    html! {
        section aria-labelledby=(title_id) {
            h2 id=(title_id) { (title) }
            div id=(id) data-live { (body) }
        }
    }
}

/// The script fills it.
fn tail() -> Markup {
    html! {
        form id="filter" class="filter" {
            label { "type " select name="type" {
                option value="" { "all" }
                @for kind in Kind::ALL { option value=(kind.as_str()) { (kind.as_str().replace('_', " ")) } }
            } }
            label { "outcome " select name="outcome" {
                option value="" { "all" }
                @for outcome in ["success", "failure", "unknown"] { option { (outcome) } }
            } }
            label { "flow " input name="flow" autocomplete="off" maxlength="128"; }
            label { "text " input name="match" autocomplete="off" maxlength="128"; }
            button type="button" id="pause" aria-pressed="false" { "Pause" }
        }
        noscript { p { "The tail needs the page's script; " code { "davinci-siem tail" } " needs none." } }
        ol id="tail" class="tail" tabindex="0" aria-label="Events as they arrive, the newest first" {}
    }
}

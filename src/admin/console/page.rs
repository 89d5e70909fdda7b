//! Page frame and overview.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::verdict::{self, verdict};
use super::words::{clock, count, number, size};
use super::{View, plot, quarantine, tables};
use crate::observe::Kind;
use crate::printable;
use crate::spool::{Disposition, Loss, SpoolStats};

/// Renders a page. Text of events is escaped, also control and direction characters.
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
                a class="skip" href="#main" { "Skip to content" }
                header { a href="/console" { "davinci-siem" } }
                main id="main" { (body) }
                // Result of an operation.
                p id="operation-result" role="status" aria-live="polite" {}
                // Announcement for screen readers when the level of the verdict changes.
                p id="announcement" class="visually-hidden" role="status" aria-live="polite" {}
                footer { "davinci-siem " (env!("CARGO_PKG_VERSION")) }
            }
        }
    };
    PreEscaped(printable::lines(&page.into_string()).into_owned())
}

/// Renders the overview. The script replaces parts marked `data-live`.
pub(super) fn overview(view: &View) -> Markup {
    let (level, sentence) = verdict(view);
    let body = html! {
        h1 class="visually-hidden" { "Console" }
        // Not a live region itself: screen readers would read out every second.
        div id="verdict" data-live {
            p class={ "verdict " (level.class()) } {
                b { (level.word()) ". " } (sentence)
                @if let Some(section) = verdict::section(view, &sentence) { " " a href=(section) { "Go to the quarantine" } }
            }
        }
        (section("events", "Events", &html! {
            (plot::plots(&view.observed))
            p class="facts" {
                @match &view.stored { Ok(stored) => (spool(&stored.stats)), Err(_) => { span { "Spool unreadable" } " " } }
                span { "Counted since " (clock(view.observed.since)) " UTC" }
            }
        }))
        (section("sources", "Sources", &tables::sources(view)))
        (section("sinks", "Sinks", &tables::sinks(view)))
        (section("flows", "Flows", &tables::flows(view)))
        @if let Some(report) = &view.runs { (section("runs", "Flow runs", &tables::runs(report))) }
        (section("connectors", "Failing connectors", &tables::connectors(view)))
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
        span { "Spool: " b { (number(stats.events)) } " events, " b { (size(stats.size)) } " of " (size(stats.max_size)) } " "
        // Some engines do not count accepted events.
        @if accepted > 0 { span { "Accepted in total: " b { (number(accepted)) } } " " }
        // Shown here and not in the verdict: it never goes away, and would hide newer problems.
        @if lost > 0 {
            strong class="bad" { (count(lost, "acknowledged event")) " lost; see davinci-siem spool stats" } " "
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

/// Renders the frame of the tail, which the script fills.
fn tail() -> Markup {
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

//! Page frame and overview.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::verdict::{Finding, verdict};
use super::view::View;
use super::words::count;
use super::{drift, events, flows, quarantine, replay, sinks, sources, tail};
use crate::printable;

/// Maximum number of findings of the verdict that are shown.
const MAX_FINDINGS: usize = 8;

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
                // Before the first paint: it sets the theme.
                script src="/console/preferences.js" {}
                script src="/console/operations.js" defer {}
                script src="/console/tail.js" defer {}
                script src="/console/script.js" defer {}
            }
            body {
                a class="skip" href="#main" { "Skip to content" }
                (header())
                main id="main" { (body) }
                // Result of an operation.
                p id="operation-result" role="status" aria-live="polite" {}
                // Announcement for screen readers when the level of the verdict changes.
                p id="announcement" class="visually-hidden" role="status" aria-live="polite" {}
                (confirmation())
                footer { "davinci-siem " (env!("CARGO_PKG_VERSION")) }
            }
        }
    };
    PreEscaped(printable::lines(&page.into_string()).into_owned())
}

fn header() -> Markup {
    html! {
        header {
            a class="brand" href="/console" { "davinci-siem" }
            form class="search" action="/console/trace" method="get" role="search" {
                label { "Event id " input name="id" type="search" required maxlength="1024" autocomplete="off"; }
                button type="submit" { "Find" }
            }
            // The script shows it and keeps the choices in the browser.
            div id="preferences" class="preferences" hidden {
                label { "Times " select id="zone" {
                    option value="utc" { "UTC" } option value="local" { "your time zone" }
                } }
                label { "Theme " select id="theme" {
                    option value="" { "system" } option value="light" { "light" } option value="dark" { "dark" }
                } }
            }
        }
    }
}

/// Renders the dialog that asks before an operation.
fn confirmation() -> Markup {
    html! {
        dialog id="confirm" aria-labelledby="confirm-text" {
            p id="confirm-text" {}
            div class="buttons" {
                button type="button" id="confirm-no" { "Cancel" }
                button type="button" id="confirm-yes" class="primary" { "Confirm" }
            }
        }
    }
}

/// Renders the overview. The script replaces parts marked `data-live`.
pub(super) fn overview(view: &View) -> Markup {
    let body = html! {
        h1 class="visually-hidden" { "Console" }
        // Not a live region itself: screen readers would read out every second.
        div id="verdict" data-live { (findings(&verdict(view))) }
        (section("sources", "Sources", &sources::sources(view)))
        (section("sinks", "Sinks", &sinks::sinks(view)))
        (replay::form(view))
        (section("events", "Events", &events::events(view)))
        (section("flows", "Flows", &flows::flows(view)))
        @if let Some(report) = &view.runs { (section("runs", "Flow runs", &flows::runs(report))) }
        (section("connectors", "Failing connectors", &flows::connectors(view)))
        (section("quarantine", "Quarantine", &quarantine::list(view)))
        (section("drift", "Schema drift", &drift::drift(view)))
        section aria-labelledby="tail-title" {
            h2 id="tail-title" { "Live tail" }
            (tail::tail())
        }
    };
    page("davinci-siem", &body)
}

fn findings(findings: &[Finding]) -> Markup {
    let rest = findings.len().saturating_sub(MAX_FINDINGS);
    html! {
        @for (index, finding) in findings.iter().take(MAX_FINDINGS).enumerate() {
            p class={ "verdict " (finding.level.class()) @if index > 0 { " further" } } {
                b { (finding.level.word()) ". " } (finding.sentence)
                @if let Some((address, text)) = &finding.link { " " a href=(address) { (text) } }
            }
        }
        @if rest > 0 { p class="verdict warning further" { "and " (count(rest as u64, "more problem")) "; the rows below have them" } }
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

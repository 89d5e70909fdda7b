//! The quarantine: why an event is there, its bytes as text, and a way back.

use maud::{Markup, html};

use super::words::{ago, count, number, size};
use super::{Stored, View};
use crate::admin::access::Access;
use crate::spool::{Entry, EntrySummary};

/// Bytes of an entry that are shown. All of them: `davinci-siem quarantine show`.
const SHOWN: usize = 256 * 1024;

pub(super) fn list(view: &View) -> Markup {
    let Stored { stats, entries } = match &view.stored {
        Ok(stored) => stored,
        Err(error) => return html! { p { "It cannot be read: " (error) } },
    };
    html! {
        p {
            (count(stats.quarantined, "entry").replace("entrys", "entries")) ", "
            (size(stats.quarantine_size)) " of " (size(stats.quarantine_max_size))
            @if entries.len() < usize::try_from(stats.quarantined).unwrap_or(usize::MAX) {
                "; the newest " (entries.len()) ":"
            }
        }
        @if !entries.is_empty() {
            div class="scroll" role="group" aria-label="Quarantine" tabindex="0" {
                table {
                    thead { tr {
                        @for name in ["number", "reason", "what was wrong", "source or sink", "size", "when"] { th scope="col" { (name) } }
                    } }
                    tbody { @for entry in entries { (row(entry, view.now)) } }
                }
            }
        }
    }
}

fn row(entry: &EntrySummary, now: i64) -> Markup {
    html! {
        tr {
            th scope="row" { a href={ "/console/quarantine/" (entry.id) } { (entry.id) } }
            td { (entry.reason.replace('_', " ")) }
            td { (entry.detail) }
            td { @match &entry.sink { Some(sink) => { "sink " (sink) } None => (entry.source) } }
            td class="number" { (size(entry.size)) }
            td { (ago(entry.at, now)) }
        }
    }
}

/// One entry, on a page of its own.
pub(super) fn entry(entry: &Entry, access: &Access, now: i64) -> Markup {
    let Entry { summary, bytes } = entry;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]);
    // What a page cannot hold as it is, it must not send back.
    let is_whole = bytes.len() <= SHOWN && std::str::from_utf8(bytes).is_ok();
    html! {
        h1 { "Quarantine, entry " (summary.id) }
        dl {
            dt { "reason" } dd { (summary.reason.replace('_', " ")) }
            dt { "what was wrong" } dd { (summary.detail) }
            dt { "where" } dd { code { (summary.path) } ", element " (number(summary.index)) " of its body" }
            dt { "source" } dd { (summary.source) }
            @if let Some(sink) = &summary.sink { dt { "sink" } dd { (sink) } }
            @if let Some(target) = &summary.target {
                dt { "the target said" } dd { @if let Some(code) = &target.code { (code) " " } (target.text) }
            }
            @if !summary.request_id.is_empty() { dt { "request" } dd { (summary.request_id) } }
            @if !summary.encoding.is_empty() { dt { "still encoded as" } dd { (summary.encoding) } }
            dt { "received" } dd { (ago(summary.at, now)) }
        }
        @if access.offers_operations() {
            form id="retry" data-post={ "/api/quarantine/" (summary.id) "/retry" } {
                label for="bytes" { "Its bytes" @if !is_whole { ", as far as a page can show them" } }
                textarea id="bytes" name="bytes" rows="16" spellcheck="false" readonly[!is_whole] { (text) }
                p {
                    button type="submit" { "Retry" }
                    " as it is" @if is_whole { ", or as you have changed it here" }
                    ". Accepted events go to the sinks, and the entry is gone."
                }
            }
        } @else {
            h2 { "Its bytes" }
            pre tabindex="0" { (text) }
            @if access.is_read_only() {
                p { "It can be retried while " code { "admin.read_only" } " is off." }
            } @else {
                p { "To retry it here, set " code { "admin.password_file" } "; or use "
                    code { "davinci-siem quarantine retry " (summary.id) } "." }
            }
        }
        p { a href="/console" { "Back to the console" } }
    }
}

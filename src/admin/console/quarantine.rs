//! Quarantine: list of entries, and the page of one entry with its bytes and a retry form.

use maud::{Markup, html};

use super::words::{ago, count, number, size};
use super::{StoredView, View};
use crate::admin::access::Access;
use crate::spool::{Entry, EntrySummary};

/// Maximum number of shown bytes of an entry; `davinci-siem quarantine show` prints all.
const MAX_SHOWN_BYTES: usize = 256 * 1024;

pub(super) fn list(view: &View) -> Markup {
    let StoredView { stats, entries } = match &view.stored {
        Ok(stored) => stored,
        Err(error) => {
            return html! { p { "The quarantine cannot be read: " (error.to_string()) "." } };
        }
    };
    html! {
        p {
            (count(stats.quarantined, "entry").replace("entrys", "entries")) ", "
            (size(stats.quarantine_size)) " of " (size(stats.quarantine_max_size))
            @if entries.len() < usize::try_from(stats.quarantined).unwrap_or(usize::MAX) {
                "; newest " (entries.len()) ":"
            }
        }
        @if !entries.is_empty() {
            div class="scroll" role="group" aria-label="Quarantine" tabindex="0" {
                table {
                    thead { tr {
                        @for name in ["Entry", "Reason", "Detail", "Source or sink", "Size", "Age"] { th scope="col" { (name) } }
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

/// Renders the page of one entry.
pub(super) fn entry(entry: &Entry, access: &Access, now: i64) -> Markup {
    let Entry { summary, bytes } = entry;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_SHOWN_BYTES)]);
    // Bytes that a text area would change are not sent back.
    let is_whole = bytes.len() <= MAX_SHOWN_BYTES && std::str::from_utf8(bytes).is_ok();
    html! {
        h1 { "Quarantine entry " (summary.id) }
        dl {
            dt { "Reason" } dd { (summary.reason.replace('_', " ")) }
            dt { "Detail" } dd { (summary.detail) }
            dt { "Location" } dd { code { (summary.path) } ", element " (number(summary.index)) " of its body" }
            dt { "Source" } dd { (summary.source) }
            @if let Some(sink) = &summary.sink { dt { "Sink" } dd { (sink) } }
            @if let Some(target) = &summary.target {
                dt { "Target's answer" } dd { @if let Some(code) = &target.code { (code) " " } (target.text) }
            }
            @if !summary.request_id.is_empty() { dt { "Request id" } dd { (summary.request_id) } }
            @if !summary.encoding.is_empty() { dt { "Content-Encoding" } dd { (summary.encoding) } }
            dt { "Received" } dd { (ago(summary.at, now)) }
        }
        @if access.offers_operations() {
            form id="retry" data-post={ "/api/quarantine/" (summary.id) "/retry" } {
                label for="bytes" { "Bytes" @if !is_whole { " (incomplete: too large or not UTF-8)" } }
                textarea id="bytes" name="bytes" rows="16" spellcheck="false" readonly[!is_whole] { (text) }
                p {
                    button type="submit" { "Retry" }
                    " the stored bytes" @if is_whole { ", or your correction" }
                    ". Accepted events go to the sinks, and the entry is removed."
                }
            }
        } @else {
            h2 { "Bytes" }
            pre tabindex="0" { (text) }
            @if access.is_read_only() {
                p { "Retry needs " code { "admin.read_only" } " to be off." }
            } @else {
                p { "To retry the entry here, set " code { "admin.password_file" } ", or use "
                    code { "davinci-siem quarantine retry " (summary.id) } "." }
            }
        }
        p { a href="/console" { "Back to the console" } }
    }
}

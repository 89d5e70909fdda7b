//! Page of one quarantine entry: its reason, the target's answer, its content, and the form of a retry.

use maud::{Markup, html};

use super::json_text;
use super::words::{ago, number};
use crate::admin::access::Access;
use crate::spool::Entry;

/// Maximum number of shown bytes of an entry; `davinci-siem quarantine show` prints all.
const MAX_SHOWN_BYTES: usize = 256 * 1024;

/// Renders the page of one entry.
pub(super) fn page(entry: &Entry, access: &Access, now: i64) -> Markup {
    let Entry { summary, bytes } = entry;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_SHOWN_BYTES)]);
    // Bytes that a text area would change are not sent back.
    let is_whole = bytes.len() <= MAX_SHOWN_BYTES && std::str::from_utf8(bytes).is_ok();
    let formatted = is_whole.then(|| json_text::formatted(&text)).flatten();
    html! {
        h1 { "Quarantine entry " (summary.id) }
        dl {
            dt { "Reason" } dd { (summary.reason.replace('_', " ")) }
            dt { "Detail" } dd { (summary.detail) }
            dt { "Location" } dd { code { (summary.path) } ", element " (number(summary.index)) " of its body" }
            dt { "Source" } dd { (summary.source) }
            @if let Some(sink) = &summary.sink { dt { "Sink" } dd { (sink) } }
            @if let Some(target) = &summary.target {
                dt { "Target's answer" } dd {
                    @if let Some(status) = target.status { "HTTP " (status) " " }
                    @if let Some(code) = &target.code { (code) " " }
                    (target.text)
                }
                dt { "Attempts" } dd { (target.attempts) }
            }
            @if !summary.request_id.is_empty() { dt { "Request id" } dd { (summary.request_id) } }
            @if !summary.encoding.is_empty() { dt { "Content-Encoding" } dd { (summary.encoding) } }
            dt { "Received" } dd { (ago(summary.at, now)) }
        }
        @if let Some(formatted) = &formatted {
            h2 id="formatted-title" { "Content" }
            pre tabindex="0" role="region" aria-labelledby="formatted-title" { (formatted) }
        }
        @if access.offers_operations() {
            form id="retry" data-post={ "/api/quarantine/" (summary.id) "/retry" } {
                label for="bytes" { "Stored bytes" @if !is_whole { " (incomplete: too large or not UTF-8)" } }
                textarea id="bytes" name="bytes" rows="16" spellcheck="false" readonly[!is_whole] { (text) }
                p {
                    button type="submit" { "Retry" }
                    " the stored bytes" @if is_whole { ", or your correction" }
                    ". Accepted events go to the sinks, and the entry is removed."
                }
            }
        } @else {
            @if formatted.is_none() { h2 { "Bytes" } pre tabindex="0" { (text) } }
            @if access.is_read_only() {
                p { "Retry needs " code { "admin.read_only" } " to be off." }
            } @else {
                p { "To retry the entry here, set " code { "admin.password_file" } ", or use "
                    code { "davinci-siem quarantine retry " (summary.id) } "." }
            }
        }
        p { a href="/console#quarantine-title" { "Back to the console" } }
    }
}

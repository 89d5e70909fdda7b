//! Page of one event: each stored copy with its result per sink, and the quarantine entries that hold it.

use std::sync::Arc;

use maud::{Markup, html};
use serde_json::Value;
use tokio::task::spawn_blocking;
use url::form_urlencoded;

use super::ConsoleState;
use super::table::{Cell, Column, row, table};
use super::words::{ago, count, entries};

/// Longest id that is searched, in bytes.
const MAX_ID_BYTES: usize = 1024;

/// Returns the id in a query, without white space around it.
pub(super) fn id_of(query: &str) -> String {
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    let id = pairs.find(|(name, _)| name == "id").map(|(_, value)| value.trim().to_owned());
    id.unwrap_or_default()
}

/// Searches the spool and the quarantine. Returns the document of `davinci-siem trace --json`.
pub(super) async fn search(state: &ConsoleState, id: &str) -> Result<Value, String> {
    if id.is_empty() || id.len() > MAX_ID_BYTES {
        return Err(format!("enter the id of an event, of at most {MAX_ID_BYTES} bytes"));
    }
    let tracer = state.tracer.clone().ok_or("this service offers no search")?;
    let permit = Arc::clone(&state.searches).try_acquire_owned();
    let permit = permit.map_err(|_| "another search is running; try again in a moment")?;
    let id = id.to_owned();
    let searched = spawn_blocking(move || {
        let found = tracer(&id);
        drop(permit);
        found
    });
    searched.await.map_err(|error| format!("the search has failed: {error}"))?
}

/// Renders the result.
pub(super) fn page(id: &str, found: &Result<Value, String>, now: i64) -> Markup {
    html! {
        h1 { "Event " (id) }
        @match found {
            Err(error) => { p { "Not searched: " (error) "." } }
            Ok(found) => { (result(found, now)) }
        }
        p { a href="/console" { "Back to the console" } }
    }
}

fn result(found: &Value, now: i64) -> Markup {
    let (stored, quarantine) = (list(&found["stored"]), list(&found["quarantine"]));
    let searched = html! {
        "Searched: " (count(number(&found["searched_events"]), "stored event")) " and "
        (entries(number(&found["searched_entries"]))) " in quarantine."
    };
    html! {
        p {
            @if stored.is_empty() && quarantine.is_empty() {
                "Neither the spool nor the quarantine has this event. It never arrived, or it was removed after every sink had passed it. "
            }
            (searched)
        }
        @for location in stored { (copy(location, now)) }
        @for entry in quarantine { (quarantined(entry, now)) }
        @let unlisted = number(&found["unlisted"]);
        @if unlisted > 0 { p { "and " (count(unlisted, "more match")) } }
        @if !list(&found["unread_positions"]).is_empty() {
            p class="verdict warning further" { "Some stored events cannot be read; see davinci-siem spool verify." }
        }
        @if !list(&found["unread_entries"]).is_empty() {
            p class="empty" { "Some quarantine entries were not searched, because they are corrupt or compressed." }
        }
    }
}

fn copy(location: &Value, now: i64) -> Markup {
    const RESULT: Column = Column::Text("Result");
    let sinks = list(&location["sinks"]);
    let rows = html! {
        @for sink in sinks { (row(None, "", &html! { (text(&sink["sink"])) }, &[Cell(RESULT, html! { (text(&sink["text"])) })])) }
    };
    html! {
        h2 { "Position " (number(&location["position"])) " of the spool" }
        dl {
            dt { "Source" } dd { (text(&location["source"])) }
            dt { "Received" } dd { (ago(location["received_at"].as_i64().unwrap_or(now), now)) }
            dt { "Recorded" } dd { (location["recorded_at"].as_str().unwrap_or("unknown")) }
            @if let Some(sink) = location["only_sink"].as_str() {
                dt { "Copy" } dd { "for sink " (sink) " only, by a replay or a retry" }
            }
            dt { "Repetition" } dd {
                @match location["remembered"].as_bool() {
                    Some(true) => "would be dropped: the id is remembered",
                    Some(false) => "would be accepted: the id is not remembered",
                    None => "unknown: the bytes are not a valid event",
                }
            }
        }
        (table("Results", &[Column::Text("Sink"), RESULT], &rows, sinks.is_empty(), "No sink has a cursor."))
    }
}

fn quarantined(entry: &Value, now: i64) -> Markup {
    let id = number(&entry["id"]);
    html! {
        h2 { a href={ "/console/quarantine/" (id) } { "Quarantine entry " (id) } }
        dl {
            dt { "Source" } dd { (text(&entry["source"])) }
            @if let Some(sink) = entry["sink"].as_str() { dt { "Sink" } dd { (sink) } }
            dt { "Reason" } dd { (text(&entry["reason"]).replace('_', " ")) ": " (text(&entry["detail"])) }
            @if let Some(target) = entry["target"].as_object() {
                dt { "Target's answer" } dd {
                    @if let Some(status) = target.get("status").and_then(Value::as_u64) { "HTTP " (status) " " }
                    @if let Some(answer) = target.get("text").and_then(Value::as_str) { (answer) }
                }
            }
            dt { "Stored" } dd { (ago(entry["at"].as_i64().unwrap_or(now), now)) }
            @if entry["match"] == "text" {
                dt { "Match" } dd { "the text of the id occurs in the bytes, but not as an object's id" }
            }
        }
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn copies_and_entries_are_shown_as_text() {
        assert_eq!(id_of("x=1&id=%20a%2Bb%20"), "a+b");
        let found = Ok(json!({
            "stored": [{
                "position": 7, "source": "pingone", "received_at": 1000, "recorded_at": null, "only_sink": "lake",
                "remembered": true, "sinks": [{ "sink": "lake", "text": "delivered <b>" }],
            }],
            "quarantine": [{
                "id": 3, "source": "pingone", "sink": "siem", "reason": "rejected", "detail": "no", "at": 1000,
                "match": "text", "target": { "status": 400, "text": "<script>" },
            }],
            "searched_events": 8, "searched_entries": 1, "unlisted": 0,
        }));
        let page = page("<id>", &found, 61_000).into_string();
        for part in [
            "Position 7",
            "delivered &lt;b&gt;",
            "for sink lake only",
            "HTTP 400 &lt;script&gt;",
            "1 min ago",
            "8 stored events",
            "1 entry in",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert!(!page.contains("<script>") && page.contains("Event &lt;id&gt;"), "{page}");
        let empty = super::page("x", &Ok(json!({})), 0).into_string();
        assert!(empty.contains("Neither the spool nor the quarantine"), "{empty}");
        let failed = super::page("x", &Err("busy".to_owned()), 0).into_string();
        assert!(failed.contains("Not searched: busy."), "{failed}");
    }
}

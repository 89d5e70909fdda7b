//! Records of an environment: each as PingOne's API lists it, and as its webhook sends it.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};

use super::events::fixture_text;
use super::targets::pingone::ENVIRONMENT;

/// Flow of all runs.
pub const FLOW: &str = "8f43a71f85b5250109e7cf4b705b1446";

/// Returns `count` times, evenly from `start` on over `span`.
pub fn times(start: DateTime<Utc>, span: TimeDelta, count: usize) -> Vec<DateTime<Utc>> {
    let millis = span.num_milliseconds();
    let at = |index: usize| {
        let part = i64::try_from(index).expect("small") * millis;
        start + TimeDelta::milliseconds(part / i64::try_from(count).expect("small"))
    };
    (0..count).map(at).collect()
}

/// Returns an audit event as PingOne's API lists it.
pub fn listed(id: &str, at: DateTime<Utc>) -> Value {
    let at = at.to_rfc3339_opts(SecondsFormat::Millis, true);
    json!({
        "_links": { "self": { "href": format!("https://api.pingone.example/v1/environments/{ENVIRONMENT}/activities/{id}") } },
        "id": id,
        "recordedAt": at,
        "createdAt": at,
        "correlationId": "2f1e1d7c-5a0f-4d5c-8a57-1a2b3c4d5e6f",
        "action": { "type": "USER.UPDATED", "description": "User Updated" },
        "actors": { "client": { "id": "adminui", "type": "CLIENT", "environment": { "id": ENVIRONMENT } } },
        "resources": [{ "type": "USER", "id": "u-1", "environment": { "id": ENVIRONMENT } }],
        "result": { "status": "SUCCESS", "description": "Updated" }
    })
}

/// Returns the same audit event as the webhook sends it: with nanoseconds, and without links.
pub fn sent(id: &str, at: DateTime<Utc>) -> Value {
    let mut event = listed(id, at);
    let object = event.as_object_mut().expect("an object");
    object.remove("_links");
    object.remove("createdAt");
    let millis = DateTime::from_timestamp_millis(at.timestamp_millis()).expect("a time");
    let exact = millis + TimeDelta::nanoseconds(507_727);
    event["recordedAt"] = exact.to_rfc3339_opts(SecondsFormat::Nanos, true).into();
    event["subscriptionName"] = "SIEM".into();
    event
}

/// Returns the event with which a run begins.
pub fn started(run: &str, at: DateTime<Utc>) -> Value {
    let mut event: Value =
        serde_json::from_str(&fixture_text("events/start_interaction.json")).expect("JSON");
    event["id"] = format!("event of {run}").into();
    event["recordedAt"] = at.to_rfc3339_opts(SecondsFormat::Millis, true).into();
    event["_embedded"]["flowInteractionEvent"]["interactionId"] = run.into();
    event
}

/// Returns the same element without a field that each event has: it goes to quarantine.
pub fn spoiled(mut event: Value) -> Value {
    event["action"] = json!("no object");
    event
}

//! `leef`: IBM QRadar's Log Event Extended Format 2.0, one line per event, tabs between the pairs.
//!
//! LEEF has no escapes: a value that holds a tab or a line break has spaces there, and stands as it was
//! in `davinciExtra`, which is JSON and takes every member without a key of its own.

use serde_json::Value;

use super::classify::{address, severity};
use super::explain::Rule;
use super::leaves::{Leaves, printable};
use super::{Line, Received};
use crate::event::FlowVersion;

/// A key and the members it may come from.
type Field = (&'static str, &'static [&'static str]);

/// Keys that take a member as it is, in the order of the line.
pub(super) const FIELDS: [Field; 8] = [
    ("externalId", &["/id"]),
    ("usrName", &["/actors/user/name"]),
    ("accountName", &["/actors/user/id"]),
    (
        "environmentId",
        &[
            "~/companyId",
            "/resources/0/environment/id",
            "/resources/environment/id",
            "/actors/user/environment/id",
        ],
    ),
    ("correlationId", &["/correlationId"]),
    ("recordedAt", &["/recordedAt"]),
    ("reason", &["/result/description"]),
    ("userAgent", &["/source/userAgent"]),
];

/// Those of flow runs, whose first resource is the flow.
pub(super) const FLOW_FIELDS: [Field; 9] = [
    ("policy", &["~/flowName", "/resources/0/name", "/resources/name"]),
    ("interactionId", &["~/interactionId"]),
    ("flowId", &["~/flowId", "~/flowID", "/resources/0/id", "/resources/id"]),
    ("connectorId", &["~/connectorId"]),
    ("capability", &["~/originalCapabilityName"]),
    ("nodeId", &["~/nodeId", "~/nodeID", "~/id", "~/ID"]),
    ("outcomeType", &["~/outcomeType"]),
    ("outcomeStatus", &["~/outcomeStatus"]),
    ("parentInteractionId", &["^/interactionId"]),
];

/// Keys that a rule decides.
pub(super) const RULES: [(&str, Rule); 3] =
    [("devTime", Rule::Time), ("outcome", Rule::Outcome), ("sev", Rule::Severity)];

/// Longest event id.
const EVENT_ID: usize = 255;

/// Renders one event.
pub(super) fn render(received: Received<'_>, leaves: &mut Leaves) -> Line {
    let event = received.event;
    let kind = &*event.envelope().action.kind;
    let id: String = kind.chars().take(EVENT_ID).map(|c| if c == '|' { '_' } else { c }).collect();
    let mut line = format!("LEEF:2.0|Ping Identity|PingOne DaVinci|1|{}|x09|", clean(&id));
    let mut pairs: Vec<(&str, String)> = vec![
        ("cat", "davinci".to_owned()),
        ("devTime", event.time().timestamp_millis().to_string()),
        ("sev", severity(event.severity()).to_string()),
        ("outcome", event.outcome().as_str().to_owned()),
    ];
    leaves.take(&["EventID"], &["/action/type"], |text| text == id && clean(text) == text);
    let flow_fields = FLOW_FIELDS.iter().filter(|_| event.flow().is_some());
    for &(key, pointers) in FIELDS.iter().chain(flow_fields) {
        let text = leaves.take(&[key], pointers, |text| clean(text) == text);
        pairs.extend(text.map(|text| (key, text)));
    }
    if let Some(FlowVersion::Known(version)) = event.flow().map(|flow| flow.version) {
        let version = version.to_string();
        leaves.take(&["flowVersionId"], &["~/flowVersionId"], |text| text == version);
        pairs.push(("flowVersionId", version));
    }
    let text = leaves.get("/source/ipAddress").and_then(Value::as_str);
    if let Some(address) = text.and_then(address).map(|address| address.to_string()) {
        leaves.take(&["src"], &["/source/ipAddress"], |text| text == address);
        pairs.push(("src", address));
    }
    pairs.extend(leaves.original(received).map(|text| ("davinciOriginal", printable(&text))));
    pairs.extend(leaves.take_rest_line("davinciExtra").map(|rest| ("davinciExtra", rest)));
    for (index, (key, value)) in pairs.iter().enumerate() {
        if index > 0 {
            line.push('\t');
        }
        line.push_str(key);
        line.push('=');
        line.push_str(&clean(value));
    }
    Line { bytes: line.into_bytes(), is_cut: kind.chars().nth(EVENT_ID).is_some() }
}

/// A value as LEEF can carry it.
fn clean(value: &str) -> String {
    value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

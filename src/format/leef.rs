//! `leef`: IBM QRadar's Log Event Extended Format 2.0, one line per event, with tabs between the
//! pairs.
//!
//! LEEF has no escapes. In a value, tabs and line breaks become spaces, and the original value is
//! kept in `davinciExtra`: JSON with every event field that has no key.

use super::classify::{USER_AGENTS, category, severity, source_address, source_port};
use super::explain::Derivation;
use super::leaves::{Leaves, printable};
use super::{Line, Received};
use crate::event::{Event, FlowVersion, Outcome};
use crate::format::FormatConfig;

/// A key and the event fields that may fill it.
type LeefField = (&'static str, &'static [&'static str]);

/// Keys filled by one event field each, in the order of the line.
pub(super) const FIELDS: [LeefField; 11] = [
    ("externalId", &["/id"]),
    ("usrName", &["@user/name"]),
    ("accountName", &["@user/id"]),
    (
        "environmentId",
        &[
            "~/companyId",
            "/resources/0/environment/id",
            "/resources/environment/id",
            "@user/environment/id",
        ],
    ),
    ("correlationId", &["/correlationId"]),
    ("recordedAt", &["/recordedAt"]),
    ("reason", &["/result/description"]),
    ("userAgent", &USER_AGENTS),
    ("clientName", &["@client/name"]),
    ("clientId", &["@client/id"]),
    ("sessionId", &["/internalCorrelation/sessionId"]),
];

/// Keys of flow runs, whose first resource is the flow.
pub(super) const FLOW_FIELDS: [LeefField; 9] = [
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

/// Keys of all other events.
pub(super) const AUDIT_FIELDS: [LeefField; 7] = [
    (
        "targetUser",
        &[
            "@target/name",
            "/_embedded/riskEvent/username",
            "/_embedded/riskEvaluation/event/user/name",
        ],
    ),
    (
        "targetUserId",
        &["@target/id", "/_embedded/riskEvent/userId", "/_embedded/riskEvaluation/event/user/id"],
    ),
    ("policy", &["/_embedded/davinciFlow/flowName"]),
    ("flowId", &["/_embedded/davinciFlow/flowId"]),
    ("resourceType", &["/resources/0/type", "/resources/type"]),
    ("resourceId", &["/resources/0/id", "/resources/id"]),
    ("resource", &["/resources/0/name", "/resources/name"]),
];

/// Keys derived by a rule.
pub(super) const RULES: [(&str, Derivation); 3] = [
    ("devTime", Derivation::Time),
    ("outcome", Derivation::Outcome),
    ("sev", Derivation::Severity),
];

/// Maximum length of the event id, in characters.
const MAX_EVENT_ID_CHARS: usize = 255;

/// Renders one event.
pub(super) fn render(
    formatting: &FormatConfig,
    received: Received<'_>,
    leaves: &mut Leaves,
) -> Line {
    let event = received.event;
    let kind = &*event.envelope().action.kind;
    let id: String =
        kind.chars().take(MAX_EVENT_ID_CHARS).map(|c| if c == '|' { '_' } else { c }).collect();
    let product = &formatting.products.of(event).name;
    let mut line = format!("LEEF:2.0|Ping Identity|{product}|1|{}|x09|", clean(&id));
    let mut pairs: Vec<(&str, String)> = vec![
        ("cat", outcome_category(event)),
        ("devTime", event.time().timestamp_millis().to_string()),
        ("sev", severity(event.severity()).to_string()),
        ("outcome", event.outcome().as_str().to_owned()),
    ];
    leaves.take(&["EventID"], &["/action/type"], |text| text == id && clean(text) == text);
    let further: &[LeefField] = if event.flow().is_some() { &FLOW_FIELDS } else { &AUDIT_FIELDS };
    for &(key, pointers) in FIELDS.iter().chain(further) {
        let text = leaves.take(&[key], pointers, |text| clean(text) == text);
        pairs.extend(text.map(|text| (key, text)));
    }
    if let Some(FlowVersion::Known(version)) = event.flow().map(|flow| flow.version) {
        let version = version.to_string();
        leaves.take(&["flowVersionId"], &["~/flowVersionId"], |text| text == version);
        pairs.push(("flowVersionId", version));
    }
    if let Some((pointer, port)) = source_port(leaves) {
        leaves.copied(&["srcPort"], pointer);
        pairs.push(("srcPort", port.to_string()));
    }
    if let Some((pointer, address)) = source_address(leaves) {
        let address = address.to_string();
        leaves.take(&["src"], &[pointer], |text| text == address);
        pairs.push(("src", address));
    }
    if formatting.extension {
        pairs.extend(leaves.original(received).map(|text| ("davinciOriginal", printable(&text))));
        pairs.extend(leaves.take_rest_line("davinciExtra").map(|rest| ("davinciExtra", rest)));
    }
    for (index, (key, value)) in pairs.iter().enumerate() {
        if index > 0 {
            line.push('\t');
        }
        line.push_str(key);
        line.push('=');
        line.push_str(&clean(value));
    }
    Line { bytes: line.into_bytes(), is_cut: kind.chars().nth(MAX_EVENT_ID_CHARS).is_some() }
}

/// Returns the category. QRadar identifies a record by category and event id, and the same event id
/// may fail or succeed.
fn outcome_category(event: &Event<'_>) -> String {
    let failure = if event.outcome() == Outcome::Failure { "-failure" } else { "" };
    format!("{}{failure}", category(event))
}

/// Replaces the characters that LEEF cannot carry in a value.
fn clean(value: &str) -> String {
    value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

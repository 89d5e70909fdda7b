//! `leef`: IBM QRadar's Log Event Extended Format 2.0, one line per event, with tabs between the
//! pairs.
//!
//! LEEF has no escapes. In a value, tabs and line breaks become spaces, and the original value is
//! kept in `davinciExtra`: JSON with every event field that has no key.

use super::classify::{Facts, USER_AGENTS, severity, source_address, source_port};
use super::control::has_control;
use super::explain::Derivation;
use super::leaves::{Leaves, printable};
use super::slots::{Alternatives, any_of, only};
use super::{Line, Received};
use crate::event::{FlowVersion, Outcome};
use crate::format::FormatConfig;

/// A key and the event fields that may fill it.
type LeefField = (&'static str, Alternatives);

/// Keys filled by one event field each, in the order of the line.
pub(super) const FIELDS: [LeefField; 11] = [
    ("externalId", any_of(["/id"])),
    ("usrName", any_of(["@user/name"])),
    ("accountName", any_of(["@user/id"])),
    (
        "environmentId",
        any_of([
            "~/companyId",
            "/resources/0/environment/id",
            "/resources/environment/id",
            "@user/environment/id",
        ]),
    ),
    ("correlationId", any_of(["/correlationId"])),
    ("recordedAt", any_of(["/recordedAt"])),
    ("reason", any_of(["/result/description"])),
    ("userAgent", USER_AGENTS),
    ("clientName", any_of(["@client/name"])),
    ("clientId", any_of(["@client/id"])),
    ("sessionId", any_of(["/internalCorrelation/sessionId"])),
];

/// Keys of flow runs, whose first resource is the flow.
pub(super) const FLOW_FIELDS: [LeefField; 13] = [
    ("policy", any_of(["~/flowName", "/resources/0/name", "/resources/name"])),
    ("interactionId", any_of(["~/interactionId"])),
    ("flowId", any_of(["~/flowId", "~/flowID", "/resources/0/id", "/resources/id"])),
    ("connectorId", any_of(["~/connectorId"])),
    ("capability", any_of(["~/originalCapabilityName"])),
    ("nodeId", any_of(["~/nodeId", "~/nodeID", "~/id", "~/ID"])),
    ("outcomeType", any_of(["~/outcomeType"])),
    ("outcomeStatus", any_of(["~/outcomeStatus"])),
    ("parentInteractionId", any_of(["^/interactionId"])),
    ("startedAt", any_of(["~/summary/startedAt"])),
    ("durationMs", any_of(["~/summary/durationMs"])),
    ("errors", any_of(["~/summary/errors"])),
    ("endedBy", any_of(["~/summary/endedBy"])),
];

/// Keys of all other events.
pub(super) const AUDIT_FIELDS: [LeefField; 7] = [
    (
        "targetUser",
        any_of([
            "@target/name",
            "/_embedded/riskEvent/username",
            "/_embedded/riskEvaluation/event/user/name",
        ]),
    ),
    (
        "targetUserId",
        any_of([
            "@target/id",
            "/_embedded/riskEvent/userId",
            "/_embedded/riskEvaluation/event/user/id",
        ]),
    ),
    ("policy", any_of(["/_embedded/davinciFlow/flowName"])),
    ("flowId", any_of(["/_embedded/davinciFlow/flowId"])),
    ("resourceType", any_of(["/resources/0/type", "/resources/type"])),
    ("resourceId", any_of(["/resources/0/id", "/resources/id"])),
    ("resource", any_of(["/resources/0/name", "/resources/name"])),
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
pub(super) fn render<'a>(
    formatting: &FormatConfig,
    received: Received<'a>,
    leaves: &mut Leaves<'a>,
) -> Line {
    let facts = Facts::of(formatting, received.event);
    let event = facts.event;
    let kind = &*event.envelope().action.kind;
    let id: String =
        kind.chars().take(MAX_EVENT_ID_CHARS).map(|c| if c == '|' { '_' } else { c }).collect();
    let mut line = LeefLine { text: String::with_capacity(1536), has_pairs: false };
    line.head(&facts, &id);
    line.add("cat", facts.entry.category);
    if facts.outcome == Outcome::Failure {
        // QRadar identifies a record by category and event id, and the same event id may fail or
        // succeed.
        line.text.push_str("-failure");
    }
    line.add("devTime", &event.time().timestamp_millis().to_string());
    line.add("sev", &severity(facts.severity).to_string());
    line.add("outcome", facts.outcome.as_str());
    let from = const { &any_of(["/action/type"]) };
    leaves.take(&["EventID"], from, |text| text == id && is_clean(text));
    let further: &[LeefField] = if event.flow().is_some() { &FLOW_FIELDS } else { &AUDIT_FIELDS };
    for (key, from) in FIELDS.iter().chain(further) {
        if let Some(text) = leaves.take(&[key], from, is_clean) {
            line.add(key, &text);
        }
    }
    if let Some(FlowVersion::Known(version)) = event.flow().map(|flow| flow.version) {
        let (version, from) = (version.to_string(), const { &any_of(["~/flowVersionId"]) });
        leaves.take(&["flowVersionId"], from, |text| text == version);
        line.add("flowVersionId", &version);
    }
    if let Some((slot, port)) = source_port(leaves) {
        leaves.copied(&["srcPort"], slot);
        line.add("srcPort", &port.to_string());
    }
    if let Some((slot, address)) = source_address(leaves) {
        let address = address.to_string();
        leaves.take(&["src"], &only(slot), |text| text == address);
        line.add("src", &address);
    }
    if formatting.extension {
        if let Some(text) = leaves.original(received) {
            line.add("davinciOriginal", &printable(text));
        }
        if let Some(rest) = leaves.rest_line("davinciExtra") {
            line.add("davinciExtra", &rest);
        }
    }
    Line { bytes: line.text.into_bytes(), is_cut: kind.chars().nth(MAX_EVENT_ID_CHARS).is_some() }
}

/// A line under construction.
struct LeefLine {
    text: String,
    has_pairs: bool,
}

impl LeefLine {
    fn head(&mut self, facts: &Facts<'_>, id: &str) {
        self.text.push_str("LEEF:2.0|Ping Identity|");
        self.text.push_str(&facts.product.name);
        self.text.push_str("|1|");
        clean(&mut self.text, id);
        self.text.push_str("|x09|");
    }

    fn add(&mut self, key: &str, value: &str) {
        if std::mem::replace(&mut self.has_pairs, true) {
            self.text.push('\t');
        }
        self.text.push_str(key);
        self.text.push('=');
        clean(&mut self.text, value);
    }
}

/// Returns whether a value has only characters that LEEF can carry.
fn is_clean(value: &str) -> bool {
    !has_control(value)
}

/// Appends a value. The characters that LEEF cannot carry become spaces.
fn clean(out: &mut String, value: &str) {
    if is_clean(value) {
        out.push_str(value);
    } else {
        out.extend(value.chars().map(|c| if c.is_control() { ' ' } else { c }));
    }
}

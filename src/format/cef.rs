//! `cef`: ArcSight's Common Event Format, one line per event.
//!
//! Event fields without a CEF key are kept as JSON in `davinciExtra`. Maximum lengths and escapes
//! are those of the CEF implementation standard. A value is cut between characters, before it is
//! escaped; a cut value is kept whole in `davinciExtra`.

use serde_json::Value;

use super::classify::{
    USER_AGENTS, category, session_change, severity, source_address, source_port, title,
};
use super::explain::Derivation;
use super::leaves::{Leaves, printable};
use super::{Line, Received};
use crate::event::{Event, FlowVersion};
use crate::format::FormatConfig;

/// A key, its label if it is a custom key, its maximum length in characters, and the event fields
/// that may fill it.
type CefField = (&'static str, Option<&'static str>, usize, &'static [&'static str]);

/// Keys filled by one event field each, in the order of the line.
pub(super) const FIELDS: [CefField; 7] = [
    ("externalId", None, 40, &["/id"]),
    ("suser", None, 1023, &["@user/name"]),
    ("suid", None, 1023, &["@user/id"]),
    ("requestClientApplication", None, 1023, &USER_AGENTS),
    (
        "deviceExternalId",
        None,
        255,
        &[
            "~/companyId",
            "/resources/0/environment/id",
            "/resources/environment/id",
            "@user/environment/id",
        ],
    ),
    ("flexString2", Some("recordedAt"), 1023, &["/recordedAt"]),
    ("msg", None, 1023, &["/result/description", "~/eventMessage"]),
];

/// Keys of flow runs, whose first resource is the flow.
pub(super) const FLOW_FIELDS: [CefField; 8] = [
    ("sourceServiceName", None, 1023, &["~/connectorId"]),
    ("destinationServiceName", None, 1023, &["~/flowName", "/resources/0/name", "/resources/name"]),
    ("cs1", Some("interactionId"), 4000, &["~/interactionId"]),
    ("cs2", Some("flowId"), 4000, &["~/flowId", "~/flowID", "/resources/0/id", "/resources/id"]),
    ("cs3", Some("nodeId"), 4000, &["~/nodeId", "~/nodeID", "~/id", "~/ID"]),
    ("cs4", Some("outcomeType"), 4000, &["~/outcomeType"]),
    ("cs5", Some("outcomeStatus"), 4000, &["~/outcomeStatus"]),
    ("cs6", Some("connectionId"), 4000, &["~/connectionId"]),
];

/// Keys of all other events.
pub(super) const AUDIT_FIELDS: [CefField; 8] = [
    ("sourceServiceName", None, 1023, &["@client/name"]),
    ("destinationServiceName", None, 1023, &["/_embedded/davinciFlow/flowName"]),
    ("cs1", Some("sessionId"), 4000, &["/internalCorrelation/sessionId"]),
    ("cs2", Some("flowId"), 4000, &["/_embedded/davinciFlow/flowId"]),
    ("cs3", Some("clientId"), 4000, &["@client/id"]),
    ("cs4", Some("resourceType"), 4000, &["/resources/0/type", "/resources/type"]),
    ("cs5", Some("resourceId"), 4000, &["/resources/0/id", "/resources/id"]),
    ("cs6", Some("resourceName"), 4000, &["/resources/0/name", "/resources/name"]),
];

/// Keys of the affected user.
pub(super) const TARGET: [CefField; 2] = [
    (
        "duser",
        None,
        1023,
        &[
            "@target/name",
            "/_embedded/riskEvent/username",
            "/_embedded/riskEvaluation/event/user/name",
        ],
    ),
    (
        "duid",
        None,
        1023,
        &["@target/id", "/_embedded/riskEvent/userId", "/_embedded/riskEvaluation/event/user/id"],
    ),
];

/// Maximum length of `act`, in characters.
const MAX_ACTION_CHARS: usize = 63;

/// Maximum length of `Device Event Class ID`, in characters.
const MAX_CLASS_ID_CHARS: usize = 1023;

/// The run that launched this one, or else the correlation id.
pub(super) const CORRELATION: [CefField; 2] = [
    ("flexString1", Some("parentInteractionId"), 1023, &["^/interactionId"]),
    ("flexString1", Some("correlationId"), 1023, &["/correlationId"]),
];

/// Keys derived by a rule.
pub(super) const RULES: [(&str, Derivation); 4] = [
    ("rt", Derivation::Time),
    ("outcome", Derivation::Outcome),
    ("Severity", Derivation::Severity),
    ("Name", Derivation::Kind),
];

/// Renders one event.
pub(super) fn render(
    formatting: &FormatConfig,
    received: Received<'_>,
    leaves: &mut Leaves,
) -> Line {
    let event = received.event;
    let mut line = Extension::default();
    let class_id = &*event.envelope().action.kind;
    // The header has no escape for a line break.
    let fits_head = |text: &str| fits(text, MAX_CLASS_ID_CHARS) && !text.contains(char::is_control);
    leaves.take(&["Device Event Class ID"], &["/action/type"], fits_head);
    line.add("rt", &event.time().timestamp_millis().to_string());
    line.add("cat", category(event));
    line.add("outcome", event.outcome().as_str());
    let action =
        leaves.take(&["act"], &["~/originalCapabilityName"], |text| fits(text, MAX_ACTION_CHARS));
    line.add_cut("act", action.as_deref().unwrap_or(event.kind()), MAX_ACTION_CHARS);
    if session_change(formatting, event).is_some() {
        account(leaves, &mut line);
    } else if event.flow().is_none() {
        for field in &TARGET {
            add_field(field, leaves, &mut line);
        }
    }
    if leaves.has_text("~/outcomeStatus") {
        let status = leaves.get("~/outcomeStatus").and_then(Value::as_str).unwrap_or_default();
        line.add_cut("reason", status, 1023);
        leaves.copied(&["reason"], "~/outcomeStatus");
    }
    let further = if event.flow().is_some() { &FLOW_FIELDS } else { &AUDIT_FIELDS };
    for field in FIELDS.iter().chain(further) {
        add_field(field, leaves, &mut line);
    }
    let [parent, correlation] = &CORRELATION;
    if !add_field(parent, leaves, &mut line) {
        add_field(correlation, leaves, &mut line);
    }
    source(leaves, &mut line);
    version(event, leaves, &mut line);
    if formatting.extension {
        if let Some(text) = leaves.original(received) {
            line.add("davinciOriginal", &printable(&text));
        }
        if let Some(rest) = leaves.take_rest_line("davinciExtra") {
            line.add("davinciExtra", &rest);
        }
    }
    let head = format!(
        "CEF:0|Ping Identity|{}|1|{}|{}|{}|",
        formatting.products.of(event).name,
        escaped_head(cut(class_id, MAX_CLASS_ID_CHARS)),
        escaped_head(&title(event)),
        severity(event.severity())
    );
    Line {
        bytes: (head + &line.text).into_bytes(),
        is_cut: line.is_cut || !fits_length(class_id, MAX_CLASS_ID_CHARS),
    }
}

/// Adds a key with its label, if one of its event fields is present. Returns whether it was added.
fn add_field(field: &CefField, leaves: &mut Leaves, line: &mut Extension) -> bool {
    let &(key, label, longest, pointers) = field;
    let Some(text) = leaves.take(&[key], pointers, |text| fits(text, longest)) else {
        return false;
    };
    line.add_cut(key, &text, longest);
    label.into_iter().for_each(|label| line.add(&format!("{key}Label"), label));
    true
}

/// Adds the user of a sign-on or sign-off, which is the destination user in CEF.
fn account(leaves: &mut Leaves, line: &mut Extension) {
    for (key, pointer) in [("duser", "@user/name"), ("duid", "@user/id")] {
        if leaves.has_text(pointer) {
            line.add_cut(
                key,
                leaves.get(pointer).and_then(Value::as_str).unwrap_or_default(),
                1023,
            );
            leaves.copied(&[key], pointer);
        }
    }
}

/// Builder of `key=value` pairs.
#[derive(Default)]
struct Extension {
    text: String,
    is_cut: bool,
}

impl Extension {
    fn add(&mut self, key: &str, value: &str) {
        if !self.text.is_empty() {
            self.text.push(' ');
        }
        self.text.push_str(key);
        self.text.push('=');
        for c in value.chars() {
            match c {
                '\\' => self.text.push_str("\\\\"),
                '=' => self.text.push_str("\\="),
                '\n' => self.text.push_str("\\n"),
                '\r' => self.text.push_str("\\r"),
                c if c.is_control() => self.text.push(' '),
                c => self.text.push(c),
            }
        }
    }

    fn add_cut(&mut self, key: &str, value: &str, longest: usize) {
        self.is_cut |= !fits_length(value, longest);
        self.add(key, cut(value, longest).trim_matches(' '));
    }
}

/// Returns whether a value is shown unchanged. Other values are also kept in the extension as JSON.
fn fits(text: &str, longest: usize) -> bool {
    let is_plain = |c: char| !c.is_control() || c == '\n' || c == '\r';
    fits_length(text, longest) && text.chars().all(is_plain) && text.trim_matches(' ') == text
}

fn fits_length(text: &str, longest: usize) -> bool {
    text.chars().nth(longest).is_none()
}

fn cut(text: &str, longest: usize) -> &str {
    text.char_indices().nth(longest).map_or(text, |(end, _)| text.get(..end).unwrap_or_default())
}

/// Escapes a header field. A bar would end the field; a line break cannot be escaped.
fn escaped_head(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '|' => out.extend(['\\', c]),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// Adds the source address and its port. IPv4 and IPv6 have keys of their own. A text that is not an
/// address stays in the extension.
fn source(leaves: &mut Leaves, line: &mut Extension) {
    let Some((pointer, address)) = source_address(leaves) else { return };
    if let Some((_, port)) = source_port(leaves) {
        leaves.copied(&["spt"], pointer);
        line.add("spt", &port.to_string());
    }
    let key = if address.is_ipv4() { "src" } else { "c6a2" };
    let address = address.to_string();
    leaves.take(&[key], &[pointer], |text| text == address);
    line.add(key, &address);
    if key == "c6a2" {
        line.add("c6a2Label", "Source IPv6 Address");
    }
}

/// Adds the flow version if it is known. `-1` means unknown and stays in the extension.
fn version(event: &Event<'_>, leaves: &mut Leaves, line: &mut Extension) {
    let Some(FlowVersion::Known(version)) = event.flow().map(|flow| flow.version) else { return };
    let version = version.to_string();
    if leaves.take(&["cn1"], &["~/flowVersionId"], |text| text == version).is_some() {
        line.add("cn1", &version);
        line.add("cn1Label", "flowVersionId");
    }
}

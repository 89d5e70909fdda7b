//! `cef`: ArcSight's Common Event Format, one line per event.
//!
//! Event fields without a CEF key are kept as JSON in `davinciExtra`. Maximum lengths and escapes
//! are those of the CEF implementation standard. A value is cut between characters, before it is
//! escaped; a cut value is kept whole in `davinciExtra`.

use chrono::{DateTime, Utc};

use super::classify::{Facts, USER_AGENTS, session_change, severity, source_address, source_port};
use super::control::{self, has_control};
use super::explain::Derivation;
use super::leaves::{Leaves, printable};
use super::slots::{Alternatives, Slot, any_of, only, slot};
use super::{Line, Received};
use crate::event::{Event, FlowVersion, Interaction, RunSummary};
use crate::format::FormatConfig;

/// A key, its label if it is a custom key, its maximum length in characters, and the event fields
/// that may fill it.
type CefField = (&'static str, Option<&'static str>, usize, Alternatives);

/// Keys filled by one event field each, in the order of the line.
pub(super) const FIELDS: [CefField; 7] = [
    ("externalId", None, 40, any_of(["/id"])),
    ("suser", None, 1023, any_of(["@user/name"])),
    ("suid", None, 1023, any_of(["@user/id"])),
    ("requestClientApplication", None, 1023, USER_AGENTS),
    (
        "deviceExternalId",
        None,
        255,
        any_of([
            "~/companyId",
            "/resources/0/environment/id",
            "/resources/environment/id",
            "@user/environment/id",
        ]),
    ),
    ("flexString2", Some("recordedAt"), 1023, any_of(["/recordedAt"])),
    ("msg", None, 1023, any_of(["/result/description", "~/eventMessage"])),
];

/// Keys of flow runs, whose first resource is the flow.
pub(super) const FLOW_FIELDS: [CefField; 8] = [
    ("sourceServiceName", None, 1023, any_of(["~/connectorId"])),
    (
        "destinationServiceName",
        None,
        1023,
        any_of(["~/flowName", "/resources/0/name", "/resources/name"]),
    ),
    ("cs1", Some("interactionId"), 4000, any_of(["~/interactionId"])),
    (
        "cs2",
        Some("flowId"),
        4000,
        any_of(["~/flowId", "~/flowID", "/resources/0/id", "/resources/id"]),
    ),
    ("cs3", Some("nodeId"), 4000, any_of(["~/nodeId", "~/nodeID", "~/id", "~/ID"])),
    ("cs4", Some("outcomeType"), 4000, any_of(["~/outcomeType"])),
    ("cs5", Some("outcomeStatus"), 4000, any_of(["~/outcomeStatus"])),
    ("cs6", Some("connectionId"), 4000, any_of(["~/connectionId"])),
];

/// Keys of all other events.
pub(super) const AUDIT_FIELDS: [CefField; 8] = [
    ("sourceServiceName", None, 1023, any_of(["@client/name"])),
    ("destinationServiceName", None, 1023, any_of(["/_embedded/davinciFlow/flowName"])),
    ("cs1", Some("sessionId"), 4000, any_of(["/internalCorrelation/sessionId"])),
    ("cs2", Some("flowId"), 4000, any_of(["/_embedded/davinciFlow/flowId"])),
    ("cs3", Some("clientId"), 4000, any_of(["@client/id"])),
    ("cs4", Some("resourceType"), 4000, any_of(["/resources/0/type", "/resources/type"])),
    ("cs5", Some("resourceId"), 4000, any_of(["/resources/0/id", "/resources/id"])),
    ("cs6", Some("resourceName"), 4000, any_of(["/resources/0/name", "/resources/name"])),
];

/// Keys of the affected user.
pub(super) const TARGET: [CefField; 2] = [
    (
        "duser",
        None,
        1023,
        any_of([
            "@target/name",
            "/_embedded/riskEvent/username",
            "/_embedded/riskEvaluation/event/user/name",
        ]),
    ),
    (
        "duid",
        None,
        1023,
        any_of([
            "@target/id",
            "/_embedded/riskEvent/userId",
            "/_embedded/riskEvaluation/event/user/id",
        ]),
    ),
];

/// Maximum length of `act`, in characters.
const MAX_ACTION_CHARS: usize = 63;

/// Maximum length of `Device Event Class ID`, in characters.
const MAX_CLASS_ID_CHARS: usize = 1023;

/// The run that launched this one, or else the correlation id.
pub(super) const CORRELATION: [CefField; 2] = [
    ("flexString1", Some("parentInteractionId"), 1023, any_of(["^/interactionId"])),
    ("flexString1", Some("correlationId"), 1023, any_of(["/correlationId"])),
];

/// Keys derived by a rule.
pub(super) const RULES: [(&str, Derivation); 4] = [
    ("rt", Derivation::Time),
    ("outcome", Derivation::Outcome),
    ("Severity", Derivation::Severity),
    ("Name", Derivation::Kind),
];

/// Renders one event.
pub(super) fn render<'a>(
    formatting: &FormatConfig,
    received: Received<'a>,
    leaves: &mut Leaves<'a>,
) -> Line {
    const STATUS: Slot = slot("~/outcomeStatus");
    let facts = Facts::of(formatting, received.event);
    let event = facts.event;
    let class_id = &*event.envelope().action.kind;
    let mut line = CefLine::of(&facts);
    // The header has no escape for a line break.
    let fits_head = |text: &str| fits(text, MAX_CLASS_ID_CHARS) && !has_control(text);
    leaves.take(&["Device Event Class ID"], const { &any_of(["/action/type"]) }, fits_head);
    line.add("rt", &event.time().timestamp_millis().to_string());
    line.add("cat", facts.entry.category);
    line.add("outcome", facts.outcome.as_str());
    let capability = const { &any_of(["~/originalCapabilityName"]) };
    let action = leaves.take(&["act"], capability, |text| fits(text, MAX_ACTION_CHARS));
    line.add_cut("act", action.as_deref().unwrap_or(event.kind()), MAX_ACTION_CHARS);
    if session_change(formatting, event).is_some() {
        account(leaves, &mut line);
    } else if event.flow().is_none() {
        for field in &TARGET {
            add_field(field, leaves, &mut line);
        }
    }
    if let Some(status) = leaves.text_at(STATUS) {
        line.add_cut("reason", &status, 1023);
        leaves.copied(&["reason"], STATUS);
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
    version(&facts, leaves, &mut line);
    if let Event::Interaction(run) = event
        && let Interaction::Summary(summary) = &run.interaction
    {
        run_summary(summary, run.flow.completed_at, leaves, &mut line);
    }
    if formatting.extension {
        if let Some(text) = leaves.original(received) {
            line.add("davinciOriginal", &printable(text));
        }
        if let Some(rest) = leaves.rest_line("davinciExtra") {
            line.add("davinciExtra", &rest);
        }
    }
    let is_cut = line.is_cut || !fits_length(class_id, MAX_CLASS_ID_CHARS);
    Line { bytes: line.text.into_bytes(), is_cut }
}

/// Adds a key with its label, if one of its event fields is present. Returns whether it was added.
fn add_field(field: &CefField, leaves: &mut Leaves<'_>, line: &mut CefLine) -> bool {
    let (key, label, longest, from) = field;
    let Some(text) = leaves.take(&[key], from, |text| fits(text, *longest)) else {
        return false;
    };
    line.add_cut(key, &text, *longest);
    label.iter().for_each(|label| line.label(key, label));
    true
}

/// Adds the user of a sign-on or sign-off, which is the destination user in CEF.
fn account(leaves: &mut Leaves<'_>, line: &mut CefLine) {
    const ACCOUNT: [(&str, Slot); 2] = [("duser", slot("@user/name")), ("duid", slot("@user/id"))];
    for (key, slot) in ACCOUNT {
        if let Some(text) = leaves.text_at(slot) {
            line.add_cut(key, &text, 1023);
            leaves.copied(&[key], slot);
        }
    }
}

/// Adds the source address and its port. IPv4 and IPv6 have keys of their own. A text that is not an
/// address stays in the extension.
fn source(leaves: &mut Leaves<'_>, line: &mut CefLine) {
    let Some((slot, address)) = source_address(leaves) else { return };
    if let Some((_, port)) = source_port(leaves) {
        leaves.copied(&["spt"], slot);
        line.add("spt", &port.to_string());
    }
    let key = if address.is_ipv4() { "src" } else { "c6a2" };
    let address = address.to_string();
    leaves.take(&[key], &only(slot), |text| text == address);
    line.add(key, &address);
    if key == "c6a2" {
        line.label(key, "Source IPv6 Address");
    }
}

/// Adds the flow version if it is known. `-1` means unknown and stays in the extension.
fn version(facts: &Facts<'_>, leaves: &mut Leaves<'_>, line: &mut CefLine) {
    let Some(FlowVersion::Known(version)) = facts.event.flow().map(|flow| flow.version) else {
        return;
    };
    let (version, from) = (version.to_string(), const { &any_of(["~/flowVersionId"]) });
    if leaves.take(&["cn1"], from, |text| text == version).is_some() {
        line.add("cn1", &version);
        line.label("cn1", "flowVersionId");
    }
}

/// Adds start and end in ms since the Unix epoch, duration in ms, and the number of errors of a summarised flow run.
fn run_summary(
    summary: &RunSummary<'_>,
    ended_at: Option<DateTime<Utc>>,
    leaves: &mut Leaves<'_>,
    line: &mut CefLine,
) {
    if let Some(at) = summary.started_at {
        leaves.copied(&["start"], const { slot("~/summary/startedAt") });
        line.add("start", &at.timestamp_millis().to_string());
    }
    if let Some(at) = ended_at {
        leaves.copied(&["end"], const { slot("~/tsEms") });
        line.add("end", &at.timestamp_millis().to_string());
    }
    let rows: [(&'static str, &'static str, Alternatives, Option<i64>); 2] = [
        ("cn2", "durationMs", any_of(["~/summary/durationMs"]), summary.duration_ms),
        ("cn3", "errors", any_of(["~/summary/errors"]), summary.errors),
    ];
    for (key, label, from, value) in rows {
        if let Some(value) = value.map(|value| value.to_string()) {
            leaves.take(&[key], &from, |text| text == value);
            line.add(key, &value);
            line.label(key, label);
        }
    }
}

/// A line under construction: the header, and `key=value` pairs.
struct CefLine {
    text: String,
    /// Length of the header.
    head: usize,
    is_cut: bool,
}

impl CefLine {
    /// Writes the header.
    fn of(facts: &Facts<'_>) -> CefLine {
        let class_id = &*facts.event.envelope().action.kind;
        let mut text = String::with_capacity(1536);
        text.push_str("CEF:0|Ping Identity|");
        text.push_str(&facts.product.name);
        text.push_str("|1|");
        escape(&mut text, cut(class_id, MAX_CLASS_ID_CHARS), b'|');
        text.push('|');
        escape(&mut text, &facts.entry.title, b'|');
        text.push('|');
        text.push_str(&severity(facts.severity).to_string());
        text.push('|');
        CefLine { head: text.len(), text, is_cut: false }
    }

    fn add(&mut self, key: &str, value: &str) {
        self.key(key);
        self.value(value);
    }

    fn key(&mut self, key: &str) {
        if self.text.len() > self.head {
            self.text.push(' ');
        }
        self.text.push_str(key);
    }

    fn value(&mut self, value: &str) {
        self.text.push('=');
        escape(&mut self.text, value, b'=');
    }

    /// Adds the label of a custom key.
    fn label(&mut self, key: &str, label: &str) {
        self.key(key);
        self.text.push_str("Label");
        self.value(label);
    }

    fn add_cut(&mut self, key: &str, value: &str, longest: usize) {
        self.is_cut |= !fits_length(value, longest);
        self.add(key, cut(value, longest).trim_matches(' '));
    }
}

/// Returns whether a value is shown unchanged. Other values are also kept in the extension as JSON.
fn fits(text: &str, longest: usize) -> bool {
    let is_plain = |c: char| !c.is_control() || c == '\n' || c == '\r';
    fits_length(text, longest)
        && (!has_control(text) || text.chars().all(is_plain))
        && !text.starts_with(' ')
        && !text.ends_with(' ')
}

fn fits_length(text: &str, longest: usize) -> bool {
    text.len() <= longest || text.chars().nth(longest).is_none()
}

fn cut(text: &str, longest: usize) -> &str {
    if text.len() <= longest {
        return text;
    }
    text.char_indices().nth(longest).map_or(text, |(end, _)| text.get(..end).unwrap_or_default())
}

/// Appends a value with its escapes. `separator` ends a value: `=` in a pair, `|` in the header, which has no
/// escape for a line break.
fn escape(out: &mut String, value: &str, separator: u8) {
    let mut rest = value;
    while let Some(at) = control::find(rest, [b'\\', separator]) {
        let (plain, from) = rest.split_at(at);
        out.push_str(plain);
        let mut characters = from.chars();
        match characters.next() {
            Some('\n') if separator == b'=' => out.push_str("\\n"),
            Some('\r') if separator == b'=' => out.push_str("\\r"),
            Some(c) if c.is_control() => out.push(' '),
            c => out.extend(['\\'].into_iter().chain(c)),
        }
        rest = characters.as_str();
    }
    out.push_str(rest);
}

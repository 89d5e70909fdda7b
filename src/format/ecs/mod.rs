//! `ecs`: the Elastic Common Schema, with fields outside of it under `ping_one.`.
//!
//! Names below `ping_one.audit` are those of Elastic's own PingOne integration, as far as it
//! defines them. `ping_one.davinci` is specific to this project. Event fields without a name are
//! kept in `ping_one.davinci.extra`, to be mapped as one `flattened` field.
//! <https://www.elastic.co/docs/reference/ecs>

mod category;
mod fields;
mod people;
mod resources;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::Received;
use super::classify::{address, message, product};
use super::document::Document;
use super::explain::Derivation;
use super::leaves::{Leaves, MAX_TEXT_BYTES, one_line};
use crate::config::Formatting;
use crate::event::{Event, FlowVersion, ParentFlow, RiskLevel, Severity};

pub(super) use fields::{FIELDS, FLOW_FIELDS};

/// Version of the schema.
const VERSION: &str = "9.4.0";

/// Fields derived by a rule.
pub(super) const RULES: [(&str, Derivation); 6] = [
    ("@timestamp", Derivation::Time),
    ("event.outcome", Derivation::Outcome),
    ("log.level", Derivation::Severity),
    ("event.action", Derivation::Kind),
    ("event.category", Derivation::Class),
    ("event.type", Derivation::Class),
];

/// Renders one event as a JSON document.
pub(super) fn render(
    formatting: &Formatting,
    received: Received<'_>,
    leaves: &mut Leaves,
) -> Vec<u8> {
    let event = received.event;
    let product = product(event);
    let mut document = Document::default();
    for (name, value) in [
        ("@timestamp", date(event.time()).as_str()),
        ("ecs.version", VERSION),
        ("event.kind", if is_alert(event) { "alert" } else { "event" }),
        ("event.module", "ping_one"),
        ("event.dataset", product.dataset),
        ("event.action", &event.envelope().action.kind.to_lowercase()),
        ("event.outcome", event.outcome().as_str()),
        ("observer.vendor", "Ping Identity"),
        ("observer.product", product.name),
        ("service.name", product.service),
        ("message", &message(event)),
        ("log.level", level(event.severity())),
    ] {
        document.set(name, value);
    }
    let (categories, kinds) = category::of(formatting, event);
    document.set("event.category", categories);
    document.set("event.type", kinds);
    document.set("tags", vec!["forwarded", product.service]);
    people::fill(event, leaves, &mut document);
    for (field, text) in [
        ("cloud.account.id", event.environment_id()),
        ("ping_one.davinci.environment.id", event.environment_id()),
        ("ping_one.davinci.flow.id", event.flow_id()),
        ("ping_one.davinci.flow.name", event.flow_name()),
        ("event.reason", reason(event).as_deref()),
    ] {
        document.set(field, text.unwrap_or_default());
    }
    document.fill(&FIELDS, leaves);
    if leaves.has_flow() {
        document.fill(&FLOW_FIELDS, leaves);
    }
    typed(event, leaves, &mut document);
    let mut original = leaves.original(received);
    if let Some(rest) = leaves.take_rest("ping_one.davinci.extra") {
        if can_be_flattened(&rest, 0) {
            document.set_whole("ping_one.davinci.extra", rest);
        } else {
            original = Some(one_line(received));
        }
    }
    if let Some(text) = original.or_else(|| formatting.original.then(|| one_line(received))) {
        document.set_whole("event.original", text.into());
    }
    document.into_bytes()
}

/// Maximum length of a path inside a `flattened` field. Elasticsearch indexes path and value as one
/// term of at most [`MAX_TEXT_BYTES`] bytes. The mapping cuts values, but not paths.
const MAX_PATH_BYTES: usize = MAX_TEXT_BYTES - 4096;

/// Returns whether Elasticsearch accepts a value in a `flattened` field. It refuses the document if
/// a path is too long or contains a NUL, which separates path and value.
fn can_be_flattened(value: &Value, path: usize) -> bool {
    match value {
        Value::Object(fields) => fields.iter().all(|(name, value)| {
            let path = path + name.len() + 1;
            path <= MAX_PATH_BYTES && !name.contains('\0') && can_be_flattened(value, path)
        }),
        Value::Array(items) => items.iter().all(|item| can_be_flattened(item, path)),
        _ => true,
    }
}

/// Sets the fields that are not plain texts. A value of the wrong type stays in the extension.
fn typed(event: &Event<'_>, leaves: &mut Leaves, document: &mut Document) {
    let recorded_at = event.envelope().recorded_at;
    let fields = ["event.created", "ping_one.audit.recorded_at"];
    set_date(&fields, recorded_at, "/recordedAt", leaves, document);
    resources::fill(leaves, document);
    let is_texts = |tags: &Value| tags.as_array().is_some_and(|tags| tags.iter().all(is_text));
    if leaves.get("/tags").is_some_and(is_texts)
        && let Some(tags) = leaves.take_value(&["ping_one.audit.tags"], "/tags")
    {
        document.set("ping_one.audit.tags", tags);
    }
    if let Some(text) = leaves.take_text(&["source.address"], &ADDRESSES) {
        if let Some(address) = address(&text) {
            document.set("source.ip", address.to_string());
            document.set("related.ip", json!([address.to_string()]));
        }
        document.set("source.address", text);
    }
    if let Some(score) = leaves.get(RISK_SCORE).and_then(Value::as_f64)
        && score.is_finite()
    {
        leaves.take_value(&["event.risk_score"], RISK_SCORE);
        document.set("event.risk_score", score);
    }
    let Event::Interaction(interaction) = event else { return };
    let (flow, node) = (&interaction.flow, interaction.interaction.node());
    set_version("ping_one.davinci.flow.version", flow.version, '~', leaves, document);
    set_flag("ping_one.davinci.success", node.success, SUCCESS, leaves, document);
    if let Some(at) = flow.completed_at {
        set_date(&["ping_one.davinci.completed_at"], at, "~/tsEms", leaves, document);
    }
    if let Some(milliseconds) = flow.packet_time().map(|time| time.timestamp_millis()) {
        let field = "ping_one.davinci.packet.timestamp";
        leaves.take(&[field], &["~/packetTimestamp"], |text| text == milliseconds.to_string());
        document.set(field, milliseconds);
    }
    if let Some(ParentFlow { version, success, respond_to_user, .. }) = flow.parent {
        set_version("ping_one.davinci.parent.flow.version", version, '^', leaves, document);
        set_flag("ping_one.davinci.parent.success", success, PARENT_SUCCESS, leaves, document);
        let field = "ping_one.davinci.parent.respond_to_user";
        set_flag(field, respond_to_user, &["^/respondToUser"], leaves, document);
    }
}

/// Fields with the address of the user's device. The first one present counts.
const ADDRESSES: [&str; 4] = [
    "/source/ipAddress",
    "~/ipAddress",
    "/_embedded/riskEvent/ip",
    "/_embedded/riskEvaluation/event/ip",
];

const RISK_SCORE: &str = "/_embedded/riskEvaluation/result/score";

const SUCCESS: &[&str] = &["~/success", "~/succcess"];
const PARENT_SUCCESS: &[&str] = &["^/success", "^/succcess"];

/// Sets a date in the form that every target reads. Another spelling of it also stays in the
/// extension.
fn set_date(
    fields: &[&'static str],
    at: DateTime<Utc>,
    value: &str,
    leaves: &mut Leaves,
    document: &mut Document,
) {
    let plain = date(at);
    leaves.take(fields, &[value], |text| text == plain);
    fields.iter().for_each(|field| document.set(field, plain.as_str()));
}

fn set_version(
    field: &'static str,
    version: FlowVersion,
    whose: char,
    leaves: &mut Leaves,
    document: &mut Document,
) {
    if let FlowVersion::Known(version) = version {
        let value = format!("{whose}/flowVersionId");
        leaves.take(&[field], &[&value], |text| text == version.to_string());
        document.set(field, version);
    }
}

fn set_flag(
    field: &'static str,
    flag: Option<bool>,
    fields: &[&str],
    leaves: &mut Leaves,
    document: &mut Document,
) {
    if let Some(flag) = flag {
        leaves.take(&[field], fields, |text| text == flag.to_string());
        document.set(field, flag);
    }
}

fn is_text(value: &Value) -> bool {
    value.is_string()
}

fn date(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// Returns the name of the outcome, if `result` has no description.
fn reason(event: &Event<'_>) -> Option<String> {
    let Event::Interaction(interaction) = event else { return None };
    let is_word = |text: &&str| !text.trim().is_empty();
    let kind = interaction.flow.reported.kind.as_deref().filter(is_word)?;
    let status = interaction.flow.reported.status.as_deref().filter(is_word)?;
    Some(format!("{kind}={status}"))
}

/// Returns whether PingOne itself raises an alarm: a high risk, or a fraud that a user reports.
fn is_alert(event: &Event<'_>) -> bool {
    let envelope = event.envelope();
    envelope.risk_level == Some(RiskLevel::High)
        || envelope.action.kind.eq_ignore_ascii_case("DEVICE.FRAUD_REPORTED")
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Informational => "info",
        Severity::Low | Severity::Medium => "warning",
        Severity::High => "error",
    }
}

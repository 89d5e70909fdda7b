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
mod typed;

use serde_json::Value;

use super::Received;
use super::classify::{message, severity};
use super::document::Document;
use super::explain::Derivation;
use super::leaves::{Leaves, MAX_TEXT_BYTES, is_empty, one_line};
use crate::event::{Event, Interaction, RiskLevel, Severity};
use crate::format::FormatConfig;

pub(super) use fields::{FIELDS, FLOW_FIELDS};
use typed::date;

/// Version of the schema.
const VERSION: &str = "9.4.0";

/// Fields derived by a rule.
pub(super) const RULES: [(&str, Derivation); 7] = [
    ("@timestamp", Derivation::Time),
    ("event.outcome", Derivation::Outcome),
    ("event.severity", Derivation::Severity),
    ("log.level", Derivation::Severity),
    ("event.action", Derivation::Kind),
    ("event.category", Derivation::Class),
    ("event.type", Derivation::Class),
];

/// Renders one event as a JSON document.
pub(super) fn render(
    formatting: &FormatConfig,
    received: Received<'_>,
    leaves: &mut Leaves,
) -> Vec<u8> {
    let event = received.event;
    let product = formatting.products.of(event);
    let mut document = Document::default();
    for (name, value) in [
        ("@timestamp", date(event.time()).as_str()),
        ("ecs.version", VERSION),
        ("event.kind", if is_alert(event) { "alert" } else { "event" }),
        ("event.module", "ping_one"),
        ("event.dataset", product.dataset.as_str()),
        ("event.action", &event.envelope().action.kind.to_lowercase()),
        ("event.outcome", event.outcome().as_str()),
        ("observer.vendor", "Ping Identity"),
        ("observer.product", product.name.as_str()),
        ("service.name", product.service),
        ("message", &message(event)),
        ("log.level", level(event.severity())),
    ] {
        document.set(name, value);
    }
    let (categories, kinds) = category::of(formatting, event);
    document.set("event.severity", severity(event.severity()));
    document.set("event.category", categories);
    document.set("event.type", kinds);
    document.set("tags", vec!["forwarded", product.service]);
    let has_embedded = embedded(leaves, &mut document);
    typed::source(leaves, &mut document);
    people::fill(event, leaves, &mut document);
    error(event, &mut document);
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
    typed::fill(event, leaves, &mut document);
    if has_embedded {
        leaves.take_value(&["ping_one.audit.embedded"], "/_embedded");
    }
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

/// Returns whether Elasticsearch accepts a value in a `flattened` field, and OpenSearch in a
/// `flat_object` field. They refuse the document if a path is too long or contains a NUL, which
/// separates path and value. OpenSearch also refuses long values.
fn can_be_flattened(value: &Value, path: usize) -> bool {
    match value {
        Value::Object(fields) => fields.iter().all(|(name, value)| {
            let path = path + name.len() + 1;
            path <= MAX_PATH_BYTES && !name.contains('\0') && can_be_flattened(value, path)
        }),
        Value::Array(items) => items.iter().all(|item| can_be_flattened(item, path)),
        Value::String(text) => path + text.len() <= MAX_PATH_BYTES,
        _ => true,
    }
}

/// Sets `ping_one.audit.embedded`, which holds all of `_embedded`, unless the event is of a flow run:
/// those have fields of their own. Returns whether the field is set.
fn embedded(leaves: &mut Leaves, document: &mut Document) -> bool {
    let embedded = leaves.get("/_embedded").filter(|_| !leaves.has_flow());
    let Some(mut embedded) = embedded.filter(|value| value.is_object()).cloned() else {
        return false;
    };
    if is_empty(&mut embedded) || !can_be_flattened(&embedded, 0) {
        return false;
    }
    leaves.copied(&["ping_one.audit.embedded"], "/_embedded");
    document.set_whole("ping_one.audit.embedded", embedded);
    true
}

/// Sets type and message of a connector's error.
fn error(event: &Event<'_>, document: &mut Document) {
    let Event::Interaction(interaction) = event else { return };
    if !matches!(interaction.interaction, Interaction::SendErrorResponse(_)) {
        return;
    }
    let result = event.envelope().result.as_ref();
    let reported = &interaction.flow.reported;
    let texts = [
        result.and_then(|result| result.description.as_deref()),
        reported.description.as_deref(),
        reported.status_detail.as_deref(),
    ];
    let text = texts.into_iter().flatten().find(|text| !text.trim().is_empty());
    document.set("error.type", event.kind());
    document.set("error.message", text.map_or_else(|| message(event), str::to_owned));
}

/// Returns the reason where `result` has no description: the reported outcome, or the connector that
/// failed.
fn reason(event: &Event<'_>) -> Option<String> {
    let Event::Interaction(interaction) = event else { return None };
    let is_word = |text: &&str| !text.trim().is_empty();
    let kind = interaction.flow.reported.kind.as_deref().filter(is_word);
    let status = interaction.flow.reported.status.as_deref().filter(is_word);
    if let (Some(kind), Some(status)) = (kind, status) {
        return Some(format!("{kind}={status}"));
    }
    let is_error = matches!(interaction.interaction, Interaction::SendErrorResponse(_));
    is_error.then(|| message(event))
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

fn is_text(value: &Value) -> bool {
    value.is_string()
}

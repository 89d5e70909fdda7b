//! `ecs`: the Elastic Common Schema, with fields outside of it under `ping_one.`.
//!
//! Names below `ping_one.audit` are those of Elastic's own PingOne integration, as far as it
//! defines them. `ping_one.davinci` is specific to this project. Event fields without a name are
//! kept in `ping_one.davinci.extra`, to be mapped as one `flattened` field.
//! <https://www.elastic.co/docs/reference/ecs>

mod category;
mod fields;
mod layout;
mod people;
mod resources;
mod run_summary;
mod typed;

use super::Received;
use super::classify::{Facts, severity};
use super::document::Document;
use super::explain::Derivation;
use super::layout::Field;
use super::leaves::{Leaves, MAX_TEXT_BYTES, is_blank, one_line};
use super::remaining::{FieldWriter, Written};
use super::slots::{Slot, slot};
use crate::event::{Event, Interaction, RiskLevel, Severity};
use crate::format::FormatConfig;

pub(super) use fields::{FIELDS, FLOW_FIELDS};
use layout::{LAYOUT, field};
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

const EMBEDDED: Slot = slot("/_embedded");
const EXTRA: Field = field("ping_one.davinci.extra");
const ENVIRONMENTS: [Field; 2] =
    [field("cloud.account.id"), field("ping_one.davinci.environment.id")];

/// Renders one event as a JSON document.
pub(super) fn render<'a>(
    formatting: &FormatConfig,
    received: Received<'a>,
    leaves: &mut Leaves<'a>,
) -> Vec<u8> {
    let event = received.event;
    let facts = Facts::of(formatting, event);
    let mut document = Document::new(&LAYOUT);
    for (field, value) in [
        (const { field("@timestamp") }, date(event.time()).as_str()),
        (const { field("ecs.version") }, VERSION),
        (const { field("event.kind") }, if is_alert(event) { "alert" } else { "event" }),
        (const { field("event.module") }, "ping_one"),
        (const { field("event.dataset") }, &facts.product.dataset),
        (const { field("event.action") }, &event.envelope().action.kind.to_lowercase()),
        (const { field("event.outcome") }, facts.outcome.as_str()),
        (const { field("observer.vendor") }, "Ping Identity"),
        (const { field("observer.product") }, &facts.product.name),
        (const { field("service.name") }, facts.product.service),
        (const { field("message") }, &facts.message()),
        (const { field("log.level") }, level(facts.severity)),
    ] {
        document.text(field, value);
    }
    let (categories, kinds) = category::of(formatting, &facts);
    document.plain(const { field("event.severity") }, severity(facts.severity));
    document.texts(const { field("event.category") }, categories);
    document.texts(const { field("event.type") }, kinds);
    document.texts(const { field("tags") }, ["forwarded", facts.product.service]);
    let has_embedded = embedded(leaves, &mut document);
    typed::source(leaves, &mut document);
    people::fill(&facts, leaves, &mut document);
    error(&facts, &mut document);
    let environment = event.environment_id().unwrap_or_default();
    ENVIRONMENTS.into_iter().for_each(|field| document.text(field, environment));
    for (field, text) in [
        (const { field("ping_one.davinci.flow.id") }, event.flow_id()),
        (const { field("ping_one.davinci.flow.name") }, event.flow_name()),
        (const { field("event.reason") }, reason(&facts).as_deref()),
    ] {
        document.text(field, text.unwrap_or_default());
    }
    document.fill(&FIELDS, leaves);
    if leaves.has_flow() {
        document.fill(&FLOW_FIELDS, leaves);
    }
    typed::fill(&facts, leaves, &mut document);
    if has_embedded {
        leaves.take_value(&["ping_one.audit.embedded"], EMBEDDED);
    }
    let mut original = leaves.original(received);
    let mut rest = None;
    document.try_write(EXTRA, |out| {
        rest = leaves.write_rest("ping_one.davinci.extra", None, out);
        rest.filter(can_be_flattened)
    });
    if rest.is_some_and(|rest| !can_be_flattened(&rest)) {
        original = Some(one_line(received));
    }
    if let Some(text) = original.or_else(|| formatting.original.then(|| one_line(received))) {
        document.whole_text(const { field("event.original") }, &text);
    }
    document.to_bytes()
}

/// Maximum length of a path inside a `flattened` field. Elasticsearch indexes path and value as one
/// term of at most [`MAX_TEXT_BYTES`] bytes. The mapping cuts values, but not paths.
const MAX_PATH_BYTES: usize = MAX_TEXT_BYTES - 4096;

/// Returns whether Elasticsearch accepts a value in a `flattened` field, and OpenSearch in a
/// `flat_object` field. They refuse the document if a path is too long or contains a NUL, which
/// separates path and value. OpenSearch also refuses long values.
fn can_be_flattened(written: &Written) -> bool {
    written.longest_path <= MAX_PATH_BYTES && !written.has_nul
}

/// Sets `ping_one.audit.embedded`, which holds all of `_embedded`, unless the event is of a flow run:
/// those have fields of their own. Returns whether the field is set.
fn embedded(leaves: &mut Leaves<'_>, document: &mut Document) -> bool {
    let embedded = leaves.get(EMBEDDED).filter(|_| !leaves.has_flow());
    let embedded = embedded.filter(|at| leaves.event().node(*at).value.starts_with('{'));
    let is_set = embedded.is_some_and(|at| {
        let written = document.try_write(const { field("ping_one.audit.embedded") }, |out| {
            FieldWriter::new(leaves.event(), out).value(at).filter(can_be_flattened)
        });
        written.is_some()
    });
    if is_set {
        leaves.copied(&["ping_one.audit.embedded"], EMBEDDED);
    }
    is_set
}

/// Sets type and message of a connector's error.
fn error(facts: &Facts<'_>, document: &mut Document) {
    let Event::Interaction(interaction) = facts.event else { return };
    if !matches!(interaction.interaction, Interaction::SendErrorResponse(_)) {
        return;
    }
    let result = interaction.envelope.result.as_ref();
    let reported = &interaction.flow.reported;
    let texts = [
        result.and_then(|result| result.description.as_deref()),
        reported.description.as_deref(),
        reported.status_detail.as_deref(),
    ];
    let text = texts.into_iter().flatten().find(|text| !is_blank(text));
    document.text(const { field("error.type") }, facts.event.kind());
    let message = const { field("error.message") };
    match text {
        Some(text) => document.text(message, text),
        None => document.text(message, &facts.message()),
    }
}

/// Returns the reason where `result` has no description: the reported outcome, or the connector that
/// failed.
fn reason(facts: &Facts<'_>) -> Option<String> {
    let Event::Interaction(interaction) = facts.event else { return None };
    let is_word = |text: &&str| !is_blank(text);
    let kind = interaction.flow.reported.kind.as_deref().filter(is_word);
    let status = interaction.flow.reported.status.as_deref().filter(is_word);
    if let (Some(kind), Some(status)) = (kind, status) {
        return Some(format!("{kind}={status}"));
    }
    let is_error = matches!(interaction.interaction, Interaction::SendErrorResponse(_));
    is_error.then(|| facts.message())
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

//! Fields that are not plain texts: dates, addresses, numbers and flags.

use chrono::{DateTime, Datelike, SecondsFormat, Utc};
use serde_json::Number;

use super::layout::field;
use super::people::{CopiedField, copied, copy};
use super::{resources, run_summary};
use crate::event::{Event, FlowVersion, Interaction, ParentFlow};
use crate::format::classify::{ADDRESSES, Facts, addresses, source_address, source_port};
use crate::format::document::Document;
use crate::format::layout::Field;
use crate::format::leaves::Leaves;
use crate::format::remaining::FieldWriter;
use crate::format::slots::{Alternatives, Slot, any_of, slot};

/// A field that shows a value in another type, with its name and its event fields.
pub(super) type TypedField = (&'static str, Field, Alternatives);

pub(super) const fn typed<const N: usize>(name: &'static str, from: [&str; N]) -> TypedField {
    (name, field(name), any_of(from))
}

const TAGS: Slot = slot("/tags");
const RISK_SCORE: Slot = slot("/_embedded/riskEvaluation/result/score");
const CREATED_AT: Slot = slot("/createdAt");
const SOURCE_ADDRESS: Slot = slot("/source/ipAddress");
const SOURCE_AGENT: Slot = slot("/source/userAgent");

const AUDIT_CREATED: TypedField = typed("ping_one.audit.created_at", ["/createdAt"]);
const COMPLETED: TypedField = typed("ping_one.davinci.completed_at", ["~/tsEms"]);
const PACKET_TIME: TypedField = typed("ping_one.davinci.packet.timestamp", ["~/packetTimestamp"]);
const VERSION: TypedField = typed("ping_one.davinci.flow.version", ["~/flowVersionId"]);
const SUCCESS: TypedField = typed("ping_one.davinci.success", ["~/success", "~/succcess"]);
const PARENT_VERSION: TypedField =
    typed("ping_one.davinci.parent.flow.version", ["^/flowVersionId"]);
const PARENT_SUCCESS: TypedField =
    typed("ping_one.davinci.parent.success", ["^/success", "^/succcess"]);
const RESPOND_TO_USER: TypedField =
    typed("ping_one.davinci.parent.respond_to_user", ["^/respondToUser"]);

/// Connector of an administrative event, which is its resource.
const CONNECTOR: [CopiedField; 1] =
    [copied("ping_one.davinci.connector.id", any_of(["/resources/0/id", "/resources/id"]))];

/// Fields with the time of recording.
const RECORDED: [&str; 2] = ["event.created", "ping_one.audit.recorded_at"];

/// Sets the fields that are not plain texts. A value of the wrong type stays in the extension.
pub(super) fn fill(facts: &Facts<'_>, leaves: &mut Leaves<'_>, document: &mut Document) {
    let recorded_at = date(facts.event.envelope().recorded_at);
    leaves.take(&RECORDED, const { &any_of(["/recordedAt"]) }, |text| text == recorded_at);
    for field in const { [field(RECORDED[0]), field(RECORDED[1])] } {
        document.text(field, &recorded_at);
    }
    url(leaves, document);
    if facts.entry.kind == "davinci_connector" {
        copy(&CONNECTOR, leaves, document);
    }
    resources::fill(leaves, document);
    tags(leaves, document);
    created(leaves, document);
    risk_score(leaves, document);
    let Event::Interaction(interaction) = facts.event else { return };
    let (flow, node) = (&interaction.flow, interaction.interaction.node());
    if let Interaction::Summary(summary) = &interaction.interaction {
        run_summary::fill(summary, flow, leaves, document);
    }
    version(&VERSION, flow.version, leaves, document);
    flag(&SUCCESS, node.success, leaves, document);
    if let Some(at) = flow.completed_at {
        time(&COMPLETED, at, leaves, document);
    }
    if let Some(milliseconds) = flow.packet_time().map(|time| time.timestamp_millis()) {
        let (name, field, from) = &PACKET_TIME;
        leaves.take(&[name], from, |text| text == milliseconds.to_string());
        document.plain(*field, milliseconds);
    }
    if let Some(ParentFlow { version: of_parent, success, respond_to_user, .. }) = flow.parent {
        version(&PARENT_VERSION, of_parent, leaves, document);
        flag(&PARENT_SUCCESS, success, leaves, document);
        flag(&RESPOND_TO_USER, respond_to_user, leaves, document);
    }
}

/// Sets addresses, and the user agent where Elastic's integration has it.
pub(super) fn source(leaves: &mut Leaves<'_>, document: &mut Document) {
    let found = source_address(leaves);
    let mut related: Vec<String> = Vec::new();
    for text in ADDRESSES.slots().iter().filter_map(|slot| leaves.text_at(*slot)) {
        for address in addresses(&text).map(|address| address.to_string()) {
            if !related.contains(&address) {
                related.push(address);
            }
        }
    }
    if !related.is_empty() {
        document.texts(const { field("related.ip") }, related);
    }
    if let Some(agent) = leaves.text_at(SOURCE_AGENT) {
        leaves.copied(&["ping_one.audit.source.user_agent"], SOURCE_AGENT);
        document.text(const { field("ping_one.audit.source.user_agent") }, &agent);
    }
    if let Some((slot, port)) = source_port(leaves) {
        leaves.copied(&["source.port"], slot);
        document.plain(const { field("source.port") }, port);
    }
    let mut preferred = ADDRESSES;
    if let Some((slot, address)) = found {
        let address = address.to_string();
        document.text(const { field("source.ip") }, &address);
        if slot == SOURCE_ADDRESS {
            document.text(const { field("ping_one.audit.source.ip_address") }, &address);
        }
        preferred = ADDRESSES.preferring(slot);
    }
    if let Some(text) = leaves.take_text(&["source.address"], &preferred) {
        document.text(const { field("source.address") }, &text);
    }
}

/// Sets the URL of the first resource, in parts.
fn url(leaves: &mut Leaves<'_>, document: &mut Document) {
    const LINKS: Alternatives =
        any_of(["/resources/0/href", "/resources/href", "/resources/1/href"]);
    let mut links = LINKS.slots().iter();
    let link = links.find_map(|slot| Some((slot, leaves.text_at(*slot)?)));
    let Some((slot, text)) = link else { return };
    let Some((scheme, rest)) = text.split_once("://") else { return };
    let (domain, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    leaves.copied(&["url.original"], *slot);
    for (field, text) in [
        (const { field("url.original") }, &*text),
        (const { field("url.scheme") }, scheme),
        (const { field("url.domain") }, domain),
        (const { field("url.path") }, path.split(['?', '#']).next().unwrap_or_default()),
    ] {
        document.text(field, text);
    }
}

/// Sets the tags, if all of them are texts.
fn tags(leaves: &mut Leaves<'_>, document: &mut Document) {
    let Some(at) = leaves.get(TAGS) else { return };
    let event = leaves.event();
    let are_texts = event.level(event.inside(at)).all(|(_, tag)| tag.value.starts_with('"'));
    if are_texts && event.node(at).value.starts_with('[') {
        leaves.take_at(&["ping_one.audit.tags"], at);
        document.write(const { field("ping_one.audit.tags") }, |out| {
            FieldWriter::new(leaves.event(), out).whole(at);
        });
    }
}

/// Sets the time of creation, which the audit API sends.
fn created(leaves: &mut Leaves<'_>, document: &mut Document) {
    let text = leaves.text_at(CREATED_AT);
    let at = text.and_then(|text| DateTime::parse_from_rfc3339(&text).ok());
    let at = at.map(|at| at.to_utc()).filter(|at| (1..=9999).contains(&at.year()));
    if let Some(at) = at {
        time(&AUDIT_CREATED, at, leaves, document);
    }
}

fn risk_score(leaves: &mut Leaves<'_>, document: &mut Document) {
    if let Some(score) = leaves.number_at(RISK_SCORE).and_then(Number::from_f64) {
        leaves.take_value(&["event.risk_score"], RISK_SCORE);
        document.plain(const { field("event.risk_score") }, score);
    }
}

/// Sets a time in the form that every target reads. Another spelling of it also stays in the
/// extension.
fn time(row: &TypedField, at: DateTime<Utc>, leaves: &mut Leaves<'_>, document: &mut Document) {
    let (name, field, from) = row;
    let plain = date(at);
    leaves.take(&[name], from, |text| text == plain);
    document.text(*field, &plain);
}

fn version(
    row: &TypedField,
    version: FlowVersion,
    leaves: &mut Leaves<'_>,
    document: &mut Document,
) {
    if let FlowVersion::Known(version) = version {
        let (name, field, from) = row;
        leaves.take(&[name], from, |text| text == version.to_string());
        document.plain(*field, version);
    }
}

fn flag(row: &TypedField, flag: Option<bool>, leaves: &mut Leaves<'_>, document: &mut Document) {
    if let Some(flag) = flag {
        let (name, field, from) = row;
        leaves.take(&[name], from, |text| text == if flag { "true" } else { "false" });
        document.plain(*field, flag);
    }
}

pub(super) fn date(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

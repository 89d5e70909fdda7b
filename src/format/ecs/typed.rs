//! Fields that are not plain texts: dates, addresses, numbers and flags.

use chrono::{DateTime, Datelike, SecondsFormat, Utc};
use serde_json::Value;

use super::people::copy;
use super::{is_text, resources};
use crate::event::{Event, FlowVersion, ParentFlow, registry};
use crate::format::classify::{ADDRESSES, addresses, source_address, source_port};
use crate::format::document::Document;
use crate::format::leaves::Leaves;

/// Sets the fields that are not plain texts. A value of the wrong type stays in the extension.
pub(super) fn fill(event: &Event<'_>, leaves: &mut Leaves, document: &mut Document) {
    let recorded_at = event.envelope().recorded_at;
    let fields = ["event.created", "ping_one.audit.recorded_at"];
    set_date(&fields, recorded_at, "/recordedAt", leaves, document);
    url(leaves, document);
    if registry::lookup(&event.envelope().action.kind).kind == "davinci_connector" {
        copy(
            "ping_one.davinci.connector.id",
            &["/resources/0/id", "/resources/id"],
            leaves,
            document,
        );
    }
    resources::fill(leaves, document);
    let is_texts = |tags: &Value| tags.as_array().is_some_and(|tags| tags.iter().all(is_text));
    if leaves.get("/tags").is_some_and(is_texts)
        && let Some(tags) = leaves.take_value(&["ping_one.audit.tags"], "/tags")
    {
        document.set("ping_one.audit.tags", tags);
    }
    created(leaves, document);
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

const RISK_SCORE: &str = "/_embedded/riskEvaluation/result/score";

const SUCCESS: &[&str] = &["~/success", "~/succcess"];
const PARENT_SUCCESS: &[&str] = &["^/success", "^/succcess"];

/// Sets addresses, and the user agent where Elastic's integration has it.
pub(super) fn source(leaves: &mut Leaves, document: &mut Document) {
    let found = source_address(leaves);
    let all = ADDRESSES.iter().filter_map(|pointer| leaves.text_at(pointer)).flat_map(addresses);
    let mut related: Vec<String> = Vec::new();
    for address in all.map(|address| address.to_string()) {
        if !related.contains(&address) {
            related.push(address);
        }
    }
    if !related.is_empty() {
        document.set("related.ip", related);
    }
    if let Some(agent) = leaves.text_at("/source/userAgent").map(str::to_owned) {
        leaves.copied(&["ping_one.audit.source.user_agent"], "/source/userAgent");
        document.set("ping_one.audit.source.user_agent", agent);
    }
    if let Some((pointer, port)) = source_port(leaves) {
        leaves.copied(&["source.port"], pointer);
        document.set("source.port", port);
    }
    if let Some((pointer, address)) = found {
        document.set("source.ip", address.to_string());
        if pointer == "/source/ipAddress" {
            document.set("ping_one.audit.source.ip_address", address.to_string());
        }
    }
    let preferred = found.map(|(pointer, _)| pointer);
    let pointers: Vec<&str> = preferred.into_iter().chain(ADDRESSES).collect();
    if let Some(text) = leaves.take_text(&["source.address"], &pointers) {
        document.set("source.address", text);
    }
}

/// Sets the URL of the first resource, in parts.
fn url(leaves: &mut Leaves, document: &mut Document) {
    let links = ["/resources/0/href", "/resources/href", "/resources/1/href"];
    let Some(pointer) = links.into_iter().find(|pointer| leaves.has_text(pointer)) else { return };
    let text = leaves.text_at(pointer).unwrap_or_default().to_owned();
    let Some((scheme, rest)) = text.split_once("://") else { return };
    let (domain, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    leaves.copied(&["url.original"], pointer);
    for (field, text) in [
        ("url.original", text.as_str()),
        ("url.scheme", scheme),
        ("url.domain", domain),
        ("url.path", path.split(['?', '#']).next().unwrap_or_default()),
    ] {
        document.set(field, text);
    }
}

/// Sets the time of creation, which the audit API sends.
fn created(leaves: &mut Leaves, document: &mut Document) {
    let text =
        leaves.text_at("/createdAt").and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    let at = text.map(|at| at.to_utc()).filter(|at| (1..=9999).contains(&at.year()));
    if let Some(at) = at {
        set_date(&["ping_one.audit.created_at"], at, "/createdAt", leaves, document);
    }
}

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

pub(super) fn date(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

//! `ocsf`: the Open Cybersecurity Schema Framework, 1.3.0 or 1.8.0.
//!
//! The only profile is `host`, for classes that have an actor in that profile only. Both versions
//! have the same fields, except for those that only 1.8.0 defines. Event fields outside of the schema
//! are kept in `unmapped`, at their original paths. <https://schema.ocsf.io>

mod api;
mod class;
mod fields;
mod identity;
mod people;

use std::borrow::Cow;

use serde_json::{Value, json};

use super::classify::{message, title};
use super::document::Document;
use super::explain::Derivation;
use super::leaves::{Leaves, one_line};
use super::{Product, Received};
use crate::event::registry::OcsfActivity;
use crate::event::{Event, Interaction, Outcome, Severity};
use crate::format::{FormatConfig, OcsfVersion};

#[cfg(test)]
pub(super) use fields::ALL_FIELDS;
use fields::FIELDS;

/// Fields derived by a rule.
pub(super) const RULES: [(&str, Derivation); 5] = [
    ("time", Derivation::Time),
    ("status_id", Derivation::Outcome),
    ("severity_id", Derivation::Severity),
    ("class_uid", Derivation::Class),
    ("activity_id", Derivation::Class),
];

/// Maximum length of a text of the schema (`string_t` of 1.3.0), in characters.
const MAX_TEXT_CHARS: usize = 65_535;

/// Renders one event as a JSON document.
pub(super) fn render(
    formatting: &FormatConfig,
    received: Received<'_>,
    leaves: &mut Leaves,
) -> Vec<u8> {
    let event = received.event;
    let classified = class::of(formatting, event, leaves);
    let mut document = Document::default();
    kind(classified, event, &mut document);
    let product = formatting.products.of(event);
    metadata(formatting.ocsf_version, classified.class, received, product, leaves, &mut document);
    if classified.class == class::DETECTION_FINDING {
        identity::detection_finding(event, leaves, &mut document);
    } else {
        status(event, leaves, &mut document);
    }
    if classified.class != class::BASE_EVENT {
        people::fill(classified.class, event, product, leaves, &mut document);
    }
    match classified.class {
        class::AUTHENTICATION => identity::authentication(event, product, leaves, &mut document),
        class::ACCOUNT_CHANGE => identity::account_change(event, leaves, &mut document),
        class::ENTITY_MANAGEMENT => identity::entity_management(leaves, &mut document),
        class::USER_ACCESS => identity::user_access(event, leaves, &mut document),
        class::GROUP_MANAGEMENT => identity::group_management(event, leaves, &mut document),
        class::API_ACTIVITY => api::fill(event, leaves, &mut document),
        _ => {}
    }
    document.set("message", message(event));
    let original = leaves.original(received);
    let original = original.or_else(|| formatting.original.then(|| one_line(received)));
    let rest = leaves.take_rest("unmapped");
    let mut long = "_raw_data".to_owned();
    while rest.as_ref().is_some_and(|rest| rest.get(&long).is_some()) {
        long.insert(0, '_');
    }
    if let Some(rest) = rest {
        document.set_whole("unmapped", rest);
    }
    if let Some(text) = original {
        let is_long = text.len() > MAX_TEXT_CHARS;
        let field = if is_long { format!("unmapped.{long}") } else { "raw_data".to_owned() };
        document.set_whole(&field, text.into());
    }
    document.into_bytes()
}

/// Sets class, activity and severity, as numbers and as captions.
fn kind(classified: OcsfActivity, event: &Event<'_>, document: &mut Document) {
    let OcsfActivity { class, activity } = classified;
    let (class_uid, activity_id) = (i64::from(class), i64::from(activity));
    let name = class::activity_name(classified);
    // Only the activity "Other" allows a caption of one's own.
    let caption = if name == "Other" { own_caption(event) } else { name.into() };
    let (severity_id, severity) = match event.severity() {
        Severity::Informational => (1, "Informational"),
        Severity::Low => (2, "Low"),
        Severity::Medium => (3, "Medium"),
        Severity::High => (4, "High"),
    };
    for (name, value) in [
        ("class_uid", class_uid),
        ("category_uid", class_uid / 1000),
        ("activity_id", activity_id),
        ("type_uid", class_uid * 100 + activity_id),
        ("severity_id", severity_id),
        ("time", event.time().timestamp_millis()),
        ("timezone_offset", 0),
    ] {
        document.set(name, value);
    }
    let type_name = format!("{}: {name}", class::class_name(class));
    for (name, value) in [
        ("class_name", class::class_name(class)),
        ("category_name", class::category_name(class)),
        ("activity_name", &caption),
        ("type_name", &type_name),
        ("severity", severity),
    ] {
        document.set(name, value);
    }
}

fn own_caption(event: &Event<'_>) -> Cow<'static, str> {
    match event {
        Event::Interaction(run) => match &run.interaction {
            Interaction::CustomAnalytics(_) => "Custom Analytics",
            Interaction::StartInteraction(_) => "Start Interaction",
            Interaction::ReceiveRequest(_) => "Receive Request",
            Interaction::SendResponse(_) => "Send Response",
            Interaction::SendErrorResponse(_) => "Send Error Response",
        }
        .into(),
        Event::DeliveryTest(_) => "Other".into(),
        Event::Admin(_) | Event::Other(_) => title(event),
    }
}

fn metadata(
    version: OcsfVersion,
    class: u16,
    received: Received<'_>,
    product: &Product,
    leaves: &mut Leaves,
    document: &mut Document,
) {
    let event = received.event;
    for (name, value) in [
        ("metadata.version", version.as_str()),
        ("metadata.product.name", product.name.as_str()),
        ("metadata.product.vendor_name", "Ping Identity"),
        ("metadata.product.lang", "en"),
        ("metadata.log_name", product.log),
        ("metadata.log_provider", "PingOne"),
    ] {
        document.set(name, value);
    }
    if has_actor_by_profile(version, class) {
        document.set("metadata.profiles", vec!["host"]);
    }
    document.set("metadata.logged_time", event.envelope().recorded_at.timestamp_millis());
    document.set("metadata.processed_time", received.received_at);
    if let Some(id) = event.environment_id() {
        document.set("metadata.tenant_uid", id);
        if leaves.get("~/companyId").and_then(Value::as_str) == Some(id) {
            leaves.take_text(&["metadata.tenant_uid"], &["~/companyId"]);
        }
    }
    // From 1.7 on, the schema has a field for the event's id in its product.
    if version == OcsfVersion::V1_8 && leaves.has_text("/id") {
        document.set("metadata.original_event_uid", &*event.envelope().id);
    }
    document.fill(&FIELDS, leaves);
}

/// Returns whether a class has `actor` in the profile `host` only.
fn has_actor_by_profile(version: OcsfVersion, class: u16) -> bool {
    match (version, class) {
        (_, class::DETECTION_FINDING) => true,
        (OcsfVersion::V1_3, class) => {
            matches!(class, class::ENTITY_MANAGEMENT | class::USER_ACCESS | class::GROUP_MANAGEMENT)
        }
        (OcsfVersion::V1_8, _) => false,
    }
}

/// Sets the status. The status of `result` is shown only if it does not contradict the outcome.
fn status(event: &Event<'_>, leaves: &mut Leaves, document: &mut Document) {
    let outcome = event.outcome();
    let result = event.envelope().result.as_ref();
    let agrees = result.is_some_and(|result| result.outcome() == outcome);
    let reported = event.flow().and_then(|flow| flow.reported.outcome());
    let contradicts =
        reported.is_some_and(|stated| stated != outcome && stated != Outcome::Unknown);
    let fields = [(!contradicts).then_some("~/outcomeStatus"), agrees.then_some("/result/status")];
    let fields: Vec<&str> = fields.into_iter().flatten().collect();
    let code = leaves.take_text(&["status_code"], &fields);
    let (id, caption) = match (outcome, &code) {
        (Outcome::Success, _) => (1, "Success"),
        (Outcome::Failure, _) => (2, "Failure"),
        // The flow author's own word, which the schema does not define.
        (Outcome::Unknown, Some(word)) => (99, word.as_str()),
        (Outcome::Unknown, None) => (0, "Unknown"),
    };
    document.set("status_id", id);
    document.set("status", caption);
    if let Some(code) = &code {
        document.set("status_code", code.as_str());
    }
}

/// Adds an observable, which analysts can search in every class.
fn observe(document: &mut Document, name: &str, id: i64, caption: &str, value: Option<&str>) {
    if let Some(value) = value.filter(|value| !value.is_empty()) {
        let observable = json!({ "name": name, "type_id": id, "type": caption, "value": value });
        document.push("observables", observable);
    }
}

//! `ocsf`: the Open Cybersecurity Schema Framework, 1.3.0 or 1.8.0, without profiles.
//!
//! Both versions have the same fields, except for those that only 1.8.0 defines. Event fields
//! outside of the schema are kept in `unmapped`, at their original paths. <https://schema.ocsf.io>

mod class;
mod fields;

use serde_json::{Value, json};

use super::Received;
use super::classify::{address, message};
use super::document::Document;
use super::explain::Derivation;
use super::leaves::{Leaves, one_line};
use crate::config::{Formatting, OcsfVersion};
use crate::event::{Event, FlowVersion, Interaction, Outcome, Severity};
use class::{OcsfActivity, OcsfClass};

pub(super) use fields::{
    ACTOR_FIELDS, API_FIELDS, FIELDS, OPERATION_FIELDS, RESOURCE_FIELDS, SIGN_ON_FIELDS,
    USER_FIELDS,
};

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
    formatting: &Formatting,
    received: Received<'_>,
    leaves: &mut Leaves,
) -> Vec<u8> {
    let event = received.event;
    let class = OcsfClass::of(formatting, event, leaves);
    let mut document = Document::default();
    kind(class, event, &mut document);
    metadata(formatting.ocsf_version, received, leaves, &mut document);
    status(event, leaves, &mut document);
    if class != OcsfClass::Base {
        surroundings(event, leaves, &mut document);
    }
    match class {
        OcsfClass::Authentication => sign_on(event, leaves, &mut document),
        OcsfClass::ApiActivity => api_activity(event, leaves, &mut document),
        OcsfClass::Base => {}
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
fn kind(class: OcsfClass, event: &Event<'_>, document: &mut Document) {
    let activity = class.activity(event);
    let caption = match (activity, event) {
        // Only the activity "Other" allows a caption of one's own.
        (OcsfActivity::Other, Event::Interaction(interaction)) => match &interaction.interaction {
            Interaction::CustomAnalytics(_) => "Custom Analytics",
            Interaction::StartInteraction(_) => "Start Interaction",
            Interaction::ReceiveRequest(_) => "Receive Request",
            Interaction::SendResponse(_) => "Send Response",
            Interaction::SendErrorResponse(_) => "Send Error Response",
        },
        _ => activity.caption(),
    };
    let (severity_id, severity) = match event.severity() {
        Severity::Informational => (1, "Informational"),
        Severity::Low => (2, "Low"),
        Severity::Medium => (3, "Medium"),
        Severity::High => (4, "High"),
    };
    for (name, value) in [
        ("class_uid", class.uid()),
        ("category_uid", class.uid() / 1000),
        ("activity_id", activity.id()),
        ("type_uid", class.uid() * 100 + activity.id()),
        ("severity_id", severity_id),
        ("time", event.time().timestamp_millis()),
        ("timezone_offset", 0),
    ] {
        document.set(name, value);
    }
    let type_name = format!("{}: {}", class.caption(), activity.caption());
    for (name, value) in [
        ("class_name", class.caption()),
        ("category_name", class.category()),
        ("activity_name", caption),
        ("type_name", &type_name),
        ("severity", severity),
    ] {
        document.set(name, value);
    }
}

fn metadata(
    version: OcsfVersion,
    received: Received<'_>,
    leaves: &mut Leaves,
    document: &mut Document,
) {
    let event = received.event;
    for (name, value) in [
        ("metadata.version", version.as_str()),
        ("metadata.product.name", "PingOne DaVinci"),
        ("metadata.product.vendor_name", "Ping Identity"),
        ("metadata.product.lang", "en"),
        ("metadata.log_name", "davinci"),
        ("metadata.log_provider", "PingOne"),
    ] {
        document.set(name, value);
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

/// Sets the status. The status of `result` is shown only if it does not contradict the outcome.
fn status(event: &Event<'_>, leaves: &mut Leaves, document: &mut Document) {
    let outcome = event.outcome();
    let result = event.envelope().result.as_ref();
    let agrees = result.is_some_and(|result| result.outcome() == outcome);
    let reported = event.flow().and_then(|flow| flow.reported.outcome());
    let contradicts = reported.is_some_and(|said| said != outcome && said != Outcome::Unknown);
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

/// Sets actor, source and time: the fields that Authentication and API Activity share.
fn surroundings(event: &Event<'_>, leaves: &mut Leaves, document: &mut Document) {
    document.set("actor.app_name", "PingOne DaVinci");
    document.set("src_endpoint.name", "PingOne DaVinci");
    if let Some(id) = event.environment_id() {
        document.set("actor.idp.name", "PingOne");
        document.set("actor.idp.uid", id);
        document.set("src_endpoint.uid", id);
    }
    if let Some(id) = event.interaction_id() {
        leaves.copied(&["actor.session.uid"], "~/interactionId");
        document.set("actor.session.uid", id);
    }
    document.set("actor.app_uid", event.flow_id().unwrap_or_default());
    let time = event.time().timestamp_millis();
    if leaves.get("~/packetTimestamp").and_then(Value::as_i64) == Some(time) {
        leaves.take_value(&["time"], "~/packetTimestamp");
    }
    let text = leaves.get("/source/ipAddress").and_then(Value::as_str).map(str::to_owned);
    if let Some(address) = text.as_deref().and_then(address) {
        let address = address.to_string();
        leaves.take(&["src_endpoint.ip"], &["/source/ipAddress"], |text| text == address);
        observe(document, "src_endpoint.ip", 2, "IP Address", Some(&address));
        document.set("src_endpoint.ip", address);
    }
    document.fill(&ACTOR_FIELDS, leaves);
}

fn sign_on(event: &Event<'_>, leaves: &mut Leaves, document: &mut Document) {
    document.set("service.name", "PingOne DaVinci");
    if let Some(id) = event.flow_id() {
        document.set("service.uid", id);
    }
    user(&["user", "actor.user"], leaves, document);
    observe_user("user.name", leaves, document);
    document.fill(&SIGN_ON_FIELDS, leaves);
    if let Some(id) = event.interaction_id() {
        leaves.copied(&["session.uid"], "~/interactionId");
        document.set("session.uid", id);
    }
    let kind = leaves.get("~/outcomeType").and_then(Value::as_str).unwrap_or_default();
    document.set("is_mfa", kind.trim().to_lowercase().starts_with("mfa"));
    document.set("is_remote", true);
    document.set("logon_type_id", 99);
    document.set("logon_type", "Web");
}

fn api_activity(event: &Event<'_>, leaves: &mut Leaves, document: &mut Document) {
    let is_start = matches!(event, Event::Interaction(interaction)
        if matches!(interaction.interaction, Interaction::StartInteraction(_)));
    let operation = match event.kind() {
        _ if is_start => "startInteraction",
        blank if blank.trim().is_empty() => "Unknown", // The class requires an operation.
        kind => kind,
    };
    document.set("api.operation", operation);
    if leaves.has_text("@user/id") || leaves.has_text("@user/name") {
        user(&["actor.user"], leaves, document);
        observe_user("actor.user.name", leaves, document);
        document.fill(&USER_FIELDS, leaves);
    }
    if let Some(id) = event.interaction_id() {
        leaves.copied(&["api.request.uid"], "~/interactionId");
        document.set("api.request.uid", id);
    }
    if !is_start {
        document.fill(&OPERATION_FIELDS, leaves);
    }
    document.fill(&API_FIELDS, leaves);
    if document.has("resources") {
        document.fill(&RESOURCE_FIELDS, leaves);
        let version = event.flow().map(|flow| flow.version);
        if let Some(FlowVersion::Known(version)) = version {
            let version = version.to_string();
            leaves.take(&["resources[].version"], &["~/flowVersionId"], |text| text == version);
            document.set("resources[].version", version);
        }
    }
    let error = matches!(event, Event::Interaction(interaction)
        if matches!(interaction.interaction, Interaction::SendErrorResponse(_)));
    if error {
        document.set("api.response.error", event.kind());
        let description = event.envelope().result.as_ref().and_then(|r| r.description.as_deref());
        document.set("api.response.error_message", description.unwrap_or_default());
    }
}

/// Sets type and environment of the user.
fn user(places: &[&'static str], leaves: &mut Leaves, document: &mut Document) {
    let is_user = leaves.take(&["actor.user.type_id"], &["@user/type"], |kind| kind == "USER");
    let (id, caption) = match is_user.as_deref() {
        None | Some("USER") => (1, "User"),
        Some(other) => (99, other),
    };
    let organization = leaves.take_text(&["actor.user.org.uid"], &["@user/environment/id"]);
    for place in places {
        document.set(&format!("{place}.type_id"), id);
        document.set(&format!("{place}.type"), caption);
        if let Some(id) = &organization {
            document.set(&format!("{place}.org.uid"), id.as_str());
        }
    }
}

fn observe_user(name: &'static str, leaves: &mut Leaves, document: &mut Document) {
    if leaves.has_text("@user/name") {
        leaves.copied(&["observables"], "@user/name");
        let value = leaves.get("@user/name").and_then(Value::as_str);
        observe(document, name, 4, "User Name", value);
    }
}

/// Adds an observable, which analysts can search in every class.
fn observe(document: &mut Document, name: &str, id: i64, caption: &str, value: Option<&str>) {
    if let Some(value) = value.filter(|value| !value.is_empty()) {
        let observable = json!({ "name": name, "type_id": id, "type": caption, "value": value });
        document.push("observables", observable);
    }
}

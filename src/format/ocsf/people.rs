//! Who acts, from where, and with what: the fields that the classes share.

use serde_json::Value;

use super::class;
use super::fields::ACTOR_FIELDS;
use super::observe;
use crate::event::Event;
use crate::format::classify::{address, product};
use crate::format::document::Document;
use crate::format::leaves::Leaves;

/// Fields with the address of the user's device. The first one present counts.
const ADDRESSES: [&str; 4] = [
    "/source/ipAddress",
    "~/ipAddress",
    "/_embedded/riskEvent/ip",
    "/_embedded/riskEvaluation/event/ip",
];

/// Sets actor, source, destination and time.
pub(super) fn fill(class: u16, event: &Event<'_>, leaves: &mut Leaves, document: &mut Document) {
    actor(event, leaves, document);
    let time = event.time().timestamp_millis();
    if leaves.get("~/packetTimestamp").and_then(Value::as_i64) == Some(time) {
        leaves.take_value(&["time"], "~/packetTimestamp");
    }
    if class == class::DETECTION_FINDING {
        source("evidences[].src_endpoint", leaves, document);
        return;
    }
    if !source("src_endpoint", leaves, document) && class == class::API_ACTIVITY {
        // The class requires an endpoint.
        document.set("src_endpoint.name", product(event).name);
    }
    document.fill(&ACTOR_FIELDS, leaves);
    if matches!(class, class::API_ACTIVITY | class::AUTHENTICATION) {
        let name = leaves.text_at("@client/name").unwrap_or(product(event).name).to_owned();
        document.set("dst_endpoint.svc_name", name);
        document.fill(&super::fields::ENDPOINT_FIELDS, leaves);
    }
}

fn actor(event: &Event<'_>, leaves: &mut Leaves, document: &mut Document) {
    if let Some(id) = event.environment_id() {
        document.set("actor.idp.name", "PingOne");
        document.set("actor.idp.uid", id);
    }
    if event.flow().is_some() {
        document.set("actor.app_name", product(event).name);
        document.set("actor.app_uid", event.flow_id().unwrap_or_default());
        if let Some(id) = event.interaction_id() {
            leaves.copied(&["actor.session.uid"], "~/interactionId");
            document.set("actor.session.uid", id);
        }
        return;
    }
    // A text that is too long for a field stays, and the actor needs a name.
    document.set("actor.app_name", "PingOne");
    for (field, pointer) in [("actor.app_name", "@client/name"), ("actor.app_uid", "@client/id")] {
        if let Some(text) = leaves.take_text(&[field], &[pointer]) {
            document.set(field, text);
        }
    }
    if let Some(id) = leaves.take_text(&["actor.session.uid"], &["/internalCorrelation/sessionId"])
    {
        document.set("actor.session.uid", id);
    }
}

/// Sets an endpoint's address. Returns whether there is one.
fn source(endpoint: &str, leaves: &mut Leaves, document: &mut Document) -> bool {
    let found = ADDRESSES.iter().find_map(|pointer| {
        let text = leaves.get(pointer).and_then(Value::as_str)?;
        Some((*pointer, address(text)?.to_string()))
    });
    let Some((pointer, address)) = found else { return false };
    let field: &'static str =
        if endpoint == "src_endpoint" { "src_endpoint.ip" } else { "evidences[].src_endpoint.ip" };
    leaves.take(&[field], &[pointer], |text| text == address);
    observe(document, field, 2, "IP Address", Some(&address));
    document.set(field, address);
    true
}

/// Sets a user object from `@user` or `@target`.
pub(super) fn user(
    place: &'static str,
    fields: [&'static str; 3],
    person: &str,
    leaves: &mut Leaves,
    document: &mut Document,
) {
    let [uid, name, org] = fields;
    let kind =
        leaves.take(&["actor.user.type_id"], &[&format!("{person}/type")], |kind| kind == "USER");
    let (id, caption) = match kind.as_deref() {
        None | Some("USER") => (1, "User"),
        Some(other) => (99, other),
    };
    document.set(&format!("{place}.type_id"), id);
    document.set(&format!("{place}.type"), caption);
    if let Some(text) = leaves.text_at(&format!("{person}/name")).map(str::to_owned) {
        leaves.copied(&["observables"], &format!("{person}/name"));
        observe(document, name, 4, "User Name", Some(&text));
    }
    for (field, part) in [(uid, "id"), (name, "name"), (org, "environment/id")] {
        if let Some(text) = leaves.take_text(&[field], &[&format!("{person}/{part}")]) {
            document.set(field, text);
        }
    }
}

/// Sets the user who acts, if the event names one.
pub(super) fn actor_user(leaves: &mut Leaves, document: &mut Document) {
    if leaves.has_text("@user/id") || leaves.has_text("@user/name") {
        let fields = ["actor.user.uid", "actor.user.name", "actor.user.org.uid"];
        user("actor.user", fields, "@user", leaves, document);
    }
}

/// Sets the affected user: the `USER` resource, else the user in a resource's link, else the actor.
pub(super) fn affected_user(linked: Option<&str>, leaves: &mut Leaves, document: &mut Document) {
    let fields = ["user.uid", "user.name", "user.org.uid"];
    if leaves.has_text("@target/id") || leaves.has_text("@target/name") {
        user("user", fields, "@target", leaves, document);
        actor_user(leaves, document);
        return;
    }
    if let Some(id) = linked {
        document.set("user.type_id", 1);
        document.set("user.type", "User");
        document.set("user.uid", id);
        actor_user(leaves, document);
        return;
    }
    let shown = ["id", "name", "environment/id"]
        .map(|part| leaves.text_at(&format!("@user/{part}")).map(str::to_owned));
    for ((field, text), actor) in
        fields.iter().zip(&shown).zip(["actor.user.uid", "actor.user.name", "actor.user.org.uid"])
    {
        if let Some(text) = text {
            document.set(field, text.as_str());
            document.set(actor, text.as_str());
        }
    }
    user("user", fields, "@user", leaves, document);
    document.set("actor.user.type_id", 1);
    document.set("actor.user.type", "User");
}

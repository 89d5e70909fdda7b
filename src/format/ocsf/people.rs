//! Actor, users and endpoints: the fields that the classes share.

use serde_json::Value;

use super::class;
use super::fields::ACTOR_FIELDS;
use super::observe;
use crate::event::Event;
use crate::format::Product;
use crate::format::classify::{source_address, source_port};
use crate::format::document::Document;
use crate::format::leaves::Leaves;

/// Sets actor, source, destination and time.
pub(super) fn fill(
    class: u16,
    event: &Event<'_>,
    product: &Product,
    leaves: &mut Leaves,
    document: &mut Document,
) {
    actor(event, product, leaves, document);
    let time = event.time().timestamp_millis();
    if leaves.get("~/packetTimestamp").and_then(Value::as_i64) == Some(time) {
        leaves.take_value(&["time"], "~/packetTimestamp");
    }
    if class == class::DETECTION_FINDING {
        source("evidences[].src_endpoint", leaves, document);
        return;
    }
    let has_address = source("src_endpoint", leaves, document);
    if !has_address && class == class::API_ACTIVITY {
        // The class requires an endpoint.
        document.set("src_endpoint.name", product.name.as_str());
    }
    document.fill(&ACTOR_FIELDS, leaves);
    if matches!(class, class::API_ACTIVITY | class::AUTHENTICATION) {
        // The service is not at the address of the user's device.
        if !has_address {
            document.fill(&super::fields::SERVICE_FIELDS, leaves);
        }
        document.set("dst_endpoint.svc_name", client_name(event, product));
        document.fill(&super::fields::ENDPOINT_FIELDS, leaves);
    }
}

fn actor(event: &Event<'_>, product: &Product, leaves: &mut Leaves, document: &mut Document) {
    if let Some(id) = event.environment_id() {
        document.set("actor.idp.name", "PingOne");
        document.set("actor.idp.uid", id);
    }
    if event.flow().is_some() {
        document.set("actor.app_name", product.name.as_str());
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

/// Returns the name of the application that the user reaches, else the product.
pub(super) fn client_name<'e>(event: &'e Event<'_>, product: &'e Product) -> &'e str {
    let client = event.envelope().client.as_ref().and_then(|client| client.name.as_deref());
    client.filter(|name| !name.trim().is_empty()).unwrap_or(&product.name)
}

/// Sets an endpoint's address and port. Returns whether there is an address.
fn source(endpoint: &str, leaves: &mut Leaves, document: &mut Document) -> bool {
    let Some((pointer, address)) = source_address(leaves) else { return false };
    let address = address.to_string();
    let [field, port_field]: [&'static str; 2] = if endpoint == "src_endpoint" {
        ["src_endpoint.ip", "src_endpoint.port"]
    } else {
        ["evidences[].src_endpoint.ip", "evidences[].src_endpoint.port"]
    };
    if let Some((_, port)) = source_port(leaves) {
        leaves.copied(&[port_field], pointer);
        document.set(port_field, port);
    }
    leaves.take(&[field], &[pointer], |text| text == address);
    observe(document, field, 2, "IP Address", Some(&address));
    document.set(field, address);
    true
}

/// Names of the fields of a user object.
struct UserFields {
    type_id: &'static str,
    kind: &'static str,
    uid: &'static str,
    name: &'static str,
    org: &'static str,
}

/// The user who acts.
const ACTOR: UserFields = UserFields {
    type_id: "actor.user.type_id",
    kind: "actor.user.type",
    uid: "actor.user.uid",
    name: "actor.user.name",
    org: "actor.user.org.uid",
};

/// The user who is affected.
const AFFECTED: UserFields = UserFields {
    type_id: "user.type_id",
    kind: "user.type",
    uid: "user.uid",
    name: "user.name",
    org: "user.org.uid",
};

/// Sets a user object from `@user` or `@target`.
fn user(fields: &UserFields, person: &str, leaves: &mut Leaves, document: &mut Document) {
    let is_user = |kind: &str| kind.eq_ignore_ascii_case("USER");
    let kind = leaves.take(&[fields.type_id], &[&format!("{person}/type")], |kind| kind == "USER");
    let (id, caption) = match kind.as_deref() {
        Some(other) if !is_user(other) => (99, other),
        _ => (1, "User"),
    };
    document.set(fields.type_id, id);
    document.set(fields.kind, caption);
    if let Some(text) = leaves.text_at(&format!("{person}/name")).map(str::to_owned) {
        observe(document, fields.name, 4, "User Name", Some(&text));
    }
    for (field, part) in [(fields.uid, "id"), (fields.name, "name"), (fields.org, "environment/id")]
    {
        if let Some(text) = leaves.take_text(&[field], &[&format!("{person}/{part}")]) {
            document.set(field, text);
        }
    }
}

fn has_user(person: &str, leaves: &Leaves) -> bool {
    leaves.has_text(&format!("{person}/id")) || leaves.has_text(&format!("{person}/name"))
}

/// Sets the user who acts, if the event names one.
pub(super) fn actor_user(leaves: &mut Leaves, document: &mut Document) {
    if has_user("@user", leaves) {
        user(&ACTOR, "@user", leaves, document);
    }
}

/// Sets the affected user: the `USER` resource, else the user in a resource's link, else the actor.
pub(super) fn affected_user(linked: Option<&str>, leaves: &mut Leaves, document: &mut Document) {
    if has_user("@target", leaves) {
        user(&AFFECTED, "@target", leaves, document);
    } else if let Some(id) = linked {
        document.set(AFFECTED.type_id, 1);
        document.set(AFFECTED.kind, "User");
        document.set(AFFECTED.uid, id);
    } else {
        for (field, part) in
            [(ACTOR.uid, "id"), (ACTOR.name, "name"), (ACTOR.org, "environment/id")]
        {
            let pointer = format!("@user/{part}");
            if let Some(text) = leaves.text_at(&pointer).map(str::to_owned) {
                document.set(field, text);
                leaves.copied(&[field], &pointer);
            }
        }
        user(&AFFECTED, "@user", leaves, document);
        document.set(ACTOR.type_id, 1);
        document.set(ACTOR.kind, "User");
        return;
    }
    actor_user(leaves, document);
}

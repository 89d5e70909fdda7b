//! Actor, users and endpoints: the fields that the classes share.

use super::class;
use super::fields::{ACTOR_FIELDS, ENDPOINT_FIELDS, SERVICE_FIELDS};
use super::layout::{field, filled};
use super::observables::{IP_ADDRESS, Observables, USER_NAME};
use crate::format::classify::{Facts, source_address, source_port};
use crate::format::document::{Document, TextField};
use crate::format::layout::Field;
use crate::format::leaves::{Leaves, is_blank};
use crate::format::slots::{Alternatives, Slot, any_of, only, slot};

const PACKET_TIME: Slot = slot("~/packetTimestamp");
const INTERACTION: Slot = slot("~/interactionId");
/// Address and port of an endpoint, with their names.
type EndpointFields = [(&'static str, Field); 2];

const fn endpoint(address: &'static str, port: &'static str) -> EndpointFields {
    [(address, field(address)), (port, field(port))]
}

const SOURCE: EndpointFields = endpoint("src_endpoint.ip", "src_endpoint.port");
const EVIDENCE_SOURCE: EndpointFields =
    endpoint("evidences[].src_endpoint.ip", "evidences[].src_endpoint.port");

/// Sets actor, source, destination and time.
pub(super) fn fill(
    class: u16,
    facts: &Facts<'_>,
    leaves: &mut Leaves<'_>,
    observables: &mut Observables,
    document: &mut Document,
) {
    actor(facts, leaves, document);
    let packet_time = leaves.value_at(PACKET_TIME).and_then(|value| value.parse().ok());
    if packet_time == Some(facts.event.time().timestamp_millis()) {
        leaves.take_value(&["time"], PACKET_TIME);
    }
    if class == class::DETECTION_FINDING {
        source(&EVIDENCE_SOURCE, leaves, observables, document);
        return;
    }
    let has_source = source(&SOURCE, leaves, observables, document);
    if !has_source && class == class::API_ACTIVITY {
        // The class requires an endpoint.
        document.text(const { field("src_endpoint.name") }, &facts.product.name);
    }
    document.fill(&ACTOR_FIELDS, leaves);
    if matches!(class, class::API_ACTIVITY | class::AUTHENTICATION) {
        // The service is not at the address of the user's device.
        if !has_source {
            document.fill(&SERVICE_FIELDS, leaves);
        }
        document.text(const { field("dst_endpoint.svc_name") }, client_name(facts));
        document.fill(&ENDPOINT_FIELDS, leaves);
    }
}

/// The actor of events outside of flow runs.
const CLIENT_FIELDS: [TextField; 3] = [
    filled(&["actor.app_name"], any_of(["@client/name"])),
    filled(&["actor.app_uid"], any_of(["@client/id"])),
    filled(&["actor.session.uid"], any_of(["/internalCorrelation/sessionId"])),
];

fn actor(facts: &Facts<'_>, leaves: &mut Leaves<'_>, document: &mut Document) {
    let (event, app_name) = (facts.event, const { field("actor.app_name") });
    if let Some(id) = event.environment_id() {
        document.text(const { field("actor.idp.name") }, "PingOne");
        document.text(const { field("actor.idp.uid") }, id);
    }
    if event.flow().is_none() {
        // A text that is too long for a field stays, and the actor needs a name.
        document.text(app_name, "PingOne");
        document.fill(&CLIENT_FIELDS, leaves);
        return;
    }
    document.text(app_name, &facts.product.name);
    document.text(const { field("actor.app_uid") }, event.flow_id().unwrap_or_default());
    if let Some(id) = event.interaction_id() {
        leaves.copied(&["actor.session.uid"], INTERACTION);
        document.text(const { field("actor.session.uid") }, id);
    }
}

/// Returns the name of the application that the user reaches, else the product.
pub(super) fn client_name<'e>(facts: &Facts<'e>) -> &'e str {
    let client = facts.event.envelope().client.as_ref();
    let name = client.and_then(|client| client.name.as_deref());
    name.filter(|name| !is_blank(name)).unwrap_or(&facts.product.name)
}

/// Sets an endpoint's address and port. Returns whether there is an address.
fn source(
    fields: &EndpointFields,
    leaves: &mut Leaves<'_>,
    observables: &mut Observables,
    document: &mut Document,
) -> bool {
    let Some((slot, address)) = source_address(leaves) else { return false };
    let [(name, field), (port_name, port_field)] = *fields;
    if let Some((_, port)) = source_port(leaves) {
        leaves.copied(&[port_name], slot);
        document.plain(port_field, port);
    }
    let address = address.to_string();
    leaves.take(&[name], &only(slot), |text| text == address);
    observables.add(name, IP_ADDRESS, &address);
    document.text(field, &address);
    true
}

/// Fields of a user object.
struct UserFields {
    type_id: (&'static str, Field),
    kind: Field,
    /// Name, id and environment. The name is an observable, too.
    texts: [(&'static str, Field); 3],
}

/// The user who acts.
const ACTOR: UserFields = UserFields {
    type_id: ("actor.user.type_id", field("actor.user.type_id")),
    kind: field("actor.user.type"),
    texts: [
        ("actor.user.name", field("actor.user.name")),
        ("actor.user.uid", field("actor.user.uid")),
        ("actor.user.org.uid", field("actor.user.org.uid")),
    ],
};

/// The user who is affected.
const AFFECTED: UserFields = UserFields {
    type_id: ("user.type_id", field("user.type_id")),
    kind: field("user.type"),
    texts: [
        ("user.name", field("user.name")),
        ("user.uid", field("user.uid")),
        ("user.org.uid", field("user.org.uid")),
    ],
};

/// Event fields of a user: the type; name, id and environment.
struct UserSlots {
    kind: Alternatives,
    texts: [Alternatives; 3],
}

const USER: UserSlots = UserSlots {
    kind: any_of(["@user/type"]),
    texts: [any_of(["@user/name"]), any_of(["@user/id"]), any_of(["@user/environment/id"])],
};

const TARGET: UserSlots = UserSlots {
    kind: any_of(["@target/type"]),
    texts: [any_of(["@target/name"]), any_of(["@target/id"]), any_of(["@target/environment/id"])],
};

impl UserSlots {
    /// Returns whether the event names the user.
    fn are_filled(&self, leaves: &Leaves<'_>) -> bool {
        self.texts[..2].iter().any(|from| leaves.has_any(from))
    }
}

/// Sets a user object.
fn user(
    fields: &UserFields,
    person: &UserSlots,
    leaves: &mut Leaves<'_>,
    observables: &mut Observables,
    document: &mut Document,
) {
    let (type_name, type_id) = fields.type_id;
    let kind = leaves.take(&[type_name], &person.kind, |kind| kind == "USER");
    let (id, caption) = match kind.as_deref() {
        Some(other) if !other.eq_ignore_ascii_case("USER") => (99, other),
        _ => (1, "User"),
    };
    document.plain(type_id, id);
    document.text(fields.kind, caption);
    for (index, ((name, field), from)) in fields.texts.iter().zip(&person.texts).enumerate() {
        if let Some(text) = leaves.take_text(&[name], from) {
            if index == 0 {
                observables.add(name, USER_NAME, &text);
            }
            document.text(*field, &text);
        }
    }
}

/// Sets the user who acts, if the event names one.
pub(super) fn actor_user(
    leaves: &mut Leaves<'_>,
    observables: &mut Observables,
    document: &mut Document,
) {
    if USER.are_filled(leaves) {
        user(&ACTOR, &USER, leaves, observables, document);
    }
}

/// Sets the affected user: the `USER` resource, else the user in a resource's link, else the actor.
pub(super) fn affected_user(
    linked: Option<&str>,
    leaves: &mut Leaves<'_>,
    observables: &mut Observables,
    document: &mut Document,
) {
    if TARGET.are_filled(leaves) {
        user(&AFFECTED, &TARGET, leaves, observables, document);
    } else if let Some(id) = linked {
        let [_, (_, uid), _] = AFFECTED.texts;
        document.plain(AFFECTED.type_id.1, 1);
        document.text(AFFECTED.kind, "User");
        document.text(uid, id);
    } else {
        for ((name, field), from) in ACTOR.texts.iter().zip(&USER.texts) {
            for slot in from.slots() {
                if let Some(text) = leaves.text_at(*slot) {
                    document.text(*field, &text);
                    leaves.copied(&[name], *slot);
                }
            }
        }
        user(&AFFECTED, &USER, leaves, observables, document);
        document.plain(ACTOR.type_id.1, 1);
        document.text(ACTOR.kind, "User");
        return;
    }
    actor_user(leaves, observables, document);
}

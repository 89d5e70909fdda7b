//! Users, groups and clients: `user`, `user.target`, `related.user`.
//!
//! `user` is who acts, `user.target` who is affected.
//! <https://www.elastic.co/docs/reference/ecs/ecs-user-usage>

use crate::event::{Event, registry};
use crate::format::document::Document;
use crate::format::leaves::Leaves;
use crate::format::people::{acts_on_itself, role_id, user_in_link};

/// Pointers of all users and clients of an event.
const PEOPLE: [&str; 10] = [
    "@user/id",
    "@user/name",
    "@target/id",
    "@target/name",
    "@client/id",
    "@client/name",
    "/_embedded/riskEvent/userId",
    "/_embedded/riskEvent/username",
    "/_embedded/riskEvaluation/event/user/id",
    "/_embedded/riskEvaluation/event/user/name",
];

/// Fields of the affected user, and the event fields that may fill them.
const TARGETS: [(&str, &[&str]); 2] = [
    (
        "user.target.id",
        &["@target/id", "/_embedded/riskEvent/userId", "/_embedded/riskEvaluation/event/user/id"],
    ),
    (
        "user.target.name",
        &[
            "@target/name",
            "/_embedded/riskEvent/username",
            "/_embedded/riskEvaluation/event/user/name",
        ],
    ),
];

/// Sets the fields. The event fields are not taken, because `ping_one.audit` shows them, too.
pub(super) fn fill(event: &Event<'_>, leaves: &mut Leaves, document: &mut Document) {
    for (field, pointers) in TARGETS {
        copy(field, pointers, leaves, document);
    }
    let linked = user_in_link(event);
    if leaves.text_at("@target/id").is_none() {
        document.set("user.target.id", linked.unwrap_or_default());
    }
    let is_member = leaves.text_at("@target/id").or(linked).is_some();
    let group = if is_member { ["user.target.group.id", "user.target.group.name"] } else { GROUP };
    copy(group[0], &["@group/id", "@membership/id"], leaves, document);
    copy(group[1], &["@group/name", "@membership/name"], leaves, document);
    if registry::lookup(&event.envelope().action.kind).kind == "role"
        && let Some(id) = leaves.text_at("/result/description").and_then(role_id)
    {
        document.set("user.target.roles", vec![id.to_owned()]);
    }
    let has_actor = leaves.text_at("@user/id").or(leaves.text_at("@user/name")).is_some();
    if !has_actor && acts_on_itself(event) {
        copy("user.id", &["@target/id"], leaves, document);
        copy("user.name", &["@target/name"], leaves, document);
    }
    related(linked, leaves, document);
}

const GROUP: [&str; 2] = ["group.id", "group.name"];

fn related(linked: Option<&str>, leaves: &mut Leaves, document: &mut Document) {
    let mut related: Vec<String> = Vec::new();
    for pointer in PEOPLE {
        let Some(text) = leaves.text_at(pointer).map(str::to_owned) else { continue };
        leaves.copied(&["related.user"], pointer);
        if !related.contains(&text) {
            related.push(text);
        }
    }
    related.extend(linked.map(str::to_owned).filter(|linked| !related.contains(linked)));
    if !related.is_empty() {
        document.set("related.user", related);
    }
}

/// Sets a field to the first of these event fields that is a text.
pub(super) fn copy(
    field: &'static str,
    pointers: &[&str],
    leaves: &mut Leaves,
    document: &mut Document,
) {
    let found = pointers.iter().find_map(|pointer| Some((pointer, leaves.text_at(pointer)?)));
    if let Some((pointer, text)) = found {
        document.set(field, text);
        leaves.copied(&[field], pointer);
    }
}

//! Users, groups and clients: `user`, `user.target`, `related.user`.
//!
//! `user` is who acts, `user.target` who is affected.
//! <https://www.elastic.co/docs/reference/ecs/ecs-user-usage>

use std::borrow::Cow;

use super::layout::field;
use crate::format::classify::Facts;
use crate::format::document::Document;
use crate::format::layout::Field;
use crate::format::leaves::Leaves;
use crate::format::people::{acts_on_itself, role_id, user_in_link};
use crate::format::slots::{Alternatives, Slot, any_of, slot};

/// Ids and names of all users and clients of an event.
const PEOPLE: [Slot; 10] = [
    slot("@user/id"),
    slot("@user/name"),
    slot("@target/id"),
    slot("@target/name"),
    slot("@client/id"),
    slot("@client/name"),
    slot("/_embedded/riskEvent/userId"),
    slot("/_embedded/riskEvent/username"),
    slot("/_embedded/riskEvaluation/event/user/id"),
    slot("/_embedded/riskEvaluation/event/user/name"),
];

/// A field and the event fields from which it is copied.
pub(super) type CopiedField = (&'static str, Field, Alternatives);

/// Returns a rule that copies the first of these event fields that is a text.
pub(super) const fn copied(name: &'static str, from: Alternatives) -> CopiedField {
    (name, field(name), from)
}

/// Fields of the affected user.
const TARGETS: [CopiedField; 2] = [
    copied(
        "user.target.id",
        any_of([
            "@target/id",
            "/_embedded/riskEvent/userId",
            "/_embedded/riskEvaluation/event/user/id",
        ]),
    ),
    copied(
        "user.target.name",
        any_of([
            "@target/name",
            "/_embedded/riskEvent/username",
            "/_embedded/riskEvaluation/event/user/name",
        ]),
    ),
];

const GROUP_IDS: Alternatives = any_of(["@group/id", "@membership/id"]);
const GROUP_NAMES: Alternatives = any_of(["@group/name", "@membership/name"]);

/// Fields of an affected group.
const GROUP: [CopiedField; 2] = [copied("group.id", GROUP_IDS), copied("group.name", GROUP_NAMES)];

/// Fields of the group of which the affected user is a member.
const TARGET_GROUP: [CopiedField; 2] =
    [copied("user.target.group.id", GROUP_IDS), copied("user.target.group.name", GROUP_NAMES)];

/// Fields of a user who acts on the own account.
const OWN_ACCOUNT: [CopiedField; 2] =
    [copied("user.id", any_of(["@target/id"])), copied("user.name", any_of(["@target/name"]))];

const TARGET_ID: Slot = slot("@target/id");

/// Sets the fields. The event fields are not taken, because `ping_one.audit` shows them, too.
pub(super) fn fill(facts: &Facts<'_>, leaves: &mut Leaves<'_>, document: &mut Document) {
    copy(&TARGETS, leaves, document);
    let linked = user_in_link(facts.event);
    let has_target = leaves.has_text(TARGET_ID);
    if !has_target {
        document.text(const { field("user.target.id") }, linked.unwrap_or_default());
    }
    let is_member = has_target || linked.is_some();
    copy(if is_member { &TARGET_GROUP } else { &GROUP }, leaves, document);
    if facts.entry.kind == "role"
        && let Some(description) = leaves.text_at(const { slot("/result/description") })
        && let Some(id) = role_id(&description)
    {
        document.texts(const { field("user.target.roles") }, [id]);
    }
    let has_actor = leaves.has_text(const { slot("@user/id") })
        || leaves.has_text(const { slot("@user/name") });
    if !has_actor && acts_on_itself(&facts.entry) {
        copy(&OWN_ACCOUNT, leaves, document);
    }
    related(linked, leaves, document);
}

fn related(linked: Option<&str>, leaves: &mut Leaves<'_>, document: &mut Document) {
    let mut related: Vec<Cow<'_, str>> = Vec::new();
    for slot in PEOPLE {
        let Some(text) = leaves.text_at(slot) else { continue };
        leaves.copied(&["related.user"], slot);
        if !related.contains(&text) {
            related.push(text);
        }
    }
    related.extend(linked.map(Cow::Borrowed).filter(|linked| !related.contains(linked)));
    if !related.is_empty() {
        document.texts(const { field("related.user") }, related);
    }
}

/// Sets each field to the first of its event fields that is a text.
pub(super) fn copy(rows: &[CopiedField], leaves: &mut Leaves<'_>, document: &mut Document) {
    for (name, field, from) in rows {
        let mut slots = from.slots().iter();
        if let Some((slot, text)) = slots.find_map(|slot| Some((slot, leaves.text_at(*slot)?))) {
            document.text(*field, &text);
            leaves.copied(&[name], *slot);
        }
    }
}

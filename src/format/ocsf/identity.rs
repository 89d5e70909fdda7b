//! Objects of the identity classes and of Detection Finding.

use super::layout::{field, filled};
use super::observables::{Observables, USER_NAME};
use super::people::{actor_user, affected_user, client_name};
use crate::event::RiskLevel;
use crate::format::classify::Facts;
use crate::format::document::{Document, TextField};
use crate::format::leaves::{Leaves, is_blank};
use crate::format::people::{role_id, user_in_link};
use crate::format::slots::{Slot, any_of, slot};

const RISK_SCORE: Slot = slot("/_embedded/riskEvaluation/result/score");

/// Sets user, service and session of a sign-on or sign-off.
pub(super) fn authentication(
    facts: &Facts<'_>,
    leaves: &mut Leaves<'_>,
    observables: &mut Observables,
    document: &mut Document,
) {
    let (event, service) = (facts.event, const { field("service.name") });
    let session = const { field("session.uid") };
    document.plain(const { field("is_remote") }, true);
    document.plain(const { field("logon_type_id") }, 99);
    document.text(const { field("logon_type") }, "Web");
    affected_user(user_in_link(event), leaves, observables, document);
    if event.flow().is_none() {
        document.text(service, client_name(facts));
        document.text(session, event.envelope().session_id.as_deref().unwrap_or_default());
        protocol(event.kind(), document);
        return;
    }
    document.text(service, &facts.product.name);
    if let Some(id) = event.flow_id() {
        document.text(const { field("service.uid") }, id);
    }
    document.fill(&super::fields::SIGN_ON_FIELDS, leaves);
    if let Some(id) = event.interaction_id() {
        leaves.copied(&["session.uid"], const { slot("~/interactionId") });
        document.text(session, id);
    }
    // Absent unless known: a sign-on whose author does not say MFA may have had it.
    let kind = leaves.string_at(const { slot("~/outcomeType") }).unwrap_or_default();
    if kind.trim().to_lowercase().starts_with("mfa") {
        document.plain(const { field("is_mfa") }, true);
    }
}

/// Sets the protocol where the type names it.
fn protocol(kind: &str, document: &mut Document) {
    let has = |word: &str| kind.to_ascii_uppercase().contains(word);
    let (id, caption) = match () {
        () if has("KERBEROS") => (2, "Kerberos"),
        () if has("RADIUS") => (10, "RADIUS"),
        () => return,
    };
    document.plain(const { field("auth_protocol_id") }, id);
    document.text(const { field("auth_protocol") }, caption);
}

/// Sets the changed user.
pub(super) fn account_change(
    facts: &Facts<'_>,
    leaves: &mut Leaves<'_>,
    observables: &mut Observables,
    document: &mut Document,
) {
    affected_user(user_in_link(facts.event), leaves, observables, document);
}

/// Sets the user and the privilege: the role's id, which only the result's description states, else
/// the id of the assignment.
pub(super) fn user_access(
    facts: &Facts<'_>,
    leaves: &mut Leaves<'_>,
    observables: &mut Observables,
    document: &mut Document,
) {
    let envelope = facts.event.envelope();
    let result = envelope.result.as_ref();
    let description = result.and_then(|result| result.description.as_deref()).unwrap_or_default();
    let links = envelope.resources.iter().filter_map(|resource| resource.href.as_deref());
    let assignment = links.filter_map(|link| link.split_once("/roleAssignments/")).next();
    let assignment = assignment.map(|(_, id)| id).filter(|id| !is_blank(id));
    let privilege = role_id(description).or(assignment).unwrap_or(description);
    document.texts(const { field("privileges") }, [privilege]);
    affected_user(user_in_link(facts.event), leaves, observables, document);
}

const GROUP_FIELDS: [TextField; 3] = [
    filled(&["group.uid"], any_of(["@group/id", "@membership/id"])),
    filled(&["group.name"], any_of(["@group/name", "@membership/name"])),
    filled(&["group.type"], any_of(["@group/type"])),
];

/// Sets the group, and the member who was added or removed.
pub(super) fn group_management(
    facts: &Facts<'_>,
    leaves: &mut Leaves<'_>,
    observables: &mut Observables,
    document: &mut Document,
) {
    document.fill(&GROUP_FIELDS, leaves);
    let linked = user_in_link(facts.event);
    let has_target = leaves.has_any(const { &any_of(["@target/id", "@target/name"]) });
    if linked.is_some() || has_target {
        affected_user(linked, leaves, observables, document);
    } else {
        actor_user(leaves, observables, document);
    }
}

const ENTITY_FIELDS: [TextField; 3] = [
    filled(&["entity.uid"], any_of(["/resources/0/id", "/resources/id"])),
    filled(&["entity.name"], any_of(["/resources/0/name", "/resources/name"])),
    filled(&["entity.type"], any_of(["/resources/0/type", "/resources/type"])),
];

/// Type and name of the first resource, in a list or alone.
const RESOURCE_NAMES: [[Slot; 2]; 2] = [
    [slot("/resources/0/type"), slot("/resources/0/name")],
    [slot("/resources/type"), slot("/resources/name")],
];

/// Sets the changed object: the first resource.
pub(super) fn entity_management(
    leaves: &mut Leaves<'_>,
    observables: &mut Observables,
    document: &mut Document,
) {
    document.plain(const { field("entity.type_id") }, 99);
    for [kind, name] in RESOURCE_NAMES {
        let is_user = leaves.text_at(kind).is_some_and(|kind| kind.eq_ignore_ascii_case("USER"));
        if let Some(name) = leaves.text_at(name).filter(|_| is_user) {
            observables.add("entity.name", USER_NAME, &name);
        }
    }
    document.fill(&ENTITY_FIELDS, leaves);
    actor_user(leaves, observables, document);
}

const FINDING_FIELDS: [TextField; 1] =
    [filled(&["finding_info.uid"], any_of(["/_embedded/riskEvaluation/id"]))];

const EVIDENCE_IDS: [TextField; 1] = [filled(
    &["evidences[].user.uid"],
    any_of([
        "@target/id",
        "/_embedded/riskEvent/userId",
        "/_embedded/riskEvaluation/event/user/id",
    ]),
)];

const EVIDENCE_NAME: &str = "evidences[].user.name";

const DETAIL_FIELDS: [TextField; 1] = [filled(&["status_detail"], any_of(["/result/description"]))];

/// Sets finding, risk and evidence.
pub(super) fn detection_finding(
    facts: &Facts<'_>,
    leaves: &mut Leaves<'_>,
    observables: &mut Observables,
    document: &mut Document,
) {
    let envelope = facts.event.envelope();
    document.text(const { field("finding_info.uid") }, &envelope.id);
    document.fill(&FINDING_FIELDS, leaves);
    document.text(const { field("finding_info.title") }, &facts.entry.title);
    // Of the finding, not of what was evaluated.
    document.plain(const { field("status_id") }, 1);
    document.text(const { field("status") }, "New");
    let score = leaves.number_at(RISK_SCORE);
    if let Some(score) = score.filter(|score| (0.0..=1_000_000.0).contains(score)) {
        document.plain(const { field("risk_score") }, score.round() as i64);
    }
    let level = match envelope.risk_level {
        Some(RiskLevel::Low) => Some((1, "Low")),
        Some(RiskLevel::Medium) => Some((2, "Medium")),
        Some(RiskLevel::High) => Some((3, "High")),
        None => None,
    };
    if let Some((id, caption)) = level {
        document.plain(const { field("risk_level_id") }, id);
        document.text(const { field("risk_level") }, caption);
    }
    document.fill(&EVIDENCE_IDS, leaves);
    let names = const {
        &any_of([
            "@target/name",
            "/_embedded/riskEvent/username",
            "/_embedded/riskEvaluation/event/user/name",
        ])
    };
    if let Some(text) = leaves.take_text(&[EVIDENCE_NAME], names) {
        observables.add(EVIDENCE_NAME, USER_NAME, &text);
        document.text(const { field(EVIDENCE_NAME) }, &text);
    }
    actor_user(leaves, observables, document);
    document.fill(&DETAIL_FIELDS, leaves);
}

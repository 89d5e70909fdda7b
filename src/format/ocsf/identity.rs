//! Objects of the identity classes and of Detection Finding.

use serde_json::Value;

use super::observe;
use super::people::{actor_user, affected_user, client_name};
use crate::event::{Event, RiskLevel};
use crate::format::Product;
use crate::format::classify::title;
use crate::format::document::Document;
use crate::format::leaves::Leaves;
use crate::format::people::{role_id, user_in_link};

const RISK: &str = "/_embedded/riskEvaluation";

/// Sets user, service and session of a sign-on or sign-off.
pub(super) fn authentication(
    event: &Event<'_>,
    product: &Product,
    leaves: &mut Leaves,
    document: &mut Document,
) {
    document.set("is_remote", true);
    document.set("logon_type_id", 99);
    document.set("logon_type", "Web");
    affected_user(user_in_link(event), leaves, document);
    if event.flow().is_none() {
        document.set("service.name", client_name(event, product));
        let session = event.envelope().session_id.as_deref().unwrap_or_default();
        document.set("session.uid", session);
        protocol(event.kind(), document);
        return;
    }
    document.set("service.name", product.name.as_str());
    if let Some(id) = event.flow_id() {
        document.set("service.uid", id);
    }
    document.fill(&super::fields::SIGN_ON_FIELDS, leaves);
    if let Some(id) = event.interaction_id() {
        leaves.copied(&["session.uid"], "~/interactionId");
        document.set("session.uid", id);
    }
    // Absent unless known: a sign-on whose author does not say MFA may have had it.
    let kind = leaves.get("~/outcomeType").and_then(Value::as_str).unwrap_or_default();
    if kind.trim().to_lowercase().starts_with("mfa") {
        document.set("is_mfa", true);
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
    document.set("auth_protocol_id", id);
    document.set("auth_protocol", caption);
}

/// Sets the changed user.
pub(super) fn account_change(event: &Event<'_>, leaves: &mut Leaves, document: &mut Document) {
    affected_user(user_in_link(event), leaves, document);
}

/// Sets the user and the privilege: the role's id, which only the result's description states, else
/// the id of the assignment.
pub(super) fn user_access(event: &Event<'_>, leaves: &mut Leaves, document: &mut Document) {
    let result = event.envelope().result.as_ref();
    let description = result.and_then(|result| result.description.as_deref()).unwrap_or_default();
    let links = event.envelope().resources.iter().filter_map(|resource| resource.href.as_deref());
    let assignment = links.filter_map(|link| link.split_once("/roleAssignments/")).next();
    let assignment = assignment.map(|(_, id)| id).filter(|id| !id.trim().is_empty());
    let privilege = role_id(description).or(assignment).unwrap_or(description).to_owned();
    document.set("privileges", vec![privilege]);
    affected_user(user_in_link(event), leaves, document);
}

/// Sets the group, and the member who was added or removed.
pub(super) fn group_management(event: &Event<'_>, leaves: &mut Leaves, document: &mut Document) {
    for (field, pointers) in [
        ("group.uid", &["@group/id", "@membership/id"][..]),
        ("group.name", &["@group/name", "@membership/name"]),
        ("group.type", &["@group/type"]),
    ] {
        if let Some(text) = leaves.take_text(&[field], pointers) {
            document.set(field, text);
        }
    }
    let linked = user_in_link(event);
    if linked.is_some() || leaves.has_text("@target/id") || leaves.has_text("@target/name") {
        affected_user(linked, leaves, document);
    } else {
        actor_user(leaves, document);
    }
}

/// Sets the changed object: the first resource.
pub(super) fn entity_management(leaves: &mut Leaves, document: &mut Document) {
    document.set("entity.type_id", 99);
    for base in ["/resources/0", "/resources"] {
        let kind = leaves.text_at(&format!("{base}/type"));
        if kind.is_some_and(|kind| kind.eq_ignore_ascii_case("USER")) {
            let name = leaves.text_at(&format!("{base}/name"));
            observe(document, "entity.name", 4, "User Name", name);
        }
    }
    for (field, pointers) in [
        ("entity.uid", ["/resources/0/id", "/resources/id"]),
        ("entity.name", ["/resources/0/name", "/resources/name"]),
        ("entity.type", ["/resources/0/type", "/resources/type"]),
    ] {
        if let Some(text) = leaves.take_text(&[field], &pointers) {
            document.set(field, text);
        }
    }
    actor_user(leaves, document);
}

/// Sets finding, risk and evidence.
pub(super) fn detection_finding(event: &Event<'_>, leaves: &mut Leaves, document: &mut Document) {
    document.set("finding_info.uid", &*event.envelope().id);
    if let Some(id) = leaves.take_text(&["finding_info.uid"], &[&format!("{RISK}/id")]) {
        document.set("finding_info.uid", id);
    }
    document.set("finding_info.title", title(event).into_owned());
    // Of the finding, not of what was evaluated.
    document.set("status_id", 1);
    document.set("status", "New");
    let score = leaves.get(&format!("{RISK}/result/score")).and_then(Value::as_f64);
    if let Some(score) = score.filter(|score| (0.0..=1_000_000.0).contains(score)) {
        document.set("risk_score", score.round() as i64);
    }
    let level = match event.envelope().risk_level {
        Some(RiskLevel::Low) => Some((1, "Low")),
        Some(RiskLevel::Medium) => Some((2, "Medium")),
        Some(RiskLevel::High) => Some((3, "High")),
        None => None,
    };
    if let Some((id, caption)) = level {
        document.set("risk_level_id", id);
        document.set("risk_level", caption);
    }
    for (field, pointers) in [
        (
            "evidences[].user.uid",
            [
                "@target/id",
                "/_embedded/riskEvent/userId",
                "/_embedded/riskEvaluation/event/user/id",
            ],
        ),
        (
            "evidences[].user.name",
            [
                "@target/name",
                "/_embedded/riskEvent/username",
                "/_embedded/riskEvaluation/event/user/name",
            ],
        ),
    ] {
        if let Some(text) = leaves.take_text(&[field], &pointers) {
            if field.ends_with("name") {
                observe(document, field, 4, "User Name", Some(&text));
            }
            document.set(field, text);
        }
    }
    actor_user(leaves, document);
    if let Some(text) = leaves.take_text(&["status_detail"], &["/result/description"]) {
        document.set("status_detail", text);
    }
}

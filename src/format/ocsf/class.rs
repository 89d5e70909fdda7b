//! Class and activity of an event.
//!
//! Numbers and captions are those of <https://schema.ocsf.io>. The tests compare them with the schema.

use crate::event::registry::OcsfActivity;
use crate::event::{Event, Interaction, Outcome};
use crate::format::classify::{Facts, SessionChange, session_change};
use crate::format::leaves::Leaves;
use crate::format::people::user_in_link;
use crate::format::slots::{Alternatives, any_of};
use crate::format::{FormatConfig, OcsfVersion};

/// No business event.
pub(super) const BASE_EVENT: u16 = 0;
/// A risk or a fraud that PingOne reports.
pub(super) const DETECTION_FINDING: u16 = 2004;
/// A user's account, password or MFA device changed.
pub(super) const ACCOUNT_CHANGE: u16 = 3001;
/// A user signed on or off.
pub(super) const AUTHENTICATION: u16 = 3002;
/// Any other object changed.
pub(super) const ENTITY_MANAGEMENT: u16 = 3004;
/// A role was assigned to a user, or revoked.
pub(super) const USER_ACCESS: u16 = 3005;
/// A group, or its members, changed.
pub(super) const GROUP_MANAGEMENT: u16 = 3006;
/// A request to PingOne or DaVinci.
pub(super) const API_ACTIVITY: u16 = 6003;

/// OCSF's Other activity.
const OTHER: u8 = 99;

/// Class, its caption, its category's caption, and the captions of its activities.
type ClassRow = (u16, &'static str, &'static str, &'static [(u8, &'static str)]);

const CLASSES: [ClassRow; 8] = [
    (BASE_EVENT, "Base Event", "Uncategorized", &[]),
    (DETECTION_FINDING, "Detection Finding", "Findings", &[(1, "Create"), (2, "Update")]),
    (
        ACCOUNT_CHANGE,
        "Account Change",
        "Identity & Access Management",
        &[
            (1, "Create"),
            (2, "Enable"),
            (3, "Password Change"),
            (4, "Password Reset"),
            (5, "Disable"),
            (6, "Delete"),
            (9, "Lock"),
            (10, "MFA Factor Enable"),
            (11, "MFA Factor Disable"),
            (12, "Unlock"),
        ],
    ),
    (
        AUTHENTICATION,
        "Authentication",
        "Identity & Access Management",
        &[(1, "Logon"), (2, "Logoff")],
    ),
    (
        ENTITY_MANAGEMENT,
        "Entity Management",
        "Identity & Access Management",
        &[
            (1, "Create"),
            (2, "Read"),
            (3, "Update"),
            (4, "Delete"),
            (5, "Move"),
            (8, "Enable"),
            (9, "Disable"),
            (10, "Activate"),
            (11, "Deactivate"),
            (12, "Suspend"),
            (13, "Resume"),
        ],
    ),
    (
        USER_ACCESS,
        "User Access Management",
        "Identity & Access Management",
        &[(1, "Assign Privileges"), (2, "Revoke Privileges")],
    ),
    (
        GROUP_MANAGEMENT,
        "Group Management",
        "Identity & Access Management",
        &[(3, "Add User"), (4, "Remove User"), (5, "Delete"), (6, "Create")],
    ),
    (
        API_ACTIVITY,
        "API Activity",
        "Application Activity",
        &[(1, "Create"), (2, "Read"), (3, "Update"), (4, "Delete")],
    ),
];

const USER: Alternatives = any_of(["@user/id", "@user/name"]);
const TARGET: Alternatives = any_of(["@target/id", "@target/name"]);
const GROUP: Alternatives =
    any_of(["@group/id", "@group/name", "@membership/id", "@membership/name"]);
const ENTITY: Alternatives =
    any_of(["/resources/0/id", "/resources/0/name", "/resources/id", "/resources/name"]);
const DESCRIPTION: Alternatives = any_of(["/result/description"]);

/// Returns class and activity. A class whose required objects the event lacks is replaced by one that
/// does without them.
pub(super) fn of(
    formatting: &FormatConfig,
    facts: &Facts<'_>,
    leaves: &Leaves<'_>,
) -> OcsfActivity {
    match facts.event {
        Event::DeliveryTest(_) => OcsfActivity { class: BASE_EVENT, activity: OTHER },
        Event::Interaction(run) => {
            let activity = match session_change(formatting, facts.event) {
                Some(SessionChange::SignOn) => Some(1),
                Some(SessionChange::SignOff) => Some(2),
                None => None,
            };
            if let Some(activity) = activity.filter(|_| leaves.has_any(&USER)) {
                return OcsfActivity { class: AUTHENTICATION, activity };
            }
            // A flow run is created.
            let is_start = matches!(run.interaction, Interaction::StartInteraction(_));
            OcsfActivity { class: API_ACTIVITY, activity: if is_start { 1 } else { OTHER } }
        }
        Event::Admin(envelope) | Event::Other(envelope) => {
            let listed = match formatting.ocsf_version {
                OcsfVersion::V1_3 => facts.entry.ocsf_1_3,
                OcsfVersion::V1_8 => facts.entry.ocsf_1_8,
            };
            let is_failed_flow =
                envelope.action.kind == "FLOW.UPDATED" && facts.outcome == Outcome::Failure;
            let wanted =
                if is_failed_flow { OcsfActivity { activity: 1, ..listed } } else { listed };
            possible(formatting.ocsf_version, wanted, facts, leaves)
        }
    }
}

fn possible(
    version: OcsfVersion,
    wanted: OcsfActivity,
    facts: &Facts<'_>,
    leaves: &Leaves<'_>,
) -> OcsfActivity {
    let fallback = facts.entry.ocsf_fallback;
    let mut candidates = [wanted, fallback].into_iter();
    let found = candidates.find(|found| has_required(version, *found, facts.event, leaves));
    found.unwrap_or_else(|| {
        let activity = fallback.activity;
        OcsfActivity { class: API_ACTIVITY, activity: if activity <= 4 { activity } else { OTHER } }
    })
}

/// Returns whether the event has the objects that a class requires.
fn has_required(
    version: OcsfVersion,
    OcsfActivity { class, activity }: OcsfActivity,
    event: &Event<'_>,
    leaves: &Leaves<'_>,
) -> bool {
    let has_target = || leaves.has_any(&TARGET) || user_in_link(event).is_some();
    match class {
        ACCOUNT_CHANGE | AUTHENTICATION => has_target() || leaves.has_any(&USER),
        ENTITY_MANAGEMENT => leaves.has_any(&ENTITY),
        USER_ACCESS => has_target() && leaves.has_any(&DESCRIPTION),
        GROUP_MANAGEMENT => {
            let needs_user = version == OcsfVersion::V1_3 || matches!(activity, 3 | 4);
            leaves.has_any(&GROUP) && (!needs_user || has_target())
        }
        _ => true,
    }
}

fn row(class: u16) -> &'static ClassRow {
    CLASSES.iter().find(|(number, ..)| *number == class).unwrap_or(&CLASSES[0])
}

/// Caption of a class.
pub(super) fn class_name(class: u16) -> &'static str {
    row(class).1
}

/// Caption of a class's category.
pub(super) fn category_name(class: u16) -> &'static str {
    row(class).2
}

/// Caption of an activity.
pub(super) fn activity_name(OcsfActivity { class, activity }: OcsfActivity) -> &'static str {
    let (.., activities) = row(class);
    activities.iter().find(|(number, _)| *number == activity).map_or("Other", |(_, name)| *name)
}

//! `event.category` and `event.type`, in combinations that the schema allows.
//!
//! <https://www.elastic.co/docs/reference/ecs/ecs-category-field-values-reference>

use crate::event::{Event, Interaction, Outcome};
use crate::format::FormatConfig;
use crate::format::classify::{Facts, SessionChange, session_change};

/// Returns the categories and types of an event.
pub(super) fn of<'f>(
    formatting: &FormatConfig,
    facts: &'f Facts<'_>,
) -> (&'f [&'static str], &'f [&'static str]) {
    let Event::Interaction(interaction) = facts.event else { return of_type(facts) };
    match &interaction.interaction {
        Interaction::StartInteraction(_) => (&["session"], &["start"]),
        Interaction::CustomAnalytics(_) => match session_change(formatting, facts.event) {
            Some(SessionChange::SignOn) => (&["authentication"], &["start"]),
            Some(SessionChange::SignOff) => (&["authentication"], &["end"]),
            None => (&["iam"], &["info"]),
        },
        Interaction::Summary(_) => match session_change(formatting, facts.event) {
            Some(SessionChange::SignOn) => (&["authentication"], &["start"]),
            Some(SessionChange::SignOff) => (&["authentication"], &["end"]),
            None => (&["session"], &["end"]),
        },
        Interaction::ReceiveRequest(_)
        | Interaction::SendResponse(_)
        | Interaction::SendErrorResponse(_) => (&["api"], &["info"]),
    }
}

/// Returns the categories and types of the registry.
fn of_type<'f>(facts: &'f Facts<'_>) -> (&'f [&'static str], &'f [&'static str]) {
    let Facts { event, entry, outcome, .. } = facts;
    // A sign-on flow that failed is a sign-on that failed; `FLOW.DELETED` is one that succeeded.
    if event.envelope().action.kind == "FLOW.UPDATED" && *outcome == Outcome::Failure {
        return (&entry.ecs_category, &["start"]);
    }
    (&entry.ecs_category, &entry.ecs_type)
}

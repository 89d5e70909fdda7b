//! `event.category` and `event.type`, in combinations that the schema allows.
//!
//! <https://www.elastic.co/docs/reference/ecs/ecs-category-field-values-reference>

use crate::event::{Event, Interaction, Outcome, registry};
use crate::format::FormatConfig;
use crate::format::classify::{SessionChange, session_change};

/// Returns the categories and types of an event.
pub(super) fn of(
    formatting: &FormatConfig,
    event: &Event<'_>,
) -> (Vec<&'static str>, Vec<&'static str>) {
    let Event::Interaction(interaction) = event else { return of_type(event) };
    let (category, kind) = match &interaction.interaction {
        Interaction::StartInteraction(_) => ("session", "start"),
        Interaction::CustomAnalytics(_) => match session_change(formatting, event) {
            Some(SessionChange::SignOn) => ("authentication", "start"),
            Some(SessionChange::SignOff) => ("authentication", "end"),
            None => ("iam", "info"),
        },
        Interaction::ReceiveRequest(_)
        | Interaction::SendResponse(_)
        | Interaction::SendErrorResponse(_) => ("api", "info"),
    };
    (vec![category], vec![kind])
}

/// Returns the categories and types of the registry.
fn of_type(event: &Event<'_>) -> (Vec<&'static str>, Vec<&'static str>) {
    let kind = &*event.envelope().action.kind;
    let entry = registry::lookup(kind);
    // A sign-on flow that failed is a sign-on that failed; `FLOW.DELETED` is one that succeeded.
    if kind == "FLOW.UPDATED" && event.outcome() == Outcome::Failure {
        return (entry.ecs_category.clone(), vec!["start"]);
    }
    (entry.ecs_category.clone(), entry.ecs_type.clone())
}

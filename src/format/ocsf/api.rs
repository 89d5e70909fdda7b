//! API Activity: operation, service and resources.

use super::fields::{API_FIELDS, OPERATION_FIELDS, RESOURCE_FIELDS};
use super::people::actor_user;
use crate::event::{Event, FlowVersion, Interaction};
use crate::format::document::Document;
use crate::format::leaves::Leaves;

/// Sets the fields of the class.
pub(super) fn fill(event: &Event<'_>, leaves: &mut Leaves, document: &mut Document) {
    let is_start = matches!(event, Event::Interaction(run)
        if matches!(run.interaction, Interaction::StartInteraction(_)));
    let operation = match event.kind() {
        _ if is_start => "startInteraction",
        blank if blank.trim().is_empty() => "Unknown", // The class requires an operation.
        kind => kind,
    };
    document.set("api.operation", operation);
    actor_user(leaves, document);
    if let Some(id) = event.interaction_id() {
        leaves.copied(&["api.request.uid"], "~/interactionId");
        document.set("api.request.uid", id);
    }
    if !is_start {
        document.fill(&OPERATION_FIELDS, leaves);
    }
    document.fill(&API_FIELDS, leaves);
    if document.has("resources") {
        document.fill(&RESOURCE_FIELDS, leaves);
        let version = event.flow().map(|flow| flow.version);
        if let Some(FlowVersion::Known(version)) = version {
            let version = version.to_string();
            leaves.take(&["resources[].version"], &["~/flowVersionId"], |text| text == version);
            document.set("resources[].version", version);
        }
    }
    let is_error = matches!(event, Event::Interaction(run)
        if matches!(run.interaction, Interaction::SendErrorResponse(_)));
    if is_error {
        document.set("api.response.error", event.kind());
        let description = event.envelope().result.as_ref().and_then(|r| r.description.as_deref());
        document.set("api.response.error_message", description.unwrap_or_default());
    }
}

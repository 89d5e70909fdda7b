//! API Activity: operation, service and resources.

use super::fields::{API_FIELDS, OPERATION_FIELDS, RESOURCE_FIELDS};
use super::layout::field;
use super::observables::Observables;
use super::people::actor_user;
use crate::event::{Event, FlowVersion, Interaction};
use crate::format::document::Document;
use crate::format::leaves::{Leaves, is_blank};
use crate::format::slots::{any_of, slot};

/// Sets the fields of the class.
pub(super) fn fill(
    event: &Event<'_>,
    leaves: &mut Leaves<'_>,
    observables: &mut Observables,
    document: &mut Document,
) {
    let is_start = matches!(event, Event::Interaction(run)
        if matches!(run.interaction, Interaction::StartInteraction(_)));
    let operation = match event.kind() {
        _ if is_start => "startInteraction",
        blank if is_blank(blank) => "Unknown", // The class requires an operation.
        kind => kind,
    };
    document.text(const { field("api.operation") }, operation);
    actor_user(leaves, observables, document);
    if let Some(id) = event.interaction_id() {
        leaves.copied(&["api.request.uid"], const { slot("~/interactionId") });
        document.text(const { field("api.request.uid") }, id);
    }
    if !is_start {
        document.fill(&OPERATION_FIELDS, leaves);
    }
    document.fill(&API_FIELDS, leaves);
    let has_resource = document.has(const { field("resources[].uid") })
        || document.has(const { field("resources[].name") });
    if has_resource {
        document.fill(&RESOURCE_FIELDS, leaves);
        let version = event.flow().map(|flow| flow.version);
        if let Some(FlowVersion::Known(version)) = version {
            let version = version.to_string();
            let from = const { &any_of(["~/flowVersionId"]) };
            leaves.take(&["resources[].version"], from, |text| text == version);
            document.text(const { field("resources[].version") }, &version);
        }
    }
    let is_error = matches!(event, Event::Interaction(run)
        if matches!(run.interaction, Interaction::SendErrorResponse(_)));
    if is_error {
        document.text(const { field("api.response.error") }, event.kind());
        let description = event.envelope().result.as_ref().and_then(|r| r.description.as_deref());
        let message = const { field("api.response.error_message") };
        document.text(message, description.unwrap_or_default());
    }
}

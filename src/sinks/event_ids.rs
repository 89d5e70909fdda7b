//! Ids and outcome of an event, for targets that index a few fields beside it.

use serde::Serialize;

use crate::event::Event;

/// Flat fields that find an event, its flow run and its copies. All values are strings.
#[derive(Debug, Serialize)]
pub(super) struct EventIds<'a> {
    pub(super) event_id: &'a str,
    /// Uid that every repetition of the event has.
    pub(super) event_uid: String,
    pub(super) action_type: &'a str,
    pub(super) outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) interaction_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) flow_id: Option<&'a str>,
}

impl<'a> EventIds<'a> {
    /// Returns the ids of an event that `source` has received.
    pub(super) fn of(event: &'a Event<'_>, source: &str) -> EventIds<'a> {
        let envelope = event.envelope();
        EventIds {
            event_id: &envelope.id,
            event_uid: event.uid(source),
            action_type: &envelope.action.kind,
            outcome: event.outcome().as_str(),
            interaction_id: event.interaction_id(),
            flow_id: event.flow_id(),
        }
    }
}

/// Returns the source that targets show for an event: `davinci:` and the id of its environment.
pub(super) fn source_of(event: &Event<'_>) -> String {
    format!("davinci:{}", event.environment_id().unwrap_or("unknown"))
}

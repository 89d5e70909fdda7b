//! Steps of an interaction: requests to connectors and their answers, put together to the path of the flow run.

use serde::Serialize;

use super::event_times::MAX_GAP;
use super::time_text;
use crate::spool::Millis;

/// Meaning of one event for the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StepKind {
    /// `RECEIVE_REQUEST`
    Requested,
    /// `SEND_RESPONSE`
    Responded,
    /// `SEND_ERROR_RESPONSE`
    Failed,
    /// `CUSTOM_ANALYTICS`
    Reported,
}

/// One event of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StepEvent {
    /// Time of the event, in ms since the Unix epoch.
    pub(super) at: Millis,
    /// Position in the spool.
    pub(super) position: u64,
    pub(super) kind: StepKind,
    pub(super) node: StepNode,
    pub(super) success: Option<bool>,
}

/// Names of a node; empty where the event does not state them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StepNode {
    pub(super) id: Box<str>,
    pub(super) connector: Box<str>,
    pub(super) capability: Box<str>,
}

impl StepNode {
    /// Returns the bytes of the texts.
    pub(super) fn text_bytes(&self) -> usize {
        self.id.len() + self.connector.len() + self.capability.len()
    }

    /// Returns true if an answer of `other` may belong to a request of this node.
    fn is_same(&self, other: &StepNode) -> bool {
        match self.id.is_empty() && other.id.is_empty() {
            true => self.connector == other.connector && self.capability == other.capability,
            false => self.id == other.id,
        }
    }
}

/// One step of the path, as a summary shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SummaryStep<'a> {
    at: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    node_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) connector_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) capability_name: &'a str,
    /// Time from the request to its answer, where both were received.
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<i64>,
    /// `unanswered`, `success`, `failure`, `answered`, `error` or `reported`.
    pub(super) result: &'static str,
}

/// Returns the path: the steps in the order of their times. An answer completes the earliest request of its node that
/// has no answer; without one, it is a step of its own.
pub(super) fn path(events: &[StepEvent]) -> Vec<SummaryStep<'_>> {
    let mut ordered: Vec<&StepEvent> = events.iter().collect();
    ordered.sort_unstable_by_key(|step| (step.at, step.position));
    let mut steps: Vec<(&StepEvent, SummaryStep<'_>)> = Vec::with_capacity(ordered.len());
    for event in ordered {
        let is_answer = matches!(event.kind, StepKind::Responded | StepKind::Failed);
        let request = steps
            .iter_mut()
            .filter(|_| is_answer)
            .find(|(request, step)| step.result == UNANSWERED && request.node.is_same(&event.node));
        match request {
            Some((request, step)) => {
                // A longer time comes from a wrong clock.
                let duration = event.at.saturating_sub(request.at);
                step.duration_ms = Some(duration).filter(|duration| *duration <= MAX_GAP);
                step.result = result(event);
            }
            None => steps.push((event, step(event))),
        }
    }
    steps.into_iter().map(|(_, step)| step).collect()
}

const UNANSWERED: &str = "unanswered";

/// Result of a step with a `SEND_ERROR_RESPONSE`.
pub(super) const ERROR: &str = "error";

fn step(event: &StepEvent) -> SummaryStep<'_> {
    SummaryStep {
        at: time_text(event.at),
        node_id: &event.node.id,
        connector_id: &event.node.connector,
        capability_name: &event.node.capability,
        duration_ms: None,
        result: result(event),
    }
}

fn result(event: &StepEvent) -> &'static str {
    match (event.kind, event.success) {
        (StepKind::Requested, _) => UNANSWERED,
        (StepKind::Failed, _) => ERROR,
        (StepKind::Reported, _) => "reported",
        (StepKind::Responded, Some(true)) => "success",
        (StepKind::Responded, Some(false)) => "failure",
        (StepKind::Responded, None) => "answered",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(at: Millis, kind: StepKind, id: &str, connector: &str) -> StepEvent {
        let node =
            StepNode { id: id.into(), connector: connector.into(), capability: "run".into() };
        StepEvent { at, position: at as u64, kind, node, success: Some(true) }
    }

    #[test]
    fn an_answer_completes_the_earliest_open_request_of_its_node() {
        use StepKind::{Failed, Reported, Requested, Responded};
        let events = [
            event(40, Responded, "a", "http"),
            event(10, Requested, "a", "http"),
            event(20, Requested, "a", "http"),
            event(50, Failed, "a", "http"),
            event(60, Responded, "a", "http"),
            event(30, Requested, "", "sms"),
            event(35, Responded, "", "sms"),
            event(70, Reported, "b", "analytics"),
            event(80, Requested, "c", "http"),
        ];
        let steps = path(&events);
        let seen: Vec<_> =
            steps.iter().map(|step| (step.node_id, step.duration_ms, step.result)).collect();
        let expected = [
            ("a", Some(30), "success"),
            ("a", Some(30), "error"),
            ("", Some(5), "success"),
            ("a", None, "success"),
            ("b", None, "reported"),
            ("c", None, "unanswered"),
        ];
        assert_eq!(seen, expected);
    }
}

//! An open interaction: what its events have stated so far.
//!
//! Every fact depends on the set of events only, not on their order: of several values, the one of the latest event
//! counts, by the time of the event and then by its position in the spool. Only the bounded lists keep the entries
//! that arrive first.

use std::sync::Arc;

use super::cut;
use super::event_times::EventTimes;
use super::steps::{StepEvent, StepKind, StepNode};
use crate::event::{Event, FlowVersion, Interaction, InteractionEvent, Outcome, ParentFlow};
use crate::spool::Millis;

/// Maximum number of events in a path, and of subflows.
pub(super) const MAX_STEPS: usize = 64;
pub(super) const MAX_SUBFLOWS: usize = 32;

/// Maximum length of an interaction's id. Events with a longer one are not summarised.
pub(super) const MAX_ID_BYTES: usize = 256;

/// Maximum length of any other text.
const MAX_TEXT_BYTES: usize = 128;

/// Memory of an open interaction besides its texts and lists: the structure, and its entries in three tables.
const FIXED_BYTES: usize = size_of::<OpenInteraction>() + 320;

/// Memory of an entry of a list besides its texts. A vector may have twice the capacity that it needs.
const ENTRY_BYTES: usize = 2 * size_of::<StepEvent>();

/// Number of event types that a summary counts.
pub(super) const COUNTED_TYPES: usize = 5;

/// Names of the counted types in a summary.
pub(super) const TYPE_NAMES: [&str; COUNTED_TYPES] =
    ["startInteraction", "customAnalytics", "receiveRequest", "sendResponse", "sendErrorResponse"];

/// A value with the time and the position of the event that states it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Latest<T> {
    at: (Millis, u64),
    pub(super) value: T,
}

/// Outcome in the words of the flow's author.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RunOutcome {
    pub(super) kind: Box<str>,
    pub(super) status: Box<str>,
    pub(super) detail: Box<str>,
    pub(super) description: Box<str>,
    /// Outcome by the built-in words and those of `[outcomes]`.
    pub(super) outcome: Outcome,
}

/// User of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RunUser {
    pub(super) id: Box<str>,
    pub(super) name: Box<str>,
    pub(super) environment: Box<str>,
}

/// The run that launched this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RunParent {
    pub(super) id: Box<str>,
    pub(super) flow_id: Box<str>,
    pub(super) node_id: Box<str>,
}

/// A run that this one launched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subflow {
    pub(super) id: Box<str>,
    pub(super) flow_id: Box<str>,
}

/// An interaction that is not summarised yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OpenInteraction {
    pub(super) source: Arc<str>,
    pub(super) id: Box<str>,
    /// Positions of the first and of the last event.
    pub(super) first: u64,
    pub(super) last: u64,
    /// Receive times of these two, in ms since the Unix epoch.
    pub(super) opened_at: Millis,
    pub(super) active_at: Millis,
    times: EventTimes,
    /// Number of events by type, in the order of [`TYPE_NAMES`].
    pub(super) counts: [u32; COUNTED_TYPES],
    pub(super) environment: Option<Latest<Box<str>>>,
    pub(super) transaction: Option<Latest<Box<str>>>,
    pub(super) flow_id: Option<Latest<Box<str>>>,
    pub(super) flow_name: Option<Latest<Box<str>>>,
    pub(super) version: Option<Latest<i64>>,
    pub(super) user: Option<Latest<RunUser>>,
    pub(super) outcome: Option<Latest<RunOutcome>>,
    pub(super) error: Option<Latest<StepNode>>,
    pub(super) parent: Option<Latest<RunParent>>,
    pub(super) steps: Vec<StepEvent>,
    /// Number of steps beyond [`MAX_STEPS`], and of subflows beyond [`MAX_SUBFLOWS`].
    pub(super) steps_omitted: u32,
    pub(super) subflows: Vec<Subflow>,
    pub(super) subflows_omitted: u32,
    text_bytes: usize,
}

impl OpenInteraction {
    /// Opens an interaction for the event at `position`, which has to be added next.
    pub(super) fn new(source: &Arc<str>, id: &str, position: u64, now: Millis) -> OpenInteraction {
        OpenInteraction {
            source: Arc::clone(source),
            id: id.into(),
            first: position,
            last: position,
            opened_at: now,
            active_at: now,
            times: EventTimes::default(),
            counts: [0; COUNTED_TYPES],
            environment: None,
            transaction: None,
            flow_id: None,
            flow_name: None,
            version: None,
            user: None,
            outcome: None,
            error: None,
            parent: None,
            steps: Vec::new(),
            steps_omitted: 0,
            subflows: Vec::new(),
            subflows_omitted: 0,
            text_bytes: 2 * id.len(),
        }
    }

    /// Memory that the interaction takes at most, in bytes.
    pub(super) fn bytes(&self) -> usize {
        FIXED_BYTES + self.text_bytes + (self.steps.len() + self.subflows.len()) * ENTRY_BYTES
    }

    /// Number of `SEND_ERROR_RESPONSE` events.
    pub(super) fn errors(&self) -> u32 {
        self.counts[4]
    }

    /// Returns true if the run's `START_INTERACTION` was received.
    pub(super) fn start_seen(&self) -> bool {
        self.counts[0] > 0
    }

    /// Returns the times of the earliest and of the latest event, without those of wrong clocks.
    pub(super) fn span(&self) -> (Millis, Millis) {
        self.times.span(self.opened_at)
    }

    /// Adds an event of the run. `now` is the time of receipt.
    pub(super) fn add(
        &mut self,
        position: u64,
        now: Millis,
        event: &Event<'_>,
        run: &InteractionEvent<'_>,
    ) {
        let time = event.time().timestamp_millis();
        let at = (time, position);
        (self.last, self.active_at) = (position, now);
        self.times.add(time);
        if let Some(count) = type_index(&run.interaction).and_then(|at| self.counts.get_mut(at)) {
            *count = count.saturating_add(1);
        }
        let mut texts = 0;
        offer(&mut self.environment, at, boxed(event.environment_id()), &mut texts, |text| {
            text.len()
        });
        let transaction = boxed(run.envelope.transaction_id.as_deref());
        offer(&mut self.transaction, at, transaction, &mut texts, |text| text.len());
        offer(&mut self.flow_id, at, boxed(event.flow_id()), &mut texts, |text| text.len());
        // Some events state the id in place of the name.
        let name = event.flow_name().filter(|name| !is_flow_id(name, event.flow_id()));
        offer(&mut self.flow_name, at, boxed(name), &mut texts, |text| text.len());
        let version = match run.flow.version {
            FlowVersion::Known(version) => Some(version),
            FlowVersion::Unknown => None,
        };
        offer(&mut self.version, at, version, &mut texts, |_| 0);
        offer(&mut self.user, at, user(run), &mut texts, |user| {
            user.id.len() + user.name.len() + user.environment.len()
        });
        offer(&mut self.outcome, at, outcome(run), &mut texts, |outcome| {
            let RunOutcome { kind, status, detail, description, .. } = outcome;
            kind.len() + status.len() + detail.len() + description.len()
        });
        let parent = run.flow.parent.as_ref().map(parent);
        offer(&mut self.parent, at, parent, &mut texts, |parent| {
            parent.id.len() + parent.flow_id.len() + parent.node_id.len()
        });
        if matches!(run.interaction, Interaction::SendErrorResponse(_)) {
            offer(&mut self.error, at, Some(node(run)), &mut texts, StepNode::text_bytes);
        }
        self.text_bytes += texts;
        self.add_step(at, run);
    }

    fn add_step(&mut self, (at, position): (Millis, u64), run: &InteractionEvent<'_>) {
        let Some(kind) = step_kind(&run.interaction) else { return };
        if self.steps.len() == MAX_STEPS {
            self.steps_omitted = self.steps_omitted.saturating_add(1);
            return;
        }
        let node = node(run);
        self.text_bytes += node.text_bytes();
        let success = run.interaction.node().success;
        self.steps.push(StepEvent { at, position, kind, node, success });
    }

    /// Adds a subflow, unless it is known.
    pub(super) fn add_subflow(&mut self, id: &str, flow_id: Option<&str>) {
        if self.subflows.iter().any(|known| *known.id == *id) {
            return;
        }
        if self.subflows.len() == MAX_SUBFLOWS {
            self.subflows_omitted = self.subflows_omitted.saturating_add(1);
            return;
        }
        let subflow = Subflow { id: id.into(), flow_id: text(flow_id) };
        self.text_bytes += subflow.id.len() + subflow.flow_id.len();
        self.subflows.push(subflow);
    }
}

/// Keeps the value of the later event. Adds the bytes of a new value's texts to `bytes`; those of a replaced value
/// stay counted, so that the sum is an upper bound.
fn offer<T>(
    known: &mut Option<Latest<T>>,
    at: (Millis, u64),
    value: Option<T>,
    bytes: &mut usize,
    size: impl Fn(&T) -> usize,
) {
    let Some(value) = value else { return };
    if known.as_ref().is_none_or(|known| known.at < at) {
        let before = known.as_ref().map_or(0, |known| size(&known.value));
        *bytes += size(&value).saturating_sub(before);
        *known = Some(Latest { at, value });
    }
}

/// Returns the index of an event's type in [`TYPE_NAMES`].
fn type_index(interaction: &Interaction<'_>) -> Option<usize> {
    Some(match interaction {
        Interaction::StartInteraction(_) => 0,
        Interaction::CustomAnalytics(_) => 1,
        Interaction::ReceiveRequest(_) => 2,
        Interaction::SendResponse(_) => 3,
        Interaction::SendErrorResponse(_) => 4,
        Interaction::Summary(_) => return None,
    })
}

/// Returns the meaning of an event for the path. The start names no node.
fn step_kind(interaction: &Interaction<'_>) -> Option<StepKind> {
    match interaction {
        Interaction::ReceiveRequest(_) => Some(StepKind::Requested),
        Interaction::SendResponse(_) => Some(StepKind::Responded),
        Interaction::SendErrorResponse(_) => Some(StepKind::Failed),
        Interaction::CustomAnalytics(_) => Some(StepKind::Reported),
        Interaction::StartInteraction(_) | Interaction::Summary(_) => None,
    }
}

fn text(text: Option<&str>) -> Box<str> {
    cut(text.unwrap_or_default(), MAX_TEXT_BYTES).into()
}

fn boxed(text: Option<&str>) -> Option<Box<str>> {
    text.filter(|text| !text.is_empty()).map(|text| cut(text, MAX_TEXT_BYTES).into())
}

/// Returns true if a name is the flow's id, with dashes or without.
fn is_flow_id(name: &str, id: Option<&str>) -> bool {
    let plain = |text: &str| text.replace('-', "");
    id.is_some_and(|id| {
        name == id || (name.len().abs_diff(id.len()) <= 4 && plain(name) == plain(id))
    })
}

fn node(run: &InteractionEvent<'_>) -> StepNode {
    let node = run.interaction.node();
    let capability = node.original_capability_name.as_deref();
    StepNode {
        id: text(node.id.as_deref()),
        connector: text(node.connector_id.as_deref()),
        capability: text(capability.or(run.flow.capability_name.as_deref())),
    }
}

fn user(run: &InteractionEvent<'_>) -> Option<RunUser> {
    let user = run.envelope.user.as_ref()?;
    let found = RunUser {
        id: text(user.id.as_deref()),
        name: text(user.name.as_deref()),
        environment: text(user.environment_id.as_deref()),
    };
    (!found.id.is_empty() || !found.name.is_empty()).then_some(found)
}

/// Returns the outcome that custom analytics report.
fn outcome(run: &InteractionEvent<'_>) -> Option<RunOutcome> {
    let reported = &run.flow.reported;
    let is_given = |text: Option<&str>| text.is_some_and(|text| !text.trim().is_empty());
    let is_report = matches!(run.interaction, Interaction::CustomAnalytics(_))
        && (is_given(reported.kind.as_deref()) || is_given(reported.status.as_deref()));
    is_report.then(|| RunOutcome {
        kind: text(reported.kind.as_deref()),
        status: text(reported.status.as_deref()),
        detail: text(reported.status_detail.as_deref()),
        description: text(reported.description.as_deref()),
        outcome: reported.outcome().unwrap_or(Outcome::Unknown),
    })
}

fn parent(parent: &ParentFlow<'_>) -> RunParent {
    RunParent {
        id: cut(&parent.interaction_id, MAX_ID_BYTES).into(),
        flow_id: text(parent.flow_id.as_deref()),
        node_id: text(parent.node_id.as_deref()),
    }
}

//! Statistics of each flow: starts, outcomes as its author reports them, errors.
//!
//! Starts are `START_INTERACTION` events, errors are `SEND_ERROR_RESPONSE` events. `success: false` is not an
//! error: the false branch of a comparison reports it too. `SEND_RESPONSE` is no end: a run sends many of them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;

use super::kind::Kind;
use super::table::{BoundedTable, cut};

/// Maximum number of distinct flows.
const MAX_FLOWS: usize = 256;

/// Maximum number of distinct statuses per flow.
const MAX_STATUSES: usize = 16;

/// Maximum lengths of a flow's id and name, and of a status.
const MAX_ID_BYTES: usize = 64;
const MAX_NAME_BYTES: usize = 128;
const MAX_STATUS_BYTES: usize = 40;

/// Statistics of one flow since the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FlowLine {
    /// `flowId` without dashes; empty for the sum of all others, and for events without a flow.
    pub id: String,
    /// Last `flowName`; empty if none was sent.
    pub name: String,
    /// Number of `START_INTERACTION` events.
    pub starts: u64,
    /// Number of `CUSTOM_ANALYTICS` events by `outcomeStatus`, in lower case.
    pub outcomes: BTreeMap<String, u64>,
    /// Number of `SEND_ERROR_RESPONSE` events.
    pub errors: u64,
    /// Receive time of the last event, in ms since the Unix epoch.
    pub last_seen: i64,
}

#[derive(Debug)]
struct FlowStats {
    name: String,
    starts: u64,
    outcomes: BoundedTable<u64>,
    errors: u64,
    last_seen: i64,
}

impl Default for FlowStats {
    fn default() -> FlowStats {
        let outcomes = BoundedTable::new(MAX_STATUSES);
        FlowStats { name: String::new(), starts: 0, outcomes, errors: 0, last_seen: 0 }
    }
}

/// Statistics of all flows.
#[derive(Debug)]
pub(super) struct Flows(BoundedTable<FlowStats>);

impl Flows {
    pub(super) fn new() -> Flows {
        Flows(BoundedTable::new(MAX_FLOWS))
    }

    /// Counts events of one kind with the same flow id, name and status.
    pub(super) fn add(&mut self, kind: Kind, [id, name, status]: [&str; 3], count: u64, now: i64) {
        let id = without_dashes(cut(id, MAX_ID_BYTES));
        let flow = if id.is_empty() { self.0.other() } else { self.0.row(&id) };
        flow.last_seen = now;
        match kind {
            Kind::StartInteraction => flow.starts += count,
            Kind::SendErrorResponse => flow.errors += count,
            Kind::CustomAnalytics => {
                let status = lower(cut(status.trim(), MAX_STATUS_BYTES));
                *flow.outcomes.row(if status.is_empty() { "none" } else { &status }) += count;
            }
            _ => {}
        }
        let name = cut(name, MAX_NAME_BYTES);
        if !id.is_empty() && !name.is_empty() && flow.name != name && without_dashes(name) != id {
            name.clone_into(&mut flow.name);
        }
    }

    /// Returns every flow, those with the most starts first, and the sum of all others last.
    pub(super) fn lines(&self) -> Vec<FlowLine> {
        let mut lines: Vec<FlowLine> = self.0.rows().map(|(id, flow)| line(id, flow)).collect();
        lines.sort_by_key(|line| std::cmp::Reverse((line.starts, line.errors, line.last_seen)));
        lines.extend(Some(line("", self.0.others())).filter(|other| other.last_seen > 0));
        lines
    }
}

fn line(id: &str, flow: &FlowStats) -> FlowLine {
    let mut outcomes: BTreeMap<String, u64> =
        flow.outcomes.rows().map(|(status, events)| (status.to_owned(), *events)).collect();
    if *flow.outcomes.others() > 0 {
        *outcomes.entry("other".to_owned()).or_default() += flow.outcomes.others();
    }
    FlowLine {
        id: id.to_owned(),
        name: flow.name.clone(),
        starts: flow.starts,
        outcomes,
        errors: flow.errors,
        last_seen: flow.last_seen,
    }
}

/// Normalises a flow id: newer events write it without dashes, resources as a UUID.
fn without_dashes(id: &str) -> Cow<'_, str> {
    const UUID: usize = 36;
    match id.len() == UUID && id.as_bytes()[8] == b'-' {
        true => Cow::Owned(id.replace('-', "")),
        false => Cow::Borrowed(id),
    }
}

fn lower(text: &str) -> Cow<'_, str> {
    match text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => Cow::Owned(text.to_ascii_lowercase()),
        false => Cow::Borrowed(text),
    }
}

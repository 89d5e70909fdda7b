//! What each flow does: starts, outcomes in the words of its author, errors.
//!
//! Starts are counted by `START_INTERACTION` and errors by `SEND_ERROR_RESPONSE` alone. `success: false` is no
//! error: a comparison's false branch says it, too; and one run sends many `SEND_RESPONSE`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;

use super::kind::Kind;
use super::table::{Table, cut};

/// Flows that are told apart.
const FLOWS: usize = 256;

/// Statuses of one flow that are told apart.
const STATUSES: usize = 16;

/// Bytes of a flow's id and name, and of a status.
const ID: usize = 64;
const NAME: usize = 128;
const STATUS: usize = 40;

/// One flow since the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FlowLine {
    /// `flowId`, without dashes; empty for all that found no place, and for events that name none.
    pub id: String,
    /// `flowName` as it was last sent; empty if never.
    pub name: String,
    /// `START_INTERACTION` events.
    pub starts: u64,
    /// `CUSTOM_ANALYTICS` events by `outcomeStatus`, in lower case.
    pub outcomes: BTreeMap<String, u64>,
    /// `SEND_ERROR_RESPONSE` events.
    pub errors: u64,
    /// When the last of its events was received, milliseconds since the epoch.
    pub last_seen: i64,
}

#[derive(Debug)]
struct Flow {
    name: String,
    starts: u64,
    outcomes: Table<u64>,
    errors: u64,
    last_seen: i64,
}

impl Default for Flow {
    fn default() -> Flow {
        let outcomes = Table::new(STATUSES);
        Flow { name: String::new(), starts: 0, outcomes, errors: 0, last_seen: 0 }
    }
}

/// All flows.
#[derive(Debug)]
pub(super) struct Flows(Table<Flow>);

impl Flows {
    pub(super) fn new() -> Flows {
        Flows(Table::new(FLOWS))
    }

    /// Counts events of one kind, of a flow by this id and name; those that report an outcome, of one status.
    pub(super) fn add(&mut self, kind: Kind, [id, name, status]: [&str; 3], count: u64, now: i64) {
        let id = without_dashes(cut(id, ID));
        let flow = if id.is_empty() { self.0.other() } else { self.0.row(&id) };
        flow.last_seen = now;
        match kind {
            Kind::StartInteraction => flow.starts += count,
            Kind::SendErrorResponse => flow.errors += count,
            Kind::CustomAnalytics => {
                let status = lower(cut(status.trim(), STATUS));
                *flow.outcomes.row(if status.is_empty() { "none" } else { &status }) += count;
            }
            _ => {}
        }
        let name = cut(name, NAME);
        if !id.is_empty() && !name.is_empty() && flow.name != name && without_dashes(name) != id {
            name.clone_into(&mut flow.name);
        }
    }

    /// Every flow, those with the most starts first, and what found no place last.
    pub(super) fn lines(&self) -> Vec<FlowLine> {
        let mut lines: Vec<FlowLine> = self.0.rows().map(|(id, flow)| line(id, flow)).collect();
        lines.sort_by_key(|line| std::cmp::Reverse((line.starts, line.errors, line.last_seen)));
        lines.extend(Some(line("", self.0.others())).filter(|other| other.last_seen > 0));
        lines
    }
}

fn line(id: &str, flow: &Flow) -> FlowLine {
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

/// A flow's id as newer events have it: resources spell it as a UUID.
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

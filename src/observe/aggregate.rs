//! Aggregates the new (non-duplicate) events of a batch, one table lookup per distinct key.

use super::kind::Kind;
use super::minutes::Counts;
use super::summaries::{EventSummary, Summaries};
use crate::event::FindingKind;

/// Totals of the new events of a batch.
pub(super) struct BatchTotals {
    pub(super) counts: Counts,
    /// Totals per key among the batch's flows, in the order of their last events.
    pub(super) flows: Vec<FlowTotal>,
    /// Totals per distinct finding, each with its first event.
    pub(super) findings: Vec<FindingTotal>,
    /// Number of findings beyond the bound of distinct ones.
    pub(super) others: u64,
}

/// Total of the events with the same flow texts.
#[derive(Clone)]
pub(super) struct FlowTotal {
    pub(super) kind: Kind,
    pub(super) number: u32,
    pub(super) count: u64,
    last: usize,
}

/// Total of one distinct finding.
pub(super) struct FindingTotal {
    pub(super) kind: FindingKind,
    pub(super) number: u32,
    pub(super) count: u64,
    pub(super) first: usize,
}

/// Returns the summaries of the new events, with their indexes. `repeated` is in ascending order.
pub(super) fn notes<'a>(
    batch: &'a Summaries,
    repeated: &'a [u32],
) -> impl Iterator<Item = (usize, &'a EventSummary)> {
    let mut repeated = repeated.iter().map(|index| *index as usize).peekable();
    let is_new = move |(index, _): &(usize, &EventSummary)| repeated.next_if_eq(index).is_none();
    batch.notes.iter().enumerate().filter(is_new)
}

/// Aggregates the new events.
pub(super) fn add(batch: &Summaries, repeated: &[u32]) -> BatchTotals {
    let mut counts = Counts::default();
    let nothing = FlowTotal { kind: Kind::Other, number: 0, count: 0, last: 0 };
    let mut flows = vec![nothing; batch.flows.len()];
    for (index, note) in notes(batch, repeated) {
        counts.add(note.kind, note.outcome);
        if let Some(number) = note.flow
            && let Some(flow) = flows.get_mut(number as usize)
        {
            *flow = FlowTotal { kind: note.kind, number, count: flow.count + 1, last: index };
        }
    }
    flows.retain(|flow| flow.count > 0);
    flows.sort_unstable_by_key(|flow| flow.last);
    let (findings, others) = findings(batch, repeated);
    BatchTotals { counts, flows, findings, others }
}

fn findings(batch: &Summaries, repeated: &[u32]) -> (Vec<FindingTotal>, u64) {
    let mut indexes = vec![usize::MAX; batch.finding_texts.len()];
    let (mut findings, mut others): (Vec<FindingTotal>, u64) = (Vec::new(), 0);
    for found in
        batch.findings.iter().filter(|findings| repeated.binary_search(&findings.event).is_err())
    {
        let Some(number) = found.number else {
            others += 1;
            continue;
        };
        let index = &mut indexes[number as usize];
        match findings.get_mut(*index) {
            Some(known) => known.count += 1,
            None => {
                *index = findings.len();
                findings.push(FindingTotal {
                    kind: found.kind,
                    number,
                    count: 1,
                    first: found.event as usize,
                });
            }
        }
    }
    (findings, others)
}

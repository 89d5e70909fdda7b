//! What of a batch is new, added up: what the same is said of is looked up once.

use super::kind::Kind;
use super::minutes::Counts;
use super::summaries::{Note, Summaries};
use crate::event::FindingKind;

/// The new events of a batch, added up.
pub(super) struct Added {
    pub(super) counts: Counts,
    /// By their number among the batch's flows, those last whose last event came last.
    pub(super) flows: Vec<OfFlow>,
    /// Findings by their number among the oddities, with the first event of each.
    pub(super) findings: Vec<FindingTotal>,
    /// Findings that have none.
    pub(super) others: u64,
}

/// Events that say the same of one flow.
#[derive(Clone)]
pub(super) struct OfFlow {
    pub(super) kind: Kind,
    pub(super) number: u32,
    pub(super) count: u64,
    last: usize,
}

/// Findings of one kind.
pub(super) struct FindingTotal {
    pub(super) kind: FindingKind,
    pub(super) number: u32,
    pub(super) count: u64,
    pub(super) first: usize,
}

/// The notes of the events that are not among the repeated.
pub(super) fn notes<'a>(
    batch: &'a Summaries,
    repeated: &'a [u32],
) -> impl Iterator<Item = (usize, &'a Note)> {
    let mut repeated = repeated.iter().map(|index| *index as usize).peekable();
    let is_new = move |(index, _): &(usize, &Note)| repeated.next_if_eq(index).is_none();
    batch.notes.iter().enumerate().filter(is_new)
}

/// Adds up what is new.
pub(super) fn add(batch: &Summaries, repeated: &[u32]) -> Added {
    let mut counts = Counts::default();
    let nothing = OfFlow { kind: Kind::Other, number: 0, count: 0, last: 0 };
    let mut flows = vec![nothing; batch.flows.len()];
    for (index, note) in notes(batch, repeated) {
        counts.add(note.kind, note.outcome);
        if let Some(number) = note.flow
            && let Some(flow) = flows.get_mut(number as usize)
        {
            *flow = OfFlow { kind: note.kind, number, count: flow.count + 1, last: index };
        }
    }
    flows.retain(|flow| flow.count > 0);
    flows.sort_unstable_by_key(|flow| flow.last);
    let (findings, others) = findings(batch, repeated);
    Added { counts, flows, findings, others }
}

fn findings(batch: &Summaries, repeated: &[u32]) -> (Vec<FindingTotal>, u64) {
    let mut places = vec![usize::MAX; batch.oddities.len()];
    let (mut findings, mut others): (Vec<FindingTotal>, u64) = (Vec::new(), 0);
    for found in
        batch.findings.iter().filter(|findings| repeated.binary_search(&findings.event).is_err())
    {
        let Some(number) = found.number else {
            others += 1;
            continue;
        };
        let place = &mut places[number as usize];
        match findings.get_mut(*place) {
            Some(known) => known.count += 1,
            None => {
                *place = findings.len();
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

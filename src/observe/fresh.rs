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
    pub(super) odd: Vec<Oddity>,
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
pub(super) struct Oddity {
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
    let (odd, others) = odd(batch, repeated);
    Added { counts, flows, odd, others }
}

fn odd(batch: &Summaries, repeated: &[u32]) -> (Vec<Oddity>, u64) {
    let mut places = vec![usize::MAX; batch.oddities.len()];
    let (mut odd, mut others): (Vec<Oddity>, u64) = (Vec::new(), 0);
    for found in batch.odd.iter().filter(|odd| repeated.binary_search(&odd.event).is_err()) {
        let Some(number) = found.number else {
            others += 1;
            continue;
        };
        let place = &mut places[number as usize];
        match odd.get_mut(*place) {
            Some(known) => known.count += 1,
            None => {
                *place = odd.len();
                odd.push(Oddity {
                    kind: found.kind,
                    number,
                    count: 1,
                    first: found.event as usize,
                });
            }
        }
    }
    (odd, others)
}

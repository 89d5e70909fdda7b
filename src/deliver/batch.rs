//! A batch in delivery: the events read, the items sent, and the final verdict of each position.

mod objects;
mod part;
mod prepare;

use std::collections::VecDeque;
use std::sync::Arc;

use super::groups::{NextStep, regroup};
use super::parallel;
use crate::deliver::SinkConfig;
use crate::redact::Redaction;
use crate::sinks::{Item, Reason, Verdict};
use crate::spool::{
    Damage, Disposition, DispositionRun, EntryOrigin, Millis, NewEntry, Read, StoredEvent,
    TargetAnswer,
};
pub(super) use objects::{PackedRange, RangePacking};
pub(super) use part::CommitPart;
use prepare::{Prepared, prepare};

/// Number of events that are encoded before the length of the others is estimated.
const FIRST_EVENTS: usize = 256;

/// Consecutive positions of the log, each with its state.
#[derive(Debug, Default)]
pub(super) struct DeliveryBatch {
    slots: Vec<Slot>,
    /// Items without a final verdict, in order.
    pub(super) items: Vec<Item>,
    /// Sizes of the groups in which `items` are to be sent, first to last.
    pub(super) groups: VecDeque<usize>,
    /// Number of events that were truncated to fit.
    pub(super) truncated: u64,
    /// Time at which its first event was received.
    pub(super) received_at: Option<Millis>,
    /// True if an earlier attempt may have written its objects.
    pub(super) may_exist: bool,
}

#[derive(Debug)]
struct Slot {
    last: u64,
    /// Number of events in this slot; more than one only for damage.
    count: u64,
    /// Number of attempts with this event.
    attempts: u32,
    state: SlotState,
}

#[derive(Debug)]
enum SlotState {
    Pending(StoredEvent),
    /// An object with many events, without a final verdict. No verdict but `Delivered` is final for it.
    Object,
    /// `received_at` is `None` for a replay or a retry, which has no latency.
    Delivered {
        received_at: Option<Millis>,
        bytes: usize,
    },
    /// The filter's key.
    Filtered(Arc<str>),
    /// The key of the sample.
    Sampled(Arc<str>),
    NotAddressed,
    Repeated,
    DeadLetter(String, Box<NewEntry>),
}

impl DeliveryBatch {
    /// Takes events from the front of `waiting` up to the sink's batch limits, filtered, redacted and encoded on
    /// all cores.
    pub(super) fn take(
        waiting: &mut VecDeque<Read>,
        sink: &SinkConfig,
        redaction: Option<&Redaction>,
    ) -> DeliveryBatch {
        let mut batch = DeliveryBatch::default();
        let mut bytes = 0;
        'batch: while batch.slots.len() < sink.batch.events
            && bytes < sink.batch.bytes
            && !waiting.is_empty()
        {
            let count = batch.expected(bytes, sink).min(waiting.len());
            let reads: Vec<Read> = waiting.drain(..count).collect();
            let prepared = parallel::map(&reads, |read| match read {
                Read::Event(stored) => prepare(stored, sink, redaction),
                Read::Damaged(_) | Read::Repeated(_) => (None, None),
            });
            let mut pairs = reads.into_iter().zip(prepared);
            while let Some((read, prepared)) = pairs.next() {
                if let Err(read) = batch.add(read, prepared, &mut bytes, sink) {
                    let rest = pairs.map(|(read, _)| read).rev();
                    rest.for_each(|read| waiting.push_front(read));
                    waiting.push_front(read);
                    break 'batch;
                }
            }
        }
        batch.groups = Some(batch.items.len()).filter(|count| *count > 0).into_iter().collect();
        batch
    }

    /// Returns the number of events to encode next: those that fit if they are as long as the ones before.
    fn expected(&self, bytes: usize, sink: &SinkConfig) -> usize {
        let fitting = match bytes.checked_div(self.items.len()) {
            Some(length) => (sink.batch.bytes - bytes) / length.max(1) + 1,
            None => FIRST_EVENTS,
        };
        fitting.min(sink.batch.events - self.slots.len())
    }

    /// Adds an event, or returns it if it does not fit.
    fn add(
        &mut self,
        read: Read,
        (state, payload): Prepared,
        bytes: &mut usize,
        sink: &SinkConfig,
    ) -> Result<(), Read> {
        if *bytes >= sink.batch.bytes {
            return Err(read);
        }
        let stored = match read {
            Read::Event(stored) => stored,
            Read::Damaged(damage) => {
                self.slots.push(damaged_slot(damage, sink));
                return Ok(());
            }
            Read::Repeated(last) => {
                let state = SlotState::Repeated;
                self.slots.push(Slot { last, count: 1, attempts: 0, state });
                return Ok(());
            }
        };
        if let Some((payload, finding)) = payload {
            // One byte for the separator that some bodies have between items.
            let length = payload.len() + 1;
            if *bytes > 0 && *bytes + length > sink.batch.bytes {
                return Err(Read::Event(stored));
            }
            *bytes += length;
            self.truncated += u64::from(finding.is_some());
            self.items.push(Item { position: stored.position, payload });
        }
        self.received_at.get_or_insert(stored.received_at);
        let last = stored.position;
        let state = state.unwrap_or(SlotState::Pending(stored));
        self.slots.push(Slot { last, count: 1, attempts: 0, state });
        Ok(())
    }

    /// Applies the target's verdicts to the first group and regroups the remaining items. A missing
    /// verdict counts as `NotTried`. Returns true if any verdict was final or the groups changed.
    pub(super) fn apply(&mut self, verdicts: Vec<Verdict>, sink: &Arc<str>) -> bool {
        let group = self.groups.pop_front().unwrap_or(0).min(self.items.len());
        let rest = self.items.split_off(group);
        let verdicts = verdicts.into_iter().chain(std::iter::repeat(Verdict::NotTried));
        let mut nexts = Vec::with_capacity(group);
        // Items and slots are both in the order of positions.
        let mut slots = self.slots.iter_mut();
        for (item, verdict) in std::mem::take(&mut self.items).into_iter().zip(verdicts) {
            let next = NextStep::of(&verdict, group);
            nexts.push(next);
            if let Some(slot) = slots.find(|slot| slot.last == item.position) {
                slot.apply(verdict, next, item.payload.len(), sink);
            }
            if next != NextStep::Final {
                self.items.push(item);
            }
        }
        let groups = regroup(&nexts);
        let has_moved = groups != [group];
        self.items.extend(rest);
        for size in groups.into_iter().rev() {
            self.groups.push_front(size);
        }
        has_moved
    }

    /// Splits the first group if it has more than `count` items.
    pub(super) fn split_first(&mut self, count: usize) {
        if let Some(first) = self.groups.front_mut()
            && *first > count
        {
            let rest = *first - count;
            *first = count;
            self.groups.insert(1, rest);
        }
    }

    /// Applies the verdict of the second item, which was sent alone, before the first.
    pub(super) fn apply_to_second(&mut self, verdict: Verdict, sink: &Arc<str>) {
        let next = NextStep::of(&verdict, 1);
        if next != NextStep::Final || self.items.len() < 2 {
            return;
        }
        let item = self.items.remove(1);
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.last == item.position) {
            slot.apply(verdict, next, item.payload.len(), sink);
        }
        if let Some(second) = self.groups.get_mut(1) {
            *second -= 1;
        }
        self.groups.retain(|size| *size > 0);
    }

    /// Makes a dead letter of the first item, which is alone in its group: the target refuses it each
    /// time and takes others.
    pub(super) fn give_up_first(&mut self, reason: Reason, sink: &Arc<str>) {
        let item = self.items.remove(0);
        self.groups.pop_front();
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.last == item.position) else {
            return;
        };
        let attempts = slot.attempts;
        if let SlotState::Pending(stored) = &slot.state {
            let detail = format!(
                "given up after {attempts} attempts; the target takes other events: {reason}"
            );
            let Reason { status, code, answer: text, .. } = reason;
            let target = TargetAnswer { attempts, status, code, text };
            slot.state = dead_letter(stored, sink, "given_up", detail, Some(target));
        }
    }

    /// Appends the positions that follow.
    pub(super) fn append(&mut self, next: DeliveryBatch) {
        self.slots.extend(next.slots);
        self.items.extend(next.items);
        self.groups.extend(next.groups);
    }

    /// Takes everything before the first position without a final verdict, in parts. Each dead letter
    /// begins a part, so that the cursor can stop before it.
    pub(super) fn take_final(&mut self) -> Vec<CommitPart> {
        let is_pending =
            |slot: &Slot| matches!(slot.state, SlotState::Pending(_) | SlotState::Object);
        let end = self.slots.iter().position(is_pending).unwrap_or(self.slots.len());
        let mut parts: Vec<CommitPart> = Vec::new();
        for Slot { last, count, attempts, state } in self.slots.drain(..end) {
            if parts.is_empty() || matches!(state, SlotState::DeadLetter(..)) {
                parts.push(CommitPart::default());
            }
            let Some(part) = parts.last_mut() else { break };
            let run = |disposition, cause| DispositionRun {
                disposition: Some(disposition),
                attempts,
                cause,
                count,
            };
            match state {
                SlotState::Pending(_) | SlotState::Object => break,
                SlotState::Delivered { received_at, bytes } => {
                    part.add(run(Disposition::Delivered, None));
                    part.delivered_bytes += bytes as u64;
                    part.note_received(received_at, count);
                }
                SlotState::Filtered(key) => part.add(run(Disposition::Filtered, Some(key))),
                SlotState::Sampled(key) => part.add(run(Disposition::Sampled, Some(key))),
                SlotState::NotAddressed => part.add(run(Disposition::NotAddressed, None)),
                SlotState::Repeated => part.add(run(Disposition::Repeated, None)),
                SlotState::DeadLetter(source, entry) => {
                    part.add(run(Disposition::DeadLettered, Some(cause_of(&entry))));
                    part.damaged += if entry.origin == EntryOrigin::Damage { count } else { 0 };
                    part.dead_letters.push((source, *entry));
                }
            }
            part.position = Some(last);
        }
        if let Some(Slot { state: SlotState::Pending(stored), .. }) = self.slots.first() {
            self.received_at = Some(stored.received_at);
        }
        parts
    }
}

impl Slot {
    /// Applies the verdict for a payload of `bytes` bytes.
    fn apply(&mut self, verdict: Verdict, next: NextStep, bytes: usize, sink: &Arc<str>) {
        let is_attempt = !matches!(verdict, Verdict::NotTried | Verdict::TooOld { .. });
        self.attempts += u32::from(is_attempt);
        let stored = match &self.state {
            SlotState::Pending(stored) => stored,
            SlotState::Object if verdict == Verdict::Delivered => {
                // Its events were counted when they were packed.
                self.state = SlotState::Delivered { received_at: None, bytes: 0 };
                return;
            }
            _ => return,
        };
        match verdict {
            Verdict::Delivered => {
                let received_at = Some(stored.received_at).filter(|_| stored.only_sink.is_none());
                self.state = SlotState::Delivered { received_at, bytes };
            }
            Verdict::Rejected { reason } | Verdict::Split { reason } if next == NextStep::Final => {
                let detail =
                    format!("refused by the target on attempt {}: {reason}", self.attempts);
                let Reason { status, code, answer: text, .. } = reason;
                let target = TargetAnswer { attempts: self.attempts, status, code, text };
                self.state = dead_letter(stored, sink, "rejected", detail, Some(target));
            }
            Verdict::TooOld { reason } => {
                self.state =
                    dead_letter(stored, sink, "too_old", format!("not sent: {reason}"), None);
            }
            _ => {}
        }
    }
}

fn dead_letter(
    stored: &StoredEvent,
    sink: &Arc<str>,
    reason: &'static str,
    detail: String,
    target: Option<TargetAnswer>,
) -> SlotState {
    let entry = NewEntry {
        origin: EntryOrigin::DeadLetter,
        key: None,
        reason,
        detail,
        path: "$".to_owned(),
        index: 0,
        request_id: String::new(),
        encoding: String::new(),
        sink: Some(Arc::clone(sink)),
        target,
        bytes: stored.bytes.clone(),
    };
    SlotState::DeadLetter(stored.source.to_string(), Box::new(entry))
}

/// Returns the reason of a dead letter, with the target's status.
fn cause_of(entry: &NewEntry) -> Arc<str> {
    match entry.target.as_ref().and_then(|target| target.status) {
        Some(status) => format!("{} {status}", entry.reason).into(),
        None => entry.reason.into(),
    }
}

fn damaged_slot(damage: Damage, sink: &SinkConfig) -> Slot {
    let entry = NewEntry {
        origin: EntryOrigin::Damage,
        key: None,
        reason: "damaged",
        detail: format!("events {} to {}: {}", damage.first, damage.last, damage.detail),
        path: String::new(),
        index: 0,
        request_id: String::new(),
        encoding: String::new(),
        sink: Some(sink.name.as_str().into()),
        target: None,
        bytes: damage.bytes,
    };
    let state = SlotState::DeadLetter(damage.source, Box::new(entry));
    Slot { last: damage.last, count: damage.last + 1 - damage.first, attempts: 0, state }
}

#[cfg(test)]
mod tests;

//! A batch in delivery: the events read, the items sent, and the final verdict of each position.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use memchr::memmem::Finder;

use super::filter;
use super::groups::{NextStep, regroup};
use crate::decode::{self, Refusal};
use crate::deliver::{RoutingConfig, SinkConfig};
use crate::format::Format;
use crate::format::{self, Line, Received};
use crate::redact::Redaction;
use crate::sinks::{Item, Reason, Rendered, SinkFinding, Verdict};
use crate::spool::{Damage, EntryOrigin, Millis, NewEntry, Read, StoredEvent, Tally, TargetAnswer};

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
    Delivered,
    Filtered,
    NotAddressed,
    DeadLetter(String, Box<NewEntry>),
}

/// Consecutive positions with final verdicts, which one commit may cover.
#[derive(Debug, Default)]
pub(super) struct CommitPart {
    pub(super) position: Option<u64>,
    pub(super) tally: Tally,
    /// Number of dead letters that stand for events that could not be read back.
    pub(super) damaged: u64,
    pub(super) dead_letters: Vec<(String, NewEntry)>,
}

impl DeliveryBatch {
    /// Takes events from the front of `waiting` up to the sink's batch limits, filtered, redacted and encoded.
    pub(super) fn take(
        waiting: &mut VecDeque<Read>,
        sink: &SinkConfig,
        redaction: Option<&Redaction>,
    ) -> DeliveryBatch {
        let mut batch = DeliveryBatch::default();
        let mut bytes = 0;
        while batch.slots.len() < sink.batch.events && bytes < sink.batch.bytes {
            let Some(read) = waiting.pop_front() else { break };
            let stored = match read {
                Read::Event(stored) => stored,
                Read::Damaged(damage) => {
                    batch.slots.push(damaged_slot(damage, sink));
                    continue;
                }
            };
            let (state, payload) = prepare(&stored, sink, redaction);
            if let Some((payload, finding)) = payload {
                if bytes > 0 && bytes + payload.len() + 1 > sink.batch.bytes {
                    waiting.push_front(Read::Event(stored));
                    break;
                }
                // One byte for the separator that some bodies have between items.
                bytes += payload.len() + 1;
                batch.truncated += u64::from(finding.is_some());
                batch.items.push(Item { position: stored.position, payload });
            }
            batch.received_at.get_or_insert(stored.received_at);
            let last = stored.position;
            let state = state.unwrap_or(SlotState::Pending(stored));
            batch.slots.push(Slot { last, count: 1, attempts: 0, state });
        }
        batch.groups = Some(batch.items.len()).filter(|count| *count > 0).into_iter().collect();
        batch
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
                slot.apply(verdict, next, sink);
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
            slot.apply(verdict, next, sink);
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
        let is_pending = |slot: &Slot| matches!(slot.state, SlotState::Pending(_));
        let end = self.slots.iter().position(is_pending).unwrap_or(self.slots.len());
        let mut parts: Vec<CommitPart> = Vec::new();
        for Slot { last, count, state, .. } in self.slots.drain(..end) {
            if parts.is_empty() || matches!(state, SlotState::DeadLetter(..)) {
                parts.push(CommitPart::default());
            }
            let Some(part) = parts.last_mut() else { break };
            match state {
                SlotState::Pending(_) => break,
                SlotState::Delivered => part.tally.delivered += count,
                SlotState::Filtered => part.tally.filtered += count,
                SlotState::NotAddressed => part.tally.not_addressed += count,
                SlotState::DeadLetter(source, entry) => {
                    part.tally.dead_lettered += count;
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

impl CommitPart {
    /// Merges consecutive parts into one.
    pub(super) fn of(parts: &[CommitPart]) -> CommitPart {
        let mut all = CommitPart::default();
        for part in parts {
            all.position = part.position.or(all.position);
            all.tally.delivered += part.tally.delivered;
            all.tally.filtered += part.tally.filtered;
            all.tally.dead_lettered += part.tally.dead_lettered;
            all.tally.not_addressed += part.tally.not_addressed;
            all.damaged += part.damaged;
            all.dead_letters.extend_from_slice(&part.dead_letters);
        }
        all
    }
}

impl Slot {
    fn apply(&mut self, verdict: Verdict, next: NextStep, sink: &Arc<str>) {
        self.attempts += u32::from(verdict != Verdict::NotTried);
        let SlotState::Pending(stored) = &self.state else { return };
        match verdict {
            Verdict::Delivered => self.state = SlotState::Delivered,
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

/// Bytes of an item, and the finding if the event was changed to fit.
type Payload = (Bytes, Option<SinkFinding>);

/// Filters, redacts, renders and encodes an event. Returns its final state, or else the payload.
fn prepare(
    stored: &StoredEvent,
    sink: &SinkConfig,
    redaction: Option<&Redaction>,
) -> (Option<SlotState>, Option<Payload>) {
    let name = || Arc::from(sink.name.as_str());
    if stored.only_sink.as_deref().is_some_and(|only| only != sink.name) {
        return (Some(SlotState::NotAddressed), None);
    }
    if let Some(payload) = unparsed(stored, sink, redaction) {
        return (None, Some((payload, None)));
    }
    // Reached only after a downgrade to a version that accepts less than the version that spooled the event.
    let refused = |refusal: Refusal| {
        (Some(dead_letter(stored, &name(), refusal.reason.as_str(), refusal.detail, None)), None)
    };
    let event = match decode::event(&stored.bytes) {
        Ok(typed) => typed.event,
        Err(refusal) => return refused(refusal),
    };
    if !filter::wants(sink, &event, &stored.source) {
        return (Some(SlotState::Filtered), None);
    }
    // Filters see the event as it was spooled. Format and envelope see the redacted event.
    let bytes =
        redaction.map_or(Cow::Borrowed(&*stored.bytes), |redaction| redaction.event(&stored.bytes));
    let event = match &bytes {
        Cow::Borrowed(_) => event,
        Cow::Owned(redacted) => match decode::event(redacted) {
            Ok(typed) => typed.event,
            Err(refusal) => return refused(refusal),
        },
    };
    let received = Received {
        event: &event,
        raw: &bytes,
        received_at: stored.received_at,
        source: &stored.source,
    };
    let Line { bytes: line, is_cut } = format::render(&sink.formatting, received);
    let rendered = Rendered { line, event: &event, source: &stored.source };
    match sink.target.encode(rendered) {
        Ok((payload, finding)) => {
            let finding = finding.or(is_cut.then_some(SinkFinding::Truncated));
            (None, Some((payload.into(), finding)))
        }
        Err(reason) => {
            (Some(dead_letter(stored, &name(), "unsendable", reason.to_string(), None)), None)
        }
    }
}

/// Returns the payload of an event that need not be parsed: no filter, no redaction, format `native`.
/// This is the fast path of most deployments.
fn unparsed(
    stored: &StoredEvent,
    sink: &SinkConfig,
    redaction: Option<&Redaction>,
) -> Option<Bytes> {
    let is_everything = sink.routing == RoutingConfig::default() && redaction.is_none();
    let is_native = sink.formatting.format == Format::Native;
    let is_unparsed = is_everything && is_native && sink.target.sends_lines();
    if !is_unparsed || !(sink.test_events || cannot_be_test(&stored.bytes)) {
        return None;
    }
    let StoredEvent { bytes, received_at, source, .. } = stored;
    Some(match format::native(&sink.formatting, bytes, *received_at, source) {
        Cow::Borrowed(_) => bytes.clone(),
        Cow::Owned(line) => line.into(),
    })
}

static DELIVERY_TEST: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new("EVENT_DELIVERY_TEST"));

/// Returns true if an event is certainly no connection test: its type does not occur, and no escape
/// could hide it.
fn cannot_be_test(raw: &[u8]) -> bool {
    memchr::memchr(b'\\', raw).is_none() && DELIVERY_TEST.find(raw).is_none()
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

//! A batch on its way: what was read, what is sent of it, and how each position was settled.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use memchr::memmem::Finder;

use super::filter;
use super::groups::{Next, regroup};
use crate::config;
use crate::decode::{self, Refusal};
use crate::format::{self, Line, Received};
use crate::redact::Redaction;
use crate::sinks::{self, Item, Reason, Rendered, SinkFinding, Verdict};
use crate::spool::{Damage, EntryOrigin, Millis, NewEntry, Read, StoredEvent, Tally, TargetAnswer};

/// Consecutive positions, each with its fate.
#[derive(Debug, Default)]
pub(super) struct Batch {
    slots: Vec<Slot>,
    /// What has not been settled yet, in order.
    pub(super) items: Vec<Item>,
    /// Sizes of the groups in which `items` are to be sent, first to last.
    pub(super) groups: VecDeque<usize>,
    /// Events that were cut to fit.
    pub(super) truncated: u64,
    /// When its first event was received.
    pub(super) received_at: Option<Millis>,
}

#[derive(Debug)]
struct Slot {
    last: u64,
    /// Events it stands for; more than one only for damage.
    count: u64,
    /// Attempts it was part of.
    attempts: u32,
    fate: Fate,
}

#[derive(Debug)]
enum Fate {
    Sent(StoredEvent),
    Delivered,
    Filtered,
    NotAddressed,
    Dead(String, Box<NewEntry>),
}

/// What may be committed, or the next part of it.
#[derive(Debug, Default)]
pub(super) struct Settled {
    pub(super) position: Option<u64>,
    pub(super) tally: Tally,
    /// How many of the dead letters are events that could not be read back.
    pub(super) damaged: u64,
    pub(super) dead_letters: Vec<(String, NewEntry)>,
}

impl Batch {
    /// Takes from the front of `waiting` what fits into the sink's batch, redacted.
    pub(super) fn take(
        waiting: &mut VecDeque<Read>,
        sink: &config::Sink,
        redaction: Option<&Redaction>,
    ) -> Batch {
        let mut batch = Batch::default();
        let mut bytes = 0;
        while batch.slots.len() < sink.batch.events && bytes < sink.batch.bytes {
            let Some(read) = waiting.pop_front() else { break };
            let stored = match read {
                Read::Event(stored) => stored,
                Read::Damaged(damage) => {
                    batch.slots.push(damaged(damage, sink));
                    continue;
                }
            };
            let (fate, payload) = prepare(&stored, sink, redaction);
            if let Some((payload, notice)) = payload {
                if bytes > 0 && bytes + payload.len() + 1 > sink.batch.bytes {
                    waiting.push_front(Read::Event(stored));
                    break;
                }
                // One more for what stands between two items in some bodies.
                bytes += payload.len() + 1;
                batch.truncated += u64::from(notice.is_some());
                batch.items.push(Item { position: stored.position, payload });
            }
            batch.received_at.get_or_insert(stored.received_at);
            let last = stored.position;
            let fate = fate.unwrap_or(Fate::Sent(stored));
            batch.slots.push(Slot { last, count: 1, attempts: 0, fate });
        }
        batch.groups = Some(batch.items.len()).filter(|count| *count > 0).into_iter().collect();
        batch
    }

    /// Settles the first group by the target's verdicts and regroups what is left of it. A verdict
    /// that is missing counts as one to retry. Tells whether anything has moved on.
    pub(super) fn settle(&mut self, verdicts: Vec<Verdict>, sink: &Arc<str>) -> bool {
        let group = self.groups.pop_front().unwrap_or(0).min(self.items.len());
        let rest = self.items.split_off(group);
        let verdicts = verdicts.into_iter().chain(std::iter::repeat(Verdict::NotTried));
        let mut nexts = Vec::with_capacity(group);
        // Both are in the order of positions.
        let mut slots = self.slots.iter_mut();
        for (item, verdict) in std::mem::take(&mut self.items).into_iter().zip(verdicts) {
            let next = Next::of(&verdict, group);
            nexts.push(next);
            if let Some(slot) = slots.find(|slot| slot.last == item.position) {
                slot.settle(verdict, next, sink);
            }
            if next != Next::Settled {
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

    /// Splits the first group, where it has more items than `count`.
    pub(super) fn split_first(&mut self, count: usize) {
        if let Some(first) = self.groups.front_mut()
            && *first > count
        {
            let rest = *first - count;
            *first = count;
            self.groups.insert(1, rest);
        }
    }

    /// Settles the second item, which was sent alone, before the first.
    pub(super) fn settle_second(&mut self, verdict: Verdict, sink: &Arc<str>) {
        let next = Next::of(&verdict, 1);
        if next != Next::Settled || self.items.len() < 2 {
            return;
        }
        let item = self.items.remove(1);
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.last == item.position) {
            slot.settle(verdict, next, sink);
        }
        if let Some(second) = self.groups.get_mut(1) {
            *second -= 1;
        }
        self.groups.retain(|size| *size > 0);
    }

    /// Makes a dead letter of the first item, which is alone in its group: the target fails for it each
    /// time, and takes others.
    pub(super) fn give_up_first(&mut self, reason: Reason, sink: &Arc<str>) {
        let item = self.items.remove(0);
        self.groups.pop_front();
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.last == item.position) else {
            return;
        };
        let attempts = slot.attempts;
        if let Fate::Sent(stored) = &slot.fate {
            let detail = format!(
                "given up after {attempts} attempts; the target takes other events: {reason}"
            );
            let Reason { status, code, answer: text, .. } = reason;
            let target = TargetAnswer { attempts, status, code, text };
            slot.fate = dead(stored, sink, "given_up", detail, Some(target));
        }
    }

    /// Adds the positions that follow.
    pub(super) fn append(&mut self, next: Batch) {
        self.slots.extend(next.slots);
        self.items.extend(next.items);
        self.groups.extend(next.groups);
    }

    /// Takes everything up to the first position that is not settled, in parts: each dead letter begins
    /// one, so that the cursor can stop before it.
    pub(super) fn take_settled(&mut self) -> Vec<Settled> {
        let is_open = |slot: &Slot| matches!(slot.fate, Fate::Sent(_));
        let end = self.slots.iter().position(is_open).unwrap_or(self.slots.len());
        let mut parts: Vec<Settled> = Vec::new();
        for Slot { last, count, fate, .. } in self.slots.drain(..end) {
            if parts.is_empty() || matches!(fate, Fate::Dead(..)) {
                parts.push(Settled::default());
            }
            let Some(part) = parts.last_mut() else { break };
            match fate {
                Fate::Sent(_) => break,
                Fate::Delivered => part.tally.delivered += count,
                Fate::Filtered => part.tally.filtered += count,
                Fate::NotAddressed => part.tally.not_addressed += count,
                Fate::Dead(source, entry) => {
                    part.tally.dead_lettered += count;
                    part.damaged += if entry.origin == EntryOrigin::Damage { count } else { 0 };
                    part.dead_letters.push((source, *entry));
                }
            }
            part.position = Some(last);
        }
        if let Some(Slot { fate: Fate::Sent(stored), .. }) = self.slots.first() {
            self.received_at = Some(stored.received_at);
        }
        parts
    }
}

impl Settled {
    /// Parts that follow each other, as one.
    pub(super) fn of(parts: &[Settled]) -> Settled {
        let mut all = Settled::default();
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
    fn settle(&mut self, verdict: Verdict, next: Next, sink: &Arc<str>) {
        self.attempts += u32::from(verdict != Verdict::NotTried);
        let Fate::Sent(stored) = &self.fate else { return };
        match verdict {
            Verdict::Delivered => self.fate = Fate::Delivered,
            Verdict::Rejected { reason } | Verdict::Split { reason } if next == Next::Settled => {
                let detail =
                    format!("refused by the target on attempt {}: {reason}", self.attempts);
                let Reason { status, code, answer: text, .. } = reason;
                let target = TargetAnswer { attempts: self.attempts, status, code, text };
                self.fate = dead(stored, sink, "rejected", detail, Some(target));
            }
            _ => {}
        }
    }
}

/// What an event becomes on the wire.
type Payload = (Bytes, Option<SinkFinding>);

/// What is to be done with an event: filtered, refused by our own code, or sent as these bytes.
fn prepare(
    stored: &StoredEvent,
    sink: &config::Sink,
    redaction: Option<&Redaction>,
) -> (Option<Fate>, Option<Payload>) {
    let name = || Arc::from(sink.name.as_str());
    if stored.only_sink.as_deref().is_some_and(|only| only != sink.name) {
        return (Some(Fate::NotAddressed), None);
    }
    if let Some(payload) = unread(stored, sink, redaction) {
        return (None, Some((payload, None)));
    }
    // Only a version that accepts less than the one that spooled it comes here.
    let refused = |refusal: Refusal| {
        (Some(dead(stored, &name(), refusal.reason.as_str(), refusal.detail, None)), None)
    };
    let event = match decode::event(&stored.bytes) {
        Ok(typed) => typed.event,
        Err(refusal) => return refused(refusal),
    };
    if !filter::wants(sink, &event, &stored.source) {
        return (Some(Fate::Filtered), None);
    }
    // Filters see the event as it was spooled. Everything behind them sees what is left of it, also
    // what a target's envelope is made of.
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
    match sinks::encode(&sink.kind, rendered) {
        Ok((payload, notice)) => {
            let notice = notice.or(is_cut.then_some(SinkFinding::Truncated));
            (None, Some((payload.into(), notice)))
        }
        Err(reason) => (Some(dead(stored, &name(), "unsendable", reason.to_string(), None)), None),
    }
}

/// What an event becomes where nobody has to know what it says, which is most of the work.
fn unread(
    stored: &StoredEvent,
    sink: &config::Sink,
    redaction: Option<&Redaction>,
) -> Option<Bytes> {
    let is_everything = sink.routing == config::Routing::default() && redaction.is_none();
    let is_native = sink.formatting.format == config::Format::Native;
    let is_unread = is_everything && is_native && sinks::sends_lines(&sink.kind);
    if !is_unread || !(sink.test_events || is_no_test(&stored.bytes)) {
        return None;
    }
    let StoredEvent { bytes, received_at, source, .. } = stored;
    Some(match format::native(&sink.formatting, bytes, *received_at, source) {
        Cow::Borrowed(_) => bytes.clone(),
        Cow::Owned(line) => line.into(),
    })
}

static DELIVERY_TEST: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new("EVENT_DELIVERY_TEST"));

/// Whether an event is certainly no connection test: its type is not there, and could not be spelt in
/// another way.
fn is_no_test(raw: &[u8]) -> bool {
    memchr::memchr(b'\\', raw).is_none() && DELIVERY_TEST.find(raw).is_none()
}

fn dead(
    stored: &StoredEvent,
    sink: &Arc<str>,
    reason: &'static str,
    detail: String,
    target: Option<TargetAnswer>,
) -> Fate {
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
    Fate::Dead(stored.source.to_string(), Box::new(entry))
}

fn damaged(damage: Damage, sink: &config::Sink) -> Slot {
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
    let fate = Fate::Dead(damage.source, Box::new(entry));
    Slot { last: damage.last, count: damage.last + 1 - damage.first, attempts: 0, fate }
}

#[cfg(test)]
mod tests;

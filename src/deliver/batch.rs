//! A batch on its way: what was read, what is sent of it, and how each position was settled.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::config;
use crate::decode;
use crate::event::Event;
use crate::format::{self, Received};
use crate::sinks::{Item, Verdict};
use crate::spool::{Damage, NewEntry, Origin, Read, Stored, Tally};

/// Consecutive positions, each with its fate.
#[derive(Debug, Default)]
pub(super) struct Batch {
    slots: Vec<Slot>,
    /// What has not been settled yet, in order.
    pub(super) items: Vec<Item>,
}

#[derive(Debug)]
struct Slot {
    last: u64,
    /// Events it stands for; more than one only for damage.
    count: u64,
    fate: Fate,
}

#[derive(Debug)]
enum Fate {
    Sent(Stored),
    Delivered,
    Filtered,
    Dead(String, Box<NewEntry>),
}

/// What may be committed: everything up to the first position that is not settled.
#[derive(Debug, Default)]
pub(super) struct Settled {
    pub(super) position: Option<u64>,
    pub(super) tally: Tally,
    /// How many of the dead letters are events that could not be read back.
    pub(super) damaged: u64,
    pub(super) dead_letters: Vec<(String, NewEntry)>,
}

impl Batch {
    /// Takes from the front of `waiting` what fits into the sink's batch.
    pub(super) fn take(waiting: &mut VecDeque<Read>, sink: &config::Sink) -> Batch {
        let mut batch = Batch::default();
        let mut bytes = 0;
        while batch.slots.len() < sink.batch.events && bytes < sink.batch.bytes {
            let Some(read) = waiting.pop_front() else { break };
            let slot = match read {
                Read::Event(stored) => {
                    Slot { last: stored.position, count: 1, fate: fate(stored, sink) }
                }
                Read::Damaged(damage) => damaged(damage, sink),
            };
            if let Fate::Sent(stored) = &slot.fate {
                let received = Received {
                    raw: &stored.bytes,
                    received_at: stored.received_at,
                    source: &stored.source,
                };
                let payload = format::render(sink.format, sink.wrap, received);
                if bytes > 0 && bytes + payload.len() > sink.batch.bytes {
                    waiting.push_front(Read::Event(stored.clone()));
                    break;
                }
                bytes += payload.len();
                batch.items.push(Item { position: stored.position, payload });
            }
            batch.slots.push(slot);
        }
        batch
    }

    /// Settles items by the target's verdicts; what has to be sent again stays in `items`. A verdict
    /// that is missing counts as one to retry.
    pub(super) fn settle(&mut self, verdicts: Vec<Verdict>, sink: &Arc<str>, attempts: u32) {
        let mut verdicts = verdicts.into_iter();
        let Batch { slots, items } = self;
        items.retain(|item| {
            let Some(verdict) = verdicts.next() else { return true };
            let found = slots.binary_search_by_key(&item.position, |slot| slot.last);
            let Some(slot) = found.ok().and_then(|index| slots.get_mut(index)) else { return true };
            match verdict {
                Verdict::Delivered => slot.fate = Fate::Delivered,
                Verdict::Rejected { reason } => slot.reject(sink, attempts, &reason),
                Verdict::Retry { .. } | Verdict::Fatal { .. } => return true,
            }
            false
        });
    }

    /// The settled prefix.
    pub(super) fn into_settled(self) -> Settled {
        let mut settled = Settled::default();
        for Slot { last, count, fate } in self.slots {
            match fate {
                Fate::Sent(_) => break,
                Fate::Delivered => settled.tally.delivered += count,
                Fate::Filtered => settled.tally.filtered += count,
                Fate::Dead(source, entry) => {
                    settled.tally.dead_lettered += count;
                    settled.damaged += if entry.origin == Origin::Damage { count } else { 0 };
                    settled.dead_letters.push((source, *entry));
                }
            }
            settled.position = Some(last);
        }
        settled
    }
}

impl Slot {
    fn reject(&mut self, sink: &Arc<str>, attempts: u32, reason: &str) {
        let Fate::Sent(stored) = &self.fate else { return };
        let detail = format!("refused by the target on attempt {}: {reason}", attempts + 1);
        self.fate = dead(stored, sink, "rejected", detail);
    }
}

/// What is to be done with an event: filtered, refused by our own decoder, or sent.
fn fate(stored: Stored, sink: &config::Sink) -> Fate {
    if stored.only_sink.as_deref().is_some_and(|only| only != sink.name) {
        return Fate::Filtered;
    }
    match decode::event(&stored.bytes) {
        Ok(typed) => match typed.event {
            Event::DeliveryTest(_) if !sink.test_events => Fate::Filtered,
            _ => Fate::Sent(stored),
        },
        // Only a version that accepts less than the one that spooled it comes here.
        Err(refusal) => {
            dead(&stored, &sink.name.as_str().into(), refusal.reason.as_str(), refusal.detail)
        }
    }
}

fn dead(stored: &Stored, sink: &Arc<str>, reason: &'static str, detail: String) -> Fate {
    let entry = NewEntry {
        origin: Origin::DeadLetter,
        key: None,
        reason,
        detail,
        path: "$".to_owned(),
        index: 0,
        request_id: String::new(),
        encoding: String::new(),
        sink: Some(Arc::clone(sink)),
        bytes: stored.bytes.clone(),
    };
    Fate::Dead(stored.source.to_string(), Box::new(entry))
}

fn damaged(damage: Damage, sink: &config::Sink) -> Slot {
    let entry = NewEntry {
        origin: Origin::Damage,
        key: None,
        reason: "damaged",
        detail: format!("events {} to {}: {}", damage.first, damage.last, damage.detail),
        path: String::new(),
        index: 0,
        request_id: String::new(),
        encoding: String::new(),
        sink: Some(sink.name.as_str().into()),
        bytes: damage.bytes,
    };
    let fate = Fate::Dead(damage.source, Box::new(entry));
    Slot { last: damage.last, count: damage.last + 1 - damage.first, fate }
}

//! Ring of the last accepted events, as stored, for the live tail.
//!
//! Readers read the ring at their own pace and learn how many events were overwritten before they read them. Readers
//! never block a writer, and the size of the ring is bounded.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::watch;

use super::kind::Kind;
use super::summaries::{EventHeader, EventSummary, MAX_SHOWN_BYTES};
use crate::decode;

/// Maximum number of events in the ring, without and with readers.
const MAX_UNWATCHED_EVENTS: usize = 50;
const MAX_WATCHED_EVENTS: usize = 2000;

/// Maximum number of events copied per second without readers. Beyond it, only the last event of a batch is
/// copied.
const MAX_UNWATCHED_PER_SECOND: usize = 1000;

/// Maximum bytes of all events. The events of a batch share one allocation, which lives as long as its last event,
/// so twice as much may be allocated.
const MAX_RING_BYTES: usize = 2 * 1024 * 1024;

/// Upper bound of an event's memory besides its bytes.
const EVENT_OVERHEAD_BYTES: usize = 768;

/// Maximum number of concurrent readers.
const MAX_READERS: usize = 16;

/// One event, as shown.
#[derive(Debug, Clone, Serialize)]
pub struct ShownEvent {
    /// Number of the event since the start, from 1.
    pub sequence: u64,
    /// Receive time, in ms since the Unix epoch.
    pub received_at: i64,
    /// Name of the source.
    pub source: Box<str>,
    /// Type, as in metrics.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// `action.type`.
    pub action: Box<str>,
    /// Outcome, as in metrics.
    pub outcome: &'static str,
    /// The event's `id`.
    pub id: Box<str>,
    /// Flow id; empty without a flow.
    pub flow_id: Box<str>,
    /// Flow name; empty without one.
    pub flow_name: Box<str>,
    /// Size of the stored event in bytes.
    pub bytes: usize,
    /// Event; `null` above 64 KiB.
    pub event: Option<Box<RawValue>>,
}

/// Events that a reader has not read yet.
#[derive(Debug, Default)]
pub struct TailUpdate {
    /// Number of events overwritten before they were read.
    pub missed: u64,
    /// Events in order.
    pub events: Vec<TailEvent>,
}

/// One event in the ring. Its shown form is computed on demand.
#[derive(Debug, Clone)]
pub struct TailEvent {
    /// Number of the event since the start, from 1.
    pub sequence: u64,
    /// Type of the event.
    pub kind: Kind,
    /// Outcome, as in metrics.
    pub outcome: &'static str,
    /// Name of the source.
    pub source: Arc<str>,
    /// Stored event; empty if too large to be shown.
    pub bytes: Bytes,
    received_at: i64,
    /// Size of the stored event in bytes.
    size: usize,
    /// Texts to show, if `bytes` is empty for its size.
    head: Option<Arc<EventHeader>>,
}

#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<TailEvent>,
    bytes: usize,
    /// Number of the last event.
    last: u64,
    /// Second of the last copy without readers, in s since the Unix epoch, and the number of events copied in it.
    second: i64,
    copied: usize,
}

/// The ring and its notification.
#[derive(Debug)]
pub(super) struct EventTail {
    ring: Mutex<Ring>,
    last: watch::Sender<u64>,
}

/// A reader of the ring.
#[derive(Debug)]
pub struct TailReader {
    last: watch::Receiver<u64>,
    /// Number of the last event read, or 0.
    read: u64,
}

impl EventTail {
    pub(super) fn new() -> EventTail {
        EventTail { ring: Mutex::default(), last: watch::Sender::new(0) }
    }

    /// Adds the new events of a batch.
    pub(super) fn push<'a>(
        &self,
        source: &str,
        received_at: i64,
        notes: impl Iterator<Item = &'a EventSummary>,
        count: usize,
    ) {
        let is_watched = self.last.receiver_count() > 0;
        let max_events = if is_watched { MAX_WATCHED_EVENTS } else { MAX_UNWATCHED_EVENTS };
        let take = if is_watched {
            max_events
        } else {
            self.unwatched(received_at, count.min(max_events))
        };
        // Events that the same batch would overwrite are not copied.
        let notes: Vec<&EventSummary> = notes.skip(count.saturating_sub(take)).collect();
        let notes = that_fit(&notes);
        let copies = copies(notes);
        let source: Arc<str> = source.into();
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = count - notes.len();
        if passed > 0 {
            ring.clear();
        }
        ring.last += passed as u64;
        for (note, bytes) in notes.iter().zip(copies) {
            ring.last += 1;
            let sequence = ring.last;
            ring.push(TailEvent {
                sequence,
                received_at,
                source: Arc::clone(&source),
                kind: note.kind,
                outcome: note.outcome.as_str(),
                size: note.bytes.len(),
                head: note.head.as_deref().map(|head| Arc::new(head.clone())),
                bytes,
            });
        }
        while ring.bytes > MAX_RING_BYTES || ring.events.len() > max_events {
            ring.pop();
        }
        let last = ring.last;
        drop(ring);
        // Concurrent batches must not move the number backwards.
        self.last.send_if_modified(|known| std::mem::replace(known, last.max(*known)) < last);
    }

    /// Returns the number of events to copy without readers.
    fn unwatched(&self, now: i64, count: usize) -> usize {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let second = now.div_euclid(1000);
        if ring.second != second {
            (ring.second, ring.copied) = (second, 0);
        }
        if ring.copied + count > MAX_UNWATCHED_PER_SECOND {
            return 1;
        }
        ring.copied += count;
        count
    }

    /// Registers a reader that starts at the oldest event; `None` above `MAX_READERS`.
    pub(super) fn watch(&self) -> Option<TailReader> {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        if self.last.receiver_count() >= MAX_READERS {
            return None;
        }
        let oldest = ring.events.front().map_or(ring.last + 1, |event| event.sequence);
        Some(TailReader { last: self.last.subscribe(), read: oldest - 1 })
    }

    /// Returns the events that the reader has not read yet.
    pub(super) fn read(&self, watcher: &mut TailReader) -> TailUpdate {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let start = ring.events.partition_point(|event| event.sequence <= watcher.read);
        let events: Vec<TailEvent> = ring.events.range(start..).cloned().collect();
        let missed = (ring.last - watcher.read) - events.len() as u64;
        watcher.read = ring.last;
        TailUpdate { missed, events }
    }
}

impl Ring {
    fn push(&mut self, event: TailEvent) {
        self.bytes += event.bytes.len() + EVENT_OVERHEAD_BYTES;
        self.events.push_back(event);
    }

    fn pop(&mut self) {
        if let Some(removed) = self.events.pop_front() {
            self.bytes -= removed.bytes.len() + EVENT_OVERHEAD_BYTES;
        }
    }

    fn clear(&mut self) {
        self.events.clear();
        self.bytes = 0;
    }
}

impl TailReader {
    /// Waits until there is an unread event.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again at any time.
    pub async fn changed(&mut self) {
        let read = self.read;
        // The sender is dropped only at the end of the process.
        if self.last.wait_for(|last| *last > read).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Marks the events after `sequence` as unread.
    pub fn again_after(&mut self, sequence: u64) {
        self.read = sequence;
    }
}

impl TailEvent {
    /// Returns the shown form. The event is decoded again, because few events are ever shown.
    pub fn show(&self) -> ShownEvent {
        let head = match &self.head {
            Some(head) => EventHeader::clone(head),
            None => decode::event(&self.bytes)
                .map(|typed| EventHeader::of(&typed.event))
                .unwrap_or_default(),
        };
        let EventHeader { action, id, flow_id, flow_name } = head;
        ShownEvent {
            sequence: self.sequence,
            received_at: self.received_at,
            source: Box::from(&*self.source),
            kind: self.kind.as_str(),
            action,
            outcome: self.outcome,
            id,
            flow_id,
            flow_name,
            bytes: self.size,
            event: raw(&self.bytes),
        }
    }
}

/// Returns the last summaries whose events fit into the ring.
fn that_fit<'n, 'a>(notes: &'n [&'a EventSummary]) -> &'n [&'a EventSummary] {
    let mut bytes = 0;
    let fit = notes.iter().rev().take_while(|note| {
        bytes += shown(note).len() + EVENT_OVERHEAD_BYTES;
        bytes <= MAX_RING_BYTES
    });
    let fit = fit.count();
    &notes[notes.len() - fit..]
}

/// Copies the events into one allocation, so that the request body is not kept alive.
fn copies(notes: &[&EventSummary]) -> impl Iterator<Item = Bytes> {
    let mut all = Vec::with_capacity(notes.iter().map(|note| shown(note).len()).sum());
    notes.iter().for_each(|note| all.extend_from_slice(shown(note)));
    let mut all = Bytes::from(all);
    notes.iter().map(move |note| all.split_to(shown(note).len()))
}

/// Returns the bytes of an event that are kept: all, or none if too large.
fn shown(note: &EventSummary) -> &[u8] {
    if note.bytes.len() <= MAX_SHOWN_BYTES { &note.bytes } else { &[] }
}

/// Returns an event on one line: line breaks between tokens become spaces.
fn raw(bytes: &[u8]) -> Option<Box<RawValue>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let text = match memchr::memchr2(b'\n', b'\r', bytes) {
        Some(_) => text.replace(['\n', '\r'], " "),
        None => text.to_owned(),
    };
    RawValue::from_string(text).ok()
}

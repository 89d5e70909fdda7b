//! The last accepted events, as they are stored, for whoever looks on.
//!
//! One ring is all there is: who looks on reads from it, at their own pace, and is told what went out of it
//! before they came. Nobody is waited for, and so many bytes are never passed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::watch;

use super::kind::Kind;
use super::summaries::{Head, Note, WHOLE};
use crate::decode;

/// Events that are kept while nobody looks on, and while somebody does.
const UNWATCHED: usize = 50;
const WATCHED: usize = 2000;

/// Events that are taken in a second while nobody looks on. Of each batch beyond that it is the last event: who
/// begins to look on then begins with that one.
const UNWATCHED_IN_A_SECOND: usize = 1000;

/// Bytes of all of them. What a batch brought is in one piece, which goes with the last of its events, so that
/// there may be twice as many.
const BYTES: usize = 2 * 1024 * 1024;

/// What an event takes besides its bytes, at most: itself, and texts that are copied.
const OVERHEAD: usize = 768;

/// Who may look on at once.
const WATCHERS: usize = 16;

/// One event, as it is shown.
#[derive(Debug, Clone, Serialize)]
pub struct Seen {
    /// Counts accepted events from 1, since the start.
    pub sequence: u64,
    /// Milliseconds since the epoch.
    pub received_at: i64,
    /// The configured source.
    pub source: Box<str>,
    /// As in metrics.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// `action.type`.
    pub action: Box<str>,
    /// As in metrics.
    pub outcome: &'static str,
    /// The event's `id`.
    pub id: Box<str>,
    /// Empty if it names none.
    pub flow_id: Box<str>,
    /// Empty if it names none.
    pub flow_name: Box<str>,
    /// Bytes of the event as it is stored.
    pub bytes: usize,
    /// The event; `null` if it is larger than 64 KiB.
    pub event: Option<Box<RawValue>>,
}

/// What a reader finds.
#[derive(Debug, Default)]
pub struct News {
    /// Events that went before it came.
    pub missed: u64,
    /// Events, in order.
    pub events: Vec<Kept>,
}

/// One event in the ring. What is shown of it is made when somebody looks, which is seldom.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Counts accepted events from 1, since the start.
    pub sequence: u64,
    /// What it is about.
    pub kind: Kind,
    /// How it ended, as in metrics.
    pub outcome: &'static str,
    /// The configured source.
    pub source: Arc<str>,
    /// The event as it is stored; nothing if it is too large to be shown.
    pub bytes: Bytes,
    received_at: i64,
    /// Of the whole event.
    size: usize,
    /// Of one whose bytes are not here.
    head: Option<Arc<Head>>,
}

#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<Kept>,
    bytes: usize,
    /// The number of the last event.
    last: u64,
    /// The second in which events were last taken unwatched, and how many in it.
    second: i64,
    taken: usize,
}

/// The ring.
#[derive(Debug)]
pub(super) struct Tail {
    ring: Mutex<Ring>,
    last: watch::Sender<u64>,
}

/// Somebody who looks on.
#[derive(Debug)]
pub struct Watcher {
    last: watch::Receiver<u64>,
    /// The last event that was read, or 0.
    read: u64,
}

impl Tail {
    pub(super) fn new() -> Tail {
        Tail { ring: Mutex::default(), last: watch::Sender::new(0) }
    }

    /// Takes the events of a batch.
    pub(super) fn push<'a>(
        &self,
        source: &str,
        received_at: i64,
        notes: impl Iterator<Item = &'a Note>,
        count: usize,
    ) {
        let is_watched = self.last.receiver_count() > 0;
        let most = if is_watched { WATCHED } else { UNWATCHED };
        let take = if is_watched { most } else { self.unwatched(received_at, count.min(most)) };
        // What would go again at once is not even copied.
        let notes: Vec<&Note> = notes.skip(count.saturating_sub(take)).collect();
        let notes = those_with_room(&notes);
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
            ring.push(Kept {
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
        while ring.bytes > BYTES || ring.events.len() > most {
            ring.pop();
        }
        let last = ring.last;
        drop(ring);
        // Never backwards, though two batches may come at once.
        self.last.send_if_modified(|known| std::mem::replace(known, last.max(*known)) < last);
    }

    /// How many of so many events are taken while nobody looks on.
    fn unwatched(&self, now: i64, count: usize) -> usize {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let second = now.div_euclid(1000);
        if ring.second != second {
            (ring.second, ring.taken) = (second, 0);
        }
        if ring.taken + count > UNWATCHED_IN_A_SECOND {
            return 1;
        }
        ring.taken += count;
        count
    }

    /// One who looks on, from the oldest event that is there; `None` if too many do.
    pub(super) fn watch(&self) -> Option<Watcher> {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        if self.last.receiver_count() >= WATCHERS {
            return None;
        }
        let oldest = ring.events.front().map_or(ring.last + 1, |event| event.sequence);
        Some(Watcher { last: self.last.subscribe(), read: oldest - 1 })
    }

    /// What came after what the watcher has read.
    pub(super) fn read(&self, watcher: &mut Watcher) -> News {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let start = ring.events.partition_point(|event| event.sequence <= watcher.read);
        let events: Vec<Kept> = ring.events.range(start..).cloned().collect();
        let missed = (ring.last - watcher.read) - events.len() as u64;
        watcher.read = ring.last;
        News { missed, events }
    }
}

impl Ring {
    fn push(&mut self, event: Kept) {
        self.bytes += event.bytes.len() + OVERHEAD;
        self.events.push_back(event);
    }

    fn pop(&mut self) {
        if let Some(gone) = self.events.pop_front() {
            self.bytes -= gone.bytes.len() + OVERHEAD;
        }
    }

    fn clear(&mut self) {
        self.events.clear();
        self.bytes = 0;
    }
}

impl Watcher {
    /// Waits until there is something that was not read.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again at any time.
    pub async fn changed(&mut self) {
        let read = self.read;
        // An error means that the observer is gone, and the process with it.
        if self.last.wait_for(|last| *last > read).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// What came after that event has not been read yet.
    pub fn again_after(&mut self, sequence: u64) {
        self.read = sequence;
    }
}

impl Kept {
    /// What is shown of it. It is typed once more: hardly one event in a thousand is ever looked at.
    pub fn show(&self) -> Seen {
        let head = match &self.head {
            Some(head) => Head::clone(head),
            None => {
                decode::event(&self.bytes).map(|typed| Head::of(&typed.event)).unwrap_or_default()
            }
        };
        let Head { action, id, flow_id, flow_name } = head;
        Seen {
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

/// The last ones, as many as there is room for.
fn those_with_room<'n, 'a>(notes: &'n [&'a Note]) -> &'n [&'a Note] {
    let mut bytes = 0;
    let fit = notes.iter().rev().take_while(|note| {
        bytes += shown(note).len() + OVERHEAD;
        bytes <= BYTES
    });
    let fit = fit.count();
    &notes[notes.len() - fit..]
}

/// Copies without the body that the events are a part of, in one piece.
fn copies(notes: &[&Note]) -> impl Iterator<Item = Bytes> {
    let mut all = Vec::with_capacity(notes.iter().map(|note| shown(note).len()).sum());
    notes.iter().for_each(|note| all.extend_from_slice(shown(note)));
    let mut all = Bytes::from(all);
    notes.iter().map(move |note| all.split_to(shown(note).len()))
}

/// What is kept of an event's bytes: all, or nothing.
fn shown(note: &Note) -> &[u8] {
    if note.bytes.len() <= WHOLE { &note.bytes } else { &[] }
}

/// An event on one line. Between tokens, line breaks are spaces; within strings there are none.
fn raw(bytes: &[u8]) -> Option<Box<RawValue>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let text = match memchr::memchr2(b'\n', b'\r', bytes) {
        Some(_) => text.replace(['\n', '\r'], " "),
        None => text.to_owned(),
    };
    RawValue::from_string(text).ok()
}

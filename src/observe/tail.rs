//! The last accepted events, as they are stored, for whoever looks on.
//!
//! One ring is all there is: who looks on reads from it, at their own pace, and is told what went out of it
//! before they came. Nobody is waited for, and so many bytes are never passed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::watch;

use super::summary::{Summary, TEXT};
use super::table::cut;

/// Events that are kept while nobody looks on, and while somebody does.
const UNWATCHED: usize = 50;
const WATCHED: usize = 2000;

/// Bytes of all of them.
const BYTES: usize = 2 * 1024 * 1024;

/// Bytes of one. A larger one is shown without what it says.
const EVENT_BYTES: usize = 64 * 1024;

/// What an event takes besides its bytes, at most: itself, and texts that are copied.
const OVERHEAD: usize = 1280;

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
    pub events: Vec<Seen>,
}

/// One event in the ring. What is shown of it is made when somebody looks, which is seldom.
#[derive(Debug)]
struct Kept {
    sequence: u64,
    received_at: i64,
    source: Box<str>,
    /// Of the whole event.
    bytes: usize,
    summary: Summary,
}

#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<Arc<Kept>>,
    bytes: usize,
    /// The number of the last event.
    last: u64,
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
        events: impl Iterator<Item = &'a Summary>,
        count: usize,
    ) {
        let most = if self.last.receiver_count() > 0 { WATCHED } else { UNWATCHED };
        // What would go again at once is not even copied.
        let passed = count.saturating_sub(most);
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        ring.last += passed as u64;
        for event in events.skip(passed) {
            ring.last += 1;
            let (sequence, source, bytes) = (ring.last, source.into(), event.bytes.len());
            let summary = event.apart(EVENT_BYTES);
            let kept = Kept { sequence, received_at, source, bytes, summary };
            ring.bytes += kept.size();
            ring.events.push_back(Arc::new(kept));
            while ring.bytes > BYTES || ring.events.len() > most {
                let Some(gone) = ring.events.pop_front() else { break };
                ring.bytes -= gone.size();
            }
        }
        let last = ring.last;
        drop(ring);
        // Never backwards, though two batches may come at once.
        self.last.send_if_modified(|known| std::mem::replace(known, last.max(*known)) < last);
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
        watcher.last.mark_unchanged();
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let start = ring.events.partition_point(|event| event.sequence <= watcher.read);
        let events: Vec<Arc<Kept>> = ring.events.range(start..).map(Arc::clone).collect();
        let missed = (ring.last - watcher.read) - events.len() as u64;
        watcher.read = ring.last;
        drop(ring);
        News { missed, events: events.iter().map(|kept| kept.show()).collect() }
    }
}

impl Watcher {
    /// Waits until there is something that was not read.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again at any time.
    pub async fn changed(&mut self) {
        // An error means that the observer is gone, and the process with it.
        if self.last.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Kept {
    fn size(&self) -> usize {
        self.summary.bytes.len() + self.source.len() + OVERHEAD
    }

    fn show(&self) -> Seen {
        let Kept { sequence, received_at, source, bytes, summary } = self;
        let text = |text| Box::from(cut(text, TEXT));
        Seen {
            sequence: *sequence,
            received_at: *received_at,
            source: source.clone(),
            kind: summary.kind.as_str(),
            action: text(summary.action()),
            outcome: summary.outcome.as_str(),
            id: text(summary.id()),
            flow_id: text(summary.flow_id()),
            flow_name: text(summary.flow_name()),
            bytes: *bytes,
            event: raw(&summary.bytes),
        }
    }
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

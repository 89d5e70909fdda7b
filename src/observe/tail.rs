//! The last accepted events, as they are stored, for whoever looks on.
//!
//! One ring is all there is: who looks on reads from it, at their own pace, and is told what went out of it
//! before they came. Nobody is waited for, and so many bytes are never passed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::watch;

use super::summary::Summary;
use super::table::cut;

/// Events that are kept while nobody looks on, and while somebody does.
const UNWATCHED: usize = 200;
const WATCHED: usize = 2000;

/// Bytes of all of them.
const BYTES: usize = 2 * 1024 * 1024;

/// Bytes of one. A larger one is shown without what it says.
const EVENT_BYTES: usize = 64 * 1024;

/// Bytes of a text besides.
const TEXT: usize = 128;

/// What an event takes besides its texts, roughly.
const OVERHEAD: usize = 320;

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
    pub events: Vec<Arc<Seen>>,
}

#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<Arc<Seen>>,
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
            let seen = Arc::new(seen(ring.last, source, received_at, event));
            ring.bytes += seen.size();
            ring.events.push_back(seen);
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
        let events: Vec<Arc<Seen>> = ring.events.range(start..).map(Arc::clone).collect();
        let missed = (ring.last - watcher.read) - events.len() as u64;
        watcher.read = ring.last;
        News { missed, events }
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

impl Seen {
    fn size(&self) -> usize {
        let texts = [&self.source, &self.action, &self.id, &self.flow_id, &self.flow_name];
        let texts: usize = texts.iter().map(|text| text.len()).sum();
        self.event.as_ref().map_or(0, |event| event.get().len()) + texts + OVERHEAD
    }
}

fn seen(sequence: u64, source: &str, received_at: i64, event: &Summary) -> Seen {
    let text = |text| Box::from(cut(text, TEXT));
    Seen {
        sequence,
        received_at,
        source: Box::from(source),
        kind: event.kind.as_str(),
        action: text(event.action()),
        outcome: event.outcome.as_str(),
        id: text(event.id()),
        flow_id: text(event.flow_id()),
        flow_name: text(event.flow_name()),
        bytes: event.bytes.len(),
        event: raw(&event.bytes),
    }
}

/// An event on one line. Between tokens, line breaks are spaces; within strings there are none.
fn raw(bytes: &[u8]) -> Option<Box<RawValue>> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= EVENT_BYTES)?;
    let text = match memchr::memchr2(b'\n', b'\r', bytes) {
        Some(_) => text.replace(['\n', '\r'], " "),
        None => text.to_owned(),
    };
    RawValue::from_string(text).ok()
}

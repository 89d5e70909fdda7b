//! Ids of the received events: in the spool, among the remembered ids, and in quarantine.
//!
//! One pass over the spool collects the ids of audit events near the time range and of flow runs: about 150 bytes of
//! memory per audit event, and 100 per run.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use memchr::memmem;

use super::{Comparison, Progress, ReconcileError};
use crate::decode;
use crate::event::{Event, Interaction};
use crate::spool::inspect::{self, Inspection};
use crate::spool::{DedupKey, EntryOrigin, Millis, Query, ReadError, StoredEvent};

/// Distance from the time range within which an event is still collected: `recordedAt` here may differ from PingOne's.
const MARGIN: Millis = 3_600_000;

/// Difference of PingOne's clock and this machine's up to which an event's absence is judged rightly.
const CLOCK_MARGIN: Millis = 900_000;

/// Quarantine entries per query.
const PAGE_ENTRIES: u32 = 1000;

/// Received events of one source.
pub(super) struct LocalIndex {
    spool: Inspection,
    events: HashMap<Box<str>, LocalEvent>,
    runs: HashSet<Box<str>>,
    quarantined: HashSet<Box<str>>,
    /// Receive time before which events may have been removed; `None` if none was removed.
    removed_before: Option<Millis>,
    /// Time from which the key of each accepted event is remembered; `None` if that is not known.
    remembered_from: Option<Millis>,
    pub(super) searched_events: u64,
    pub(super) unsearched_entries: u64,
}

/// A received audit event.
pub(super) struct LocalEvent {
    pub(super) recorded_at: Millis,
    pub(super) kind: Arc<str>,
    /// True once PingOne has listed it.
    pub(super) is_listed: bool,
}

impl LocalIndex {
    pub(super) fn read(
        comparison: &Comparison<'_>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<LocalIndex, ReconcileError> {
        let spool = inspect::open(comparison.spool)?;
        let mut collector = IdCollector::new(comparison);
        let unread = spool.each_event(
            |stored| collector.add(&stored),
            |done, total| progress(Progress::Spool(done, total)),
        )?;
        let stats = spool.stats()?;
        let remembered_from = spool.keys_since()?;
        let has_removed = stats.head > stats.events || !unread.is_empty();
        let removed_before = match unread.is_empty() {
            true => has_removed.then(|| stats.oldest_at.unwrap_or(Millis::MAX)),
            false => Some(Millis::MAX),
        };
        let mut index = LocalIndex {
            spool,
            events: collector.events,
            runs: collector.runs,
            quarantined: HashSet::new(),
            removed_before,
            remembered_from,
            searched_events: collector.searched,
            unsearched_entries: 0,
        };
        index.read_quarantine(comparison.source)?;
        Ok(index)
    }

    /// Adds the ids in quarantine entries of the source, also those in bytes that are not JSON.
    fn read_quarantine(&mut self, source: &str) -> Result<(), ReadError> {
        let mut after = 0;
        loop {
            let page =
                self.spool.quarantine(&Query { after, limit: PAGE_ENTRIES, ..Query::default() })?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.id;
            for summary in page.iter().filter(|summary| summary.source == source) {
                // A dead letter is an event that was accepted.
                let is_received =
                    matches!(summary.origin, EntryOrigin::Element | EntryOrigin::Body);
                if !is_received || !summary.encoding.is_empty() {
                    self.unsearched_entries += u64::from(is_received);
                    continue;
                }
                // An entry that was retried or purged meanwhile is absent.
                if let Some(entry) = self.spool.entry(summary.id)? {
                    self.quarantined.extend(values_of(&entry.bytes, b"\"id\""));
                    self.quarantined.extend(values_of(&entry.bytes, b"\"interactionId\""));
                }
            }
        }
    }

    /// Returns for each key if it is remembered; all false if that is not known.
    pub(super) fn remembers(&self, keys: &[DedupKey]) -> Result<Vec<bool>, ReadError> {
        let found = self.spool.remembers(keys)?;
        Ok(if found.is_empty() { vec![false; keys.len()] } else { found })
    }

    pub(super) fn event(&mut self, id: &str) -> Option<&mut LocalEvent> {
        self.events.get_mut(id)
    }

    pub(super) fn is_quarantined(&self, id: &str) -> bool {
        self.quarantined.contains(id)
    }

    pub(super) fn has_run(&self, id: &str) -> bool {
        self.runs.contains(id)
    }

    /// Reads the spool again, for runs that were received after the first look.
    pub(super) fn refresh_runs(&mut self, comparison: &Comparison<'_>) -> Result<(), ReadError> {
        let mut collector = IdCollector::new(comparison);
        self.spool.each_event(|stored| collector.add(&stored), |_, _| ())?;
        self.runs.extend(collector.runs);
        Ok(())
    }

    /// Returns true if an audit event of this time would have been found, had it been received.
    pub(super) fn is_certain(&self, recorded_at: Millis) -> bool {
        self.is_retained(recorded_at)
            || self.remembered_from.is_some_and(|from| is_safely_after(recorded_at, from))
    }

    /// Returns true if every event that was recorded since this time is in the spool, had it been received.
    pub(super) fn is_retained(&self, since: Millis) -> bool {
        self.removed_before.is_none_or(|before| is_safely_after(since, before))
    }

    /// Returns the events of a time range that PingOne has not listed, by time.
    pub(super) fn unlisted(&self, range: &Range<Millis>) -> Vec<(&str, &LocalEvent)> {
        let is_unlisted =
            |event: &LocalEvent| !event.is_listed && range.contains(&event.recorded_at);
        let found = self.events.iter().filter(|(_, event)| is_unlisted(event));
        let mut found: Vec<_> = found.map(|(id, event)| (&**id, event)).collect();
        found.sort_unstable_by_key(|(id, event)| (event.recorded_at, *id));
        found
    }
}

/// Returns true if a time of PingOne is after a time of this machine, whatever their clocks differ by.
fn is_safely_after(recorded_at: Millis, received_at: Millis) -> bool {
    recorded_at >= received_at.saturating_add(CLOCK_MARGIN)
}

/// Collects the ids of one source.
struct IdCollector<'a> {
    source: &'a str,
    range: Range<Millis>,
    events: HashMap<Box<str>, LocalEvent>,
    runs: HashSet<Box<str>>,
    kinds: HashSet<Arc<str>>,
    searched: u64,
}

impl IdCollector<'_> {
    fn new<'a>(comparison: &Comparison<'a>) -> IdCollector<'a> {
        let Range { start, end } = comparison.range;
        IdCollector {
            source: comparison.source,
            range: start.saturating_sub(MARGIN)..end.saturating_add(MARGIN),
            events: HashMap::new(),
            runs: HashSet::new(),
            kinds: HashSet::new(),
            searched: 0,
        }
    }

    fn add(&mut self, stored: &StoredEvent) {
        if &*stored.source != self.source {
            return;
        }
        self.searched += 1;
        // A corrected dead letter of an earlier version may be no event.
        let Ok(typed) = decode::event(&stored.bytes) else { return };
        let envelope = typed.event.envelope();
        let recorded_at = envelope.recorded_at.timestamp_millis();
        if !self.range.contains(&recorded_at) {
            return;
        }
        match &typed.event {
            Event::DeliveryTest(_) => {}
            Event::Interaction(event) => {
                if let Interaction::StartInteraction(_) = event.interaction {
                    self.runs.insert((&*event.flow.interaction_id).into());
                }
            }
            Event::Admin(_) | Event::Other(_) => {
                let kind = self.kind(&envelope.action.kind);
                let event = LocalEvent { recorded_at, kind, is_listed: false };
                self.events.insert((&*envelope.id).into(), event);
            }
        }
    }

    fn kind(&mut self, kind: &str) -> Arc<str> {
        if let Some(known) = self.kinds.get(kind) {
            return Arc::clone(known);
        }
        let new: Arc<str> = kind.into();
        self.kinds.insert(Arc::clone(&new));
        new
    }
}

/// Returns the string values of a field anywhere in bytes that may be broken JSON. Values with escapes are left out.
fn values_of(bytes: &[u8], field: &[u8]) -> Vec<Box<str>> {
    let value = |start: usize| {
        let rest = bytes[start + field.len()..].trim_ascii_start();
        let rest = rest.strip_prefix(b":")?.trim_ascii_start().strip_prefix(b"\"")?;
        let value = &rest[..memchr::memchr(b'"', rest)?];
        std::str::from_utf8(value).ok().filter(|value| !value.contains('\\')).map(Box::from)
    };
    memmem::find_iter(bytes, field).filter_map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_in_whole_and_in_broken_bytes() {
        for (bytes, expected) in [
            (r#"{"id":"a","resources":[{"id":"b"}]}"#, &["a", "b"][..]),
            (r#"[{"id" : "a"},{"id":"b","#, &["a", "b"]),
            (r#"{"id":7,"uid":"x","note":"id"}"#, &[]),
            (r#"{"id":"a\u0061"}"#, &[]),
            (r#"{"id":"never closed"#, &[]),
            ("", &[]),
        ] {
            let found = values_of(bytes.as_bytes(), b"\"id\"");
            let found: Vec<&str> = found.iter().map(|value| &**value).collect();
            assert_eq!(found, expected, "{bytes}");
        }
    }
}

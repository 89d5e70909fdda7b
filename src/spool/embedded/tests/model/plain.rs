//! The model: accepted events, cursors, remembered ids and refusals.

use std::collections::{BTreeMap, VecDeque};

use super::*;

/// Events that are stored and removed together.
#[derive(Debug)]
pub(super) struct ModelChunk {
    pub(super) events: Vec<StoredEvent>,
    /// Rest of the body, if it is damaged.
    pub(super) damage: Option<Bytes>,
}

impl ModelChunk {
    pub(super) fn first(&self) -> u64 {
        self.events.first().expect("a chunk has events").position
    }

    pub(super) fn last(&self) -> u64 {
        self.events.last().expect("a chunk has events").position
    }

    pub(super) fn received_at(&self) -> Millis {
        self.events.first().expect("a chunk has events").received_at
    }
}

/// The expected state of a spool.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) settings: SpoolConfig,
    pub(super) now: Millis,
    pub(super) head: u64,
    pub(super) trimmed: u64,
    pub(super) chunks: VecDeque<ModelChunk>,
    /// State that each commit stores.
    pub(super) ids: VecDeque<(Millis, Vec<DedupKey>)>,
    /// The sinks that keep events from being trimmed.
    pub(super) awaited: Vec<Arc<str>>,
    pub(super) cursors: BTreeMap<Arc<str>, Registered>,
    pub(super) entries: BTreeMap<i64, (Millis, Arc<str>, NewEntry)>,
    pub(super) last_entry: i64,
    pub(super) totals: BTreeMap<(String, Disposition), u64>,
    pub(super) is_full: bool,
    /// Largest batch that found no room in quarantine, until it would find room.
    pub(super) wanted: u64,
}

impl Model {
    pub(super) fn new(settings: SpoolConfig, now: Millis) -> Model {
        Model {
            settings,
            now,
            head: 0,
            trimmed: 0,
            chunks: VecDeque::new(),
            ids: VecDeque::new(),
            awaited: Vec::new(),
            cursors: BTreeMap::new(),
            entries: BTreeMap::new(),
            last_entry: 0,
            totals: BTreeMap::new(),
            is_full: false,
            wanted: 0,
        }
    }

    /// Sinks that keep events, unknown to a new process.
    pub(super) fn restart(&mut self) {
        self.awaited.clear();
    }

    /// Appends a batch of `size` bytes after `used` bytes are in use. The model does not know the state of the disk,
    /// nor the pages that removed events have freed: it takes them from `answered`.
    pub(super) fn append(
        &mut self,
        batch: &Batch,
        used: u64,
        size: u64,
        answered: &Result<Receipt, AppendError>,
    ) -> Result<Receipt, AppendError> {
        let is_copy = batch.only_sink.is_some() && batch.resolves.is_none();
        let fits = *answered != Err(AppendError::DiskFull);
        let is_above = |model: &Model| model.has_events() && used + size > model.percent(95);
        let (before, is_pressed) = (self.trimmed, !is_copy && size > 0 && is_above(self));
        if is_pressed {
            self.remember(Vec::new());
            self.trim(used, true);
        }
        if before == self.trimmed {
            self.begin(used);
            self.is_full |= !is_copy && is_above(self);
        } else {
            self.is_full = *answered == Err(AppendError::Full);
        }
        let mut added = Vec::new();
        let result = if self.is_full || is_copy && used + size > self.percent(70) {
            Err(AppendError::Full)
        } else if !self.has_room(self.refused_by(batch), true) {
            Err(AppendError::QuarantineFull)
        } else if !fits {
            Err(AppendError::DiskFull)
        } else if batch.resolves.is_some_and(|id| self.entries.remove(&id).is_none()) {
            Err(AppendError::EntryGone)
        } else {
            Ok(self.take(batch, &mut added))
        };
        self.tidy(added, used);
        result
    }

    fn take(&mut self, batch: &Batch, added: &mut Vec<DedupKey>) -> Receipt {
        let known: Vec<DedupKey> =
            self.ids.iter().flat_map(|(_, keys)| keys.iter().copied()).collect();
        let mut is_new = |key| {
            let is_new = !known.contains(&key) && !added.contains(&key);
            added.extend(is_new.then_some(key));
            is_new
        };
        let (mut fresh, mut repeated): (Vec<&NewEvent>, _) = (Vec::new(), Vec::new());
        for (event, index) in batch.events.iter().zip(0..) {
            match batch.only_sink.is_some() || is_new(event.key) {
                true => fresh.push(event),
                false => repeated.push(index),
            }
        }
        let entries: Vec<&NewEntry> =
            batch.quarantine.iter().filter(|entry| entry.key.is_none_or(&mut is_new)).collect();
        let (accepted, quarantined) = (fresh.len() as u64, entries.len() as u64);
        let received = (batch.events.len() + batch.quarantine.len()) as u64;
        let duplicates = received - accepted - quarantined;
        for entry in entries {
            self.put_aside(batch.received_at, &batch.source, entry.clone());
        }
        // A large event has a chunk to itself.
        let is_small = |event: &NewEvent| event.bytes.len() < 1024;
        for events in fresh.chunk_by(|one, next| is_small(one) && is_small(next)) {
            let stored = |event: &&NewEvent| {
                self.head += 1;
                StoredEvent {
                    position: self.head,
                    received_at: batch.received_at,
                    source: Arc::clone(&batch.source),
                    only_sink: batch.only_sink.clone(),
                    bytes: event.bytes.clone(),
                }
            };
            let events = events.iter().map(stored).collect();
            self.chunks.push_back(ModelChunk { events, damage: None });
        }
        let disposition = match (batch.resolves, &batch.only_sink) {
            (Some(_), _) => Disposition::Released,
            (None, Some(_)) => Disposition::Replayed,
            (None, None) => Disposition::Accepted,
        };
        self.count(&batch.source, disposition, accepted);
        if disposition != Disposition::Replayed {
            self.count(&batch.source, Disposition::Duplicate, duplicates);
        }
        if disposition == Disposition::Accepted {
            self.count(&batch.source, Disposition::Quarantined, quarantined);
        }
        Receipt { accepted, duplicates, quarantined, repeated }
    }

    /// Size that a batch adds to the quarantine.
    fn refused_by(&self, batch: &Batch) -> u64 {
        let known = self.ids.iter().flat_map(|(_, keys)| keys);
        let mut known: Vec<DedupKey> = known.copied().collect();
        let mut size = 0;
        for entry in &batch.quarantine {
            match entry.key {
                Some(key) if known.contains(&key) => continue,
                Some(key) => known.push(key),
                None => {}
            }
            size += entry.size();
        }
        size
    }

    fn has_room(&mut self, size: u64, is_undivided: bool) -> bool {
        let (used, max) = (self.quarantined(), self.settings.quarantine_max_size);
        let has_room = size == 0 || used + size <= max || is_undivided && size > max && used < max;
        if !has_room {
            self.wanted = self.wanted.max(if size > max { 1 } else { size });
        }
        has_room
    }

    pub(super) fn quarantined(&self) -> u64 {
        self.entries.values().map(|(_, _, entry)| entry.size()).sum()
    }

    pub(super) fn commit(
        &mut self,
        sink: &Arc<str>,
        position: u64,
        tally: Tally,
        dead_letters: &[(String, NewEntry)],
        used: u64,
    ) -> Result<(), CommitError> {
        self.begin(used);
        let size = dead_letters.iter().map(|(_, entry)| entry.size()).sum();
        if !self.has_room(size, dead_letters.len() == 1) {
            self.tidy(Vec::new(), used);
            return Err(CommitError::QuarantineFull);
        }
        let place = self.cursors.get_mut(sink).expect("a known sink");
        // Committed events stay committed.
        place.cursor = place.cursor.max(position);
        for (source, entry) in dead_letters {
            self.put_aside(self.now, &source.as_str().into(), entry.clone());
        }
        self.count(sink, Disposition::Delivered, tally.delivered);
        self.count(sink, Disposition::Filtered, tally.filtered);
        self.count(sink, Disposition::Sampled, tally.sampled);
        self.count(sink, Disposition::DeadLettered, tally.dead_lettered);
        self.count(sink, Disposition::NotAddressed, tally.not_addressed);
        self.tidy(Vec::new(), used);
        Ok(())
    }

    pub(super) fn register(&mut self, sinks: &[(Arc<str>, Start)], used: u64) -> Vec<Registered> {
        self.begin(used);
        let registered = sinks.iter().map(|(sink, start)| {
            if let Some(place) = self.cursors.get(sink) {
                return *place;
            }
            let cursor = if *start == Start::Now { self.head } else { self.trimmed };
            self.count(sink, Disposition::BeforeStart, cursor);
            let new = Registered { cursor, is_paused: false };
            self.cursors.insert(Arc::clone(sink), new);
            new
        });
        let registered = registered.collect();
        self.awaited = sinks.iter().map(|(sink, _)| Arc::clone(sink)).collect();
        self.tidy(Vec::new(), used);
        registered
    }

    pub(super) fn pause(&mut self, sink: &Arc<str>, is_paused: bool, used: u64) {
        self.begin(used);
        if let Some(place) = self.cursors.get_mut(sink) {
            place.is_paused = is_paused;
        }
        self.tidy(Vec::new(), used);
    }

    pub(super) fn remove(&mut self, ids: &[i64], used: u64) -> BTreeMap<Arc<str>, u64> {
        self.begin(used);
        let mut removed = BTreeMap::new();
        for (_, source, _) in ids.iter().filter_map(|id| self.entries.remove(id)) {
            *removed.entry(source).or_default() += 1;
        }
        removed.iter().for_each(|(source, count)| self.count(source, Disposition::Purged, *count));
        self.tidy(Vec::new(), used);
        removed
    }

    /// Result of a read after a position.
    pub(super) fn read(&self, after: u64) -> Vec<Read> {
        let (mut found, mut expected) = (Vec::new(), after + 1);
        for chunk in self.chunks.iter().filter(|chunk| chunk.last() > after) {
            if chunk.first() > expected {
                found.push(Read::Damaged(missing(expected, chunk.first() - 1)));
                expected = chunk.first();
            }
            match &chunk.damage {
                Some(bytes) => found.push(Read::Damaged(Damage {
                    first: expected,
                    last: chunk.last(),
                    source: chunk.events[0].source.to_string(),
                    detail: "the chunk does not match its checksum".to_owned(),
                    bytes: bytes.clone(),
                })),
                None => {
                    let events = chunk.events.iter().filter(|event| event.position >= expected);
                    found.extend(events.cloned().map(Read::Event));
                }
            }
            expected = chunk.last() + 1;
        }
        if expected <= self.head {
            found.push(Read::Damaged(missing(expected, self.head)));
        }
        found
    }

    /// Expected result of `spool verify`.
    pub(super) fn problems(&self) -> Vec<String> {
        let (mut found, mut previous) = (Vec::new(), self.trimmed);
        for chunk in &self.chunks {
            let (first, last) = (chunk.first(), chunk.last());
            if chunk.damage.is_some() {
                let problem = "the chunk does not match its checksum";
                found.push(format!("events {first} to {last}: {problem}"));
                // The position in its label counts only beside intact chunks.
                if first > previous + 1 {
                    continue;
                }
            }
            if first > previous + 1 {
                found.push(format!("the events before {first} are missing"));
            }
            previous = last;
        }
        if previous < self.head {
            found.push(format!("the events after {previous} are missing"));
        }
        found
    }

    pub(super) fn percent(&self, percent: u64) -> u64 {
        self.settings.max_size / 100 * percent
    }

    pub(super) fn ids(&self) -> u64 {
        self.ids.iter().map(|(_, keys)| keys.len() as u64).sum()
    }

    /// Begins a commit: there may be room again.
    fn begin(&mut self, used: u64) {
        self.is_full = self.has_events() && used > self.percent(if self.is_full { 70 } else { 95 });
    }

    /// Ends a commit, before which `used` bytes were in use.
    fn tidy(&mut self, added: Vec<DedupKey>, used: u64) {
        if self.quarantined() + self.wanted <= self.settings.quarantine_max_size {
            self.wanted = 0;
        }
        self.remember(added);
        self.trim(used, false);
    }

    fn has_events(&self) -> bool {
        self.trimmed < self.head
    }

    fn remember(&mut self, added: Vec<DedupKey>) {
        if !added.is_empty() {
            self.ids.push_back((self.now, added));
        }
        let oldest = self.now - millis(self.settings.dedup_window);
        let most = self.settings.dedup_max_ids;
        while self.ids.front().is_some_and(|(at, _)| *at < oldest || self.ids() > most) {
            self.ids.pop_front();
        }
    }

    /// Removes the events that every sink has passed.
    fn trim(&mut self, used: u64, is_pressed: bool) {
        // Without sinks, no event is passed.
        let Some(passed) = self.awaited.iter().map(|sink| self.cursors[sink].cursor).min() else {
            return;
        };
        let is_tight = is_pressed || used > self.percent(70);
        let keep = if is_tight { 0 } else { millis(self.settings.retention) };
        while let Some(chunk) = self.chunks.front()
            && chunk.last() <= passed
            && !(0..keep).contains(&(self.now - chunk.received_at()))
        {
            self.trimmed = chunk.last();
            self.chunks.pop_front();
        }
        let trimmed = self.trimmed;
        let missed = self.cursors.iter_mut().filter(|(_, place)| place.cursor < trimmed);
        let missed: Vec<_> = missed
            .map(|(sink, place)| {
                (Arc::clone(sink), trimmed - std::mem::replace(&mut place.cursor, trimmed))
            })
            .collect();
        missed.iter().for_each(|(sink, count)| self.count(sink, Disposition::Retired, *count));
    }

    fn put_aside(&mut self, at: Millis, source: &Arc<str>, entry: NewEntry) {
        self.last_entry += 1;
        self.entries.insert(self.last_entry, (at, Arc::clone(source), entry));
    }

    fn count(&mut self, name: &str, disposition: Disposition, count: u64) {
        if count > 0 {
            *self.totals.entry((name.to_owned(), disposition)).or_default() += count;
        }
    }
}

fn millis(time: Duration) -> Millis {
    time.as_millis() as Millis
}

fn missing(first: u64, last: u64) -> Damage {
    let detail = format!("positions {first} to {last} are missing from the spool");
    Damage { first, last, source: String::new(), detail, bytes: Bytes::new() }
}

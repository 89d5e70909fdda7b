//! Index of the log: positions, duplicates and totals, built by every receiver from the messages in order.
//!
//! The position of an event is the count of all events before it, duplicates included, so it depends on the messages
//! alone: every receiver finds the same. The window of keys decides which events are duplicates.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;

use super::checkpoint::{Checkpoint, Mark};
use super::frame::BatchFrame;
use crate::spool::dedup::DedupSet;
use crate::spool::{DedupKey, Disposition};

/// Maximum number of marks: above it, every second one is dropped.
const MAX_MARKS: usize = 65_536;

/// Nanoseconds of a millisecond.
pub(super) const MILLI: i64 = 1_000_000;

/// Bounds of the window of keys.
#[derive(Debug, Clone, Copy)]
pub(super) struct DedupWindow {
    pub(super) age: Duration,
    pub(super) max_keys: u64,
}

/// State of the log up to its last indexed message.
#[derive(Debug)]
pub(super) struct LogIndex {
    pub(super) epoch: String,
    head: Mark,
    /// The last trimmed message and those after it, oldest first: every one, or of a long log one of each `stride`.
    marks: VecDeque<Mark>,
    stride: u64,
    /// Number of messages since the last mark.
    unmarked: u64,
    /// Numbers of the duplicate events within a message, from 0, by the message's sequence.
    repeated: BTreeMap<u64, Box<[u32]>>,
    /// Sequences of the messages with quarantine entries after the checkpoint's head.
    with_entries: VecDeque<u64>,
    window: DedupWindow,
    keys: DedupSet,
    /// Keys of each message in the window, with its storage time.
    ages: VecDeque<(i64, Box<[DedupKey]>)>,
    totals: BTreeMap<(String, Disposition), u64>,
    /// Sequence up to which `totals` came from the checkpoint.
    counted: u64,
}

/// Numbers of an index.
#[derive(Debug)]
pub(super) struct LogSummary {
    pub(super) head: Mark,
    /// Number of keys in the window.
    pub(super) keys: u64,
    /// Totals of the sources up to the head.
    pub(super) totals: Vec<(String, Disposition, u64)>,
}

impl LogIndex {
    /// Returns the index at the start of a checkpoint's log.
    pub(super) fn new(checkpoint: &Checkpoint, window: DedupWindow) -> LogIndex {
        let totals = checkpoint.totals.iter();
        LogIndex {
            epoch: checkpoint.epoch.clone(),
            head: checkpoint.trimmed,
            marks: VecDeque::from([checkpoint.trimmed]),
            stride: 1,
            unmarked: 0,
            repeated: BTreeMap::new(),
            with_entries: VecDeque::new(),
            window,
            keys: DedupSet::new(window.max_keys, 0),
            ages: VecDeque::new(),
            totals: totals.map(|(name, kind, count)| ((name.clone(), *kind), *count)).collect(),
            counted: checkpoint.head.sequence,
        }
    }

    /// Adds the next message. `frame` is `None` for a message that davinci-siem has not written: it counts as one
    /// event, which cannot be read.
    pub(super) fn add(&mut self, sequence: u64, at: i64, frame: Option<&BatchFrame>) {
        let events = frame.map_or(1, BatchFrame::events);
        let position = self.head.position + events;
        self.head = Mark { sequence, position, at };
        self.mark();
        let Some(frame) = frame else { return };
        self.forget_old_keys(at);
        let keys = frame.event_keys().iter();
        let is_new: Vec<bool> = keys.map(|key| self.keys.insert(*key)).collect();
        let repeated = is_new.iter().zip(0..).filter(|(is_new, _)| !**is_new);
        let repeated: Box<[u32]> = repeated.map(|(_, number)| number).collect();
        if !repeated.is_empty() {
            self.repeated.insert(sequence, repeated);
        }
        for key in frame.entry_keys() {
            self.keys.insert(*key);
        }
        if !self.keys.tentative().is_empty() {
            self.ages.push_back((at, self.keys.tentative().into()));
            self.keys.make_permanent();
        }
        let entries = frame.entries().count() as u64;
        if sequence > self.counted {
            let mut count = |disposition, count| {
                if count > 0 {
                    *self.totals.entry((frame.head.source.clone(), disposition)).or_default() +=
                        count;
                }
            };
            count(frame.head.disposition, events);
            count(Disposition::Quarantined, entries);
            if entries > 0 {
                self.with_entries.push_back(sequence);
            }
        }
    }

    fn mark(&mut self) {
        self.unmarked += 1;
        if self.unmarked >= self.stride {
            self.marks.push_back(self.head);
            self.unmarked = 0;
        }
        if self.marks.len() > MAX_MARKS {
            let mut is_kept = false;
            self.marks.retain(|_| {
                is_kept = !is_kept;
                is_kept
            });
            self.stride *= 2;
        }
    }

    /// Forgets the keys that have left the window at the time `at`.
    fn forget_old_keys(&mut self, at: i64) {
        let age = i64::try_from(self.window.age.as_nanos()).unwrap_or(i64::MAX);
        let since = at.saturating_sub(age);
        let is_old = |stored: i64, len: u64| stored < since || len > self.window.max_keys;
        while self.ages.front().is_some_and(|(stored, _)| is_old(*stored, self.keys.len())) {
            let Some((_, keys)) = self.ages.pop_front() else { return };
            keys.iter().for_each(|key| self.keys.remove(*key));
        }
    }

    /// Returns the last indexed message.
    pub(super) fn head(&self) -> Mark {
        self.head
    }

    /// Continues after a later message of the checkpoint's log.
    pub(super) fn skip_to(&mut self, mark: Mark) {
        (self.head, self.marks) = (mark, VecDeque::from([mark]));
    }

    /// Returns what the statistics show.
    pub(super) fn summary(&self) -> LogSummary {
        LogSummary { head: self.head, keys: self.keys.len(), totals: self.totals() }
    }

    /// Returns true if the window contains a key.
    pub(super) fn contains(&self, key: DedupKey) -> bool {
        self.keys.contains(key)
    }

    /// Returns the keys in the window, with the storage time of their message in ns, oldest first.
    pub(super) fn remembered(&self) -> impl Iterator<Item = (i64, &[DedupKey])> {
        self.ages.iter().map(|(at, keys)| (*at, &**keys))
    }

    /// Returns the totals up to the head.
    pub(super) fn totals(&self) -> Vec<(String, Disposition, u64)> {
        let totals = self.totals.iter();
        totals.map(|((name, disposition), count)| (name.clone(), *disposition, *count)).collect()
    }

    /// Returns for each key if an event with it would be a duplicate: it is in the window, or among the keys before.
    pub(super) fn known(&self, keys: impl Iterator<Item = DedupKey>) -> Vec<bool> {
        let mut seen = HashSet::new();
        keys.map(|key| self.keys.contains(key) || !seen.insert(key)).collect()
    }

    /// Returns the numbers of the duplicate events within a message, ascending from 0.
    pub(super) fn repeated(&self, sequence: u64) -> Box<[u32]> {
        self.repeated.get(&sequence).cloned().unwrap_or_default()
    }

    /// Returns the sequences of the messages whose entries may not be in the quarantine's stream yet.
    pub(super) fn with_entries(&self) -> Vec<u64> {
        self.with_entries.iter().copied().collect()
    }

    /// Returns the last known message that `is_before` holds for, of those in order.
    pub(super) fn last_mark(&self, is_before: impl Fn(&Mark) -> bool) -> Mark {
        if is_before(&self.head) {
            return self.head;
        }
        let count = self.marks.partition_point(is_before);
        let first = self.marks.front().copied().unwrap_or_default();
        self.marks.get(count.saturating_sub(1)).copied().unwrap_or(first)
    }

    /// Drops what a newer checkpoint makes superfluous.
    pub(super) fn follow(&mut self, checkpoint: &Checkpoint) {
        if checkpoint.epoch != self.epoch {
            return;
        }
        let (trimmed, head) = (checkpoint.trimmed, checkpoint.head.sequence);
        while self.marks.front().is_some_and(|mark| mark.sequence <= trimmed.sequence) {
            self.marks.pop_front();
        }
        self.marks.push_front(trimmed);
        if self.marks.len() < MAX_MARKS / 4 {
            self.stride = 1.max(self.stride / 2);
        }
        self.repeated = self.repeated.split_off(&(trimmed.sequence + 1));
        while self.with_entries.front().is_some_and(|sequence| *sequence <= head) {
            self.with_entries.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::jetstream::frame;
    use crate::spool::{Batch, NewEvent, chunk};

    const SECOND: i64 = 1_000_000_000;

    fn index(seconds: u64, max_keys: u64) -> LogIndex {
        let checkpoint = Checkpoint { epoch: "one".to_owned(), ..Checkpoint::default() };
        LogIndex::new(&checkpoint, DedupWindow { age: Duration::from_secs(seconds), max_keys })
    }

    fn frame(ids: &[u32], disposition: Disposition) -> BatchFrame {
        let event = |id: &u32| NewEvent {
            key: DedupKey::new("pingone", &id.to_string(), (0, 0)),
            bytes: id.to_string().into(),
        };
        let events: Vec<NewEvent> = ids.iter().map(event).collect();
        let chunks = chunk::encode(events.iter().map(|event| event.bytes.as_ref()));
        let batch = Batch { source: "pingone".into(), events, ..Batch::default() };
        frame::parse(&frame::encode(batch, &chunks, disposition, 0, 1 << 20)).expect("a frame")
    }

    fn knows(index: &LogIndex, id: u32) -> bool {
        index.known([DedupKey::new("pingone", &id.to_string(), (0, 0))].into_iter())[0]
    }

    #[test]
    fn duplicates_are_found_within_the_window_and_have_positions() {
        let accepted = Disposition::Accepted;
        let mut index = index(10, 1000);
        index.add(1, SECOND, Some(&frame(&[1, 2, 3], accepted)));
        index.add(2, 2 * SECOND, Some(&frame(&[3, 4, 2, 4], accepted)));
        assert_eq!((&*index.repeated(1), &*index.repeated(2)), (&[][..], &[0, 2, 3][..]));
        // A replay repeats events on purpose.
        index.add(3, 3 * SECOND, Some(&frame(&[1, 2], Disposition::Replayed)));
        assert!(index.repeated(3).is_empty());
        // A message of another program takes a position.
        index.add(4, 3 * SECOND, None);
        assert_eq!(index.head(), Mark { sequence: 4, position: 10, at: 3 * SECOND });
        assert!([1, 2, 3, 4].iter().all(|id| knows(&index, *id)) && !knows(&index, 5));
        // The keys of the first message leave the window; those of the second do not.
        index.add(5, 11 * SECOND + 1, Some(&frame(&[1, 4], accepted)));
        assert_eq!(&*index.repeated(5), [1]);
        assert!(!knows(&index, 2), "it was in the window as long as its first message");
        let totals = index.totals();
        let total = |kind| totals.iter().find(|(_, found, _)| *found == kind).map_or(0, |it| it.2);
        assert_eq!((total(accepted), total(Disposition::Replayed)), (9, 2));
    }

    #[test]
    fn the_window_holds_no_more_keys_than_configured_plus_one_message() {
        let mut index = index(1000, 100);
        for number in 0..100 {
            let ids: Vec<u32> = (number * 10..number * 10 + 10).collect();
            let sequence = u64::from(number) + 1;
            index.add(sequence, SECOND, Some(&frame(&ids, Disposition::Accepted)));
            let keys = index.summary().keys;
            assert!(keys <= 110, "{keys}");
        }
        assert!(knows(&index, 999) && knows(&index, 900) && !knows(&index, 0));
    }

    #[test]
    fn an_index_that_starts_at_a_later_checkpoint_continues_its_numbers_and_totals() {
        let mut whole = index(1000, 1000);
        let frames: Vec<BatchFrame> =
            (0..20).map(|id| frame(&[id, id + 1000], Disposition::Accepted)).collect();
        frames.iter().zip(1..).for_each(|(frame, at)| whole.add(at, 1, Some(frame)));
        for (trimmed, head) in [(0, 0), (0, 20), (5, 5), (5, 12), (12, 20)] {
            let mark = |sequence: u64| Mark { sequence, position: 2 * sequence, at: 1 };
            let checkpoint = Checkpoint {
                epoch: "one".to_owned(),
                trimmed: mark(trimmed),
                head: mark(head),
                totals: vec![("pingone".to_owned(), Disposition::Accepted, 2 * head)],
                ..Checkpoint::default()
            };
            let mut later = LogIndex::new(&checkpoint, whole.window);
            for (frame, sequence) in frames.iter().zip(1..).filter(|(_, it)| *it > trimmed) {
                later.add(sequence, 1, Some(frame));
            }
            assert_eq!((later.head(), later.totals()), (whole.head(), whole.totals()));
            assert_eq!(later.last_mark(|mark| mark.position <= 31).sequence, 15);
            later.follow(&Checkpoint { trimmed: mark(16), ..checkpoint });
            assert_eq!(later.last_mark(|mark| mark.position <= 31).sequence, 16, "the oldest kept");
        }
    }

    #[test]
    fn the_marks_of_a_long_log_are_thinned_out_evenly() {
        let mut index = index(1, 1000);
        let count = 3 * MAX_MARKS as u64;
        (1..=count).for_each(|sequence| index.add(sequence, 1, None));
        assert!(index.marks.len() <= MAX_MARKS);
        for position in [count, count / 2, count / 4, 10] {
            let found = index.last_mark(|mark| mark.position < position).position;
            assert!(found < position && found + 8 >= position, "{found} of {position}");
        }
        assert_eq!(index.last_mark(|_| true).position, count, "the head is exact");
        // A log that becomes short again is marked message by message.
        let trimmed = index.head();
        let checkpoint = Checkpoint { trimmed, epoch: "one".to_owned(), ..Checkpoint::default() };
        (0..4).for_each(|_| index.follow(&checkpoint));
        (1..=9).for_each(|more| index.add(count + more, 1, None));
        assert_eq!(index.last_mark(|mark| mark.position < count + 7).position, count + 6);
    }
}

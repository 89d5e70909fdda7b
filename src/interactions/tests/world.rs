//! A log in memory with a tracker that reads it, and a process that can be killed between any two steps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::model::{self, HistoryStep, SOURCES};
use crate::decode;
use crate::interactions::covered::CoveredRanges;
use crate::interactions::document;
use crate::interactions::tracker::Tracker;
use crate::interactions::{InteractionsConfig, SUMMARY_SOURCE};
use crate::spool::{Millis, Read, StoredEvent, Tally};

pub(super) struct World {
    config: InteractionsConfig,
    log: Vec<StoredEvent>,
    keys: BTreeSet<Vec<u8>>,
    cursor: u64,
    passed: Tally,
    tracker: Tracker,
    clock: Millis,
}

impl World {
    pub(super) fn new(memory: u64) -> World {
        let config = InteractionsConfig {
            enabled: true,
            timeout: Duration::from_millis(model::TIMEOUT as u64),
            settle: Duration::from_millis(model::SETTLE as u64),
            max_age: Duration::from_millis(model::MAX_AGE as u64),
            memory,
            timeouts: [(SOURCES[1].to_owned(), Duration::from_millis(model::OTHER_TIMEOUT as u64))]
                .into(),
        };
        let tracker = Tracker::new(&config, Arc::default(), CoveredRanges::default(), 0);
        World {
            config,
            log: Vec::new(),
            keys: BTreeSet::new(),
            cursor: 0,
            passed: Tally::default(),
            tracker,
            clock: 1_796_032_800_000,
        }
    }

    pub(super) fn log(&self) -> &[StoredEvent] {
        &self.log
    }

    pub(super) fn apply(&mut self, action: &HistoryStep) {
        match action {
            HistoryStep::Event { source, gap, .. } => {
                self.clock += gap;
                let bytes = model::bytes(action, self.log.len(), self.clock);
                self.append(SOURCES[*source], None, bytes);
            }
            HistoryStep::Other => self.append(SOURCES[0], None, model::other_bytes()),
            HistoryStep::Replay(index) => {
                if let Some(stored) = self.log.get(index % self.log.len().max(1)) {
                    let (source, bytes) = (Arc::clone(&stored.source), stored.bytes.to_vec());
                    self.append(&source, Some("siem"), bytes);
                }
            }
            HistoryStep::Read(count) => self.read(*count, true),
            HistoryStep::Wait(time) => {
                self.read(usize::MAX, true);
                self.clock += time;
                self.tracker.tick(self.clock);
                self.store(true);
            }
            HistoryStep::Restart { appends, commits } => {
                self.take(usize::MAX);
                if *appends {
                    self.store(*commits);
                }
                self.restart();
            }
        }
    }

    /// Lets every interaction end, and passes the whole log.
    pub(super) fn settle(&mut self) {
        for _ in 0..3 {
            self.apply(&HistoryStep::Wait(model::MAX_AGE + model::TIMEOUT));
        }
    }

    /// Receives an event of the first source.
    pub(super) fn receive(&mut self, event: &Value) {
        self.clock += 1;
        self.append(SOURCES[0], None, event.to_string().into_bytes());
    }

    /// Returns the first summary of an interaction in the log.
    pub(super) fn stored_summary(&self, id: &Value) -> Value {
        let own = self.log.iter().filter(|stored| *stored.source == *SUMMARY_SOURCE);
        let mut own =
            own.map(|stored| serde_json::from_slice::<Value>(&stored.bytes).expect("JSON"));
        let is_wanted =
            |event: &Value| event["_embedded"]["flowInteractionEvent"]["interactionId"] == *id;
        own.find(is_wanted).expect("a summary")
    }

    fn append(&mut self, source: &str, only_sink: Option<&str>, bytes: Vec<u8>) {
        self.log.push(StoredEvent {
            position: self.log.len() as u64 + 1,
            received_at: self.clock,
            source: source.into(),
            only_sink: only_sink.map(Arc::from),
            bytes: bytes.into(),
        });
    }

    fn read(&mut self, count: usize, commits: bool) {
        self.take(count);
        self.store(commits);
    }

    fn take(&mut self, count: usize) {
        let after = self.tracker.read() as usize;
        let next = self.log[after..].iter().take(count).cloned().map(Read::Event);
        let reads: Vec<Read> = next.collect();
        self.tracker.take(&reads, self.clock);
    }

    /// Stores the summaries that are due; the process may be killed before it moves its cursor.
    fn store(&mut self, commits: bool) {
        for ended in self.tracker.take_ended() {
            let event = document::event(&ended, 0);
            let is_new = self.keys.insert(format!("{:?}", event.key).into_bytes());
            assert!(is_new, "the same summary twice: {}", String::from_utf8_lossy(&event.bytes));
            self.append(SUMMARY_SOURCE, None, event.bytes.to_vec());
        }
        if commits && let Some((position, tally)) = self.tracker.take_passed() {
            assert!(position > self.cursor);
            self.cursor = position;
            self.passed += tally;
        }
    }

    /// Kills the process: only the log and the cursor stay.
    fn restart(&mut self) {
        let mut covered = CoveredRanges::default();
        for stored in self.log.iter().skip(self.cursor as usize) {
            if *stored.source == *SUMMARY_SOURCE {
                covered.note(&decode::event(&stored.bytes).expect("a summary").event);
            }
        }
        self.tracker = Tracker::new(&self.config, Arc::default(), covered, self.cursor);
    }

    /// Returns the facts of every summary in the log, in the order of the first covered event.
    pub(super) fn summaries(&self) -> Vec<Value> {
        let own = self.log.iter().filter(|stored| *stored.source == *SUMMARY_SOURCE);
        let own = own.filter(|stored| stored.only_sink.is_none());
        let mut found: Vec<Value> = own.map(|stored| model::facts(&stored.bytes)).collect();
        found.sort_by_key(|summary| summary["generation"].as_u64());
        found
    }

    /// The dispositions add up to the cursor, which has passed the whole log.
    pub(super) fn check_sums(&self) {
        let Tally { delivered, filtered, not_addressed, .. } = self.passed;
        assert_eq!(delivered + filtered + not_addressed, self.cursor);
        let is_run =
            |stored: &&StoredEvent| stored.only_sink.is_none() && model::run_of(stored).is_some();
        assert_eq!(delivered, self.log.iter().filter(is_run).count() as u64);
        assert_eq!(self.cursor, self.log.len() as u64);
    }

    /// Each event of a run is covered by exactly one summary of its run, which counts it.
    pub(super) fn check_coverage(&self) {
        // Generation, last position and number of events of each summary of a run.
        let mut ranges = BTreeMap::<(String, String), Vec<[u64; 3]>>::new();
        for summary in self.summaries() {
            let text = |name: &str| summary[name].as_str().expect("a text").to_owned();
            let number = |name: &str| summary[name].as_u64().expect("a number");
            let range = ["generation", "lastPosition", "events"].map(number);
            ranges.entry((text("source"), text("interactionId"))).or_default().push(range);
        }
        let mut counted: BTreeMap<u64, u64> = BTreeMap::new();
        for stored in self.log.iter().filter(|stored| stored.only_sink.is_none()) {
            let Some(run) = model::run_of(stored) else { continue };
            let own = ranges.get(&(stored.source.to_string(), run)).expect("a summary of the run");
            let covering: Vec<_> = own
                .iter()
                .filter(|[first, last, _]| (*first..=*last).contains(&stored.position))
                .collect();
            assert_eq!(covering.len(), 1, "position {}", stored.position);
            *counted.entry(covering[0][0]).or_default() += 1;
        }
        let sums: BTreeMap<u64, u64> =
            ranges.values().flatten().map(|[first, _, events]| (*first, *events)).collect();
        assert_eq!(counted, sums);
    }
}

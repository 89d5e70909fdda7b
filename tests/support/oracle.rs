//! The oracle: mints events, remembers every acknowledged id, and checks the output of the sinks.
//!
//! * conservation: each sink has every acknowledged id at least once;
//! * integrity: its payload equals the sent one;
//! * order: the first deliveries of a client's batches have the order of the acknowledgements;
//! * nothing else: no sink has an id that was never sent;
//! * accounting: the dispositions add up.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Mutex;

use rand::Rng;
use rand::seq::IteratorRandom;
use serde_json::Value;

use super::events;

#[derive(Debug, Default)]
pub struct Oracle(Mutex<Book>);

#[derive(Debug, Default)]
struct Book {
    minted: HashMap<String, String>,
    /// Acknowledged ids, by client, in order.
    acknowledged: BTreeMap<u64, Vec<Vec<String>>>,
    /// Sums of the received answers.
    accepted: u64,
    duplicates: u64,
}

/// A batch that is repeated until it is acknowledged.
#[derive(Debug, Clone)]
pub struct Batch {
    pub client: u64,
    pub ids: Vec<String>,
    pub body: String,
    /// Number of times that it was sent.
    pub attempts: u32,
}

impl Oracle {
    /// Returns a batch of new events.
    pub fn mint(&self, client: u64, size: usize) -> Batch {
        let mut book = self.0.lock().expect("a lock");
        let first = book.minted.len();
        let ids: Vec<String> =
            (first..first + size).map(|number| format!("client-{client}-{number}")).collect();
        let texts: Vec<String> = ids
            .iter()
            .map(|id| {
                events::minted_with(id, "quotes \" brackets []{} back\\slash\nline \u{1f600}")
            })
            .collect();
        book.minted.extend(ids.iter().cloned().zip(texts.iter().cloned()));
        Batch { client, ids, body: format!("[{}]", texts.join(",")), attempts: 0 }
    }

    /// Records a 200 for this batch.
    pub fn acknowledge(&self, batch: &Batch, answer: &Value) {
        let number = |member: &str| answer[member].as_u64().expect("a number");
        let sum = number("accepted") + number("duplicates") + number("quarantined");
        assert_eq!(number("received"), sum, "the dispositions of one answer add up: {answer}");
        assert_eq!(sum, batch.ids.len() as u64, "all of the batch is accounted for: {answer}");
        assert_eq!(number("quarantined"), 0, "these events are good: {answer}");
        let mut book = self.0.lock().expect("a lock");
        book.accepted += number("accepted");
        book.duplicates += number("duplicates");
        book.acknowledged.entry(batch.client).or_default().push(batch.ids.clone());
    }

    /// Records that an operator has released this batch from quarantine.
    pub fn release(&self, batch: &Batch) {
        let mut book = self.0.lock().expect("a lock");
        book.acknowledged.entry(batch.client).or_default().push(batch.ids.clone());
    }

    /// Returns the id of any acknowledged event.
    pub fn any_acknowledged(&self, random: &mut impl Rng) -> String {
        let book = self.0.lock().expect("a lock");
        book.ids().choose(random).expect("some event was acknowledged").clone()
    }

    /// Returns the number of acknowledged events.
    pub fn acknowledged(&self) -> usize {
        self.0.lock().expect("a lock").ids().count()
    }

    /// Returns true if these lines contain every acknowledged event.
    pub fn is_complete(&self, lines: &[String]) -> bool {
        let delivered: HashSet<String> = lines.iter().map(|line| events::id(line)).collect();
        self.0.lock().expect("a lock").ids().all(|id| delivered.contains(id))
    }

    /// Checks the lines of one sink. Returns the number of duplicates.
    pub fn judge(&self, sink: &str, lines: &[String]) -> usize {
        let book = self.0.lock().expect("a lock");
        let mut first_at: HashMap<String, usize> = HashMap::new();
        let mut doubled = 0;
        for (index, line) in lines.iter().enumerate() {
            let id = events::id(line);
            let sent =
                book.minted.get(&id).unwrap_or_else(|| panic!("{sink}: {id} was never sent"));
            assert!(events::equal(line, sent), "{sink}: {id} was changed:\n{line}\n{sent}");
            doubled += usize::from(first_at.insert(id.clone(), index).is_some_and(|first| {
                first_at.insert(id, first);
                true
            }));
        }
        let lost: Vec<_> = book.ids().filter(|id| !first_at.contains_key(*id)).collect();
        assert!(lost.is_empty(), "{sink}: {} lost: {:?} …", lost.len(), &lost[..lost.len().min(5)]);
        for (client, batches) in &book.acknowledged {
            let mut last = None;
            for id in batches.iter().flatten() {
                let at = first_at.get(id);
                assert!(last < at, "{sink}: client {client}'s {id} came out of order");
                last = at;
            }
        }
        doubled
    }

    /// Checks the durable totals of `spool stats --json`, after everything was delivered.
    pub fn judge_doors(&self, stats: &Value, sinks: &[&str]) {
        let book = self.0.lock().expect("a lock");
        let total = |name: &str, disposition: &str| {
            let rows = stats["totals"].as_array().expect("rows");
            let row = rows.iter().find(|row| row[0] == name && row[1] == disposition);
            row.map_or(0, |row| row[2].as_u64().expect("a number"))
        };
        let head = stats["head"].as_u64().expect("a number");
        let accepted = total("pingone", "accepted");
        assert_eq!(accepted, head, "every accepted event has a position: {stats}");
        assert_eq!(total("pingone", "quarantined"), 0);
        // After a lost answer, events are accepted without an acknowledgement, and repeated as duplicates.
        let heard = book.accepted + book.duplicates;
        assert_eq!(heard, book.ids().count() as u64);
        assert!(accepted >= book.accepted, "accepted and acknowledged: {stats}");
        assert!(head as usize <= book.minted.len(), "nothing was invented: {stats}");
        drop(book);
        for sink in sinks {
            self.judge_sink(stats, sink);
        }
    }

    /// Checks the record of `spool verify --json`: it covers the stored events up to the cursor of each sink, each with
    /// its disposition, and without trimmed events adds up to the totals.
    pub fn judge_record(verified: &Value, stats: &Value, sinks: &[&str]) {
        let number = |value: &Value| value.as_u64().expect("a number");
        let trimmed = number(&stats["head"]) - number(&stats["events"]);
        for sink in sinks {
            let find = |list: &Value| {
                let list = list.as_array().expect("a list");
                list.iter().find(|found| found["sink"] == *sink).cloned()
            };
            let cursor = number(&find(&stats["sinks"]).expect("the sink")["cursor"]);
            let Some(record) = find(&verified["records"]) else {
                assert_eq!(cursor, trimmed, "sink {sink} has no record: {verified}");
                continue;
            };
            let first = number(&record["first"]);
            assert!(first <= trimmed + 1, "sink {sink}, trimmed {trimmed}: {record}");
            assert_eq!(record["last"], cursor, "sink {sink}: {record}");
            assert_eq!(record["unrecorded"], 0, "sink {sink}: {record}");
            if first == 1 {
                let totals = &stats["dispositions"][sink];
                assert_eq!(&record["dispositions"], totals, "sink {sink}");
            }
        }
    }

    /// Checks one sink's durable totals, after everything was delivered.
    pub fn judge_sink(&self, stats: &Value, sink: &str) {
        let head = stats["head"].as_u64().expect("a number");
        let total = |disposition: &str| {
            let rows = stats["totals"].as_array().expect("rows");
            let row = rows.iter().find(|row| row[0] == sink && row[1] == disposition);
            row.map_or(0, |row| row[2].as_u64().expect("a number"))
        };
        let dispositions = [
            "delivered",
            "filtered",
            "sampled",
            "dead_lettered",
            "not_addressed",
            "repeated",
            "retired",
            "before_start",
        ];
        let settled: u64 = dispositions.iter().map(|disposition| total(disposition)).sum();
        assert_eq!(settled, head, "sink {sink}: the dispositions add up: {stats}");
        let delivered = total("delivered") + total("repeated");
        assert_eq!(delivered, head, "sink {sink}: all was delivered: {stats}");
    }
}

impl Book {
    /// Returns every acknowledged id, each client's in order.
    fn ids(&self) -> impl Iterator<Item = &String> {
        self.acknowledged.values().flatten().flatten()
    }
}

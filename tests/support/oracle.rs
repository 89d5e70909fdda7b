//! The oracle: mints events, remembers every id that was acknowledged, and judges what came out.
//!
//! * conservation: every acknowledged id is in each sink, at least once;
//! * integrity: with a payload equal to what was sent;
//! * order: first deliveries of one client's batches come in the order they were acknowledged;
//! * nothing else: no id that was never sent;
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
    /// What was acknowledged, by client, in order.
    acknowledged: BTreeMap<u64, Vec<Vec<String>>>,
    /// Sums of the answers that arrived.
    accepted: u64,
    duplicates: u64,
}

/// A batch that is sent again and again until it is acknowledged.
#[derive(Debug, Clone)]
pub struct Batch {
    pub client: u64,
    pub ids: Vec<String>,
    pub body: String,
    /// How often it was sent.
    pub attempts: u32,
}

impl Oracle {
    /// A batch of new events.
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

    /// A 200 arrived for this batch.
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

    /// An operator has released this batch out of quarantine.
    pub fn release(&self, batch: &Batch) {
        let mut book = self.0.lock().expect("a lock");
        book.acknowledged.entry(batch.client).or_default().push(batch.ids.clone());
    }

    /// The id of an acknowledged event, whichever.
    pub fn any_acknowledged(&self, random: &mut impl Rng) -> String {
        let book = self.0.lock().expect("a lock");
        book.ids().choose(random).expect("some event was acknowledged").clone()
    }

    /// How many events were acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.0.lock().expect("a lock").ids().count()
    }

    /// Whether each acknowledged event is among these lines.
    pub fn is_complete(&self, lines: &[String]) -> bool {
        let delivered: HashSet<String> = lines.iter().map(|line| events::id(line)).collect();
        self.0.lock().expect("a lock").ids().all(|id| delivered.contains(id))
    }

    /// Judges the lines of one sink. Returns how many were doubled.
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

    /// Judges the durable totals: `spool stats --json`, after everything was delivered.
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
        // An answer that never arrived makes an acceptance nobody heard of, and then duplicates.
        let heard = book.accepted + book.duplicates;
        assert_eq!(heard, book.ids().count() as u64);
        assert!(accepted >= book.accepted, "accepted and acknowledged: {stats}");
        assert!(head as usize <= book.minted.len(), "nothing was invented: {stats}");
        drop(book);
        for sink in sinks {
            self.judge_sink(stats, sink);
        }
    }

    /// Judges one sink's durable totals, after everything was delivered.
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
    /// Every acknowledged id, each client's in order.
    fn ids(&self) -> impl Iterator<Item = &String> {
        self.acknowledged.values().flatten().flatten()
    }
}

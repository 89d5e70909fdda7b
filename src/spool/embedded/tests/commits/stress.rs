//! Real threads, real syncs and random failures of commits, until the spool is closed during all of them.
//!
//! `SPOOL_STRESS_ROUNDS` is the number of spools. `SPOOL_STRESS_SEED` repeats the choices of each task, but not the
//! schedule of the threads.

use std::collections::HashMap;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::{JoinSet, spawn_blocking};

use super::super::*;
use super::faults::{Failing, Faults};

const ROUNDS: u64 = 2;
const CALLERS: u64 = 6;
/// Number of batches that are acknowledged before the spool is closed.
const BATCHES: u64 = 300;

/// Results of one caller.
#[derive(Debug, Default)]
struct KnownEvents {
    /// Batches by their answer: stored, not stored, or not waited for.
    stored: Vec<Vec<u64>>,
    refused: Vec<Vec<u64>>,
    unknown: Vec<Vec<u64>>,
}

#[test]
fn what_was_acknowledged_is_there_once_and_in_order_and_nothing_else() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    let rounds = number("SPOOL_STRESS_ROUNDS").unwrap_or(ROUNDS);
    let seed = number("SPOOL_STRESS_SEED").unwrap_or_else(|| rand::rng().random());
    println!("SPOOL_STRESS_SEED={seed} SPOOL_STRESS_ROUNDS={rounds}");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_time()
        .build()
        .expect("a runtime");
    let mut random = StdRng::seed_from_u64(seed);
    for _ in 0..rounds {
        runtime.block_on(round(&mut random));
    }
}

async fn round(random: &mut StdRng) {
    // No event is removed, so that all can be checked at the end.
    let bench = SpoolBench::new(|settings| settings.retention = Duration::from_hours(1000));
    let spool = Arc::new(bench.open());
    assert_eq!(register(&spool, &["one", "two"]).await, [0, 0]);
    let acknowledged = Arc::new(AtomicU64::new(0));
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let random = StdRng::seed_from_u64(random.random());
        // Ids that no other task uses.
        let (first, batch) = (caller * 1_000_000, batches(&bench));
        callers.spawn(call(Arc::clone(&spool), first, batch, Arc::clone(&acknowledged), random));
    }
    let mut sinks = JoinSet::new();
    for sink in ["one", "two"] {
        let random = StdRng::seed_from_u64(random.random());
        sinks.spawn(deliver(Arc::clone(&spool), sink.into(), random));
    }
    let faults = Faults::of(&bench.settings);
    let random = StdRng::seed_from_u64(random.random());
    let (done, is_done) = mpsc::channel();
    let failing = spawn_blocking(move || fail_at_random(&faults, &is_done, random));
    while acknowledged.load(Ordering::Relaxed) < BATCHES {
        // A task ends before the spool is closed only by a panic.
        if let Some(ended) = callers.try_join_next() {
            panic!("a caller: {:?}", ended.err());
        }
        if let Some(ended) = sinks.try_join_next() {
            panic!("a sink: {:?}", ended.err());
        }
        let stats = spool.stats().await.expect("stats");
        let accepted =
            stats.totals.iter().filter(|(_, disposition, _)| *disposition == Disposition::Accepted);
        let accepted: u64 = accepted.map(|(_, _, count)| count).sum();
        assert_eq!((stats.events, accepted), (stats.head, stats.head), "of one moment");
    }
    let closing = Arc::clone(&spool);
    spawn_blocking(move || closing.close()).await.expect("closed");
    let known = callers.join_all().await;
    let cursors: HashMap<_, _> = sinks.join_all().await.into_iter().collect();
    drop(done);
    failing.await.expect("no panic");
    look_back(&bench, &known, &cursors).await;
}

/// Makes batches of events with these ids.
fn batches(bench: &SpoolBench) -> impl Fn(&[u64]) -> PreparedBatch + Send + use<> {
    let empty = bench.batch([]);
    move |ids| {
        let event = |id: &u64| {
            let key = DedupKey::new("source", &id.to_string(), (0, 0));
            NewEvent { key, bytes: Bytes::from(format!("event {id}")) }
        };
        Batch { events: ids.iter().map(event).collect(), ..empty.clone() }.prepare()
    }
}

/// Appends one batch after the other, each until it is stored, until the spool is closed.
async fn call(
    spool: Arc<EmbeddedSpool>,
    first: u64,
    batch: impl Fn(&[u64]) -> PreparedBatch,
    acknowledged: Arc<AtomicU64>,
    mut random: StdRng,
) -> KnownEvents {
    let (mut known, mut next) = (KnownEvents::default(), first);
    loop {
        let count = random.random_range(1..20);
        let mut ids: Vec<u64> = (next..next + count).collect();
        next += count;
        if random.random_bool(0.1) {
            // The caller drops the request before an answer is possible.
            let gone = tokio::time::timeout(Duration::ZERO, spool.append(batch(&ids))).await;
            match gone {
                Ok(Err(AppendError::Closed)) => return known,
                Ok(Ok(_)) => known.stored.push(ids),
                Ok(Err(_)) => known.refused.push(ids),
                Err(_) => known.unknown.push(ids),
            }
            continue;
        }
        // A duplicate, if an event is stored already.
        let repeated = known.stored.last().map(|last| last[0]);
        ids.extend(repeated);
        let duplicates = u64::from(repeated.is_some());
        loop {
            match spool.append(batch(&ids)).await {
                Ok(found) => {
                    let repeated = repeated.map(|_| count as u32).into_iter().collect();
                    let expected = Receipt { repeated, ..receipt(count, duplicates) };
                    assert_eq!(found, expected, "a failed try leaves nothing");
                    break;
                }
                Err(AppendError::Store(_)) => {}
                Err(error) => {
                    assert_eq!(error, AppendError::Closed);
                    ids.truncate(count as usize);
                    known.refused.push(ids);
                    return known;
                }
            }
        }
        ids.truncate(count as usize);
        known.stored.push(ids);
        acknowledged.fetch_add(1, Ordering::Relaxed);
    }
}

/// Reads up to the head and commits, until the spool is closed. Returns the last committed position.
async fn deliver(spool: Arc<EmbeddedSpool>, sink: Arc<str>, mut random: StdRng) -> (Arc<str>, u64) {
    let (reader, mut head) = (spool.reader().expect("a reader"), spool.head());
    let (mut read, mut committed) = (0, 0);
    loop {
        let bytes = random.random_range(1..2000);
        let published = *head.borrow_and_update();
        let found = reader.read(read, bytes).await.expect("read");
        assert!(published <= read || !found.is_empty(), "published before it can be read");
        let first = read;
        for found in &found {
            let Read::Event(stored) = found else { panic!("{found:?}") };
            read += 1;
            assert_eq!(stored.position, read, "nothing is left out");
        }
        if found.is_empty() {
            tokio::select! {
                _ = head.changed() => {}
                // The head does not move after the spool is closed.
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
            }
        }
        // Two commits at a time, like a worker with several connections, which however waits in between.
        let half = first + (read - first) / 2;
        loop {
            let commit = |position| spool.commit(&sink, position, Tally::default(), Vec::new());
            let answers = tokio::join!(commit(half), commit(read));
            match answers {
                (Ok(()), Ok(())) => break committed = read,
                (Err(CommitError::Closed), Err(CommitError::Closed)) => return (sink, committed),
                (Ok(()), Err(CommitError::Closed)) => return (sink, half),
                (one, two) => {
                    let error = |answer| !matches!(answer, Err(CommitError::Closed));
                    assert!(error(one) && error(two), "closed, and then not");
                }
            }
        }
    }
}

/// Waits until the other end of the channel is dropped, also by a panic.
fn fail_at_random(faults: &Faults, is_done: &mpsc::Receiver<()>, mut random: StdRng) {
    loop {
        let failing = Failing::ALL[random.random_range(0..Failing::ALL.len())];
        for failing in [failing, Failing::Nothing] {
            faults.set(failing);
            let moment = Duration::from_micros(random.random_range(0..3000));
            if is_done.recv_timeout(moment) == Err(mpsc::RecvTimeoutError::Disconnected) {
                return faults.set(Failing::Nothing);
            }
        }
    }
}

/// Opens the spool again and compares it with the answers that the callers got.
async fn look_back(bench: &SpoolBench, known: &[KnownEvents], cursors: &HashMap<Arc<str>, u64>) {
    let spool = bench.open();
    let places = register(&spool, &["one", "two"]).await;
    assert_eq!(places, ["one", "two"].map(|sink| cursors[sink]), "cursors are where they were");
    let stored = texts(&spool, 0).await;
    let events = stored.iter().zip(1_u64..).map(|(text, position)| {
        let (found, id) = text.split_once(" event ").expect("an event");
        assert_eq!(found, position.to_string(), "positions have no gap");
        (id.parse().expect("an id"), position)
    });
    let positions: HashMap<u64, u64> = events.collect();
    assert_eq!(positions.len(), stored.len(), "nothing is there twice");
    let mut accounted = 0;
    for known in known {
        let mut last = 0;
        for batch in &known.stored {
            let first = positions[&batch[0]];
            assert!(first > last, "one caller's batches are in their order");
            last = first + batch.len() as u64 - 1;
            assert!(batch.iter().map(|id| positions[id]).eq(first..=last), "and whole");
        }
        let is_there = |batch: &&Vec<u64>| positions.contains_key(&batch[0]);
        assert_eq!(known.refused.iter().find(is_there), None, "refused, and there");
        let unknown = known.unknown.iter().filter(is_there);
        accounted += known.stored.iter().chain(unknown).map(Vec::len).sum::<usize>();
    }
    assert_eq!(accounted, stored.len(), "batches are there whole or not at all");
    let stats = spool.stats().await.expect("stats");
    assert_eq!((stats.head, stats.dedup_ids), (stored.len() as u64, stored.len() as u64));
    spool.close();
}

//! The bound of the quarantine: exact, checked for each request on its own, and derived from the stored entries.

use std::sync::mpsc::Receiver;

use futures_util::future::join_all;
use futures_util::poll;

use super::*;
use crate::spool::TargetAnswer;

/// Returns the size of an entry with this many bytes.
fn counted(bytes: usize) -> u64 {
    entry("source", &vec![0; bytes]).size()
}

fn entry(source: &str, bytes: &[u8]) -> NewEntry {
    NewEntry {
        origin: EntryOrigin::Element,
        key: Some(DedupKey::of_bytes(source, bytes)),
        reason: "syntax",
        detail: "wäre".to_owned(),
        path: "$[1].\u{1f600}".to_owned(),
        index: 1,
        request_id: "request".to_owned(),
        encoding: "gzip".to_owned(),
        sink: None,
        target: None,
        bytes: Bytes::copy_from_slice(bytes),
    }
}

fn letter(bytes: &[u8]) -> (String, NewEntry) {
    let target = TargetAnswer {
        attempts: 3,
        status: Some(400),
        code: Some("ärger".to_owned()),
        text: "what it said".to_owned(),
    };
    let entry = NewEntry {
        origin: EntryOrigin::DeadLetter,
        key: None,
        sink: Some("sink".into()),
        target: Some(target),
        ..entry("source", bytes)
    };
    ("source".to_owned(), entry)
}

/// Returns a spool whose quarantine has room for this many bytes.
fn bench(max: u64) -> SpoolBench {
    SpoolBench::new(|settings| settings.quarantine_max_size = max)
}

/// Returns a batch of an event and these refused elements.
fn mixed(bench: &SpoolBench, id: u64, refused: &[&[u8]]) -> Batch {
    let quarantine = refused.iter().map(|bytes| entry("source", bytes)).collect();
    Batch { quarantine, ..bench.batch([id]) }
}

async fn append(
    bench: &SpoolBench,
    spool: &EmbeddedSpool,
    id: u64,
    refused: &[&[u8]],
) -> Result<Receipt, AppendError> {
    let receipt = spool.append(mixed(bench, id, refused).prepare()).await?;
    Ok(Receipt { repeated: Vec::new(), ..receipt })
}

fn stored(accepted: u64, duplicates: u64, quarantined: u64) -> Result<Receipt, AppendError> {
    Ok(Receipt { accepted, duplicates, quarantined, ..Receipt::default() })
}

const FULL: Result<Receipt, AppendError> = Err(AppendError::QuarantineFull);

/// Returns the quarantine's size by the running spool and by its rows.
async fn size(bench: &SpoolBench, spool: &EmbeddedSpool) -> u64 {
    let told = spool.stats().await.expect("stats").quarantine_size;
    let inspection = inspect::open(&bench.settings.directory).expect("opened");
    assert_eq!(inspection.stats().expect("read").quarantine_size, told);
    told
}

#[tokio::test]
async fn the_bound_is_exact_and_a_batch_that_passes_it_leaves_nothing() {
    let bench = bench(counted(100) + counted(50));
    let spool = bench.open();
    assert_eq!(append(&bench, &spool, 1, &[&[1; 100]]).await, stored(1, 0, 1));
    assert_eq!(append(&bench, &spool, 2, &[&[2; 51]]).await, FULL, "one byte too many");
    assert!(spool.is_quarantine_full());
    assert_eq!(spool.stats().await.expect("stats").dedup_ids, 2, "no id of it is remembered");
    assert_eq!(append(&bench, &spool, 2, &[&[2; 50]]).await, stored(1, 0, 1), "to the last byte");
    assert_eq!(size(&bench, &spool).await, bench.settings.quarantine_max_size);
    // Batches that add nothing are accepted: valid events, and elements that are already stored.
    assert_eq!(append(&bench, &spool, 3, &[]).await, stored(1, 0, 0));
    assert_eq!(append(&bench, &spool, 4, &[&[1; 100], &[2; 50]]).await, stored(1, 2, 0));
    assert_eq!(append(&bench, &spool, 5, &[&[1; 100], &[]]).await, FULL, "nothing is for free");
    assert_eq!(append(&bench, &spool, 5, &[]).await, stored(1, 0, 0), "it was not kept");
    let totals = spool.stats().await.expect("stats").totals;
    assert!(totals.contains(&("source".to_owned(), Disposition::Quarantined, 2)), "{totals:?}");
}

#[tokio::test]
async fn retrying_and_purging_make_room_at_once() {
    let bench = bench(2 * counted(10));
    let spool = bench.open();
    assert_eq!(append(&bench, &spool, 1, &[&[1; 10], &[2; 10]]).await, stored(1, 0, 2));
    assert_eq!(append(&bench, &spool, 2, &[&[3; 10]]).await, FULL);
    let mut room = spool.quarantine_size();
    assert_eq!(*room.borrow_and_update(), 2 * counted(10));
    assert_eq!(removed(&spool, vec![1]).await, 1);
    assert!(room.has_changed().expect("open"), "whoever waits is woken");
    assert_eq!(*room.borrow_and_update(), counted(10));
    assert!(!spool.is_quarantine_full());
    assert_eq!(append(&bench, &spool, 2, &[&[3; 10]]).await, stored(1, 0, 1));
    assert_eq!(append(&bench, &spool, 3, &[&[4; 10]]).await, FULL);
    let released = Batch { resolves: Some(2), ..bench.batch([9]) };
    assert_eq!(spool.append(released.prepare()).await, stored(1, 0, 0), "a retry needs no room");
    assert_eq!(append(&bench, &spool, 3, &[&[4; 10]]).await, stored(1, 0, 1));
    assert_eq!(size(&bench, &spool).await, 2 * counted(10));
    let released = Batch { resolves: Some(2), ..mixed(&bench, 10, &[&[5; 0]]) };
    assert_eq!(spool.append(released.prepare()).await, FULL, "and what is refused changes nothing");
    assert_eq!(size(&bench, &spool).await, 2 * counted(10));
}

#[tokio::test]
async fn what_it_takes_is_known_after_a_restart_a_kill_and_a_repair() {
    let mut bench = bench(2 * counted(10) + letter(b"dead").1.size());
    let spool = bench.open();
    let sink: Arc<str> = "sink".into();
    register(&spool, &["sink"]).await;
    assert_eq!(append(&bench, &spool, 1, &[&[1; 10], &[2; 10]]).await, stored(1, 0, 2));
    let moved = spool.commit(&sink, 1, Tally::default(), vec![letter(b"dead")]).await;
    assert_eq!(moved, Ok(()));
    assert_eq!(size(&bench, &spool).await, bench.settings.quarantine_max_size);
    let (_folder, killed) = still::remains(&bench.settings);
    spool.close();
    for settings in [bench.settings.clone(), killed] {
        bench.settings = settings;
        let spool = bench.open();
        assert_eq!(size(&bench, &spool).await, bench.settings.quarantine_max_size);
        assert!(!spool.is_quarantine_full(), "nobody has asked for room yet");
        assert_eq!(append(&bench, &spool, 2, &[&[3; 10]]).await, FULL);
        spool.close();
    }
    let mark = high_watermark::read(&bench.settings.directory);
    repair::rebuild(&bench.settings.directory, mark, 1).expect("repaired");
    let spool = bench.open();
    assert_eq!(size(&bench, &spool).await, bench.settings.quarantine_max_size);
    assert_eq!(append(&bench, &spool, 2, &[&[3; 10]]).await, FULL);
    // A bound that was lowered meanwhile removes no entry.
    spool.close();
    bench.settings.quarantine_max_size = 1;
    let spool = bench.open();
    assert_eq!(append(&bench, &spool, 2, &[&[3; 10]]).await, FULL);
    assert_eq!(append(&bench, &spool, 2, &[&[1; 10]]).await, stored(1, 1, 0));
    assert_eq!(removed(&spool, vec![1, 2, 3]).await, 3);
    assert_eq!(size(&bench, &spool).await, 0);
}

#[tokio::test]
async fn a_cursor_does_not_pass_dead_letters_that_find_no_room() {
    let bench = bench(letter(b"one").1.size());
    let spool = bench.open();
    let sink: Arc<str> = "sink".into();
    register(&spool, &["sink"]).await;
    bench.append(&spool, 1..=3).await;
    let tally = Tally { delivered: 1, dead_lettered: 2, ..Tally::default() };
    let both = vec![letter(b"one"), letter(b"two")];
    let refused = spool.commit(&sink, 3, tally, both).await;
    assert_eq!(refused, Err(CommitError::QuarantineFull));
    let stats = spool.stats().await.expect("stats");
    assert_eq!((stats.sinks[0].cursor, stats.quarantined, stats.totals.len()), (0, 0, 1));
    let tally = Tally { dead_lettered: 1, ..Tally::default() };
    assert_eq!(spool.commit(&sink, 2, tally, vec![letter(b"one")]).await, Ok(()));
    let two = || vec![letter(b"two")];
    let refused = spool.commit(&sink, 3, tally, two()).await;
    assert_eq!(refused, Err(CommitError::QuarantineFull));
    assert_eq!(removed(&spool, vec![1]).await, 1);
    assert_eq!(spool.commit(&sink, 3, tally, two()).await, Ok(()));
    assert_eq!(spool.stats().await.expect("stats").sinks[0].lag, 0);
}

#[tokio::test]
async fn each_request_of_a_commit_is_judged_by_itself() {
    let bench = bench(2 * counted(10));
    let writer = open::recover(&bench.settings, bench.clock(), bench.clock()).expect("recovered");
    let (commands, received) = mpsc::channel();
    let (directory, shared) = (writer.directory.clone(), Arc::clone(&writer.shared));
    let spool = EmbeddedSpool { directory, commands, shared, thread: Mutex::new(None) };
    let refused: [&[&[u8]]; 7] = [
        &[&[1; 10]],
        // The second does not fit beside the first, although a part of it would.
        &[&[2; 10], &[3; 10]],
        &[],
        // Neither the event nor the element of the second is remembered.
        &[&[2; 10]],
        &[&[2; 10], &[1; 10]],
        &[&[4; 0]],
        &[],
    ];
    let ids = [1, 2, 3, 2, 4, 5, 5];
    let waiting = ids.iter().zip(refused).map(|(id, refused)| append(&bench, &spool, *id, refused));
    let mut waiting = Box::pin(join_all(waiting));
    assert!(poll!(&mut waiting).is_pending(), "all of them wait");
    spool.commands.send(WriterCommand::Close).expect("it listens");
    let working = std::thread::spawn(move || writer.run(|_| all_that_waits(&received)));
    let answers = waiting.await;
    working.join().expect("it ends well");
    assert_eq!(answers[..3], [stored(1, 0, 1), FULL, stored(1, 0, 0)]);
    assert_eq!(answers[3..], [stored(1, 0, 1), stored(1, 2, 0), FULL, stored(1, 0, 0)]);
    let store = Connection::open(schema::database(&bench.settings.directory)).expect("opened");
    let commits = store.query_row("SELECT count(*) FROM ids", [], |row| row.get::<_, u64>(0));
    assert_eq!(commits, Ok(1), "they shared one commit");
    drop(store);
    let spool = bench.open();
    let events = ["1 event 1", "2 event 3", "3 event 2", "4 event 4", "5 event 5"];
    assert_eq!(texts(&spool, 0).await, events);
    assert_eq!(size(&bench, &spool).await, 2 * counted(10));
}

fn all_that_waits(
    commands: &Receiver<WriterCommand>,
) -> Result<WriterCommand, mpsc::RecvTimeoutError> {
    commands.recv_timeout(Duration::ZERO)
}

#[tokio::test]
async fn garbage_that_finds_no_room_does_not_fill_the_spool() {
    let bench = SpoolBench::new(|settings| {
        settings.max_size = 4 * 1024 * 1024;
        settings.quarantine_max_size = 1024 * 1024;
    });
    let spool = bench.open();
    register(&spool, &["slow"]).await;
    // Just below the full threshold, if the events cannot be compressed.
    for id in 0..5 {
        let mut batch = bench.batch([id]);
        batch.events[0].bytes = (0..490_000).map(|_| rand::random::<u8>()).collect();
        spool.append(batch.prepare()).await.expect("stored");
    }
    assert_eq!(append(&bench, &spool, 5, &[&[1; 900_000]]).await, stored(1, 0, 1));
    let garbage = vec![2; 1_000_000];
    for _ in 0..3 {
        assert_eq!(append(&bench, &spool, 6, &[&garbage]).await, FULL);
        assert!(!spool.is_full(), "what is not stored takes no room");
    }
    assert_eq!(append(&bench, &spool, 6, &[]).await, stored(1, 0, 0));
}

#[tokio::test]
async fn a_full_spool_whose_events_are_all_delivered_takes_more_whatever_else_is_in_it() {
    let bench = SpoolBench::new(|settings| {
        settings.max_size = 4 * 1024 * 1024;
        settings.quarantine_max_size = 4 * 1024 * 1024;
    });
    let spool = bench.open();
    let sink: Arc<str> = "slow".into();
    register(&spool, &["slow"]).await;
    // Three quarters belong to the quarantine, and stay.
    for id in 0..3 {
        let entry = vec![u8::try_from(id).expect("few"); 1_000_000];
        assert_eq!(append(&bench, &spool, id, &[&entry]).await, stored(1, 0, 1));
    }
    let mut id = 3;
    let full = loop {
        let mut batch = bench.batch([id]);
        batch.events[0].bytes = (0..100_000).map(|_| rand::random::<u8>()).collect();
        match spool.append(batch.prepare()).await {
            Ok(_) => id += 1,
            Err(error) => break error,
        }
    };
    assert_eq!((full, spool.is_full()), (AppendError::Full, true));
    assert_eq!(spool.commit(&sink, id, Tally::default(), Vec::new()).await, Ok(()));
    // Removing delivered events takes one commit or a few.
    for _ in 0..10 {
        drop(spool.pause(&sink, false).await);
    }
    assert!(!spool.is_full());
    assert_eq!(append(&bench, &spool, 900, &[]).await, stored(1, 0, 0));
}

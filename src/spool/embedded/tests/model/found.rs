//! Shortest sequences that have found a bug, and the bounds of positions.

use super::step::ModelStep;
use super::*;

const BOUNDS: Bounds =
    Bounds { retention: Duration::from_mins(10), max_ids: 1_000_000, quarantine: 512 * 1024 };

fn append(events: impl Into<Vec<u8>>) -> ModelStep {
    ModelStep::Append { source: 0, events: events.into(), refused: Vec::new() }
}

#[test]
fn a_cursor_never_moves_back() {
    let register = ModelStep::Register { sinks: vec![(2, Start::Now)] };
    run(BOUNDS, &[append([0]), register, ModelStep::Commit { sink: 2, by: -2, dead: 0 }]);
}

#[test]
fn what_a_new_sink_is_to_get_does_not_go_as_it_is_registered() {
    let register = |sinks: &[usize]| {
        let sinks = sinks.iter().map(|sink| (*sink, Start::Oldest));
        ModelStep::Register { sinks: sinks.collect() }
    };
    let delivered = ModelStep::Commit { sink: 0, by: 2, dead: 0 };
    let over = ModelStep::Pass(10 * 60 * 1000);
    run(BOUNDS, &[register(&[0]), append([0, 1]), delivered, over, register(&[0, 1])]);
}

/// Returns a spool whose next position is `i64::MAX - 2`, shortly before the last one.
fn nearly_at_the_end(bench: &SpoolBench) -> EmbeddedSpool {
    bench.open().close();
    let store = Connection::open(schema::database(&bench.settings.directory)).expect("opened");
    let state = "UPDATE state SET next = ?1, trimmed = ?1 - 1, checksum = NULL";
    store.execute(state, [i64::MAX - 2]).expect("set");
    bench.open()
}

#[tokio::test]
async fn the_last_positions_are_used_and_what_comes_after_them_is_refused_whole() {
    const END: u64 = i64::MAX as u64;
    let bench = SpoolBench::new(|_| {});
    let spool = nearly_at_the_end(&bench);
    let sink: Arc<str> = "sink".into();
    assert_eq!(register(&spool, &["sink"]).await, [END - 3]);
    let refused = spool.append(bench.batch([1, 2, 3]).prepare()).await;
    assert!(matches!(refused, Err(AppendError::Store(_))), "{refused:?}");
    assert_eq!(bench.append(&spool, [1, 2]).await, receipt(2, 0), "nothing of it was kept");
    let stored = [format!("{} event 1", END - 2), format!("{} event 2", END - 1)];
    assert_eq!(texts(&spool, END - 3).await, stored);
    for _ in 0..2 {
        let refused = spool.append(bench.batch([3]).prepare()).await;
        assert!(matches!(refused, Err(AppendError::Store(_))), "{refused:?}");
        assert_eq!(bench.append(&spool, [1]).await, receipt(0, 1), "it goes on working");
    }
    // Reads from any position do not overflow either.
    assert_eq!(*spool.head().borrow(), END - 1);
    assert!(texts(&spool, END).await.is_empty());
    let nothing = spool.reader().expect("a reader").read(u64::MAX, 1).await.expect("read");
    assert!(nothing.is_empty(), "{nothing:?}");
    let refused = spool.commit(&sink, u64::MAX, Tally::default(), Vec::new()).await;
    assert!(matches!(refused, Err(CommitError::Store(_))), "{refused:?}");
    spool.commit(&sink, END - 1, Tally::default(), Vec::new()).await.expect("committed");
    spool.close();
    let spool = bench.open();
    assert_eq!(register(&spool, &["sink"]).await, [END - 1]);
    assert_eq!(*spool.head().borrow(), END - 1);
}

#[tokio::test]
async fn where_the_numbers_of_rows_end_a_batch_is_refused_whole() {
    let bench = SpoolBench::new(|_| {});
    let spool = bench.open();
    bench.append(&spool, [1]).await;
    let store = Connection::open(schema::database(&bench.settings.directory)).expect("opened");
    store
        .execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'ids'", [i64::MAX])
        .expect("set");
    let refused = spool.append(bench.batch([2]).prepare()).await;
    assert_eq!(refused, Err(AppendError::DiskFull));
    assert_eq!(texts(&spool, 0).await, ["1 event 1"]);
    assert_eq!(*spool.head().borrow(), 1);
}

#[tokio::test]
async fn more_chunks_than_go_at_once_go_one_commit_after_the_other() {
    let bench = SpoolBench::new(|settings| settings.sync = false);
    let spool = still::open(&bench.settings, &bench.now);
    let sink: Arc<str> = "sink".into();
    register(&spool, &["sink"]).await;
    for id in 1..=150 {
        bench.append(&spool, [id]).await;
    }
    spool.commit(&sink, 150, Tally::default(), Vec::new()).await.expect("committed");
    // The writer continues by itself; this commit follows after at most 64 others.
    still::tick(&spool).await;
    still::tick(&spool).await;
    assert_eq!(spool.stats().await.expect("stats").events, 0);
}

#[test]
fn what_goes_while_it_is_verified_is_not_missing() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let bench = SpoolBench::new(|_| {});
    let spool = runtime.block_on(async {
        let spool = bench.open();
        register(&spool, &["sink"]).await;
        for id in 1..=4 {
            bench.append(&spool, [id]).await;
        }
        spool
    });
    let inspection = inspect::open(&bench.settings.directory).expect("opened");
    let sink = "sink".into();
    let deliver_some = |read, _| {
        let commit = spool.commit(&sink, read + 1, Tally::default(), Vec::new());
        runtime.block_on(commit).expect("committed");
    };
    let found = inspection.verify(deliver_some).expect("read");
    assert_eq!((found.chunks, found.problems), (3, Vec::new()), "all but the second");
}

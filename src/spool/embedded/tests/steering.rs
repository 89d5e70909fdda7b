//! Start positions of sinks, pauses, replays, and older layouts.

use super::*;

#[tokio::test]
async fn a_new_sink_starts_with_the_oldest_event_or_with_the_next() {
    let bench = SpoolBench::new(|settings| settings.retention = Duration::from_hours(1));
    let spool = bench.open();
    register(&spool, &["first"]).await;
    bench.append(&spool, 1..=5).await;
    let starts = [("all".into(), Start::Oldest), ("new".into(), Start::Now)];
    let cursors = |registered: Vec<Registered>| -> Vec<u64> {
        registered.iter().map(|sink| sink.cursor).collect()
    };
    assert_eq!(cursors(spool.register(&starts).await.expect("registered")), [0, 5]);
    // It is new once only.
    bench.append(&spool, 6..=7).await;
    assert_eq!(cursors(spool.register(&starts).await.expect("registered")), [0, 5]);
}

#[tokio::test]
async fn a_paused_sink_is_paused_after_a_restart() {
    let bench = SpoolBench::new(|_| {});
    let spool = bench.open();
    let sink: Arc<str> = "sink".into();
    let starts = [(Arc::clone(&sink), Start::Oldest)];
    for is_paused in [true, false] {
        spool.register(&starts).await.expect("registered");
        spool.pause(&sink, is_paused).await.expect("stored");
        let registered = spool.register(&starts).await.expect("registered");
        assert_eq!(registered, [Registered { cursor: 0, is_paused }]);
    }
    spool.pause(&sink, true).await.expect("stored");
    spool.close();
    let registered = bench.open().register(&starts).await.expect("registered");
    assert!(registered[0].is_paused);
}

#[tokio::test]
async fn what_was_received_in_a_time_is_found_without_its_copies() {
    let bench = SpoolBench::new(|settings| settings.retention = Duration::from_hours(1000));
    let spool = bench.open();
    let start = bench.now.load(Ordering::Relaxed);
    for id in 1..=5 {
        bench.append(&spool, [id]).await;
        bench.pass(1000);
    }
    let copy = Batch { only_sink: Some("sink".into()), ..bench.batch([2]) };
    let copied = spool.append(copy.prepare()).await.expect("appended");
    assert_eq!(copied, receipt(1, 0), "a copy is no duplicate");
    let found = |after, from, to, max_bytes| {
        let spool = &spool;
        async move {
            let time = start + from..start + to;
            let positions = after..u64::MAX;
            let (found, _) = spool.between(positions, time, max_bytes).await.expect("read");
            found.iter().map(|stored| stored.position).collect::<Vec<_>>()
        }
    };
    assert_eq!(found(0, 1000, 4000, usize::MAX).await, [2, 3, 4], "the end does not belong to it");
    assert_eq!(found(2, 0, 100_000, usize::MAX).await, [3, 4, 5], "after a position, no copies");
    assert_eq!(found(0, 0, 100_000, 1).await, [1], "a chunk at a time");
    assert!(found(0, 50_000, 60_000, usize::MAX).await.is_empty());
    let stats = spool.stats().await.expect("stats");
    assert!(stats.totals.contains(&("source".to_owned(), Disposition::Replayed, 1)), "{stats:?}");
}

#[tokio::test]
async fn a_spool_of_the_first_layout_is_brought_up_to_date() {
    let bench = SpoolBench::new(|_| {});
    let spool = bench.open();
    register(&spool, &["sink"]).await;
    bench.append(&spool, 1..=3).await;
    spool.close();
    let file = schema::database(&bench.settings.directory);
    let connection = Connection::open(&file).expect("opened");
    connection
        .execute_batch(
            "ALTER TABLE cursors DROP COLUMN checksum;
             ALTER TABLE state DROP COLUMN id;
             ALTER TABLE state DROP COLUMN checksum;
             DROP TABLE losses;
             DROP TABLE plans;
             ALTER TABLE cursors DROP COLUMN is_paused;
             ALTER TABLE quarantine DROP COLUMN attempts;
             ALTER TABLE quarantine DROP COLUMN status;
             ALTER TABLE quarantine DROP COLUMN code;
             ALTER TABLE quarantine DROP COLUMN answer;
             PRAGMA user_version = 1;",
        )
        .expect("as the first version had it");
    drop(connection);
    std::fs::remove_file(high_watermark::path(&bench.settings.directory)).expect("it had no mark");
    let refused = inspect::open(&bench.settings.directory).expect_err("an old layout");
    assert!(refused.to_string().contains("start the service once"), "{refused}");
    let spool = bench.open();
    assert_eq!(register(&spool, &["sink"]).await, [0]);
    assert_eq!(texts(&spool, 0).await.len(), 3);
    assert!(
        spool.quarantine(Query { limit: 9, ..Query::default() }).await.expect("read").is_empty()
    );
    assert_eq!((spool.health().set_aside, spool.health().lost), (None, 0), "no alarm");
    inspect::open(&bench.settings.directory).expect("the layout of now");
}

/// An older version takes a database for damaged whose layout is not the one in `spool.mark`, so the mark goes first.
/// A process may be killed between the two, and the next start may be one of either version.
#[tokio::test]
async fn a_killed_migration_leaves_a_mark_of_the_new_layout() {
    let bench = SpoolBench::new(|_| {});
    let spool = bench.open();
    register(&spool, &["sink"]).await;
    bench.append(&spool, 1..=3).await;
    spool.close();
    let directory = &bench.settings.directory;
    let set_layout = |layout: i64| {
        let mut mark = high_watermark::HighWatermarkFile::open(directory);
        let written = mark.mark().expect("a mark");
        mark.write(high_watermark::HighWatermark { layout, ..written });
        mark.sync();
    };
    let layout = |connection: &Connection| schema::layout(connection).expect("a layout");
    let marked = || high_watermark::read(directory).expect("a mark").layout;
    let connection = Connection::open(schema::database(directory)).expect("opened");
    let older = "DROP TABLE plans; PRAGMA user_version = 3;";
    connection.execute_batch(older).expect("as the version before had it");
    set_layout(3);

    // The process ends before the migration is committed: another connection does not let it write.
    connection.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let recovered = open::recover(&bench.settings, bench.clock(), bench.clock());
    assert!(recovered.is_err(), "not migrated");
    connection.execute_batch("COMMIT").expect("released");
    assert_eq!((marked(), layout(&connection)), (4, 3));

    // The older version opens its own layout, and writes its own mark again.
    set_layout(3);
    let spool = bench.open();
    assert_eq!(
        (marked(), layout(&connection)),
        (4, 4),
        "the older version refuses it, and repairs nothing"
    );
    assert_eq!(register(&spool, &["sink"]).await, [0]);
    assert_eq!(texts(&spool, 0).await.len(), 3);
    assert_eq!((spool.health().set_aside, spool.health().lost), (None, 0), "no alarm");
    spool.close();

    // The mark was written, the migration was not: the next start of this version finishes it.
    connection.execute_batch(older).expect("as the version before had it");
    let spool = bench.open();
    assert_eq!((marked(), layout(&connection)), (4, 4));
    assert_eq!((spool.health().set_aside, spool.health().lost), (None, 0), "no alarm");
}

#[tokio::test]
async fn copies_leave_room_for_new_events() {
    let bench = SpoolBench::new(|settings| settings.max_size = 4 * 1024 * 1024);
    let spool = bench.open();
    register(&spool, &["slow"]).await;
    // Random bytes do not shrink.
    let bytes = || Bytes::from((0..200_000).map(|_| rand::random()).collect::<Vec<u8>>());
    let batch = |id: u64, only_sink: Option<Arc<str>>| {
        let mut batch = Batch { only_sink, ..bench.batch([id]) };
        batch.events[0].bytes = bytes();
        batch.prepare()
    };
    let mut copies = 0;
    while spool.append(batch(0, Some("slow".into()))).await.is_ok() {
        copies += 1;
        assert!(copies < 100, "copies are never refused");
    }
    assert!(copies > 5 && !spool.is_full(), "refused at {copies}, and nothing else is");
    spool.append(batch(1, None)).await.expect("new events still find room");
}

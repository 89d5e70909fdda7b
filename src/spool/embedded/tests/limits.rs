//! `max_size`: the bytes that count against it, the requests that are refused, and the state after a restart.

use rand::RngExt;

use super::*;

const MIB: u64 = 1024 * 1024;

/// Returns a batch of one event of this size that cannot be compressed.
fn noise(bench: &SpoolBench, id: u64, size: usize) -> Batch {
    let mut batch = bench.batch([id]);
    let mut bytes = vec![0; size];
    rand::rng().fill(&mut bytes[..]);
    batch.events[0].bytes = bytes.into();
    batch
}

/// Appends events until one is refused. Returns the number of accepted ones, and the error.
async fn fill(
    bench: &SpoolBench,
    spool: &EmbeddedSpool,
    first: u64,
    size: usize,
) -> (u64, AppendError) {
    for id in first..10_000 {
        if let Err(error) = spool.append(noise(bench, id, size).prepare()).await {
            return (id - first, error);
        }
    }
    panic!("it is never full");
}

/// Returns the bytes of all files.
fn on_disk(bench: &SpoolBench) -> u64 {
    let files = bench.settings.directory.read_dir().expect("a directory");
    files.map(|file| file.expect("an entry").metadata().expect("there").len()).sum()
}

#[tokio::test]
async fn a_long_reader_makes_the_files_no_larger_than_max_size() {
    let bench = SpoolBench::new(|settings| settings.max_size = 16 * MIB);
    let spool = bench.open();
    let sink: Arc<str> = "sink".into();
    register(&spool, &["sink"]).await;
    bench.append(&spool, [0]).await;
    let reader = schema::connect_reader(&bench.settings.directory).expect("opened");
    reader.execute_batch("BEGIN").expect("begun");
    let count = |sql| reader.query_row(sql, [], |row| row.get::<_, u64>(0)).expect("read");
    assert_eq!(count("SELECT count(*) FROM chunks"), 1);
    let mut position = 1;
    let error = loop {
        // Delivered at once: no sink has a lag.
        match spool.append(noise(&bench, position, 200_000).prepare()).await {
            Ok(_) => position += 1,
            Err(error) => break error,
        }
        spool.commit(&sink, position, Tally::default(), Vec::new()).await.expect("committed");
        assert!(position < 200, "the log grows without end");
    };
    assert_eq!((error, spool.is_full()), (AppendError::Full, false));
    let failing = spool.health().failing.expect("a reason");
    assert!(failing.contains("spool.db-wal has grown"), "{failing}");
    assert!(position > 20 && on_disk(&bench) <= bench.settings.max_size, "{}", on_disk(&bench));
    // Cursors still move until the limit is reached.
    for _ in 0..500 {
        drop(spool.pause(&sink, true).await.and(spool.pause(&sink, false).await));
    }
    assert!(on_disk(&bench) <= bench.settings.max_size + MIB, "{}", on_disk(&bench));
    drop(reader);
    for _ in 0..3 {
        drop(spool.remove(Vec::new()).await);
    }
    assert_eq!(spool.health().failing, None);
    let log = std::fs::metadata(schema::log(&bench.settings.directory)).expect("there").len();
    assert!(log <= bounds::log(bench.settings.max_size), "{log} bytes are left of the log");
    bench.append(&spool, [1000]).await;
}

/// Sends a group of one append to a writer that no loop drives.
fn appending(batch: Batch) -> (WriterCommand, oneshot::Receiver<Result<Receipt, AppendError>>) {
    let (reply, answer) = oneshot::channel();
    (WriterCommand::Append { batch: Box::new(batch.prepare()), reply }, answer)
}

fn writer_with_a_sink(bench: &SpoolBench) -> writer::Writer {
    let mut writer =
        open::recover(&bench.settings, bench.clock(), bench.clock()).expect("recovered");
    let (reply, _registered) = oneshot::channel();
    let register = WriterCommand::Register { sinks: vec![("sink".into(), Start::Oldest)], reply };
    assert!(writer.commit(vec![register]).is_ok());
    writer
}

#[test]
fn a_log_that_nobody_reads_is_written_back_before_anything_is_refused() {
    let bench = SpoolBench::new(|settings| settings.max_size = 8 * MIB);
    let mut writer = writer_with_a_sink(&bench);
    // Only the writer's loop would write the log back between commits.
    for id in 1..=30 {
        let (append, mut answer) = appending(noise(&bench, id, 200_000));
        assert!(writer.commit(vec![append]).is_ok());
        let stored = answer.try_recv().expect("answered");
        assert!(stored.is_ok(), "{id}: {stored:?} {:?}", writer.shared.stuck_log());
        assert_eq!(writer.shared.stuck_log(), None, "no reader is there");
        assert!(on_disk(&bench) <= bench.settings.max_size + MIB);
    }
}

#[test]
fn a_spool_is_marked_full_before_a_batch_is_refused() {
    let bench = SpoolBench::new(|settings| settings.max_size = 8 * MIB);
    let mut writer = writer_with_a_sink(&bench);
    for id in 1..1000 {
        assert!(!writer.shared.full.load(Ordering::Relaxed));
        let (append, mut answer) = appending(noise(&bench, id, 500_000));
        let (admitted, refused) = writer.admit(vec![append]);
        if !refused.is_empty() {
            assert!(writer.shared.full.load(Ordering::Relaxed));
            let mark = high_watermark::read(&bench.settings.directory).expect("a mark");
            assert!(mark.is_full);
            assert_eq!(answer.try_recv(), Err(oneshot::error::TryRecvError::Empty));
            return;
        }
        assert!(writer.commit(admitted).is_ok());
    }
    panic!("it is never full");
}

#[tokio::test]
async fn what_is_full_is_full_after_a_restart_before_anyone_asks() {
    let bench = SpoolBench::new(|settings| {
        settings.max_size = 8 * MIB;
        settings.quarantine_max_size = 2000;
    });
    let spool = bench.open();
    register(&spool, &["sink"]).await;
    let entry = |bytes: &[u8]| NewEntry {
        origin: EntryOrigin::Element,
        key: Some(DedupKey::of_bytes("source", bytes)),
        reason: "syntax",
        detail: String::new(),
        path: String::new(),
        index: 0,
        request_id: String::new(),
        encoding: String::new(),
        sink: None,
        target: None,
        bytes: Bytes::copy_from_slice(bytes),
    };
    let refusing = |size| Batch { quarantine: vec![entry(&vec![7; size])], ..bench.batch([]) };
    spool.append(refusing(1000).prepare()).await.expect("stored");
    let full = spool.append(refusing(900).prepare()).await;
    assert_eq!(full, Err(AppendError::QuarantineFull));
    let (_, error) = fill(&bench, &spool, 1, 500_000).await;
    assert_eq!((error, spool.is_full()), (AppendError::Full, true));
    let (_folder, killed) = still::remains(&bench.settings);
    spool.close();
    for settings in [bench.settings.clone(), killed] {
        let writer = open::recover(&settings, bench.clock(), bench.clock()).expect("recovered");
        let is_full = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        assert!(is_full(&writer.shared.full) && is_full(&writer.shared.quarantine_full));
    }
    // Nor is a batch that would fit now.
    let settings =
        SpoolConfig { max_size: 16 * MIB, quarantine_max_size: MIB, ..bench.settings.clone() };
    let writer = open::recover(&settings, bench.clock(), bench.clock()).expect("recovered");
    assert!(!writer.shared.full.load(Ordering::Relaxed));
    assert!(!writer.shared.quarantine_full.load(Ordering::Relaxed));
}

#[tokio::test]
async fn a_bound_that_was_lowered_below_what_is_stored_is_full_at_once_if_there_are_events() {
    for is_delivered in [false, true] {
        let mut bench = SpoolBench::new(|settings| settings.max_size = 16 * MIB);
        let spool = bench.open();
        let sink: Arc<str> = "sink".into();
        register(&spool, &["sink"]).await;
        for id in 0..8 {
            spool.append(noise(&bench, id, 1_000_000).prepare()).await.expect("stored");
        }
        if is_delivered {
            spool.commit(&sink, 8, Tally::default(), Vec::new()).await.expect("committed");
        }
        spool.close();
        bench.settings.max_size = 8 * MIB;
        let spool = bench.open();
        assert_eq!(spool.is_full(), !is_delivered);
    }
}

#[tokio::test]
async fn a_spool_whose_sinks_have_everything_takes_more_whatever_is_kept_in_it() {
    let bench = SpoolBench::new(|settings| {
        settings.max_size = 8 * MIB;
        settings.retention = Duration::from_hours(48);
    });
    let spool = bench.open();
    let sink: Arc<str> = "sink".into();
    register(&spool, &["sink"]).await;
    for id in 1..=60 {
        let size = [10_000, 1_000_000, 3_000_000][(id % 3) as usize];
        spool.append(noise(&bench, id, size).prepare()).await.expect("room");
        spool.commit(&sink, id, Tally::default(), Vec::new()).await.expect("committed");
    }
    assert!(spool.stats().await.expect("stats").events > 0, "some are kept");
}

#[tokio::test]
async fn many_small_batches_do_not_outrun_the_removal_of_what_is_kept() {
    let bench = SpoolBench::new(|settings| {
        settings.max_size = 4 * MIB;
        settings.retention = Duration::from_hours(48);
        settings.sync = false;
    });
    let spool = bench.open();
    let sink: Arc<str> = "sink".into();
    register(&spool, &["sink"]).await;
    let mut position = 0;
    for _ in 0..20 {
        let batches = (0..200).map(|number| noise(&bench, position + number, 3000).prepare());
        let appended =
            futures_util::future::join_all(batches.map(|batch| spool.append(batch))).await;
        assert!(appended.iter().all(Result::is_ok), "{appended:?}");
        position += 200;
        spool.commit(&sink, position, Tally::default(), Vec::new()).await.expect("committed");
    }
}

#[tokio::test]
async fn a_dead_letter_larger_than_all_of_the_quarantine_blocks_no_sink() {
    let bench = SpoolBench::new(|settings| settings.quarantine_max_size = 2000);
    let spool = bench.open();
    let sink: Arc<str> = "sink".into();
    register(&spool, &["sink"]).await;
    bench.append(&spool, 1..=3).await;
    let letter = |size: usize| {
        let entry = NewEntry {
            origin: EntryOrigin::DeadLetter,
            key: None,
            reason: "rejected",
            detail: String::new(),
            path: String::new(),
            index: 0,
            request_id: String::new(),
            encoding: String::new(),
            sink: Some("sink".into()),
            target: None,
            bytes: vec![1; size].into(),
        };
        ("source".to_owned(), entry)
    };
    let commit = |position, letters| spool.commit(&sink, position, Tally::default(), letters);
    assert_eq!(commit(1, vec![letter(9000)]).await, Ok(()));
    let refused = commit(2, vec![letter(9000)]).await;
    assert_eq!((refused, spool.is_quarantine_full()), (Err(CommitError::QuarantineFull), true));
    assert_eq!(removed(&spool, vec![1]).await, 1);
    assert!(!spool.is_quarantine_full());
    let together = commit(3, vec![letter(1800), letter(1800)]).await;
    assert_eq!(together, Err(CommitError::QuarantineFull), "these fit one after the other");
    assert_eq!(commit(2, vec![letter(9000)]).await, Ok(()));
}

#[tokio::test]
async fn a_clock_that_is_set_ahead_forgets_no_id() {
    let bench = SpoolBench::new(|_| {});
    let passed = Arc::new(AtomicI64::new(0));
    let steady = Arc::clone(&passed);
    let steady: Clock = Arc::new(move || steady.load(Ordering::Relaxed));
    let writer = open::recover(&bench.settings, bench.clock(), steady).expect("recovered");
    let spool = open::start(writer, mpsc::Receiver::recv_timeout).expect("started");
    bench.append(&spool, [1]).await;
    bench.pass(30 * DAY);
    bench.append(&spool, [2]).await;
    assert_eq!(bench.append(&spool, [1, 2]).await, receipt(0, 2), "a month by the clock alone");
    passed.store(DAY + 1, Ordering::Relaxed);
    bench.append(&spool, [3]).await;
    assert_eq!(bench.append(&spool, [1]).await, receipt(1, 0), "a day has passed");
}

/// Events that the service makes of stored ones find room, because trimming waits for them.
#[tokio::test]
async fn a_full_spool_takes_derived_events_only() {
    let bench = SpoolBench::new(|settings| settings.max_size = 16 * MIB);
    let spool = bench.open();
    register(&spool, &["sink"]).await;
    let (stored, error) = fill(&bench, &spool, 0, 200_000).await;
    assert_eq!((error, spool.is_full(), spool.is_tight()), (AppendError::Full, true, true));
    let derived = Batch { is_derived: true, ..bench.batch([10_000]) };
    assert_eq!(spool.append(derived.prepare()).await, Ok(receipt(1, 0)));
    let refused = spool.append(bench.batch([10_001]).prepare()).await;
    assert_eq!(refused, Err(AppendError::Full));
    spool
        .commit(&"sink".into(), stored + 1, Tally::default(), Vec::new())
        .await
        .expect("committed");
    drop(spool.remove(Vec::new()).await);
    assert!(!spool.is_tight());
}

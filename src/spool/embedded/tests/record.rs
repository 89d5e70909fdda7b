//! The record of dispositions: complete up to the cursor, found by position, removed with its events.

use super::recover::salvage;
use super::store::dispositions;
use super::*;
use crate::spool::{DispositionRun, RecordedDisposition};

fn run(disposition: Disposition, attempts: u32, cause: Option<&str>, count: u64) -> DispositionRun {
    let cause = cause.map(Arc::from);
    DispositionRun { disposition: Some(disposition), attempts, cause, count }
}

fn record(runs: impl IntoIterator<Item = DispositionRun>) -> CommitRecord {
    let mut record = CommitRecord::default();
    for run in runs {
        record.tally.add(run.disposition.expect("one"), run.count);
        record.runs.push(run);
    }
    record
}

const KEY: &str = "sinks.a.exclude.types";

/// Returns a bench whose spool has ten events: sink `a` has passed all, `b` has passed four.
async fn recorded() -> (SpoolBench, EmbeddedSpool) {
    let bench = SpoolBench::new(|settings| settings.retention = Duration::from_hours(1));
    let spool = bench.open();
    register(&spool, &["a", "b"]).await;
    bench.append(&spool, 1..=10).await;
    let delivered = |attempts, count| run(Disposition::Delivered, attempts, None, count);
    let filtered = run(Disposition::Filtered, 0, Some(KEY), 2);
    let first = record([delivered(1, 3), filtered]);
    spool.commit(&"a".into(), 5, first, Vec::new()).await.expect("committed");
    bench.pass(1000);
    let dead = run(Disposition::DeadLettered, 2, Some("rejected 400"), 1);
    let second = record([dead, delivered(3, 4)]);
    spool.commit(&"a".into(), 10, second, Vec::new()).await.expect("committed");
    let copies = record([run(Disposition::NotAddressed, 0, None, 4)]);
    spool.commit(&"b".into(), 4, copies, Vec::new()).await.expect("committed");
    (bench, spool)
}

fn look(bench: &SpoolBench) -> inspect::EmbeddedInspection {
    inspect::open(&bench.settings.directory).expect("opened")
}

fn problems(bench: &SpoolBench) -> Vec<String> {
    look(bench).verify(|_, _| ()).expect("read").problems
}

/// Returns sink, first, last, and the number of events whose disposition is not recorded.
fn covered(bench: &SpoolBench) -> Vec<(String, u64, u64, u64)> {
    let records = look(bench).verify(|_, _| ()).expect("read").records;
    records
        .into_iter()
        .map(|known| (known.sink, known.first, known.last, known.unrecorded))
        .collect()
}

fn execute(bench: &SpoolBench, sql: &str) {
    let connection = Connection::open(schema::database(&bench.settings.directory)).expect("opened");
    connection.execute_batch(sql).expect("executed");
}

#[tokio::test]
async fn each_event_has_time_attempt_and_cause_of_its_commit_also_after_a_restart() {
    let (bench, spool) = recorded().await;
    spool.close();
    bench.open().close();
    let found = look(&bench).dispositions(&[5, 6, 7]).expect("read").expect("a record");
    let (begin, sink) = (100 * DAY, || "a".to_owned());
    let (filtered, dead) = (
        run(Disposition::Filtered, 0, Some(KEY), 2),
        run(Disposition::DeadLettered, 2, Some("rejected 400"), 1),
    );
    let delivered = run(Disposition::Delivered, 3, None, 4);
    assert_eq!(
        found,
        [
            RecordedDisposition { position: 5, sink: sink(), at: begin, run: filtered },
            RecordedDisposition { position: 6, sink: sink(), at: begin + 1000, run: dead },
            RecordedDisposition { position: 7, sink: sink(), at: begin + 1000, run: delivered },
        ]
    );
    let verified = look(&bench).verify(|_, _| ()).expect("read");
    assert_eq!(verified.problems, [""; 0]);
    assert_eq!(covered(&bench), [("a".to_owned(), 1, 10, 0), ("b".to_owned(), 1, 4, 0)]);
    let counts = &verified.records[0].dispositions;
    let expected = [("dead_lettered", 1), ("delivered", 7), ("filtered", 2)];
    assert_eq!(*counts, expected.into_iter().collect());
}

#[tokio::test]
async fn a_commit_that_moves_nothing_and_one_that_does_not_add_up_claim_nothing() {
    let (bench, spool) = recorded().await;
    let one = || record([run(Disposition::Delivered, 1, None, 1)]);
    spool.commit(&"a".into(), 10, one(), Vec::new()).await.expect("committed");
    spool.commit(&"b".into(), 7, one(), Vec::new()).await.expect("committed");
    let mixed = Tally { delivered: 1, filtered: 1, ..Tally::default() };
    spool.commit(&"b".into(), 9, mixed, Vec::new()).await.expect("committed");
    assert_eq!(covered(&bench), [("a".to_owned(), 1, 10, 0), ("b".to_owned(), 1, 9, 5)]);
    // A new sink that begins with the next event has passed the others.
    let now = [("a", Start::Oldest), ("b", Start::Oldest), ("late", Start::Now)];
    let now = now.map(|(sink, start)| (Arc::from(sink), start));
    spool.register(&now).await.expect("registered");
    let found = look(&bench).dispositions(&[10]).expect("read").expect("a record");
    assert_eq!(found[1].sink, "late");
    assert_eq!(found[1].run, run(Disposition::BeforeStart, 0, None, 10));
    assert_eq!(problems(&bench), [""; 0]);
}

#[tokio::test]
async fn the_record_is_removed_with_the_events_that_it_covers() {
    let (bench, spool) = recorded().await;
    spool.commit(&"b".into(), 10, Tally::default(), Vec::new()).await.expect("committed");
    let rows = || {
        let file = schema::database(&bench.settings.directory);
        let connection = schema::connect_reader_at(file).expect("opened");
        let count = "SELECT count(*) FROM dispositions";
        connection.query_row(count, [], |row| row.get::<_, u64>(0)).expect("read")
    };
    assert_eq!(rows(), 4);
    bench.pass(2 * 60 * 60 * 1000);
    bench.append(&spool, [11]).await;
    assert_eq!(spool.stats().await.expect("stats").events, 1);
    assert_eq!((rows(), covered(&bench)), (0, Vec::new()));
    assert_eq!(problems(&bench), [""; 0]);
    spool.commit(&"a".into(), 11, Tally::default(), Vec::new()).await.expect("committed");
    assert_eq!(covered(&bench), [("a".to_owned(), 11, 11, 1)]);
}

#[tokio::test]
async fn with_little_room_the_oldest_part_is_removed_first() {
    let (bench, spool) = recorded().await;
    spool.close();
    let file = schema::database(&bench.settings.directory);
    let connection = Connection::open(file).expect("opened");
    assert_eq!(dispositions::trim(&connection, 0, 0), Ok(false));
    assert_eq!(covered(&bench).len(), 2);
    assert_eq!(dispositions::trim(&connection, 0, 1), Ok(false));
    assert_eq!(covered(&bench), [("a".to_owned(), 6, 10, 0), ("b".to_owned(), 1, 4, 0)]);
    assert_eq!(dispositions::trim(&connection, 0, 1), Ok(false));
    assert_eq!(covered(&bench), [("b".to_owned(), 1, 4, 0)]);
    assert_eq!(problems(&bench), [""; 0], "nothing false is left");
}

#[tokio::test]
async fn a_verification_finds_gaps_and_corrupt_rows() {
    let (bench, spool) = recorded().await;
    bench.append(&spool, 11..=12).await;
    spool.commit(&"a".into(), 12, Tally::default(), Vec::new()).await.expect("committed");
    spool.close();
    for (change, undo, problem) in [
        (
            "CREATE TABLE kept AS SELECT * FROM dispositions WHERE last = 10;
             DELETE FROM dispositions WHERE last = 10;",
            "INSERT INTO dispositions SELECT * FROM kept; DROP TABLE kept;",
            "the record of sink a has a gap between events 5 and 11",
        ),
        (
            "UPDATE dispositions SET at = at + 1 WHERE last = 4",
            "UPDATE dispositions SET at = at - 1 WHERE last = 4",
            "the record of sink b for events 1 to 4 does not match its checksum",
        ),
        (
            "CREATE TABLE kept AS SELECT * FROM dispositions WHERE last = 12;
             DELETE FROM dispositions WHERE last = 12;",
            "INSERT INTO dispositions SELECT * FROM kept; DROP TABLE kept;",
            "the record of sink a ends at event 10, and its cursor is 12",
        ),
    ] {
        execute(&bench, change);
        assert_eq!(problems(&bench), [problem]);
        let found = look(&bench).dispositions(&[4]).expect("read").expect("a record");
        let expected = if problem.contains("sink b") { 1 } else { 2 };
        assert_eq!(found.len(), expected, "a corrupt row says nothing: {problem}");
        execute(&bench, undo);
        assert_eq!(problems(&bench), [""; 0], "after {problem}");
    }
}

#[tokio::test]
async fn a_repair_keeps_the_rows_that_lead_up_to_the_cursor() {
    let (bench, spool) = recorded().await;
    spool.close();
    let directory = &bench.settings.directory;
    let rows = |file: &std::path::Path| {
        let connection = schema::connect_reader_at(file).expect("opened");
        let mut rows = Vec::new();
        dispositions::each(&connection, |row| rows.push((row.sink, row.first, row.last)))
            .expect("read");
        rows
    };
    let row = |sink: &str, first: u64, last: u64| (sink.to_owned(), first, last);
    let all = [row("a", 1, 5), row("a", 6, 10), row("b", 1, 4)];
    let rebuilt = directory.join("rebuilt");
    salvage::rebuild(directory, &rebuilt, None, 0).expect("rebuilt");
    assert_eq!(rows(&rebuilt), all);
    execute(&bench, "UPDATE dispositions SET first = 2 WHERE last IN (5, 4)");
    let other = directory.join("other");
    salvage::rebuild(directory, &other, None, 0).expect("rebuilt");
    assert_eq!(rows(&other), [row("a", 6, 10)], "corrupt rows are left out");
    execute(&bench, "DELETE FROM dispositions WHERE last = 10");
    let third = directory.join("third");
    salvage::rebuild(directory, &third, None, 0).expect("rebuilt");
    assert_eq!(rows(&third), [], "what does not lead up to the cursor says too little");
}

#[tokio::test]
async fn a_spool_without_the_table_gets_it_and_records_from_then_on() {
    let (bench, spool) = recorded().await;
    spool.close();
    execute(&bench, "DROP TABLE dispositions");
    assert_eq!(look(&bench).dispositions(&[5]).expect("read"), None);
    assert_eq!((problems(&bench), covered(&bench)), (Vec::new(), Vec::new()));
    let spool = bench.open();
    register(&spool, &["a", "b"]).await;
    let six = record([run(Disposition::Delivered, 1, None, 6)]);
    spool.commit(&"b".into(), 10, six, Vec::new()).await.expect("committed");
    assert_eq!(covered(&bench), [("b".to_owned(), 5, 10, 0)]);
    let found = look(&bench).dispositions(&[4, 5]).expect("read").expect("a record");
    assert_eq!(found.iter().map(|found| found.position).collect::<Vec<_>>(), [5]);
    assert_eq!(problems(&bench), [""; 0]);
}

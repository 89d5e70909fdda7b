//! Planned ranges: they survive a restart and a repair, and a commit or damage ends them.

use super::recover::salvage;
use super::store::plans;
use super::*;
use crate::spool::{OpenError, PlannedRange, Spool};

const RANGE: PlannedRange = PlannedRange { after: 0, last: 3, id: u64::MAX >> 1, settings: 7 };

#[tokio::test]
async fn a_planned_range_survives_a_restart_and_ends_with_the_commit() {
    let bench = SpoolBench::new(|_| {});
    let (sink, other): (Arc<str>, Arc<str>) = ("sink".into(), "other".into());
    let spool = Spool::Embedded(bench.open());
    let starts = [(Arc::clone(&sink), Start::Oldest), (Arc::clone(&other), Start::Oldest)];
    spool.register(&starts).await.expect("registered");
    spool.append(bench.batch(1..=5).prepare()).await.expect("stored");
    assert_eq!(spool.planned(&sink, 0).await.expect("read"), None);
    spool.plan(&sink, PlannedRange { last: 2, ..RANGE }).await.expect("stored");
    spool.plan(&sink, RANGE).await.expect("replaced");
    spool.close();

    let spool = Spool::Embedded(bench.open());
    spool.register(&starts).await.expect("registered");
    assert_eq!(spool.planned(&sink, 0).await.expect("read"), Some(RANGE));
    assert_eq!(spool.planned(&other, 0).await.expect("read"), None, "each sink has its own");
    let tally = Tally { delivered: 3, ..Tally::default() };
    spool.commit(&sink, 3, tally, Vec::new()).await.expect("committed");
    assert_eq!(spool.planned(&sink, 3).await.expect("read"), None, "it is written");
}

#[tokio::test]
async fn a_repair_keeps_a_planned_range_and_a_corrupt_one_counts_as_none() {
    let bench = SpoolBench::new(|_| {});
    let sink: Arc<str> = "sink".into();
    let spool = bench.open();
    register(&spool, &["sink"]).await;
    spool.plan(&sink, RANGE).await.expect("stored");
    spool.close();
    let directory = &bench.settings.directory;
    let rebuilt = directory.join("rebuilt");
    salvage::rebuild(directory, &rebuilt, None, 0).expect("rebuilt");
    let connection = Connection::open(rebuilt).expect("opened");
    assert_eq!(plans::read(&connection, "sink").expect("read"), Some(RANGE));
    let next: u64 =
        connection.query_row("SELECT next FROM state", [], |row| row.get(0)).expect("read");
    assert_eq!(next, RANGE.last + 1, "no position of the range is given to another event");
    connection.execute("UPDATE plans SET last = 4", []).expect("changed");
    assert_eq!(plans::read(&connection, "sink").expect("read"), None);
}

#[test]
fn a_verification_finds_a_corrupt_plan_and_reads_the_layout_before_plans() {
    let bench = SpoolBench::new(|_| {});
    bench.open().close();
    let directory = &bench.settings.directory;
    let problems =
        || inspect::open(directory).expect("opened").verify(|_, _| ()).expect("read").problems;
    let connection = Connection::open(schema::database(directory)).expect("opened");
    plans::write(&connection, "sink", RANGE).expect("stored");
    assert_eq!(problems(), [""; 0]);
    connection.execute("UPDATE plans SET last = 4", []).expect("changed");
    assert_eq!(problems(), ["the planned range of sink sink does not match its checksum"]);
    connection.execute_batch("DROP TABLE plans; PRAGMA user_version = 3;").expect("changed");
    assert_eq!(problems(), [""; 0]);
    connection.execute_batch("PRAGMA user_version = 2;").expect("changed");
    assert!(matches!(inspect::open(directory), Err(OpenError::Layout { found: 2, .. })));
}

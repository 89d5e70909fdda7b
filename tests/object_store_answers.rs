//! Answers of a store that acknowledge nothing, and dead letters of a range that find no room.

use rusqlite::Connection;

use crate::full_quarantine::{SMALL, fill};
use crate::object_store::{config, sorted};
use crate::support::canary::TOKEN;
use crate::support::events::{batch, id, ids};
use crate::support::service::{Home, Service};
use crate::support::targets::bucket::Bucket;
use crate::support::targets::{Fault, Target};
use crate::support::wait_for;

const EXISTS: &str = "<?xml version=\"1.0\"?><Error><Code>PreconditionFailed</Code></Error>";

fn exists(status: u16) -> Fault {
    Fault::Answer(status, Vec::new(), EXISTS.to_owned())
}

fn page(status: u16) -> Fault {
    let kind = vec![("content-type", "text/html".to_owned()), ("etag", "\"1\"".to_owned())];
    Fault::Answer(status, kind, "<!doctype html><title>Log in</title>".to_owned())
}

fn reason(service: &Service) -> String {
    let state = service.readiness()["sinks"][0].take();
    state["reason"].as_str().unwrap_or_default().to_owned()
}

/// The first attempt of a new range cannot meet an object of its own, and a page is not the store's.
#[test]
fn a_first_attempt_that_is_not_confirmed_is_written_again() {
    for fault in [exists(412), exists(304), page(200), page(412)] {
        let bucket = Target::start(Bucket::default());
        bucket.fail([fault]);
        let keys = config(&bucket, "batch = { age = \"10ms\" }");
        let home = Home::new(&keys).with_variables(&[("SECRET", TOKEN)]);
        let service = home.start();
        service.post(&batch(ids(3)));
        service.wait_until_settled("archive");
        assert_eq!(sorted(&bucket.all_lines()), ids(3));
        assert!(bucket.requests() > 1);
        let found = "davinci_siem_sink_findings_total{kind=\"already_stored\",sink=\"archive\"}";
        assert_eq!(service.metric(found), 0.0);
    }
}

/// A store that claims to have every object is not believed after a restart either.
#[test]
fn a_claim_is_not_believed_after_a_restart() {
    let bucket = Target::start(Bucket::default());
    bucket.fail((0..1000).map(|_| exists(412)));
    let keys = config(&bucket, "batch = { age = \"10ms\" }");
    let home = Home::new(&keys).with_variables(&[("SECRET", TOKEN)]);
    let service = home.start();
    service.post(&batch(ids(3)));
    wait_for("attempts", || (bucket.requests() >= 3).then_some(()));
    wait_for("a reason", || reason(&service).contains("not written").then_some(()));
    assert_eq!(service.lag("archive"), 3.0);
    service.kill();
    let service = home.start();
    let before = bucket.requests();
    wait_for("more attempts", || (bucket.requests() >= before + 3).then_some(()));
    assert_eq!(service.lag("archive"), 3.0);
    assert!(service.log().contains("had claimed to have objects"), "{}", service.log());
    bucket.state().traffic.faults.clear();
    service.wait_until_settled("archive");
    assert_eq!(sorted(&bucket.all_lines()), ids(3));
}

/// The cursor passes the events before a dead letter without room, and no restart writes their objects again.
#[test]
fn the_dead_letters_of_a_range_are_committed_in_parts() {
    let bucket = Target::start(Bucket::default());
    bucket.state().traffic.down = Some(503);
    let keys = config(&bucket, "batch = { age = \"1h\", events = 9 }");
    let home = Home::new(&format!("{SMALL}{keys}")).with_variables(&[("SECRET", TOKEN)]);
    let service = home.start();
    let garbage: usize = [60_000, 1000, 0].map(|size| fill(&service, size, |_| {})).iter().sum();
    for part in ids(9).chunks(3) {
        service.post(&batch(part.to_vec()));
    }
    wait_for("an attempt", || (bucket.requests() > 0).then_some(()));
    service.wait_until_settled("out");
    service.kill();
    let store = Connection::open(home.path("data/spool.db")).expect("opened");
    let sql = "UPDATE chunks SET checksum = checksum + 1 WHERE last = 6";
    assert_eq!(store.execute(sql, []).expect("changed"), 1);
    drop(store);
    bucket.state().traffic.down = None;

    let service = home.start();
    wait_for("a part of the range", || (service.lag("archive") == 6.0).then_some(()));
    let written = bucket.lines();
    let requests = bucket.requests();
    service.kill();
    let service = home.start();
    let waits = || {
        let sinks = service.readiness()["sinks"].take();
        let archive = sinks.as_array()?.iter().find(|sink| sink["sink"] == "archive")?.clone();
        archive["reason"].as_str()?.contains("the quarantine is full").then_some(())
    };
    wait_for("the sink to wait for room again", waits);
    assert_eq!(service.lag("archive"), 6.0);
    let purged = home.run_with(&service, &["quarantine", "purge", "--all", "--yes"]);
    assert_eq!(String::from_utf8_lossy(&purged.stdout), format!("{garbage} removed\n"));
    service.wait_until_settled("archive");
    assert_eq!(
        (bucket.lines(), bucket.requests()),
        (written, requests),
        "nothing is written again"
    );
    let expected: Vec<String> = [0, 1, 2, 6, 7, 8].map(|number| ids(9)[number].clone()).into();
    assert_eq!(sorted(&bucket.all_lines()), expected);
    let lost: Vec<String> = home.lines("out.ndjson").iter().map(|line| id(line)).collect();
    assert_eq!(lost.len(), 9, "the other sink had them before the damage");
    let total = |result: &str| {
        service.metric(&format!(
            "davinci_siem_sink_events_total{{result=\"{result}\",sink=\"archive\"}}"
        ))
    };
    assert_eq!((total("delivered"), total("dead_lettered")), (6.0, 3.0));
}

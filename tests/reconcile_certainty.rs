//! `reconcile` where something is in doubt: what was forgotten, what no webhook is known to send, and what changes while
//! PingOne's lists are read.

use std::collections::BTreeSet;

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};

use crate::reconcile::{KEEP, home, ids, post_all, reconcile};
use crate::support::canary;
use crate::support::recorded::{FLOW, listed, sent, started, times};
use crate::support::targets::Target;
use crate::support::targets::pingone::PingOne;
use crate::support::{block_on, wait_for};

#[test]
fn what_may_have_been_forgotten_is_unknown_and_not_fetched() {
    let mut fake = PingOne::new();
    let times = times(Utc::now() - TimeDelta::hours(3), TimeDelta::hours(2), 1500);
    let numbered = || times.iter().enumerate();
    fake.activities = numbered().map(|(i, at)| listed(&format!("e{i}"), *at)).collect();
    let pingone = Target::start(fake);
    // The keys of the first events are removed for newer ones.
    let home = home(&pingone, "[spool]\ndedup = { max_ids = 1000 }\n");
    let service = home.start();
    for batch in numbered().collect::<Vec<_>>().chunks(50) {
        let batch: Vec<Value> = batch.iter().map(|(i, at)| sent(&format!("e{i}"), **at)).collect();
        post_all(&service, &batch);
    }
    service.wait_until_settled("one");
    wait_for("removal", || {
        let run = format!("later {}", uuid::Uuid::new_v4());
        service.post(&json!([started(&run, Utc::now())]).to_string());
        service.wait_until_settled("one");
        let stats = home.run(&["spool", "stats", "--json"]).stdout;
        let stats: Value = serde_json::from_slice(&stats).expect("JSON");
        (stats["events"].as_u64() < Some(10)).then_some(())
    });
    let (code, report, _) = reconcile(&home, &service, &["--from", "4h", "--fetch"]);
    let events = &report["events"];
    assert_eq!((code, &events["missing"], &events["fetched"]), (Some(0), &json!(0), &json!(0)));
    assert!(events["unknown"].as_u64() > Some(400), "{report}");
    let output = home.run_with(&service, &["reconcile", "--from", "4h"]);
    assert!(canary::text(&output).contains("neither received nor missing"), "{output:?}");
}

#[test]
fn nothing_is_taken_in_that_no_webhook_is_known_to_send() {
    let mut fake = PingOne::new();
    let times = times(Utc::now() - TimeDelta::hours(3), TimeDelta::hours(2), 20);
    fake.activities =
        times.iter().enumerate().map(|(i, at)| listed(&format!("e{i}"), *at)).collect();
    fake.forbidden.insert("subscriptions".to_owned());
    let pingone = Target::start(fake);
    let home = home(&pingone, "");
    let service = home.start();
    let fetching = ["--from", "4h", "--fetch"];
    let fetched = |report: &Value| report["events"]["fetched"].as_u64();
    let (code, report, message) = reconcile(&home, &service, &fetching);
    assert_eq!((code, fetched(&report)), (Some(1), Some(0)), "{message}");
    assert!(message.contains("missing: 20 audit events"), "{message}");
    assert!(report["notes"].to_string().contains("are not taken in"), "{report}");
    // A webhook of another population does not send all of them.
    pingone.state().forbidden.clear();
    pingone.state().subscriptions[0]["filterOptions"]["includedPopulations"] = json!([{}]);
    let (_, report, _) = reconcile(&home, &service, &fetching);
    assert_eq!(fetched(&report), Some(0), "{report}");
    pingone.state().subscriptions[0]["filterOptions"]["includedPopulations"] = json!([]);
    let (code, report, message) = reconcile(&home, &service, &fetching);
    assert_eq!((code, fetched(&report)), (Some(0), Some(20)), "{message}");
}

#[test]
fn a_deleted_flow_and_a_late_event_do_not_spoil_the_comparison() {
    let mut fake = PingOne::new();
    let times = times(Utc::now() - TimeDelta::hours(3), TimeDelta::hours(2), 4);
    let run = |index: usize| (format!("r{index}"), times[index]);
    fake.runs.insert(FLOW.to_owned(), vec![run(0), run(1), run(2)]);
    fake.runs.insert("deleted".to_owned(), vec![run(3)]);
    fake.deleted.insert("deleted".to_owned());
    fake.expires_after = Some(3);
    let pingone = Target::start(fake);
    let home = home(&pingone, KEEP);
    let service = home.start();
    post_all(&service, &[started("r0", times[0])]);
    // PingOne sends the event of a run while its lists are read.
    let (url, late) = (service.url.clone(), json!([started("r1", times[1])]).to_string());
    pingone.state().before_runs = Some(Box::new(move || {
        let sending = std::thread::spawn(move || {
            block_on(async { reqwest::Client::new().post(url).body(late).send().await })
        });
        let answer = sending.join().expect("posted").expect("an answer");
        assert_eq!(answer.status(), 200);
    }));
    let (code, report, message) = reconcile(&home, &service, &["--from", "4h"]);
    let runs = &report["runs"];
    assert_eq!((code, &runs["received"], &runs["missing"]), (Some(1), &json!(2), &json!(1)));
    assert_eq!(ids(&report["missing_runs"]), BTreeSet::from(["r2".to_owned()]), "{message}");
    assert!(report["notes"].to_string().contains("the runs of flow deleted"), "{report}");
    assert_eq!(pingone.state().issued, 2, "the expired token is renewed");
}

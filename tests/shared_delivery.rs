//! Events come once, and all of them, where receivers share a spool: with Debian's nats-server and a newer one.

use std::collections::HashSet;

use serde_json::Value;

use crate::support::events::{batch, ids};
use crate::support::nats::shipped::Changes;
use crate::support::nats::{Cluster, NEWER_SERVER};
use crate::support::receivers::Receivers;
use crate::support::targets::Target;
use crate::support::targets::webhook::Webhook;
use crate::support::wait_for;

/// Debian's, and a newer one.
const PROGRAMS: [Option<&str>; 2] = [None, Some(NEWER_SERVER)];

fn seen(target: &Target<Webhook>) -> HashSet<String> {
    target.state().ids().into_iter().collect()
}

#[test]
#[ignore = "needs nats-server; .ci/nats installs it"]
fn a_batch_that_two_receivers_are_given_at_once_is_stored_once() {
    for program in PROGRAMS {
        let changes = Changes { program, ..Changes::default() };
        let (cluster, target) =
            (Cluster::shipped_with(3, changes), Target::start(Webhook::default()));
        let receivers = Receivers::start(&cluster, &target, &[]);
        let all = ids(2000);
        for part in all.chunks(500) {
            let body = batch(part.to_vec());
            let answers: Vec<Value> = std::thread::scope(|scope| {
                let posts = [0, 1].map(|index| {
                    let (receivers, body) = (&receivers, &body);
                    scope.spawn(move || receivers.get(index).answer(body))
                });
                posts.into_iter().map(|post| post.join().expect("an answer")).collect()
            });
            println!("{program:?}: {answers:?}");
            let sum = |key: &str| answers.iter().filter_map(|answer| answer[key].as_u64()).sum();
            let (accepted, duplicates): (u64, u64) = (sum("accepted"), sum("duplicates"));
            assert_eq!((accepted, duplicates), (500, 500), "{program:?}");
        }
        assert_eq!(cluster.client().last("davinci-siem"), 4, "{program:?}: each is one message");
        wait_for("every event", || (seen(&target).len() >= all.len()).then_some(()));
        receivers.get(0).wait_until_settled("siem");
        assert_eq!(target.state().stored.len(), all.len(), "{program:?}: each comes once");
        // Neither has given up waiting for what the other was storing.
        for index in [0, 1] {
            let log = receivers.get(index).log();
            assert!(!log.contains("remembers an id that it has not stored"), "{program:?}");
        }
    }
}

#[test]
#[ignore = "needs nats-server; .ci/nats installs it"]
fn batches_that_overlap_at_two_receivers_at_once_are_delivered_once() {
    let (cluster, target) = (Cluster::shipped(3), Target::start(Webhook::default()));
    let receivers = Receivers::start(&cluster, &target, &[]);
    let all = ids(6000);
    // Each batch has the second half of the one before, which the other receiver gets at the same moment.
    let parts: Vec<String> =
        (0..23).map(|part| batch(all[250 * part..250 * part + 500].to_vec())).collect();
    let answers: Vec<Value> = std::thread::scope(|scope| {
        let posts = [0, 1].map(|index| {
            let (receivers, parts) = (&receivers, &parts);
            let own = parts.iter().skip(index).step_by(2);
            scope.spawn(move || own.map(|body| receivers.get(index).answer(body)).collect())
        });
        let answers = posts.into_iter().map(|post| post.join().expect("answers"));
        answers.collect::<Vec<Vec<Value>>>().concat()
    });
    wait_for("every event", || (seen(&target).len() >= all.len()).then_some(()));
    let stats = || -> Value {
        let output = receivers.homes[0].run(&["spool", "stats", "--json"]);
        serde_json::from_slice(&output.stdout).expect("JSON")
    };
    wait_for("the cursor", || (stats()["sinks"][0]["lag"] == 0).then_some(()));
    assert_eq!(target.state().stored.len(), all.len(), "each comes once");
    // What neither receiver knew is in the log twice: counted as accepted, then as repeated.
    let sum = |key: &str| -> u64 { answers.iter().filter_map(|answer| answer[key].as_u64()).sum() };
    let stats = stats();
    let of_sink = &stats["dispositions"]["siem"];
    let repeated = of_sink["repeated"].as_u64().unwrap_or_default();
    println!("{} accepted, {} duplicates, {repeated} repeated", sum("accepted"), sum("duplicates"));
    assert_eq!(sum("accepted") + sum("duplicates"), 23 * 500);
    assert_eq!(sum("accepted"), 6000 + repeated);
    assert_eq!(stats["head"], sum("accepted"));
    assert_eq!(of_sink["delivered"], 6000);
}

#[test]
#[ignore = "needs nats-server; .ci/nats installs it"]
fn an_entry_of_a_quarantine_that_was_made_anew_is_not_taken_for_an_older_one() {
    let cluster = Cluster::shipped(1);
    let target = Target::start(Webhook::default());
    let mut receivers = Receivers::start(&cluster, &target, &[]);
    let all = ids(8);
    let bury_and_retry = |receivers: &Receivers, ids: &[String]| {
        let (poisoned, home) = (&ids[3], &receivers.homes[0]);
        target.state().poison.insert(poisoned.clone());
        receivers.get(0).post(&batch(ids.to_vec()));
        wait_for("a dead letter", || (home.quarantine().len() == 1).then_some(()));
        target.state().poison.clear();
        assert_eq!(home.quarantine()[0]["id"], 1, "the first of its stream");
        let retried = home.run_with(receivers.get(0), &["quarantine", "retry", "1"]);
        assert!(retried.status.success(), "{retried:?}");
        wait_for("the letter", || seen(&target).contains(poisoned).then_some(()));
        assert_eq!(home.quarantine(), Vec::<Value>::new());
    };
    bury_and_retry(&receivers, &all[..4]);
    cluster.client().delete("davinci-siem-quarantine");
    receivers.running.iter_mut().for_each(|running| running.take().expect("it runs").kill());
    receivers.restart();
    bury_and_retry(&receivers, &all[4..]);
}

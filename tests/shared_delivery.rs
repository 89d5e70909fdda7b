//! Delivery by receivers that share a spool: each event once and none missing, with two versions of nats-server that
//! answer pull requests differently.

use std::collections::HashSet;

use serde_json::Value;

use crate::support::events::{batch, ids, minted, minted_with};
use crate::support::nats::shipped::Changes;
use crate::support::nats::{Cluster, NEWER_SERVER};
use crate::support::receivers::Receivers;
use crate::support::targets::Target;
use crate::support::targets::webhook::Webhook;
use crate::support::wait_for;

/// nats-server of Debian, and a newer one.
const PROGRAMS: [Option<&str>; 2] = [None, Some(NEWER_SERVER)];

fn seen(target: &Target<Webhook>) -> HashSet<String> {
    target.state().ids().into_iter().collect()
}

#[test]
#[ignore = "needs nats-server; .ci/nats installs it"]
fn in_parallel_nothing_that_was_pulled_waits_to_be_given_again() {
    for program in PROGRAMS {
        // A pull returns at most the bytes of `max_payload`: here less than is stored.
        let changes = Changes { max_payload: Some("1MB"), program, ..Changes::default() };
        let (cluster, target) =
            (Cluster::shipped_with(3, changes), Target::start(Webhook::default()));
        let settings = [("SPOOL__JETSTREAM__ORDER", "parallel"), ("LIMITS__BODY", "900 KiB")];
        let receivers = Receivers::start(&cluster, &target, &settings);
        let all = ids(6000);
        let filling = "filling ".repeat(300);
        for (number, part) in all.chunks(200).enumerate() {
            let events: Vec<String> = part.iter().map(|id| minted_with(id, &filling)).collect();
            receivers.get(number % 2).post(&format!("[{}]", events.join(",")));
        }
        wait_for("every event", || (seen(&target).len() >= all.len()).then_some(()));
        let doubled = target.state().stored.len() - all.len();
        println!("{program:?}: {doubled} of {} came twice", all.len());
        // No redeliveries, unless a receiver stood still for 20 seconds.
        assert!(doubled < all.len() / 10, "{program:?}: {doubled} came twice");
    }
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
        assert_eq!(cluster.client().last("davinci-siem"), 2000, "{program:?}: each is stored once");
        wait_for("every event", || (seen(&target).len() >= all.len()).then_some(()));
        receivers.get(0).wait_until_settled("siem");
        assert_eq!(target.state().stored.len(), all.len(), "{program:?}: each comes once");
        // No receiver has stopped waiting for the messages of the other.
        for index in [0, 1] {
            let log = receivers.get(index).log();
            assert!(!log.contains("remembers an id that it has not stored"), "{program:?}");
        }
    }
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

#[test]
#[ignore = "needs nats-server; .ci/nats installs it"]
fn a_retry_stores_an_event_that_is_known_and_was_removed_before_its_delivery() {
    let cluster = Cluster::shipped(1);
    let target = Target::start(Webhook::default());
    let mut receivers = Receivers::start(&cluster, &target, &[]);
    let operates = |receivers: &Receivers, arguments: &[&str]| {
        let output = receivers.homes[0].run_with(receivers.get(0), arguments);
        assert!(output.status.success(), "{output:?}");
    };
    operates(&receivers, &["sink", "pause", "siem"]);
    for index in [0, 1] {
        let state = || receivers.get(index).readiness()["sinks"][0]["state"].clone();
        wait_for("the pause", || (state() == "paused").then_some(()));
    }
    receivers.get(0).post(&format!("[{}]", minted("late").replace("recordedAt", "recorded")));
    // The sender corrects the event, and an operator removes it before it is delivered.
    receivers.get(0).post(&batch(["late".to_owned()]));
    cluster.client().remove("davinci-siem", 1);
    // Events that a receiver has already read are in its memory.
    receivers.running.iter_mut().for_each(|running| running.take().expect("it runs").kill());
    receivers.restart();
    let home = &receivers.homes[0];
    let fixed = home.path("fixed.json");
    std::fs::write(&fixed, minted("late")).expect("written");
    let id = home.quarantine()[0]["id"].to_string();
    operates(
        &receivers,
        &["quarantine", "retry", &id, "--replace", fixed.to_str().expect("UTF-8")],
    );
    assert_eq!(home.quarantine(), Vec::<Value>::new());
    operates(&receivers, &["sink", "resume", "siem"]);
    wait_for("the event", || seen(&target).contains("late").then_some(()));
}

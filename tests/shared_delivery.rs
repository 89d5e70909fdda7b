//! Events come once, and all of them, where receivers share a spool: with Debian's nats-server and a newer one.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::support::events::{batch, ids};
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
        // No receiver has stopped waiting for the messages of the other.
        for index in [0, 1] {
            let log = receivers.get(index).log();
            assert!(!log.contains("remembers an id that it has not stored"), "{program:?}");
        }
    }
}

#[test]
#[ignore = "needs nats-server; .ci/nats installs it"]
fn events_that_are_in_the_stream_twice_are_delivered_once_and_counted() {
    let (cluster, target) = (Cluster::shipped(1), Target::start(Webhook::default()));
    let mut receivers = Receivers::start(&cluster, &target, &[]);
    let all = ids(600);
    receivers.get(0).post(&batch(all[..200].to_vec()));
    receivers.get(1).post(&batch(all[200..400].to_vec()));
    // The servers would recognise the ids of the batches for two minutes.
    let client = cluster.client();
    [1, 2, 1].into_iter().for_each(|number| client.repeat("davinci-siem", number));
    // The second half of this one is new.
    let answer = receivers.get(0).answer(&batch(all[300..500].to_vec()));
    assert_eq!((&answer["accepted"], &answer["duplicates"]), (&json!(100), &json!(100)));
    // A receiver that starts finds the same.
    receivers.running.iter_mut().for_each(|running| running.take().expect("it runs").kill());
    receivers.restart();
    receivers.get(1).post(&batch(all[500..].to_vec()));
    wait_for("every event", || (seen(&target).len() >= all.len()).then_some(()));
    let stats = || -> Value {
        let output = receivers.homes[0].run(&["spool", "stats", "--json"]);
        serde_json::from_slice(&output.stdout).expect("JSON")
    };
    wait_for("the cursor", || (stats()["sinks"][0]["lag"] == 0).then_some(()));
    let stats = stats();
    assert_eq!(stats["head"], 1200);
    assert_eq!(stats["dispositions"]["pingone"]["accepted"], 1200);
    let of_sink = &stats["dispositions"]["siem"];
    assert_eq!((&of_sink["delivered"], &of_sink["repeated"]), (&json!(600), &json!(600)));
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
fn a_sink_that_a_reload_adds_delivers_at_one_receiver_and_is_taken_over() {
    let cluster = Cluster::shipped(1);
    let target = Target::start(Webhook::default());
    let mut receivers = Receivers::start(&cluster, &target, &[]);
    let added = Target::start(Webhook::default());
    let all = ids(30);
    receivers.get(0).post(&batch(all[..10].to_vec()));
    for index in [0, 1] {
        let (home, service) = (&receivers.homes[index], receivers.get(index));
        let text = std::fs::read_to_string(home.path("test.toml")).expect("read");
        let sink =
            format!("[sinks.added]\ntype = \"http\"\nurl = \"{}/events\"\n[spool]", added.url);
        std::fs::write(home.path("test.toml"), text.replace("[spool]", &sink)).expect("written");
        service.signal("HUP");
        service.wait_for_log("\"changed\":\"sinks.added\"");
    }
    receivers.get(1).post(&batch(all[10..20].to_vec()));
    let arrived = |count: usize| {
        wait_for("events at the added sink", || (seen(&added).len() == count).then_some(()));
    };
    // Those that were in the stream, too, unless the only sink has had them and they were removed.
    wait_for("the new events", || {
        all[10..20].iter().all(|id| seen(&added).contains(id)).then_some(())
    });
    let before = seen(&added).len();
    receivers.running[0].take().expect("it runs").kill();
    receivers.get(1).post(&batch(all[20..].to_vec()));
    arrived(before + 10);
    receivers.get(1).wait_until_settled("added");
}

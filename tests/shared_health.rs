//! Readiness, log and answers of a receiver whose shared spool was changed, deleted or cannot keep the promise.

use std::collections::HashSet;
use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy};

use crate::support::events::{batch, ids, large, large_of};
use crate::support::nats::Cluster;
use crate::support::nats::shipped::Changes;
use crate::support::receivers::Receivers;
use crate::support::targets::Target;
use crate::support::targets::webhook::Webhook;
use crate::support::wait_for;

#[test]
#[ignore = "needs nats-server; .ci/nats installs it"]
fn a_stream_that_is_changed_while_receivers_run_makes_them_unready() {
    let (cluster, target) = (Cluster::shipped(1), Target::start(Webhook::default()));
    let receivers = Receivers::start(&cluster, &target, &[]);
    let client = cluster.client();
    let keeps_an_hour: fn(&mut Config) = |config| config.max_age = Duration::from_secs(3600);
    let drops_old: fn(&mut Config) = |config| config.discard = DiscardPolicy::Old;
    for (stream, change, named) in [
        ("davinci-siem", keeps_an_hour, "it has a maximum age"),
        ("davinci-siem-quarantine", keeps_an_hour, "it has a maximum age"),
        ("davinci-siem", drops_old, "discard is not new"),
    ] {
        client.change(stream, change);
        for index in [0, 1] {
            wait_for("unreadiness", || {
                let ready = receivers.get(index).readiness();
                let reason = ready["reason"].as_str().unwrap_or_default();
                (ready["ready"] == false && reason.contains(named)).then_some(())
            });
        }
        client.change(stream, |config| {
            (config.max_age, config.discard) = (Duration::ZERO, DiscardPolicy::New);
        });
        for index in [0, 1] {
            let is_ready = || receivers.get(index).readiness()["ready"] == true;
            wait_for("readiness", || is_ready().then_some(()));
        }
    }
}

#[test]
#[ignore = "needs nats-server; .ci/nats installs it"]
fn consumers_that_were_deleted_are_created_again() {
    let (cluster, target) = (Cluster::shipped(1), Target::start(Webhook::default()));
    let receivers = Receivers::start(&cluster, &target, &[]);
    let (client, all) = (cluster.client(), ids(60));
    for part in all.chunks(20) {
        part.chunks(10).zip(0..).for_each(|(some, index)| {
            receivers.get(index).post(&batch(some.to_vec()));
        });
        // Each receiver reads what the other one has stored: it knows the ids.
        part.chunks(10).zip([1, 0]).for_each(|(some, index)| {
            wait_for("the index", || {
                let answer = receivers.get(index).answer(&batch(some.to_vec()));
                (answer["duplicates"] == 10).then_some(())
            });
        });
        receivers.get(0).wait_until_settled("siem");
        // Each receiver has one that follows the stream.
        wait_for("the consumers", || (client.consumers("davinci-siem") >= 2).then_some(()));
        client.delete_consumers("davinci-siem");
    }
    assert_eq!(target.state().ids(), all, "each once, in order");
}

#[test]
#[ignore = "needs nats-server; .ci/nats installs it"]
fn a_bucket_that_was_deleted_is_created_again_with_cursors_and_pauses() {
    let (cluster, target) = (Cluster::shipped(1), Target::start(Webhook::default()));
    let receivers = Receivers::start(&cluster, &target, &[]);
    let all = ids(60);
    receivers.get(0).post(&batch(all[..20].to_vec()));
    wait_for("the first events", || (target.state().stored.len() == 20).then_some(()));
    let operates = |verb: &str| {
        let output = receivers.homes[1].run_with(receivers.get(1), &["sink", verb, "siem"]);
        assert!(output.status.success(), "{output:?}");
    };
    operates("pause");
    let is_paused = |index: usize| {
        (receivers.get(index).readiness()["sinks"][0]["state"] == "paused").then_some(())
    };
    [0, 1].into_iter().for_each(|index| wait_for("the pause", || is_paused(index)));
    let client = cluster.client();
    client.delete("KV_davinci-siem-sinks");
    // The lease and the checkpoint.
    wait_for("the records", || (client.count("KV_davinci-siem-sinks") == 2).then_some(()));
    receivers.get(0).post(&batch(all[20..40].to_vec()));
    wait_for("the lag", || (receivers.get(1).lag("siem") == 20.0).then_some(()));
    assert_eq!(target.state().stored.len(), 20, "it is still paused");
    operates("resume");
    wait_for("the rest", || (target.state().stored.len() >= 40).then_some(()));
    receivers.get(1).post(&batch(all[40..].to_vec()));
    wait_for("new events", || (target.state().stored.len() >= 60).then_some(()));
    assert_eq!(target.state().ids(), all, "each once, in order");
}

#[test]
#[ignore = "needs nats-server; .ci/nats installs it"]
fn a_batch_above_max_payload_is_refused_with_the_name_of_the_setting() {
    let changes = Changes { max_payload: Some("1MB"), ..Changes::default() };
    let mut cluster = Cluster::shipped_with(1, changes);
    let target = Target::start(Webhook::default());
    let receivers = Receivers::start(&cluster, &target, &[]);
    let one = |id: &str| large(id).trim_matches(['[', ']']).to_owned();
    let many: Vec<String> = (0..20).map(|id| one(&format!("large-{id}"))).collect();
    let bodies = [format!("[{}]", many.join(",")), large_of("one", 2_000_000)];
    for body in &bodies {
        // Nothing of it is stored, also not the events that would fit.
        let (status, answer) = receivers.get(0).try_post(body);
        assert_eq!(status, 503, "{answer}");
        assert!(answer.contains("larger than max_payload of the NATS servers"), "{answer}");
    }
    let named = "larger than max_payload of the NATS servers, 1048576 bytes";
    receivers.get(0).wait_for_log(named);
    // Other batches are stored, and the receiver remains ready.
    receivers.get(0).post(&batch(ids(3)));
    wait_for("the others", || (target.state().stored.len() == 3).then_some(()));
    let ready = receivers.get(0).readiness();
    let reason = ready["batch_too_large"].as_str().unwrap_or_default();
    assert!(ready["ready"] == true && reason.contains(named), "{ready}");
    let shown = receivers.homes[0].run_with(receivers.get(0), &["status"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("batch_too_large") && shown.contains(named), "{shown}");
    // A megabyte and more that compresses is no obstacle.
    let all: Vec<String> = (0..4000).map(|id| format!("small-{id}")).collect();
    receivers.get(0).post(&batch(all));
    wait_for("all", || {
        let seen: HashSet<String> = target.state().ids().into_iter().collect();
        (seen.len() == 4003).then_some(())
    });
    // PingOne repeats the batches until they fit.
    cluster.reconfigure("max_payload: 1MB", "max_payload: 8MB");
    for body in &bodies {
        wait_for("the large batch", || (receivers.get(0).try_post(body).0 == 200).then_some(()));
    }
    wait_for("every event", || (target.state().stored.len() == 4024).then_some(()));
}

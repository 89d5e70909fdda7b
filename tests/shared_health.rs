//! Readiness, log and answers of a receiver whose shared spool was changed, deleted or cannot keep the promise.

use std::collections::HashSet;
use std::time::Duration;

use crate::support::events::{batch, ids, large};
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
    for (stream, age) in [("davinci-siem", 3600), ("davinci-siem-quarantine", 3600)] {
        client.change(stream, |config| config.max_age = Duration::from_secs(age));
        for index in [0, 1] {
            wait_for("unreadiness", || {
                let ready = receivers.get(index).readiness();
                let reason = ready["reason"].as_str().unwrap_or_default();
                (ready["ready"] == false && reason.contains("it has a maximum age")).then_some(())
            });
        }
        client.change(stream, |config| config.max_age = Duration::ZERO);
        for index in [0, 1] {
            let is_ready = || receivers.get(index).readiness()["ready"] == true;
            wait_for("readiness", || is_ready().then_some(()));
        }
    }
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
    let (cluster, target) = (Cluster::shipped_with(1, changes), Target::start(Webhook::default()));
    let receivers = Receivers::start(&cluster, &target, &[]);
    let one = |id: &str| large(id).trim_matches(['[', ']']).to_owned();
    let body = |count: usize| {
        let events: Vec<String> = (0..count).map(|id| one(&format!("large-{id}"))).collect();
        format!("[{}]", events.join(","))
    };
    // Nothing of it is stored, also not the events that would fit.
    let (status, answer) = receivers.get(0).try_post(&body(20));
    assert_eq!(status, 503, "{answer}");
    receivers.get(0).wait_for_log("larger than max_payload of the NATS servers, 1048576 bytes");
    receivers.get(0).post(&batch(ids(3)));
    wait_for("the others", || (target.state().stored.len() == 3).then_some(()));
    // A megabyte and more that compresses is no obstacle.
    let all: Vec<String> = (0..4000).map(|id| format!("small-{id}")).collect();
    receivers.get(0).post(&batch(all));
    wait_for("all", || {
        let seen: HashSet<String> = target.state().ids().into_iter().collect();
        (seen.len() == 4003).then_some(())
    });
}

//! Sinks of receivers that share a spool after the stream was recreated or has lost its end.

use std::collections::HashSet;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::shared_spool::{roles, wait_for_ids};
use crate::support::events::{batch, ids, large};
use crate::support::nats::Cluster;
use crate::support::receivers::Receivers;
use crate::support::targets::Target;
use crate::support::targets::webhook::Webhook;
use crate::support::wait_for;

#[test]
#[ignore = "needs nats-server; .ci/nats installs it"]
fn a_stream_that_was_made_anew_is_read_from_its_beginning() {
    let (cluster, target) = (Cluster::shipped(1), Target::start(Webhook::default()));
    let mut receivers = Receivers::start(&cluster, &target, &[]);
    let (leads, waits) = roles(&receivers);
    let all = ids(80);
    receivers.get(leads).post(&batch(all[..60].to_vec()));
    wait_for_ids(&target, &all[..60]);
    receivers.get(leads).wait_until_settled("siem");
    // The stream is deleted, and a starting receiver recreates it: its positions start at one.
    cluster.client().delete("davinci-siem");
    receivers.running[waits].take().expect("it runs").kill();
    receivers.restart();
    receivers.get(waits).post(&batch(all[60..].to_vec()));
    wait_for_ids(&target, &all);
    wait_for_reason(&receivers, "the stream was recreated");
}

#[test]
#[ignore = "needs nats-server; .ci/nats installs it"]
fn a_purge_after_everything_was_delivered_skips_nothing() {
    let (cluster, target) = (Cluster::shipped(1), Target::start(Webhook::default()));
    let receivers = Receivers::start(&cluster, &target, &[]);
    let all = ids(90);
    for part in all.chunks(30) {
        receivers.get(0).post(&batch(part.to_vec()));
        receivers.get(0).wait_until_settled("siem");
    }
    cluster.client().purge("davinci-siem");
    wait_for_reason(&receivers, "another program has removed messages from the stream");
    let more: Vec<String> = (0..30).map(|number| format!("more-{number:02}")).collect();
    receivers.get(1).post(&batch(more.clone()));
    wait_for_ids(&target, &[all, more].concat());
    receivers.get(1).wait_until_settled("siem");
    let stats = receivers.homes[0].run(&["spool", "stats", "--json"]).stdout;
    let stats: Value = serde_json::from_slice(&stats).expect("JSON");
    assert_eq!(stats["head"], 120, "{stats}");
    assert_eq!(stats["dispositions"]["siem"], json!({ "delivered": 120 }), "nothing is retired");
}

#[test]
#[ignore = "needs nats-server; .ci/nats installs it"]
fn a_message_of_another_program_is_reported_and_the_rest_is_delivered() {
    let (cluster, target) = (Cluster::shipped(1), Target::start(Webhook::default()));
    let receivers = Receivers::start(&cluster, &target, &[]);
    let (all, home) = (ids(40), &receivers.homes[0]);
    receivers.get(0).post(&batch(all[..20].to_vec()));
    cluster.client().publish("davinci-siem.batch.pingone", "{\"of\":\"another program\"}");
    receivers.get(1).post(&batch(all[20..].to_vec()));
    wait_for_ids(&target, &all);
    wait_for("the entry", || (home.quarantine().len() == 1).then_some(()));
    let verified = home.run(&["spool", "verify"]);
    let printed = String::from_utf8(verified.stdout).expect("UTF-8");
    let error = String::from_utf8(verified.stderr).expect("UTF-8");
    assert!(!verified.status.success());
    assert!(printed.contains("message 2: corrupt, or of another program"), "{printed}");
    // There is no file that could be set aside.
    assert!(error.contains("1 problem") && !error.contains("repair"), "{error}");
    let repaired = home.run(&["spool", "repair"]);
    let error = String::from_utf8(repaired.stderr).expect("UTF-8");
    assert!(!repaired.status.success() && error.contains("nothing to repair here"), "{error}");
}

#[test]
#[ignore = "needs nats-server; .ci/nats installs it"]
fn a_stream_that_has_lost_its_end_hides_no_new_event() {
    let (mut cluster, target) = (Cluster::shipped(1), Target::start(Webhook::default()));
    let receivers = Receivers::start(&cluster, &target, &[]);
    let all = ids(700);
    receivers.get(0).post(&batch(all[..100].to_vec()));
    wait_for_ids(&target, &all[..100]);
    receivers.get(0).wait_until_settled("siem");
    let kept = keep(&mut cluster);
    let is_taken = |part: &[String]| {
        wait_for("the batch to be taken", || {
            (receivers.get(0).try_post(&batch(part.to_vec())).0 == 200).then_some(())
        });
    };
    is_taken(&all[100..400]);
    wait_for_ids(&target, &all[..400]);
    receivers.get(0).wait_until_settled("siem");
    receivers.get(1).wait_until_settled("siem");
    put_back(&mut cluster, &kept);
    // More events than were lost, at once: they get positions that the receivers have already read.
    is_taken(&all[400..700]);
    wait_for("every new event", || {
        let seen: HashSet<String> = target.state().ids().into_iter().collect();
        all.iter().all(|id| seen.contains(id)).then_some(())
    });
}

#[test]
#[ignore = "needs nats-server; .ci/nats installs it"]
fn a_receiver_that_knew_a_longer_stream_delivers_what_comes_to_the_new_one() {
    let (cluster, target) = (Cluster::shipped(1), Target::start(Webhook::default()));
    let mut receivers = Receivers::start(&cluster, &target, &[]);
    let (knows, other) = roles(&receivers);
    let all = ids(200);
    receivers.get(knows).post(&batch(all[..160].to_vec()));
    wait_for_ids(&target, &all[..160]);
    receivers.get(knows).wait_until_settled("siem");
    // While one receiver is paused, the other recreates the stream and acquires the lease.
    receivers.get(knows).signal("STOP");
    cluster.client().delete("davinci-siem");
    receivers.running[other].take().expect("it runs").kill();
    receivers.restart();
    receivers.get(other).wait_for_log("the stream was recreated");
    receivers.get(other).post(&batch(all[160..180].to_vec()));
    wait_for_ids(&target, &all[..180]);
    receivers.get(knows).signal("CONT");
    assert_eq!(roles(&receivers), (other, knows));
    receivers.running[other].take().expect("it runs").kill();
    // Fewer than a batch, and fewer than the receiver has committed.
    receivers.get(knows).post(&batch(all[180..].to_vec()));
    wait_for_ids(&target, &all);
}

#[test]
#[ignore = "needs nats-server; .ci/nats installs it"]
fn events_after_a_lost_end_that_was_not_read_are_delivered_at_once() {
    let (mut cluster, target) = (Cluster::shipped(1), Target::start(Webhook::default()));
    // At the end of the stream, delivery does not wait for a full batch.
    let receivers = Receivers::start(&cluster, &target, &[("SINKS__SIEM__BATCH__EVENTS", "1")]);
    let is_taken = |body: &str| {
        let taken = || (receivers.get(0).try_post(body).0 == 200).then_some(());
        wait_for("the event to be taken", taken);
    };
    // The target accepts nothing, and the worker reads a part of 10 MB.
    target.state().traffic.down = Some(503);
    let all = ids(100);
    all[..60].iter().for_each(|id| is_taken(&large(id)));
    let kept = keep(&mut cluster);
    all[60..].iter().for_each(|id| is_taken(&large(id)));
    // Both receivers know the number of events.
    for index in [0, 1] {
        let lag = "davinci_siem_sink_lag_events{sink=\"siem\"}";
        wait_for("the lag", || (receivers.get(index).metric(lag) >= 100.0).then_some(()));
    }
    put_back(&mut cluster, &kept);
    target.state().traffic.down = None;
    let has = |count: usize| {
        let seen: HashSet<String> = target.state().ids().into_iter().collect();
        (seen.len() >= count).then_some(())
    };
    wait_for("what is there", || has(60));
    wait_for_reason(&receivers, "the stream has lost its end");
    is_taken(&batch(["fresh-1", "fresh-2", "fresh-3"].map(str::to_owned)));
    wait_for("fewer than were lost", || has(63));
}

/// Waits until one of the receivers has noticed what became of the stream.
fn wait_for_reason(receivers: &Receivers, reason: &str) {
    let is_noted = |index: usize| receivers.get(index).log().contains(reason);
    wait_for(reason, || (is_noted(0) || is_noted(1)).then_some(()));
}

/// Returns a copy of the server's store.
fn keep(cluster: &mut Cluster) -> TempDir {
    cluster.nodes[0].kill();
    let directory = cluster.nodes[0].directory();
    let copy = tempfile::tempdir_in(directory.parent().expect("a parent")).expect("a directory");
    let mut command = std::process::Command::new("cp");
    let copied = command.arg("-a").arg(directory.join("store")).arg(copy.path()).status();
    assert!(copied.expect("cp runs").success());
    cluster.mend();
    copy
}

/// Restores a copy, like after a power loss: events that the server has not synced since are lost.
fn put_back(cluster: &mut Cluster, kept: &TempDir) {
    cluster.nodes[0].kill();
    let store = cluster.nodes[0].directory().join("store");
    std::fs::remove_dir_all(&store).expect("removed");
    std::fs::rename(kept.path().join("store"), store).expect("back");
    cluster.mend();
}

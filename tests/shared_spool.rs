//! Operations and messages of two receivers that share a JetStream spool.

use std::collections::HashSet;
use std::process::Output;
use std::time::Instant;

use async_nats::jetstream;
use serde_json::{Value, json};

use crate::support::events::{batch, ids, large, minted};
use crate::support::nats::{Cluster, impostor};
use crate::support::receivers::Receivers;
use crate::support::service::Home;
use crate::support::targets::Target;
use crate::support::targets::webhook::Webhook;
use crate::support::wait_for;

const WAITING: &str = "\"state\":\"standby\"";

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

#[track_caller]
pub(crate) fn wait_for_ids(target: &Target<Webhook>, expected: &[String]) {
    wait_for("the events", || (target.state().stored.len() >= expected.len()).then_some(()));
    assert_eq!(target.state().ids(), expected, "each once, in order");
}

/// Returns the receiver that delivers, and the one that waits.
pub(crate) fn roles(receivers: &Receivers) -> (usize, usize) {
    wait_for("one that delivers", || {
        let waits =
            [0, 1].map(|index| receivers.get(index).ask_admin("/readyz").1.contains(WAITING));
        match waits {
            [false, true] => Some((0, 1)),
            [true, false] => Some((1, 0)),
            _ => None,
        }
    })
}

#[test]
#[ignore = "needs nats-server; .ci/nats installs it"]
fn one_delivers_at_a_time_and_the_other_takes_over() {
    let (cluster, target) = (Cluster::shipped(1), Target::start(Webhook::default()));
    let window = [("SPOOL__DEDUP__WINDOW", "1s")];
    let mut receivers = Receivers::start(&cluster, &target, &window);
    let (leads, waits) = roles(&receivers);
    let all = ids(60);
    // Whichever receiver gets a batch, the same one delivers, and both recognise duplicates.
    receivers.get(waits).post(&batch(all[..20].to_vec()));
    wait_for_ids(&target, &all[..20]);
    let again = receivers.get(leads).answer(&batch(all[..20].to_vec()));
    assert_eq!(again["duplicates"], 20);

    // An operator may use either receiver.
    let asks = |receivers: &Receivers, verb: &str| {
        text(&receivers.homes[waits].run_with(receivers.get(waits), &["sink", verb, "siem"]));
    };
    asks(&receivers, "pause");
    let is_paused = |receivers: &Receivers, state: bool| {
        let ready = receivers.get(leads).readiness();
        ((ready["sinks"][0]["state"] == "paused") == state).then_some(())
    };
    wait_for("the pause to reach the one that delivers", || is_paused(&receivers, true));
    receivers.get(leads).post(&batch(all[20..40].to_vec()));
    assert_eq!(target.state().stored.len(), 20, "it is paused");
    asks(&receivers, "resume");
    wait_for_ids(&target, &all[..40]);

    // A clean shutdown releases the lease at once.
    let (status, log) = receivers.running[leads].take().expect("it runs").terminate();
    assert!(status.success(), "{log}");
    wait_until_it_delivers(&receivers, waits, "a clean end");
    receivers.get(waits).post(&batch(all[40..].to_vec()));
    wait_for_ids(&target, &all);
    receivers.get(waits).wait_until_settled("siem");
    // The window counts back from the newest message that every sink has committed, so newer ones have to come.
    let mut newer = 0..;
    wait_for("the removal of what every sink has committed", || {
        receivers.get(waits).post(&batch(newer.next().map(|number| format!("newer-{number}"))));
        let stats = text(&receivers.homes[waits].run(&["spool", "stats", "--json"]));
        let stats: Value = serde_json::from_str(&stats).expect("JSON");
        let number = |name: &str| stats[name].as_u64().expect("a number");
        (number("head") - number("events") >= 60).then_some(())
    });
    // After a kill, the lease has to end first.
    receivers.restart();
    receivers.running[waits].take().expect("it runs").kill();
    wait_until_it_delivers(&receivers, leads, "a kill");
}

fn wait_until_it_delivers(receivers: &Receivers, index: usize, after: &str) {
    let began = Instant::now();
    let state = || receivers.get(index).readiness()["sinks"][0]["state"].clone();
    wait_for("the other to deliver", || (state() == "running").then_some(()));
    println!("took over {:.1} s after {after}", began.elapsed().as_secs_f64());
}

#[test]
#[ignore = "needs nats-server; .ci/nats installs it"]
fn the_quarantine_is_one_and_the_same() {
    let poison = HashSet::from(["event-0003".to_owned()]);
    let cluster = Cluster::shipped(1);
    let target = Target::start(Webhook { poison, ..Webhook::default() });
    let receivers = Receivers::start(&cluster, &target, &[]);
    let home = &receivers.homes[0];
    let bad = minted("bad").replace("recordedAt", "recorded");
    let answer = receivers.get(0).answer(&format!("[{},{bad}]", minted("good")));
    let expected = json!({"received": 2, "accepted": 1, "duplicates": 0, "quarantined": 1});
    assert_eq!(answer, expected);
    let again = receivers.get(1).answer(&format!("[{},{bad}]", minted("good")));
    assert_eq!(again["duplicates"], 2, "the entry is known to both, as well");
    let [entry] = &home.quarantine()[..] else { panic!("one entry") };
    assert_eq!((&entry["origin"], &entry["index"]), (&json!("element"), &json!(1)));
    let id = entry["id"].to_string();
    let shown = text(&home.run(&["quarantine", "show", &id]));
    assert!(shown.contains("missing_field") && shown.contains(&bad), "{shown}");

    let fixed = home.path("fixed.json");
    std::fs::write(&fixed, minted("bad")).expect("written");
    let retry = ["quarantine", "retry", &id, "--replace", fixed.to_str().expect("UTF-8")];
    assert!(text(&home.run(&retry)).contains("1 accepted"));
    assert!(!home.run(&retry).status.success(), "it has gone");
    let expected = ["good".to_owned(), "bad".to_owned()];
    wait_for_ids(&target, &expected);

    // Events that the target refuses become dead letters, and a replay returns them to that sink only.
    receivers.get(1).post(&batch(ids(6)));
    wait_for("a dead letter", || (home.quarantine().len() == 1).then_some(()));
    let [letter] = &home.quarantine()[..] else { panic!("one entry") };
    assert_eq!((&letter["origin"], &letter["sink"]), (&json!("dead_letter"), &json!("siem")));
    target.state().poison.clear();
    let id = letter["id"].to_string();
    assert!(text(&home.run(&["quarantine", "retry", &id])).contains("1 accepted"));
    wait_for("the letter", || {
        target.state().ids().contains(&"event-0003".to_owned()).then_some(())
    });
    let traced = text(&home.run(&["trace", "event-0003", "--json"]));
    assert!(traced.contains("\"only_sink\":\"siem\""), "{traced}");

    receivers.get(0).post("no JSON at all");
    let id = home.quarantine()[0]["id"].to_string();
    assert!(text(&home.run(&["quarantine", "purge", &id])).contains("1 removed"));
    assert_eq!(home.quarantine(), Vec::<Value>::new());
    let verified = text(&home.run(&["spool", "verify"]));
    assert!(verified.contains("no corruption found"), "{verified}");
}

#[test]
#[ignore = "needs nats-server; .ci/nats installs it"]
fn a_replay_delivers_what_is_kept_once_more() {
    let (cluster, target) = (Cluster::shipped(1), Target::start(Webhook::default()));
    let receivers = Receivers::start(&cluster, &target, &[("SPOOL__RETENTION", "1h")]);
    let all = ids(300);
    receivers.get(0).post(&batch(all.clone()));
    wait_for_ids(&target, &all);
    receivers.get(1).wait_until_settled("siem");
    let replay = ["replay", "--sink", "siem", "--from", "1h"];
    let said = text(&receivers.homes[1].run_with(receivers.get(1), &replay));
    assert!(said.starts_with("300 events"), "{said}");
    wait_for_ids(&target, &[all.clone(), all.clone()].concat());
    receivers.get(1).wait_until_settled("siem");
    // Copies are not copied again.
    let said = text(&receivers.homes[0].run_with(receivers.get(0), &replay));
    assert!(said.starts_with("300 events"), "{said}");
    wait_for_ids(&target, &[all.clone(), all.clone(), all].concat());
}

#[test]
#[ignore = "needs nats-server; .ci/nats installs it"]
fn a_full_stream_holds_the_sender_back_and_loses_nothing() {
    // One server, and a cluster, which refuses messages only once its servers have agreed that the stream is full.
    [1, 3].into_iter().for_each(fill);
}

fn fill(servers: usize) {
    let (cluster, target) = (Cluster::shipped(servers), Target::start(Webhook::default()));
    let small = [("LIMITS__BODY", "1 MiB"), ("SPOOL__MAX_SIZE", "9 MiB")];
    let small = [small[0], small[1], ("SPOOL__QUARANTINE_MAX_SIZE", "2 MiB")];
    let receivers = Receivers::start(&cluster, &target, &small);
    target.state().traffic.down = Some(503);
    let (mut taken, mut number) = (Vec::new(), 0);
    let refused = loop {
        let id = format!("event-{number:05}");
        number += 1;
        let body = large(&id);
        let (status, _) = receivers.get(0).try_post(&body);
        match status {
            200 => taken.push(id),
            _ => break (status, id, body),
        }
        assert!(number < 200, "it never fills");
    };
    assert_eq!(refused.0, 503);
    wait_for("unreadiness", || (receivers.get(0).readiness()["ready"] == false).then_some(()));
    target.state().traffic.down = None;
    wait_for("room", || (receivers.get(0).try_post(&refused.2).0 == 200).then_some(()));
    taken.push(refused.1);
    wait_for("all of them", || {
        let seen: HashSet<String> = target.state().ids().into_iter().collect();
        taken.iter().all(|id| seen.contains(id)).then_some(())
    });
    wait_for("readiness", || (receivers.get(0).readiness()["ready"] == true).then_some(()));
}

#[test]
#[ignore = "needs nats-server; .ci/nats installs it"]
fn a_stream_that_would_drop_events_is_refused() {
    let cluster = Cluster::shipped(1);
    let home = Home::new(&cluster.spool()).with_variables(&cluster.variables());
    let checked = text(&home.run(&["check", "--connect"]));
    assert!(checked.contains("makes stream davinci-siem"), "{checked}");
    cluster.client().stream(jetstream::stream::Config {
        name: "davinci-siem".to_owned(),
        subjects: vec!["davinci-siem.batch.*".to_owned()],
        ..jetstream::stream::Config::default()
    });
    let (status, log) = home.try_start().err().expect("it does not start");
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("discard is not new: it would drop events when full"), "{log}");
    let checked = home.run(&["check", "--connect"]);
    assert!(!checked.status.success(), "{checked:?}");
    // One of an earlier version.
    cluster.client().delete("davinci-siem");
    cluster.client().stream(jetstream::stream::Config {
        name: "davinci-siem".to_owned(),
        subjects: vec!["davinci-siem.event.*".to_owned(), "davinci-siem.copy.*.*".to_owned()],
        discard: jetstream::stream::DiscardPolicy::New,
        ..jetstream::stream::Config::default()
    });
    let (_, log) = home.try_start().err().expect("it does not start");
    assert!(log.contains("the layout of an earlier version"), "{log}");
}

#[test]
fn a_server_that_forgets_what_it_has_acknowledged_is_refused() {
    let config = |version| {
        let url = impostor::of_version(version);
        format!("[spool]\nengine = \"jetstream\"\n[spool.jetstream]\nservers = [\"{url}\"]\n")
    };
    let home = Home::new(&config("2.10.22"));
    let (status, log) = home.try_start().err().expect("it does not start");
    assert_eq!(status.code(), Some(1));
    let refused = "nats-server 2.10.22 may lose events that it has acknowledged";
    assert!(log.contains(refused) && log.contains("Run 2.10.23 or later"), "{log}");
    let checked = home.run(&["check", "--connect"]);
    assert!(!checked.status.success());
    assert!(String::from_utf8_lossy(&checked.stderr).contains(refused), "{checked:?}");
    // This server has no JetStream, either.
    let (_, log) = Home::new(&config("2.10.23")).try_start().err().expect("it does not start");
    assert!(!log.contains("may lose events") && log.contains("stream davinci-siem"), "{log}");
}

#[test]
#[ignore = "needs nats-server; .ci/nats installs it"]
fn moving_from_the_embedded_engine_by_draining_loses_nothing() {
    let target = Target::start(Webhook::default());
    let sink = format!(
        "[sinks.siem]\ntype = \"http\"\nurl = \"{}/events\"\nretry.max = \"1s\"\n",
        target.url
    );
    let home = Home::new(&sink);
    let old = home.start();
    let all = ids(100);
    old.post(&batch(all[..30].to_vec()));
    wait_for_ids(&target, &all[..30]);
    // A backlog, and an entry in quarantine.
    target.state().traffic.down = Some(503);
    let bad = minted("bad").replace("recordedAt", "recorded");
    old.post(&batch(all[30..60].to_vec()));
    old.post(&format!("[{bad}]"));

    // The sender changes to the new receivers while the old one still delivers.
    let cluster = Cluster::shipped(1);
    let receivers = Receivers::start(&cluster, &target, &[]);
    receivers.get(0).post(&batch(all[60..].to_vec()));
    target.state().traffic.down = None;
    old.wait_until_settled("siem");
    let entries = text(&home.run(&["quarantine", "export"]));
    assert!(entries.contains("missing_field"), "{entries}");
    let (status, log) = old.terminate();
    assert!(status.success(), "{log}");
    receivers.get(0).wait_until_settled("siem");
    let mut arrived = target.state().ids();
    arrived.sort_unstable();
    assert_eq!(arrived, all, "each once");

    // And back, as well with a backlog.
    target.state().traffic.down = Some(503);
    let more: Vec<String> = (0..40).map(|id| format!("more-{id:02}")).collect();
    receivers.get(0).post(&batch(more[..20].to_vec()));
    let old = home.start();
    old.post(&batch(more[20..].to_vec()));
    target.state().traffic.down = None;
    let stored = || target.state().stored.len();
    wait_for("the rest", || (stored() == all.len() + more.len()).then_some(()));
    receivers.get(0).wait_until_settled("siem");
    assert_eq!(stored(), all.len() + more.len(), "each once");
}

#[test]
#[ignore = "needs nats-server; .ci/nats installs it"]
fn another_engine_in_place_leaves_nothing_behind_silently() {
    let target = Target::start(Webhook::default());
    let cluster = Cluster::shipped(1);
    let sink = format!("[sinks.siem]\ntype = \"http\"\nurl = \"{}/events\"\n", target.url);
    let home = Home::new(&sink);
    target.state().traffic.down = Some(503);
    let old = home.start();
    old.post(&batch(ids(7)));
    let (status, log) = old.terminate();
    assert!(status.success(), "{log}");
    let file = home.path("test.toml");
    let embedded = std::fs::read_to_string(&file).expect("a configuration");
    let shared = format!("{embedded}{}", cluster.spool());
    std::fs::write(&file, &shared).expect("written");
    let home = home.with_variables(&cluster.variables());
    let (status, log) = home.try_start().err().expect("it does not start");
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("has 7 undelivered events and 0 quarantine entries"), "{log}");
    // Delivered by the old engine, nothing is left.
    std::fs::write(&file, &embedded).expect("written");
    target.state().traffic.down = None;
    let old = home.start();
    wait_for_ids(&target, &ids(7));
    old.wait_until_settled("siem");
    let (status, log) = old.terminate();
    assert!(status.success(), "{log}");
    std::fs::write(&file, &shared).expect("written");
    let (status, log) = home.start().terminate();
    assert!(status.success(), "{log}");
    // The way back is loud.
    std::fs::write(&file, &embedded).expect("written");
    home.start().wait_for_log("events left in its stream");
}

#[test]
#[ignore = "needs nats-server; .ci/nats installs it"]
fn bodies_of_more_events_than_most_are_stored_side_by_side() {
    let (cluster, target) = (Cluster::shipped(1), Target::start(Webhook::default()));
    let settings = [("LIMITS__BODY", "64 MiB"), ("SINKS__SIEM__BATCH__EVENTS", "1000")];
    let receivers = Receivers::start(&cluster, &target, &settings);
    // All batches are sent before the test reads the first acknowledgement.
    let all = ids(34_000);
    std::thread::scope(|scope| {
        for part in all.chunks(17_000) {
            scope.spawn(|| receivers.get(0).post(&batch(part.to_vec())));
        }
    });
    wait_for("every event", || (target.state().stored.len() >= all.len()).then_some(()));
    let seen: HashSet<String> = target.state().ids().into_iter().collect();
    assert_eq!((seen.len(), target.state().stored.len()), (all.len(), all.len()));
}

//! Permissions of the NATS user: the shipped ones are sufficient, and messages name a missing one.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::support::events::{batch, ids, minted};
use crate::support::nats::Cluster;
use crate::support::nats::shipped::{Changes, allowed};
use crate::support::receivers::Receivers;
use crate::support::service::Home;
use crate::support::targets::Target;
use crate::support::targets::webhook::Webhook;
use crate::support::wait_for;

const MOVE: &str = "$KV.davinci-siem-sinks.*";

fn home(cluster: &Cluster) -> Home {
    let config = format!("[sinks.siem]\ntype = \"stdout\"\n{}", cluster.spool());
    Home::new(&config).with_variables(&cluster.variables())
}

#[test]
#[ignore = "needs nats-server; .ci/nats installs it"]
fn check_names_every_missing_permission_and_changes_nothing() {
    let streams = ["davinci-siem", "davinci-siem-quarantine", "KV_davinci-siem-sinks"];
    let is_info = |subject: &&str| subject.starts_with("$JS.API.STREAM.INFO.");
    // Without access to information about streams, the service exits before it sends other requests.
    let denied: Vec<&str> = allowed().into_iter().filter(|subject| !is_info(subject)).collect();
    for (denied, is_good) in [(&denied[..], false), (&[], true)] {
        let cluster = Cluster::shipped_with(1, Changes { denied, ..Changes::default() });
        let home = home(&cluster);
        let client = cluster.client();
        let checked = || {
            let output = home.run(&["check", "--connect"]);
            assert_eq!(output.status.success(), is_good, "{output:?}");
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8(said).expect("UTF-8");
            for subject in denied {
                assert!(said.contains(&format!("publish to {subject}, for ")), "{subject}: {said}");
            }
            assert_eq!(said.contains("has every permission"), is_good, "{said}");
        };
        // Before the stream exists, and after.
        checked();
        assert!(streams.iter().all(|stream| client.state(stream).is_none()));
        if is_good {
            let service = home.start();
            service.post(&batch(ids(5)));
            service.post("no JSON at all");
            service.wait_until_settled("siem");
            let (status, log) = service.terminate();
            assert!(status.success(), "{log}");
            let before = streams.map(|stream| client.state(stream));
            assert!(before.iter().all(Option::is_some));
            checked();
            assert_eq!(streams.map(|stream| client.state(stream)), before);
        }
    }
}

#[test]
#[ignore = "needs nats-server; .ci/nats installs it"]
fn a_sink_whose_cursor_cannot_move_says_which_permission_is_missing() {
    let (cluster, target) = (Cluster::shipped(1), Target::start(Webhook::default()));
    let receivers = Receivers::start(&cluster, &target, &[]);
    let all = ids(40);
    receivers.get(0).post(&batch(all[..20].to_vec()));
    wait_for("the first events", || (target.state().stored.len() >= 20).then_some(()));
    cluster.deny(MOVE);
    receivers.get(0).post(&batch(all[20..].to_vec()));
    let is_named = |text: &Value| {
        let named = format!("may not publish to {MOVE}, for moving cursors");
        text.as_str().is_some_and(|text| text.contains(&named))
    };
    // The holder cannot commit, and the other one cannot take over.
    for index in [0, 1] {
        wait_for("the sink to be in trouble", || {
            let ready = receivers.get(index).readiness();
            let sink = &ready["sinks"][0];
            let is_told = sink["state"] == "retrying" && is_named(&sink["reason"]);
            (is_told && is_named(&ready["spool_denied"])).then_some(())
        });
    }
    let checked = receivers.homes[0].run(&["check", "--connect"]);
    assert!(!checked.status.success(), "{checked:?}");
    assert!(String::from_utf8_lossy(&checked.stderr).contains(MOVE), "{checked:?}");
    // Nothing has to be started again.
    cluster.grant(MOVE);
    let seen = || -> HashSet<String> { target.state().ids().into_iter().collect() };
    wait_for("the rest", || (seen().len() >= all.len()).then_some(()));
    for index in [0, 1] {
        receivers.get(index).wait_until_settled("siem");
    }
}

#[test]
#[ignore = "needs nats-server; .ci/nats installs it"]
fn entries_that_could_not_be_listed_are_listed_later_and_only_once() {
    const LIST: &str = "davinci-siem.refused";
    let cluster = Cluster::shipped_with(1, Changes { denied: &[LIST], ..Changes::default() });
    let target = Target::start(Webhook::default());
    let receivers = Receivers::start(&cluster, &target, &[]);
    let bad = minted("bad").replace("recordedAt", "recorded");
    // They are stored, with the event, before the quarantine lists them.
    let answer = receivers.get(0).answer(&format!("[{},{bad},[1]]", minted("good")));
    assert_eq!((&answer["accepted"], &answer["quarantined"]), (&json!(1), &json!(2)));
    wait_for("the event", || (target.state().ids() == ["good"]).then_some(()));
    assert_eq!(receivers.homes[0].quarantine(), Vec::<Value>::new());
    cluster.grant(LIST);
    wait_for("the entries", || (receivers.homes[0].quarantine().len() == 2).then_some(()));
    // Both receivers complete the list.
    let mut receivers = receivers;
    receivers.running.iter_mut().for_each(|running| running.take().expect("it runs").kill());
    receivers.restart();
    receivers.get(1).post(&batch(ids(1)));
    wait_for("another event", || (target.state().ids().len() == 2).then_some(()));
    assert_eq!(receivers.homes[0].quarantine().len(), 2);
}

#[test]
#[ignore = "needs nats-server; .ci/nats installs it"]
fn a_receiver_that_may_not_even_look_says_so_at_its_start() {
    let denied = ["$JS.API.STREAM.INFO.davinci-siem"];
    let cluster = Cluster::shipped_with(1, Changes { denied: &denied, ..Changes::default() });
    let (status, log) = home(&cluster).try_start().err().expect("it does not start");
    assert_eq!(status.code(), Some(1));
    let named = "stream davinci-siem: the NATS user may not publish to $JS.API.STREAM.INFO.davinci-siem, for";
    assert!(log.contains(named), "{log}");
}

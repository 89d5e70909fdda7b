//! The delivery engine of the real binary: routing, pausing, replay, concurrency, reloading.

use std::collections::HashSet;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::support::events::{batch, fixture_text, id, ids, minted};
use crate::support::service::{BINARY, Home, Service};
use crate::support::targets::receiver::Receiver;
use crate::support::targets::webhook::Webhook;
use crate::support::targets::{Fault, Target, header};
use crate::support::wait_for;

fn file(name: &str, more: &str) -> String {
    format!("[sinks.{name}]\ntype = \"file\"\npath = \"{name}.ndjson\"\n{more}")
}

fn ids_in(home: &Home, name: &str) -> Vec<String> {
    home.lines(&format!("{name}.ndjson")).iter().map(|line| id(line)).collect()
}

fn lag(service: &Service, sink: &str) -> f64 {
    service.metric(&format!("davinci_siem_sink_lag_events{{sink=\"{sink}\"}}"))
}

fn wait_until_settled(service: &Service, sink: &str) {
    wait_for("no lag", || (lag(service, sink) == 0.0).then_some(()));
}

fn disposition(service: &Service, sink: &str, disposition: &str) -> f64 {
    service.metric(&format!(
        "davinci_siem_sink_events_total{{result=\"{disposition}\",sink=\"{sink}\"}}"
    ))
}

#[test]
fn each_sink_gets_the_events_of_its_filter_and_the_others_are_counted() {
    let home = Home::new(&format!(
        "{}{}{}{}",
        file("errors", "include = { types = [\"SEND_ERROR_RESPONSE\"] }\n"),
        file("good", "exclude = { outcomes = [\"failure\", \"unknown\"] }\n"),
        file("none", "include = { sources = [\"pingone\"], connectors = [\"nobody\"] }\n"),
        file("all", ""),
    ));
    let service = home.start();
    service.post(&fixture_text("documented_batch.json"));
    for sink in ["errors", "good", "none", "all"] {
        wait_until_settled(&service, sink);
    }
    let count = |sink| home.lines(&format!("{sink}.ndjson")).len();
    assert_eq!((count("errors"), count("none"), count("all")), (1, 0, 5));
    assert!(home.lines("errors.ndjson")[0].contains("SEND_ERROR_RESPONSE"));
    assert!((1..5).contains(&count("good")), "{}", count("good"));
    for sink in ["errors", "good", "none", "all"] {
        let delivered = count(sink) as f64;
        assert_eq!(disposition(&service, sink, "delivered"), delivered, "{sink}");
        assert_eq!(disposition(&service, sink, "filtered"), 5.0 - delivered, "{sink}");
    }
}

#[test]
fn outcome_words_apply_to_metrics_filters_and_formats() {
    let event = |id: &str, status: &str| {
        let mut event: Value = serde_json::from_str(&minted(id)).expect("JSON");
        event["_embedded"]["flowInteractionEvent"]["outcomeStatus"] = status.into();
        event
    };
    let events =
        [event("done", "Registered"), event("gone", "abandoned-2"), event("odd", "half-way")];
    let home = Home::new(&format!(
        "[outcomes]\nsuccess = [\"registered\"]\nfailure = [\"abandoned*\"]\n{}{}{}",
        file("failures", "include = { outcomes = [\"failure\"] }\n"),
        file("severe", "include = { severities = [\"medium\", \"high\"] }\n"),
        file("ecs", "format = \"ecs\"\n"),
    ));
    let service = home.start();
    service.post(&Value::from(events.to_vec()).to_string());
    for sink in ["failures", "severe", "ecs"] {
        wait_until_settled(&service, sink);
    }
    for sink in ["failures", "severe"] {
        assert_eq!(ids_in(&home, sink), ["gone"], "{sink}");
    }
    let outcomes: Vec<String> = home
        .lines("ecs.ndjson")
        .iter()
        .map(|line| {
            let document: Value = serde_json::from_str(line).expect("JSON");
            document["event"]["outcome"].as_str().expect("an outcome").to_owned()
        })
        .collect();
    assert_eq!(outcomes, ["success", "failure", "unknown"]);
    for outcome in outcomes {
        let metric =
            "davinci_siem_flow_events_total{outcome=\"OUTCOME\",type=\"custom_analytics\"}";
        assert_eq!(service.metric(&metric.replace("OUTCOME", &outcome)), 1.0, "{outcome}");
    }
    let path = home.path("event.json");
    std::fs::write(&path, event("gone", "abandoned-2").to_string()).expect("written");
    let mapped = home.run(&["map", "--sink", "ecs", path.to_str().expect("UTF-8")]);
    assert!(
        String::from_utf8_lossy(&mapped.stdout).contains("\"outcome\":\"failure\""),
        "{mapped:?}"
    );
}

#[test]
fn lines_of_other_formats_go_to_sinks_that_accept_lines() {
    let receiver = Receiver::tcp();
    let syslog = format!(
        "[sinks.siem]\ntype = \"syslog\"\naddress = \"{}\"\ntransport = \"tcp\"\nformat = \"leef\"\n",
        receiver.address
    );
    let home = Home::new(&format!("{}{syslog}", file("arcsight", "format = \"cef\"\n")));
    let service = home.start();
    service.post(&fixture_text("documented_batch.json"));
    wait_until_settled(&service, "arcsight");
    let lines = home.lines("arcsight.ndjson");
    assert_eq!(lines.len(), 5);
    assert!(lines.iter().all(|line| line.starts_with("CEF:0|Ping Identity|PingOne DaVinci|1|")));
    let messages = wait_for("messages", || Some(receiver.messages()).filter(|m| m.len() == 5));
    for message in messages {
        let (_, leef) = message.split_once("] LEEF:2.0|").expect("LEEF after the header");
        assert!(
            leef.contains("|x09|cat=davinci-flow-run") && leef.contains("\tdevTime="),
            "tabs arrive: {leef}"
        );
    }
}

#[test]
fn a_paused_sink_keeps_its_events_over_a_restart() {
    let home = Home::new(&format!("{}{}", file("held", ""), file("free", "")));
    let service = home.start();
    service.post(&batch(["before".to_owned()]));
    wait_until_settled(&service, "held");
    let paused = home.run_with(&service, &["sink", "pause", "held"]);
    assert!(paused.status.success(), "{paused:?}");
    service.post(&batch(ids(20)));
    wait_until_settled(&service, "free");
    assert_eq!(ids_in(&home, "held"), ["before"]);
    assert_eq!(lag(&service, "held"), 20.0);
    let held = &service.readiness()["sinks"][1];
    assert!(held["reason"].as_str().expect("text").contains("operator"), "{held}");
    let listed = home.run_with(&service, &["sink", "list"]);
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.contains("held") && listed.contains("20 events behind"), "{listed}");
    assert!(service.terminate().0.success(), "a paused sink does not hold up the end");

    let service = home.start();
    service.post(&batch(["after".to_owned()]));
    wait_until_settled(&service, "free");
    assert_eq!(ids_in(&home, "held"), ["before"], "still paused");
    let resumed = home.run_with(&service, &["sink", "resume", "held"]);
    assert!(resumed.status.success(), "{resumed:?}");
    wait_until_settled(&service, "held");
    let expected = [vec!["before".to_owned()], ids(20), vec!["after".to_owned()]].concat();
    assert_eq!(ids_in(&home, "held"), expected);
    let unknown = home.run_with(&service, &["sink", "pause", "helt"]);
    assert_eq!(unknown.status.code(), Some(64));
    let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(said.contains("helt is unknown; did you mean held? Known are free, held"), "{said}");
}

#[test]
fn a_replay_delivers_once_more_to_one_sink() {
    let home = Home::new(&format!(
        "[spool]\nretention = \"1h\"\n{}{}",
        file("again", ""),
        file("once", "")
    ));
    let service = home.start();
    service.post(&batch(ids(1200)));
    wait_until_settled(&service, "again");
    wait_until_settled(&service, "once");
    let replay =
        |from: &str| home.run_with(&service, &["replay", "--sink", "again", "--from", from]);
    // On a terminal, the number of events is shown, and a line that is no "y" replays nothing.
    let command = format!("{BINARY} replay --sink again --from 1h -c test.toml");
    let mut terminal = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .current_dir(home.directory.path())
        .env("DAVINCI_SIEM__ADMIN__ADDRESS", service.admin.strip_prefix("http://").expect("a URL"))
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("script runs");
    std::io::Write::write_all(&mut terminal.stdin.take().expect("piped"), b"n\n").expect("written");
    let asked = terminal.wait_with_output().expect("ended");
    let question = String::from_utf8_lossy(&asked.stdout).into_owned();
    assert!(question.contains("Deliver 1,200 events received from"), "{question}");
    assert!(question.contains("nothing was replayed") && !asked.status.success(), "{question}");
    let replayed = replay("1h");
    assert!(replayed.status.success(), "{replayed:?}");
    assert!(String::from_utf8_lossy(&replayed.stdout).starts_with("1,200 events"), "{replayed:?}");
    wait_until_settled(&service, "again");
    wait_until_settled(&service, "once");
    assert_eq!(ids_in(&home, "again"), [ids(1200), ids(1200)].concat(), "in order");
    assert_eq!(ids_in(&home, "once"), ids(1200));
    assert_eq!(
        disposition(&service, "once", "not_addressed"),
        1200.0,
        "the copies are not its own"
    );
    let replayed = "davinci_siem_events_total{result=\"replayed\",source=\"pingone\"}";
    assert_eq!(service.metric(replayed), 1200.0);

    // Copies are not copied again, and a time range without events has none to copy.
    assert!(String::from_utf8_lossy(&replay("1h").stdout).starts_with("1,200 events"));
    let nothing = home.run_with(
        &service,
        &["replay", "--sink", "again", "--from", "2001-01-01", "--to", "2001-01-02"],
    );
    assert!(String::from_utf8_lossy(&nothing.stdout).starts_with("0 events"), "{nothing:?}");
    // A sink gets the events that it has not reached yet anyway.
    assert!(home.run_with(&service, &["sink", "pause", "again"]).status.success());
    service.post(&batch((0..10).map(|number| format!("more-{number}"))));
    wait_until_settled(&service, "once");
    assert!(String::from_utf8_lossy(&replay("1h").stdout).starts_with("1,200 events"));
    let backwards =
        home.run_with(&service, &["replay", "--sink", "again", "--from", "1h", "--to", "2h"]);
    assert_eq!(backwards.status.code(), Some(64));
}

#[test]
fn a_new_sink_can_start_with_the_next_event() {
    let old = file("old", "");
    let home = Home::new(&format!("[spool]\nretention = \"1h\"\n{old}"));
    let service = home.start();
    service.post(&batch(ids(3)));
    wait_until_settled(&service, "old");
    assert!(service.terminate().0.success());
    let config = std::fs::read_to_string(home.path("test.toml")).expect("read");
    let more = format!("{config}{}{}", file("all", ""), file("new", "start = \"now\"\n"));
    std::fs::write(home.path("test.toml"), more).expect("written");
    let service = home.start();
    service.post(&batch(["next".to_owned()]));
    wait_until_settled(&service, "all");
    wait_until_settled(&service, "new");
    assert_eq!(ids_in(&home, "all").len(), 4);
    assert_eq!(ids_in(&home, "new"), ["next"]);
}

fn hook(target: &Target<Webhook>, more: &str) -> String {
    format!(
        "[sinks.hook]\ntype = \"http\"\nurl = \"{}/events\"\n\
         retry = {{ min = \"1ms\", max = \"1h\" }}\n{more}",
        target.url
    )
}

#[test]
fn several_batches_are_under_way_where_the_order_does_not_matter() {
    let target = Target::start(Webhook::default());
    target.state().traffic.delay = Duration::from_millis(300);
    let home = Home::new(&hook(&target, "concurrency = 4\nbatch = { events = 10 }\n"));
    let service = home.start();
    service.post(&batch(ids(400)));
    wait_until_settled(&service, "hook");
    let state = target.state();
    let found: HashSet<String> = state.ids().into_iter().collect();
    assert_eq!((found.len(), state.stored.len()), (400, 400), "each once");
    assert!(state.traffic.at_once >= 2, "{} requests at once", state.traffic.at_once);
    drop(state);
    assert_eq!(disposition(&service, "hook", "delivered"), 400.0);
}

#[test]
fn a_batch_that_fails_holds_the_cursor_behind_it() {
    let target = Target::start(Webhook::default());
    // One of several requests fails permanently: later requests are delivered but not committed.
    let home = Home::new(&hook(&target, "concurrency = 3\nbatch = { events = 10 }\n"));
    target.fail([Fault::status(503)]);
    let home = home.with_variables(&[("DAVINCI_SIEM__SINKS__HOOK__RETRY__MIN", "1h")]);
    let service = home.start();
    service.post(&batch(ids(30)));
    wait_for("the other two", || (target.state().stored.len() == 20).then_some(()));
    let missing: Vec<String> = {
        let found: HashSet<String> = target.state().ids().into_iter().collect();
        ids(30).into_iter().filter(|id| !found.contains(id)).collect()
    };
    assert!(service.terminate().0.success());
    let home = home.with_variables(&[("DAVINCI_SIEM__SINKS__HOOK__RETRY__MIN", "1ms")]);
    let service = home.start();
    wait_until_settled(&service, "hook");
    let found: HashSet<String> = target.state().ids().into_iter().collect();
    assert!(missing.iter().all(|id| found.contains(id)), "nothing was passed over");
}

#[test]
fn events_wait_for_others_as_long_as_configured() {
    let target = Target::start(Webhook::default());
    let home = Home::new(&hook(&target, "batch = { events = 50, age = \"1h\" }\n"));
    let service = home.start();
    for id in ids(49) {
        service.post(&batch([id]));
    }
    assert_eq!(target.requests(), 0, "neither full nor old");
    service.post(&batch(["last".to_owned()]));
    wait_until_settled(&service, "hook");
    assert_eq!(target.requests(), 1, "full");
    // Shutdown does not wait for the failing request.
    service.post(&batch(["more".to_owned()]));
    assert!(service.terminate().0.success());
    assert_eq!(target.state().stored.len(), 51);
}

#[test]
fn a_hang_up_signal_has_credentials_read_again() {
    let authorization = Some("Bearer one".to_owned());
    let target = Target::start(Webhook { authorization, ..Webhook::default() });
    let home = Home::new(&hook(&target, "bearer_file = \"token\"\n"));
    std::fs::write(home.path("token"), "one").expect("written");
    let service = home.start();
    service.post(&batch(["first".to_owned()]));
    wait_until_settled(&service, "hook");
    // Both tokens are valid for a while: no request fails, and only the signal announces the new token.
    target.state().authorization = None;
    std::fs::write(home.path("token"), "two").expect("written");
    let kill = Command::new("kill").args(["-HUP", &service.id().to_string()]).status();
    assert!(kill.expect("kill runs").success());
    wait_for("the signal's log line", || service.log().contains("SIGHUP").then_some(()));
    service.post(&batch(["second".to_owned()]));
    wait_until_settled(&service, "hook");
    let state = target.state();
    let sent = state.traffic.headers.iter().map(|headers| header(headers, "authorization"));
    assert_eq!(sent.collect::<Vec<_>>(), ["Bearer one", "Bearer two"]);
}

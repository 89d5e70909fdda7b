//! The `otlp` sink against a receiver of logs: records, partial success, limits, outages, and a search for the token.

use std::collections::{BTreeMap, HashSet};
use std::process::Command;

use serde_json::Value;

use crate::support::azure::{QUICK, paused};
use crate::support::canary::{TOKEN, assert_silent, text};
use crate::support::clouds::{PYTHON, finding, numbered, written};
use crate::support::events::{batch, documented, ids};
use crate::support::service::Home;
use crate::support::targets::logs::Logs;
use crate::support::targets::{Fault, Target};
use crate::support::wait_for;

fn home(receiver: &Target<Logs>, keys: &str) -> Home {
    let home = Home::new(&format!(
        "[sinks.otlp]\ntype = \"otlp\"\nendpoint = \"{}\"\nbearer_env = \"KEY\"\n{QUICK}{keys}",
        receiver.url
    ));
    home.with_variables(&[("KEY", TOKEN)])
}

#[test]
fn events_become_records_in_every_format() {
    for format in ["native", "ecs", "ocsf", "cef"] {
        let receiver = Target::start(Logs::new());
        let home = home(&receiver, &format!("format = \"{format}\"\n"));
        let service = home.start();
        service.post(&documented());
        service.post(&batch(ids(50)));
        service.wait_until_settled("otlp");
        let state = receiver.state();
        assert_eq!(state.ids()[5..], ids(50), "{format}");
        assert_eq!(state.traffic.headers[0]["content-encoding"], "gzip");
        let names: HashSet<&str> =
            state.stored[..5].iter().filter_map(|record| record["event_name"].as_str()).collect();
        assert_eq!(names.len(), 5, "{names:?}");
        for record in &state.stored {
            let body = record["body"].as_str().expect("a text");
            let is_json = serde_json::from_str::<Value>(body).is_ok();
            assert_eq!(is_json, format != "cef", "{body}");
            assert_eq!(record["log.record.uid"].as_str().map(str::len), Some(40));
        }
    }
}

#[test]
fn a_partial_success_is_counted_and_a_rejected_request_becomes_dead_letters() {
    let receiver = Target::start(Logs::new());
    receiver.state().rejected = HashSet::from(["event-0003".to_owned(), "alone".to_owned()]);
    let home = home(&receiver, "");
    let service = home.start();
    service.post(&batch(ids(10)));
    service.wait_until_settled("otlp");
    let mut expected = ids(10);
    expected.remove(3);
    assert_eq!(receiver.state().ids(), expected);
    assert_eq!(receiver.requests(), 1, "it is not repeated");
    assert_eq!(finding(&service, "otlp", "partial_success"), 1.0);
    assert!(home.quarantine().is_empty(), "the receiver does not say which");
    service.post(&batch(["alone".to_owned()]));
    service.wait_until_settled("otlp");
    let entries = home.quarantine();
    assert_eq!((entries.len(), &entries[0]["reason"]), (1, &"rejected".into()));
}

#[test]
fn a_bad_event_is_found_and_a_large_request_is_halved() {
    let receiver = Target::start(Logs::new());
    receiver.state().poison = HashSet::from(["event-0050".to_owned()]);
    receiver.state().limit = 40_000;
    let home = home(&receiver, "");
    let service = home.start();
    service.post(&batch(ids(100)));
    service.wait_until_settled("otlp");
    let mut expected = ids(100);
    expected.remove(50);
    assert_eq!(receiver.state().ids(), expected);
    assert_eq!(home.quarantine().len(), 1);
}

#[test]
fn an_outage_and_a_restart_lose_and_double_nothing() {
    let receiver = Target::start(Logs::new());
    receiver.fail([Fault::retry_after(429, "0"), Fault::status(503), Fault::status(500)]);
    let home = home(&receiver, "batch = { events = 7 }\n");
    let service = home.start();
    service.post(&batch(ids(20)));
    service.wait_until_settled("otlp");
    receiver.state().traffic.down = Some(502);
    service.post(&batch(numbered(20..60)));
    wait_for("an attempt", || {
        (service.readiness()["sinks"][0]["state"] == "retrying").then_some(())
    });
    service.kill();
    let service = home.start();
    receiver.state().traffic.down = None;
    service.wait_until_settled("otlp");
    assert_eq!(receiver.state().ids(), ids(60));
    assert!(home.quarantine().is_empty());
}

#[test]
fn a_wrong_token_pauses_the_sink_and_is_shown_nowhere() {
    let receiver = Target::start(Logs::new());
    let home = home(&receiver, "");
    let checked = home.run(&["check", "--connect"]);
    assert!(checked.status.success(), "{}", text(&checked));
    assert!(receiver.state().stored.is_empty(), "a check writes nothing");
    receiver.state().token = "another".to_owned();
    let service = home.start();
    service.post(&batch(ids(3)));
    let reason = paused(&service);
    assert!(reason.contains("refuses the credentials"), "{reason}");
    receiver.state().poison = HashSet::from(["event-0001".to_owned()]);
    receiver.state().token = TOKEN.to_owned();
    service.wait_until_settled("otlp");
    for output in written(&home, service) {
        assert_silent(&output, TOKEN, "the bearer token");
    }
}

/// OpenTelemetry's own messages for Python read the request, field by field.
#[test]
#[ignore = "needs OpenTelemetry's messages for Python, which .ci/cloud-clients installs"]
fn opentelemetrys_own_messages_read_a_request() {
    let receiver = Target::start(Logs::new());
    let home = home(&receiver, "");
    let service = home.start();
    service.post(&documented());
    service.wait_until_settled("otlp");
    let request = home.path("request.bin");
    std::fs::write(&request, &receiver.state().last).expect("written");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cloud_clients/otlp.py");
    let output = Command::new(PYTHON)
        .arg(script)
        .arg(&request)
        .output()
        .expect("python runs: .ci/cloud-clients installs it");
    assert!(output.status.success(), "{}", text(&output));
    let read: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let state = receiver.state();
    let attributes = |record: &BTreeMap<String, Value>| {
        let mut attributes = record.clone();
        attributes.retain(|name, _| name != "body" && name != "event_name");
        serde_json::to_value(attributes).expect("JSON")
    };
    for (theirs, ours) in read.as_array().expect("records").iter().zip(&state.stored) {
        assert_eq!(theirs["attributes"], attributes(ours));
        assert_eq!([&theirs["body"], &theirs["event_name"]], [&ours["body"], &ours["event_name"]]);
        assert_eq!(theirs["unknown_fields"], 0);
    }
    assert_eq!(read.as_array().map(Vec::len), Some(5));
}

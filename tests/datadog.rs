//! The `datadog` sink against the logs intake: logs, limits, refusals, outages, old events, and a search for the key.

use std::collections::HashSet;
use std::process::Command;

use chrono::TimeDelta;
use serde_json::Value;

use crate::support::azure::{QUICK, aged, fresh, paused};
use crate::support::canary::{TOKEN, assert_silent, text};
use crate::support::clouds::{PYTHON, finding, numbered, written};
use crate::support::events::ids;
use crate::support::service::Home;
use crate::support::targets::datadog::Intake;
use crate::support::targets::{Fault, Target};
use crate::support::wait_for;

fn home(intake: &Target<Intake>, keys: &str) -> Home {
    home_with(intake, QUICK, keys)
}

fn home_with(intake: &Target<Intake>, retry: &str, keys: &str) -> Home {
    let home = Home::new(&format!(
        "[sinks.datadog]\ntype = \"datadog\"\nendpoint = \"{}\"\napi_key_env = \"KEY\"\n{retry}{keys}",
        intake.url
    ));
    home.with_variables(&[("KEY", TOKEN)])
}

#[test]
fn events_become_logs_in_both_formats() {
    for format in ["native", "ocsf"] {
        let intake = Target::start(Intake::new());
        let home = home(&intake, &format!("format = \"{format}\"\n"));
        let service = home.start();
        service.post(&fresh(ids(100)));
        service.wait_until_settled("datadog");
        let state = intake.state();
        assert_eq!(state.ids(), ids(100), "{format}");
        assert_eq!(state.traffic.headers[0]["content-encoding"], "gzip");
        for log in &state.stored {
            assert_eq!([&log["ddsource"], &log["status"]], ["ping-one", "info"]);
            assert_eq!(log["event_uid"].as_str().map(str::len), Some(40));
            let tags = log["ddtags"].as_str().expect("tags");
            assert!(tags.contains("action:custom_analytics,outcome:success"), "{tags}");
        }
        assert_eq!(finding(&service, "datadog", "time_replaced"), 0.0);
    }
}

#[test]
fn a_request_stays_below_the_limits_and_is_halved_where_a_limit_is_lower() {
    let large = |number: usize| {
        let mut event: Value =
            serde_json::from_str(&fresh([format!("event-{number:04}")])).expect("JSON");
        event[0]["result"]["description"] = "0123456789abcdef".repeat(20_000).into();
        event[0].to_string()
    };
    for (limit, least) in [(5_000_000, 2), (700_000, 10)] {
        let intake = Target::start(Intake { limit, ..Intake::new() });
        let home = home(&intake, "");
        let service = home.start();
        let events: Vec<String> = (0..20).map(large).collect();
        service.post(&format!("[{}]", events.join(",")));
        service.wait_until_settled("datadog");
        let state = intake.state();
        assert_eq!(state.ids(), ids(20));
        assert!(state.sizes.len() >= least, "{:?}", state.sizes);
        let refused = state.traffic.requests - state.sizes.len();
        assert_eq!(refused == 0, limit == 5_000_000, "only the lower limit refuses requests");
    }
}

#[test]
fn a_bad_event_becomes_a_dead_letter_and_its_neighbours_arrive_once() {
    let intake = Target::start(Intake::new());
    intake.state().poison = HashSet::from(["event-0050".to_owned()]);
    let home = home(&intake, "");
    let service = home.start();
    service.post(&fresh(ids(100)));
    service.wait_until_settled("datadog");
    let mut expected = ids(100);
    expected.remove(50);
    assert_eq!(intake.state().ids(), expected);
    let entries = home.quarantine();
    assert_eq!((entries.len(), &entries[0]["reason"]), (1, &"rejected".into()));
}

#[test]
fn throttling_errors_and_a_restart_lose_and_double_nothing() {
    let intake = Target::start(Intake::new());
    intake.fail([Fault::retry_after(429, "1"), Fault::status(503), Fault::status(408)]);
    let retry = "retry = { min = \"1ms\", max = \"2s\" }\n";
    let home = home_with(&intake, retry, "batch = { events = 7 }\n");
    let service = home.start();
    service.post(&fresh(ids(20)));
    service.wait_until_settled("datadog");
    let times = intake.state().traffic.times.clone();
    assert!((times[1] - times[0]).as_secs() >= 1, "Retry-After is honoured: {times:?}");
    intake.state().traffic.down = Some(503);
    service.post(&fresh(numbered(20..60)));
    wait_for("an attempt", || {
        (service.readiness()["sinks"][0]["state"] == "retrying").then_some(())
    });
    service.kill();
    let service = home.start();
    intake.state().traffic.down = None;
    service.wait_until_settled("datadog");
    assert_eq!(intake.state().ids(), ids(60));
    assert!(home.quarantine().is_empty());
}

#[test]
fn an_old_event_is_sent_without_its_time_and_counted() {
    let intake = Target::start(Intake::new());
    let home = home(&intake, "");
    let service = home.start();
    service.post(&aged(["old".to_owned()], TimeDelta::hours(18)));
    service.post(&aged(["ahead".to_owned()], -TimeDelta::hours(3)));
    service.post(&fresh(ids(3)));
    service.wait_until_settled("datadog");
    assert_eq!(finding(&service, "datadog", "time_replaced"), 2.0);
    let state = intake.state();
    let without: Vec<bool> = state.stored.iter().map(|log| log["timestamp"].is_null()).collect();
    assert_eq!(without, [true, true, false, false, false]);
    assert!(state.stored[0]["attributes"]["recordedAt"].is_string(), "its time is in the event");
}

#[test]
fn a_wrong_key_pauses_the_sink_and_is_shown_nowhere() {
    let intake = Target::start(Intake::new());
    let home = home(&intake, "");
    let checked = home.run(&["check", "--connect"]);
    assert!(checked.status.success() && text(&checked).contains("the API key is valid"));
    assert!(intake.state().stored.is_empty(), "a check writes nothing");
    intake.state().key = "another".to_owned();
    let checked = home.run(&["check", "--connect"]);
    assert!(text(&checked).contains("a key is valid at one site"), "{}", text(&checked));
    let service = home.start();
    service.post(&fresh(ids(3)));
    let reason = paused(&service);
    assert!(reason.contains("a key is valid at one site"), "{reason}");
    intake.state().poison = HashSet::from(["event-0001".to_owned()]);
    intake.state().key = TOKEN.to_owned();
    service.wait_until_settled("datadog");
    assert_eq!(intake.state().ids(), ["event-0000", "event-0002"]);
    for output in written(&home, service) {
        assert_silent(&output, TOKEN, "the API key");
    }
}

/// The requests of Datadog's own client for Python have the same target, media type, compression and attributes.
#[test]
#[ignore = "needs Datadog's client for Python, which .ci/cloud-clients installs"]
fn datadogs_own_client_sends_the_same_request() {
    let intake = Target::start(Intake::new());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cloud_clients/datadog.py");
    let output = Command::new(PYTHON)
        .args([script, intake.url.strip_prefix("http://").expect("a URL")])
        .env("KEY", TOKEN)
        .output()
        .expect("python runs: .ci/cloud-clients installs it");
    assert!(output.status.success(), "{}", text(&output));
    let home = home(&intake, "");
    let service = home.start();
    service.post(&fresh(ids(10)));
    service.wait_until_settled("datadog");
    let state = intake.state();
    assert_eq!(state.requested.len(), 2, "{:?}", state.requested);
    assert_eq!(state.requested[0], state.requested[1], "theirs and ours");
    let names = |log: &Value| {
        let names = log.as_object().expect("a log").keys().filter(|name| *name != "timestamp");
        names.cloned().collect::<HashSet<_>>()
    };
    assert_eq!(names(&state.stored[0]), names(&state.stored[1]), "the time may be left out");
}

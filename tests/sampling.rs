//! `sample` of a sink: all events of one in N interactions, and their summaries; every other event is counted.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::interactions::event;
use crate::support::events::{fixture, minted};
use crate::support::service::{Home, Service};
use crate::support::wait_for;

const RUNS: usize = 60;
const SAMPLE: &str = "sample = { keep_one_in = 3 }\n";
const SINKS: &str = "[spool]\nretention = \"1h\"\n\
                     [interactions]\nenabled = true\ntimeout = \"20ms\"\nsettle = \"20ms\"\n\
                     [sinks.all]\ntype = \"file\"\npath = \"all.ndjson\"\n\
                     [sinks.some]\ntype = \"file\"\npath = \"some.ndjson\"\n";

fn home() -> Home {
    Home::with_listen("reload = \"1h\"", &format!("{SINKS}{SAMPLE}"))
}

/// Posts runs of two events each, with their events in different bodies.
fn post_runs(service: &Service, runs: std::ops::Range<usize>) {
    for (name, second) in [("start_interaction", 0), ("custom_analytics", 1)] {
        let event = |run: usize| {
            let time = format!("2026-11-30T10:00:0{second}Z");
            event(name, &format!("{name}-{run}"), &format!("run-{run}"), &time)
        };
        service.post(&json!(runs.clone().map(event).collect::<Vec<_>>()).to_string());
    }
}

/// Returns the number of events and of summaries by run; the events without one have the run "".
fn by_run(home: &Home, file: &str) -> BTreeMap<String, (usize, usize)> {
    let mut runs: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for line in home.lines(file) {
        let event: Value = serde_json::from_str(&line).expect("JSON");
        let run = event["_embedded"]["flowInteractionEvent"]["interactionId"].as_str();
        let counts = runs.entry(run.unwrap_or_default().to_owned()).or_default();
        match event["action"]["type"] == "DAVINCI_SIEM.INTERACTION" {
            true => counts.1 += 1,
            false => counts.0 += 1,
        }
    }
    runs
}

/// Posts all runs and an event without one. Waits until every sink has passed the summaries.
fn filled(home: &Home) -> Service {
    let service = home.start();
    post_runs(&service, 0..RUNS);
    let audit = json!({
        "id": "audit",
        "recordedAt": "2026-11-30T10:00:00Z",
        "action": { "type": "USER.UPDATED" },
    });
    service.post(&json!([audit]).to_string());
    wait_for("the summaries", || {
        let stored: usize = by_run(home, "all.ndjson").values().map(|(_, made)| made).sum();
        let events: usize = by_run(home, "all.ndjson").values().map(|(events, _)| events).sum();
        (events == 2 * RUNS + 1
            && stored >= RUNS
            && service.metric("davinci_siem_open_interactions") == 0.0)
            .then_some(())
    });
    for sink in ["all", "some"] {
        service.wait_until_settled(sink);
    }
    service
}

fn total(stats: &Value, sink: &str, disposition: &str) -> u64 {
    let mut rows = stats["totals"].as_array().expect("rows").iter();
    let row = rows.find(|row| row[0] == sink && row[1] == disposition);
    row.map_or(0, |row| row[2].as_u64().expect("a number"))
}

fn sum(stats: &Value, sink: &str) -> u64 {
    let rows = stats["totals"].as_array().expect("rows").iter();
    rows.filter(|row| row[0] == sink).map(|row| row[2].as_u64().expect("a number")).sum()
}

#[test]
fn a_sample_has_whole_interactions_and_the_rest_is_counted() {
    let home = home();
    let service = filled(&home);
    let (all, some) = (by_run(&home, "all.ndjson"), by_run(&home, "some.ndjson"));
    assert_eq!(some[""], (1, 0), "events without an interaction are kept");
    for (run, counts) in &some {
        assert_eq!(counts, &all[run], "{run} is whole, with its summaries");
    }
    let kept = some.len() - 1;
    assert!((RUNS / 6..RUNS * 2 / 3).contains(&kept), "about a third: {kept}");
    let lines = home.lines("some.ndjson").len() as u64;
    let left_out = home.lines("all.ndjson").len() as u64 - lines;
    let stats = home.run_with(&service, &["spool", "stats", "--json"]).stdout;
    let stats: Value = serde_json::from_slice(&stats).expect("JSON");
    assert_eq!(total(&stats, "some", "delivered"), lines);
    assert_eq!(total(&stats, "some", "sampled"), left_out, "{stats}");
    assert_eq!(sum(&stats, "some"), stats["head"].as_u64().expect("a number"), "{stats}");
    let sampled = "davinci_siem_sink_events_total{result=\"sampled\",sink=\"some\"}";
    assert_eq!(service.metric(sampled), left_out as f64);
    // A replay has the same sample.
    let replay = ["replay", "--sink", "some", "--from", "1h", "--yes"];
    assert!(home.run_with(&service, &replay).status.success());
    service.wait_until_settled("some");
    assert_eq!(home.lines("some.ndjson").len() as u64, 2 * lines);
    assert_eq!(service.metric(sampled), 2.0 * left_out as f64);
    // The totals, and so the metric, survive a restart.
    drop(service);
    let service = home.start();
    assert_eq!(service.metric(sampled), 2.0 * left_out as f64);
}

#[test]
fn trace_and_volume_know_the_sample() {
    let home = home();
    drop(filled(&home));
    let some = by_run(&home, "some.ndjson");
    let out = (0..RUNS).find(|run| !some.contains_key(&format!("run-{run}"))).expect("a run");
    let traced = home.run(&["trace", &format!("custom_analytics-{out}")]).stdout;
    let text = String::from_utf8_lossy(&traced).into_owned();
    assert!(text.contains(" by sinks.some.sample"), "{text}");
    assert!(text.contains("sink all: delivered"), "{text}");
    let what_if = ["volume", "--json", "--what-if", SAMPLE.trim()];
    let report: Value = serde_json::from_slice(&home.run(&what_if).stdout).expect("JSON");
    let row = |sink: &str| {
        let mut rows = report["rows"].as_array().expect("rows").iter();
        let row = rows.find(|row| row["group"][0] == sink).expect("a row");
        ["events", "saved_events"].map(|key| row[key].as_u64().expect("a number"))
    };
    let lines = |file: &str| home.lines(file).len() as u64;
    let (all, some) = (lines("all.ndjson"), lines("some.ndjson"));
    assert_eq!((row("all"), row("some")), ([all, all - some], [some, 0]));
}

#[test]
fn a_reload_changes_the_sample() {
    let home = home();
    let service = filled(&home);
    let before = home.lines("some.ndjson").len();
    let text = std::fs::read_to_string(home.path("test.toml")).expect("read");
    std::fs::write(home.path("next.toml"), text.replace(SAMPLE, "sample = { keep_one_in = 1 }\n"))
        .expect("written");
    std::fs::rename(home.path("next.toml"), home.path("test.toml")).expect("replaced");
    service.signal("HUP");
    let applied = "davinci_siem_reloads_total{result=\"applied\"}";
    wait_for("the reload", || (service.metric(applied) == 1.0).then_some(()));
    let new: BTreeSet<String> = (0..20).map(|number| format!("new-{number}")).collect();
    let events: Vec<String> = new.iter().map(|id| minted(id)).collect();
    service.post(&format!("[{}]", events.join(",")));
    post_runs(&service, RUNS..RUNS + 20);
    wait_for("all of the new events", || {
        (home.lines("some.ndjson").len() >= before + 20 + 2 * 20).then_some(())
    });
}

/// A test of the configuration may expect that an event is left out.
#[test]
fn expectations_may_name_the_sample() {
    let run = "sink = \"some\"\nevent_file = ";
    let file = fixture("events/custom_analytics.json");
    let check = |sample: &str, expect: &str| {
        let home = Home::new(&format!(
            "[sinks.some]\ntype = \"stdout\"\nsample = {{ keep_one_in = {sample} }}\n\
             [[tests]]\nname = \"t\"\n{run}{file:?}\nexpect = \"{expect}\"\n"
        ));
        let output = home.run(&["check", "--tests"]);
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    // One in a million does not include the run of this fixture.
    assert!(check("1000000", "sampled").0);
    assert!(check("1", "delivered").0);
    for (sample, expect, message) in [
        ("1000000", "delivered", "expected delivered, but sink some samples out the event"),
        ("1000000", "filtered", "expected filtered, but sink some samples out the event"),
        ("1", "sampled", "expected sampled, but sink some gets the event"),
    ] {
        let (ok, told) = check(sample, expect);
        assert!(!ok && told.contains(message), "{sample} {expect}: {told}");
    }
    for wrong in ["0", "1000001", "\"x\""] {
        let (ok, told) = check(wrong, "delivered");
        assert!(!ok && told.contains("sample.keep_one_in"), "{wrong}: {told}");
    }
}

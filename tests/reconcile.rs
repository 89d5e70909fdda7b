//! `reconcile` against a stand-in of PingOne: exactly the records that never arrived are reported and taken in.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Output;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::support::canary::{self, TOKEN, assert_silent};
use crate::support::recorded::{FLOW, listed, sent, spoiled, started, times};
use crate::support::service::{Home, Service};
use crate::support::targets::Target;
use crate::support::targets::pingone::{Accepts, ENVIRONMENT, PingOne, WORKER};
use crate::support::{setting, wait_for};

const SINK: &str = "[sinks.one]\ntype = \"file\"\npath = \"one.ndjson\"\n";
pub const KEEP: &str = "[spool]\nretention = \"7d\"\n";

pub fn home(pingone: &Target<PingOne>, more: &str) -> Home {
    let url = &pingone.url;
    let access = format!(
        "[pingone]\nenvironment = \"{ENVIRONMENT}\"\nregion = \"eu\"\nclient_id = \"{WORKER}\"\n\
         client_secret_env = \"PINGONE_SECRET\"\napi_url = \"{url}\"\nauth_url = \"{url}\"\n\
         request_interval = \"1ms\"\n"
    );
    Home::new(&format!("{SINK}{access}{more}")).with_variables(&[("PINGONE_SECRET", TOKEN)])
}

fn text(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Runs the command; no part of a secret may be shown.
pub fn reconcile(
    home: &Home,
    service: &Service,
    arguments: &[&str],
) -> (Option<i32>, Value, String) {
    let arguments = [&["reconcile", "--json"], arguments].concat();
    let output = home.run_with(service, &arguments);
    assert_silent(&canary::text(&output), TOKEN, "reconcile");
    let Output { status, stdout, stderr } = output;
    let report = serde_json::from_slice(&stdout).unwrap_or_default();
    (status.code(), report, String::from_utf8(stderr).expect("UTF-8"))
}

pub fn ids(list: &Value) -> BTreeSet<String> {
    let list = list.as_array().expect("a list").iter();
    list.map(|record| record["id"].as_str().expect("an id").to_owned()).collect()
}

pub fn post_all(service: &Service, events: &[Value]) {
    for batch in events.chunks(500) {
        service.post(&json!(batch).to_string());
    }
}

/// Ids of the audit events in the sink's file, with the number of their lines and their origin.
fn delivered(home: &Home) -> BTreeMap<String, (usize, Value)> {
    let mut found: BTreeMap<String, (usize, Value)> = BTreeMap::new();
    for line in home.lines("one.ndjson") {
        let event: Value = serde_json::from_str(&line).expect("JSON");
        let id = event["id"].as_str().expect("an id").to_owned();
        let entry = found.entry(id).or_default();
        *entry = (entry.0 + 1, event["origin"].clone());
    }
    found
}

/// Names and sizes of all files below a directory.
fn files(home: &Home) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    let mut directories = vec![home.directory.path().to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => directories.push(path),
                false => {
                    let size = path.metadata().expect("metadata").len();
                    found.insert(path.display().to_string(), size);
                }
            }
        }
    }
    found
}

/// An environment of `total` records, of which some never arrive, some are quarantined, and some are not listed.
struct World {
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    missing_events: BTreeSet<String>,
    missing_runs: BTreeSet<String>,
    only_here: BTreeSet<String>,
    posted: Vec<Value>,
    pingone: PingOne,
    counts: [Value; 2],
}

/// Makes 100 audit events and 37 runs that never arrive, 30 and 11 that are quarantined, and 12 audit events that
/// PingOne does not list, among `total` records; beside them 5 events of a type that no webhook sends.
fn world(total: usize) -> World {
    let from = Utc::now() - TimeDelta::hours(8);
    let to = from + TimeDelta::hours(7);
    let runs = (total - 12) * 3 / 10;
    let events = total - 12 - runs;
    let mut world = World {
        from,
        to,
        missing_events: BTreeSet::new(),
        missing_runs: BTreeSet::new(),
        only_here: BTreeSet::new(),
        posted: Vec::new(),
        pingone: PingOne::new(),
        counts: [Value::Null, Value::Null],
    };
    let span = TimeDelta::hours(7);
    // Every n-th, so that the lost ones are spread over all pages.
    let (step, run_step) = (events / 100, runs / 37);
    for (index, at) in times(from, span, events).into_iter().enumerate() {
        let id = format!("event-{index:06}");
        world.pingone.activities.push(listed(&id, at));
        if index % step == 1 && world.missing_events.len() < 100 {
            world.missing_events.insert(id);
        } else if index % step == 2 && index / step < 30 {
            world.posted.push(spoiled(sent(&id, at)));
        } else {
            world.posted.push(sent(&id, at));
        }
    }
    for (index, at) in times(from, span, runs).into_iter().enumerate() {
        let id = format!("run-{index:06}");
        let list = world.pingone.runs.entry(FLOW.to_owned()).or_default();
        list.push((id.clone(), at));
        if index % run_step == 1 && world.missing_runs.len() < 37 {
            world.missing_runs.insert(id);
        } else if index % run_step == 2 && index / run_step < 11 {
            world.posted.push(spoiled(started(&id, at)));
        } else {
            world.posted.push(started(&id, at));
        }
    }
    for (index, at) in times(from, span, 12).into_iter().enumerate() {
        let id = format!("own-{index}");
        world.posted.push(sent(&id, at));
        world.only_here.insert(id);
    }
    for (index, at) in times(from, span, 5).into_iter().enumerate() {
        let mut event = listed(&format!("other-{index}"), at);
        event["action"]["type"] = "GROUP.CREATED".into();
        world.pingone.activities.push(event);
    }
    // Outside of the range, by a second.
    for at in [from - TimeDelta::seconds(1), to] {
        world.pingone.activities.push(listed(&format!("outside {}", text(at)), at));
    }
    let family = |received: usize, quarantined: u64, missing: u64, only_here: u64, other: u64| {
        json!({
            "received": received, "time_differs": 0, "quarantined": quarantined, "missing": missing,
            "only_here": only_here, "not_subscribed": other, "unknown": 0, "fetched": 0
        })
    };
    world.counts = [family(events - 130, 30, 100, 12, 5), family(runs - 48, 11, 37, 0, 0)];
    world
}

#[test]
fn exactly_the_records_that_never_arrived_are_reported_and_delivered_once() {
    let total = setting("RECONCILE_RECORDS").unwrap_or(3000);
    let mut world = world(usize::try_from(total).expect("small"));
    let posted = std::mem::take(&mut world.posted);
    let mut fake = std::mem::replace(&mut world.pingone, PingOne::new());
    (fake.page, fake.limited_after) = (200, Some(7));
    let pingone = Target::start(fake);
    let home = home(&pingone, KEEP);
    let service = home.start();
    post_all(&service, &posted);
    service.wait_until_settled("one");
    let (from, to) = (text(world.from), text(world.to));
    let range = ["--from", &*from, "--to", &*to];
    let before = (files(&home), home.run(&["spool", "stats", "--json"]).stdout);
    let (code, report, message) = reconcile(&home, &service, &range);
    assert_eq!(code, Some(1), "{message}{report}");
    assert_eq!([&report["events"], &report["runs"]], [&world.counts[0], &world.counts[1]]);
    assert_eq!(ids(&report["missing_events"]), world.missing_events);
    assert_eq!(ids(&report["missing_runs"]), world.missing_runs);
    assert_eq!(ids(&report["only_here_events"]), world.only_here);
    assert_eq!(report["not_subscribed_types"], json!({ "GROUP.CREATED": 5 }));
    assert_eq!(report["missing_runs"][0]["type"], FLOW);
    assert!(message.contains("missing: 100 audit events, 37 flow runs"), "{message}");
    assert_eq!(pingone.state().too_early, 0, "Retry-After is kept");
    let after = (files(&home), home.run(&["spool", "stats", "--json"]).stdout);
    assert_eq!(before, after, "it has written nothing");
    // The audit events are taken in, and delivered once.
    let fetching = [&range[..], &["--fetch"]].concat();
    for round in 0..2 {
        let (code, report, message) = reconcile(&home, &service, &fetching);
        let events = &report["events"];
        let expected = if round == 0 { (100, 100) } else { (0, 0) };
        assert_eq!(
            (&events["missing"], &events["fetched"]),
            (&json!(expected.0), &json!(expected.1))
        );
        assert_eq!((code, &report["runs"]["missing"]), (Some(1), &json!(37)), "{message}");
        service.wait_until_settled("one");
    }
    let delivered = delivered(&home);
    let fetched = delivered.iter().filter(|(_, (_, origin))| origin == "reconcile");
    let fetched: BTreeSet<String> = fetched.map(|(id, _)| id.clone()).collect();
    assert_eq!(fetched, world.missing_events);
    assert!(delivered.values().all(|(lines, _)| *lines == 1), "nothing was delivered twice");
    assert_eq!(delivered.len(), posted.len() - 41 + 100);
    let metric = service.metric("davinci_siem_reconcile_fetched_total{source=\"pingone\"}");
    assert_eq!(metric, 100.0);
    // PingOne's webhook sends a fetched event after all, with nanoseconds.
    let late = world.missing_events.first().expect("an id");
    let index: usize = late["event-".len()..].parse().expect("a number");
    let at = pingone.state().activities[index]["recordedAt"].as_str().expect("a time").to_owned();
    let late = sent(late, at.parse().expect("a time"));
    assert_eq!(service.answer(&json!([late]).to_string())["duplicates"], 1);
}

#[test]
fn events_that_have_left_the_spool_are_recognised_by_their_keys() {
    let mut fake = PingOne::new();
    let from = Utc::now() - TimeDelta::hours(3);
    let times = times(from, TimeDelta::hours(2), 40);
    fake.activities =
        times.iter().enumerate().map(|(i, at)| listed(&format!("e{i}"), *at)).collect();
    let runs = times.iter().enumerate().map(|(i, at)| (format!("r{i}"), *at));
    fake.runs.insert(FLOW.to_owned(), runs.collect());
    let pingone = Target::start(fake);
    let home = home(&pingone, "");
    let service = home.start();
    let sent_events = times.iter().enumerate().skip(1).map(|(i, at)| sent(&format!("e{i}"), *at));
    let runs = times.iter().enumerate().map(|(i, at)| started(&format!("r{i}"), *at));
    post_all(&service, &sent_events.chain(runs).collect::<Vec<_>>());
    service.wait_until_settled("one");
    // The next commit removes the events that every sink has.
    wait_for("removal", || {
        let run = format!("later {}", uuid::Uuid::new_v4());
        service.post(&json!([started(&run, Utc::now())]).to_string());
        service.wait_until_settled("one");
        let stats = home.run(&["spool", "stats", "--json"]).stdout;
        let stats: Value = serde_json::from_slice(&stats).expect("JSON");
        (stats["events"].as_u64() < Some(10)).then_some(())
    });
    let (code, report, message) = reconcile(&home, &service, &["--from", "4h"]);
    assert_eq!(code, Some(1), "{message}");
    let (events, runs) = (&report["events"], &report["runs"]);
    assert_eq!((&events["received"], &events["missing"]), (&json!(39), &json!(1)), "{report}");
    assert_eq!(ids(&report["missing_events"]), BTreeSet::from(["e0".to_owned()]));
    assert_eq!((&runs["unknown"], &runs["missing"]), (&json!(40), &json!(0)), "no guess: {report}");
}

#[test]
fn an_ended_comparison_continues_where_it_stopped() {
    let mut fake = PingOne::new();
    let from = Utc::now() - TimeDelta::hours(9);
    let times = times(from, TimeDelta::hours(8), 80);
    fake.activities =
        times.iter().enumerate().map(|(i, at)| listed(&format!("e{i}"), *at)).collect();
    let pingone = Target::start(fake);
    let home = home(&pingone, KEEP);
    let service = home.start();
    let posted = times.iter().enumerate().skip(3).map(|(i, at)| sent(&format!("e{i}"), *at));
    post_all(&service, &posted.collect::<Vec<_>>());
    let (from, to) = (text(from), text(from + TimeDelta::hours(8)));
    let range = ["--from", &*from, "--to", &*to, "--resume", "state"];
    // A page and an empty one for each of three slices; then PingOne refuses the list.
    pingone.state().refused_after = Some(6);
    let (code, _, message) = reconcile(&home, &service, &range);
    assert_eq!(code, Some(1));
    assert!(message.contains("give the worker application a role"), "{message}");
    assert!(message.contains("Run the same command again"), "{message}");
    let stored: Value =
        serde_json::from_slice(&fs::read(home.path("state")).expect("a file")).expect("JSON");
    assert_eq!(stored["report"]["events"]["missing"], 3, "the first slices are kept");
    let mut other = stored;
    other["report"]["source"] = "other".into();
    fs::write(home.path("other"), other.to_string()).expect("written");
    let (code, _, message) = reconcile(&home, &service, &["--from", "5h", "--resume", "other"]);
    assert_eq!(code, Some(1));
    assert!(message.contains("belongs to another comparison"), "{message}");
    pingone.state().refused_after = None;
    let before = pingone.state().count("activities");
    // The time range is that of the first command, also with another age.
    let again = ["--from", "5h", "--resume", "state"];
    let (code, report, message) = reconcile(&home, &service, &again);
    assert_eq!((code, &report["events"]["missing"]), (Some(1), &json!(3)), "{message}");
    assert!(message.contains("continues the comparison of"), "{message}");
    assert_eq!(report["events"]["received"], 77);
    assert_eq!(ids(&report["missing_events"]), ["e0", "e1", "e2"].map(str::to_owned).into());
    let slices = pingone.state().count("activities") - before;
    assert_eq!(slices, 2 * 5, "five of eight slices, each with a page and an empty one");
    assert!(!home.path("state").exists(), "the file is removed at the end");
    fs::write(home.path("state"), "{\"own\":1}").expect("written");
    let (_, _, message) = reconcile(&home, &service, &range);
    assert!(message.contains("is no file of --resume, and is not overwritten"), "{message}");
}

#[test]
fn records_that_are_not_listed_yet_are_not_in_the_range() {
    let mut fake = PingOne::new();
    fake.listed_after = TimeDelta::minutes(20);
    let times = times(Utc::now() - TimeDelta::minutes(50), TimeDelta::minutes(49), 50);
    fake.activities =
        times.iter().enumerate().map(|(i, at)| listed(&format!("e{i}"), *at)).collect();
    let pingone = Target::start(fake);
    let mut home = home(&pingone, KEEP);
    let service = home.start();
    let posted = times.iter().enumerate().map(|(i, at)| sent(&format!("e{i}"), *at));
    post_all(&service, &posted.collect::<Vec<_>>());
    let (code, report, message) = reconcile(&home, &service, &["--from", "2h"]);
    assert_eq!((code, &report["events"]["only_here"]), (Some(0), &json!(0)), "{message}");
    let (code, _, message) = reconcile(&home, &service, &["--from", "2h", "--to", "1m"]);
    assert_eq!(code, Some(64));
    assert!(message.contains("lower pingone.settle"), "{message}");
    home.variables.push(("DAVINCI_SIEM__PINGONE__SETTLE".to_owned(), "1s".to_owned()));
    let (_, report, _) = reconcile(&home, &service, &["--from", "2h"]);
    assert!(report["events"]["only_here"].as_u64() > Some(15), "too early: {report}");
}

#[test]
fn credentials_are_sent_as_the_application_accepts_them() {
    let mut fake = PingOne::new();
    fake.accepts = Accepts::Form;
    let pingone = Target::start(fake);
    let home = home(&pingone, "");
    let service = home.start();
    let (code, report, message) = reconcile(&home, &service, &["--from", "2h"]);
    assert_eq!(code, Some(0), "{message}{report}");
    let requests = pingone.state().traffic.headers.len();
    pingone.state().accepts = Accepts::Basic;
    let (code, ..) = reconcile(&home, &service, &["--from", "2h"]);
    assert_eq!(code, Some(0));
    assert!(requests > 3 && pingone.state().issued == 2);
    // Without the role for flows, audit events are compared, and the report says so.
    pingone.state().forbidden.insert("flows".to_owned());
    let (code, report, _) = reconcile(&home, &service, &["--from", "2h"]);
    let notes = report["notes"].to_string();
    assert!(notes.contains("flow runs are not compared: PingOne answered HTTP 403"), "{notes}");
    assert_eq!((code, report.get("runs")), (Some(0), None));
    pingone.state().secret = "another".to_owned();
    let (code, _, message) = reconcile(&home, &service, &["--from", "2h"]);
    assert_eq!(code, Some(1));
    assert!(message.contains("correct pingone.client_id and pingone.client_secret"), "{message}");
}

#[test]
fn the_service_compares_on_a_schedule_and_takes_missing_events_in() {
    let mut fake = PingOne::new();
    let times = times(Utc::now() - TimeDelta::hours(3), TimeDelta::hours(2), 20);
    fake.activities =
        times.iter().enumerate().map(|(i, at)| listed(&format!("e{i}"), *at)).collect();
    fake.runs.insert(FLOW.to_owned(), vec![("r0".to_owned(), times[0])]);
    let pingone = Target::start(fake);
    let home = home(&pingone, "[reconcile]\nevery = \"1h\"\n");
    let service = home.start();
    let missing = |service: &Service, family: &str| {
        let labels = format!("{{family=\"{family}\",source=\"pingone\"}}");
        service.metric(&format!("davinci_siem_reconcile_missing{labels}"))
    };
    wait_for("the comparison", || (missing(&service, "event") == 20.0).then_some(()));
    assert_eq!(missing(&service, "run"), 1.0);
    let checked = "davinci_siem_reconcile_checked_timestamp_seconds{source=\"pingone\"}";
    assert!(service.metric(checked) > 1_700_000_000.0);
    assert!(delivered(&home).is_empty(), "without fetch, nothing is taken in");
    assert_silent(&canary::shown(&service), TOKEN, "pages");
    let (_, log) = service.terminate();
    assert_silent(&log, TOKEN, "log");
    let mut home = home;
    home.variables.push(("DAVINCI_SIEM__RECONCILE__FETCH".to_owned(), "true".to_owned()));
    let service = home.start();
    let fetched = "davinci_siem_reconcile_fetched_total{source=\"pingone\"}";
    wait_for("the events", || (service.metric(fetched) == 20.0).then_some(()));
    service.wait_until_settled("one");
    assert_eq!(delivered(&home).len(), 20);
    assert_eq!(missing(&service, "event"), 0.0);
}

#[test]
fn a_mistake_names_its_remedy() {
    let plain = Home::new(SINK);
    let output = plain.run(&["reconcile", "--from", "2h"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(canary::text(&output).contains("write [pingone]"), "{output:?}");
    let pingone = Target::start(PingOne::new());
    let home = home(&pingone, "");
    let service = home.start();
    for (arguments, code, message) in [
        (&["--from", "1h", "--to", "2h"][..], 64, "is not before --to"),
        (&["--from", "2h", "--source", "pingon"], 64, "did you mean pingone?"),
    ] {
        let (found, _, text) = reconcile(&home, &service, arguments);
        assert_eq!(found, Some(code), "{text}");
        assert!(text.contains(message), "{message}: {text}");
    }
    // The environment has no webhook to this service: the report says so.
    pingone.state().subscriptions.clear();
    let (_, report, _) = reconcile(&home, &service, &["--from", "2h"]);
    assert!(
        report["notes"].to_string().contains("no webhook of this environment posts"),
        "{report}"
    );
}

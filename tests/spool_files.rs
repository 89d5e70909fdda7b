//! Changes of the spool's files by others while the service runs.

use std::fs;

use serde_json::json;

use crate::support::events::{batch, id, ids};
use crate::support::service::Home;
use crate::support::wait_for;

const FILE: &str = "[sinks.out]\ntype = \"file\"\npath = \"out.ndjson\"\n\
                    retry = { min = \"1ms\", max = \"20ms\" }\n";

#[test]
fn a_moved_spool_is_not_ready_until_it_is_restored() {
    let home = Home::new(FILE);
    let service = home.start();
    service.post(&batch(["before".to_owned()]));
    service.wait_until_settled("out");
    fs::rename(home.path("data"), home.path("moved")).expect("moved");
    // No client posts.
    wait_for("the service to notice", || (service.ask_admin("/readyz").0 == 503).then_some(()));
    let reason = service.readiness()["reason"].as_str().expect("a reason").to_owned();
    assert!(reason.contains("data is missing") && reason.contains("put it back"), "{reason}");
    assert_eq!(service.try_post(&batch(ids(1))).0, 503);
    fs::rename(home.path("moved"), home.path("data")).expect("moved");
    wait_for("the service to go on", || (service.ask_admin("/readyz").0 == 200).then_some(()));
    assert_eq!(service.answer(&batch(ids(1)))["accepted"], 1);
    service.kill();
    let service = home.start();
    assert_eq!(service.answer(&batch(ids(1)))["duplicates"], 1);
    service.wait_until_settled("out");
    let found: Vec<String> = home.lines("out.ndjson").iter().map(|line| id(line)).collect();
    assert!(found.contains(&"before".to_owned()) && found.contains(&ids(1)[0]), "{found:?}");
}

#[test]
fn without_its_lock_file_nothing_is_stored_and_no_second_process_starts() {
    let home = Home::new(FILE);
    let service = home.start();
    service.post(&batch(ids(2)));
    fs::remove_file(home.path("data/spool.lock")).expect("removed");
    let (_, log) = home.try_start().err().expect("a second service is refused");
    assert!(log.contains("in use by another process"), "{log}");
    let (status, text) = service.try_post(&batch(["after".to_owned()]));
    assert_eq!(status, 503, "{text}");
    wait_for("the service to notice", || (service.ask_admin("/readyz").0 == 503).then_some(()));
    service.kill();
    let service = home.start();
    assert_eq!(service.answer(&batch(ids(2)))["duplicates"], 2);
    assert_eq!(service.answer(&batch(["after".to_owned()]))["accepted"], 1);
}

#[test]
fn events_that_a_sink_skips_are_counted() {
    let sink = |name: &str| {
        format!(
            "[sinks.{name}]\ntype = \"file\"\npath = \"{name}.ndjson\"\n\
             retry = {{ min = \"1ms\", max = \"20ms\" }}\n"
        )
    };
    let home = Home::new(&(sink("one") + &sink("two")));
    let only_one =
        fs::read_to_string(home.path("test.toml")).expect("read").replace(&sink("two"), "");
    let both = fs::read_to_string(home.path("test.toml")).expect("read");
    let service = home.start();
    assert!(home.run_with(&service, &["sink", "pause", "two"]).status.success());
    service.post(&batch(ids(5)));
    service.wait_until_settled("one");
    assert!(service.terminate().0.success());
    fs::write(home.path("test.toml"), &only_one).expect("written");
    let service = home.start();
    service.post(&batch(["while-away".to_owned()]));
    let series = |sink: &str, disposition: &str| {
        format!("davinci_siem_sink_events_total{{result=\"{disposition}\",sink=\"{sink}\"}}")
    };
    wait_for("the count", || (service.metric(&series("two", "retired")) == 6.0).then_some(()));
    assert!(service.terminate().0.success());
    fs::write(home.path("test.toml"), both + &sink("three")).expect("written");
    let service = home.start();
    assert!(home.run_with(&service, &["sink", "resume", "two"]).status.success());
    service.post(&batch(["back".to_owned()]));
    for sink in ["one", "two", "three"] {
        service.wait_until_settled(sink);
    }
    assert_eq!(service.metric(&series("three", "before_start")), 6.0);
    assert_eq!(home.lines("two.ndjson").len(), 1);
    let stats = home.run(&["spool", "stats", "--json"]).stdout;
    let stats: serde_json::Value = serde_json::from_slice(&stats).expect("JSON");
    assert!(stats["totals"].as_array().expect("rows").contains(&json!(["two", "retired", 6])));
}

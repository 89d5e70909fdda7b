//! The `sentinel` sink against the Logs Ingestion API: rows, limits, refusals, outages, and old events.

use std::collections::HashSet;

use chrono::TimeDelta;
use serde_json::Value;

use crate::support::azure::{Azure, aged, client_secret, fresh, paused};
use crate::support::canary::text;
use crate::support::events::ids;
use crate::support::service::Service;
use crate::support::targets::Fault;
use crate::support::targets::azure::RULE;
use crate::support::wait_for;

fn finding(service: &Service, kind: &str) -> f64 {
    let name = format!("davinci_siem_sink_findings_total{{kind=\"{kind}\",sink=\"sentinel\"}}");
    service.metric(&name)
}

#[test]
fn events_become_rows_of_the_table() {
    let azure = Azure::start();
    let home = azure.home("");
    let service = home.start();
    service.post(&fresh(ids(100)));
    service.wait_until_settled("sentinel");
    assert_eq!(azure.ids(), ids(100));
    assert_eq!(azure.issued(), 1);
    let state = azure.ingestion.state();
    for record in &state.stored {
        assert_eq!(record["TimeGenerated"], record["EventTime"]);
        assert_eq!(record["RecordUid"].as_str().map(str::len), Some(40));
        assert_eq!(record["event"]["action"], "davinci_interaction.custom_analytics");
        assert!(record.get("@timestamp").is_none(), "it is no column");
    }
    assert_eq!(state.traffic.headers[0]["content-encoding"], "gzip");
    assert_eq!(finding(&service, "time_replaced"), 0.0);
}

#[test]
fn other_formats_are_one_column() {
    for format in ["native", "ocsf"] {
        let azure = Azure::start();
        let home = azure.home(&format!("format = \"{format}\"\n"));
        let service = home.start();
        service.post(&fresh(ids(3)));
        service.wait_until_settled("sentinel");
        assert_eq!(azure.ids(), ids(3), "{format}");
        assert!(azure.ingestion.state().stored.iter().all(|row| row["RawEvent"].is_object()));
    }
}

#[test]
fn a_request_stays_below_the_limit_and_is_halved_where_the_limit_is_lower() {
    let azure = Azure::start();
    let home = azure.home("");
    let service = home.start();
    let large: Vec<String> = (0..20)
        .map(|number| {
            let noise = "0123456789abcdef".repeat(5_000);
            let mut event: Value =
                serde_json::from_str(&fresh([format!("event-{number:04}")])).expect("JSON");
            event[0]["result"]["description"] = noise.into();
            event[0].to_string()
        })
        .collect();
    service.post(&format!("[{}]", large.join(",")));
    service.wait_until_settled("sentinel");
    assert_eq!(azure.ids(), ids(20));
    assert!(azure.ingestion.state().sizes.len() > 1, "more than 1 MB before compression");
    assert_eq!(azure.ingestion.requests(), azure.ingestion.state().sizes.len(), "none was refused");
    assert_eq!(finding(&service, "truncated"), 20.0, "Azure cuts fields above 64 KB");

    let azure = Azure::start();
    azure.ingestion.state().limit = 5_000;
    let home = azure.home("");
    let service = home.start();
    service.post(&fresh(ids(50)));
    service.wait_until_settled("sentinel");
    assert_eq!(azure.ids(), ids(50));
    assert!(home.quarantine().is_empty());
}

#[test]
fn throttling_and_errors_are_waited_for() {
    let azure = Azure::start();
    azure.ingestion.fail([
        Fault::retry_after(429, "1"),
        Fault::status(503),
        Fault::status(500),
        Fault::status(502),
    ]);
    azure.issuer.fail([Fault::retry_after(429, "0"), Fault::status(500)]);
    let retry = "retry = { min = \"1ms\", max = \"2s\" }\n";
    let home = azure.home_with(retry, &client_secret("secret_env = \"SECRET\""));
    let service = home.start();
    service.post(&fresh(ids(3)));
    service.wait_until_settled("sentinel");
    assert_eq!(azure.ids(), ids(3));
    let times = azure.ingestion.state().traffic.times.clone();
    assert!((times[1] - times[0]).as_secs() >= 1, "Retry-After is honoured: {times:?}");
    assert!(home.quarantine().is_empty());
}

#[test]
fn a_bad_event_becomes_a_dead_letter_and_its_neighbours_arrive_once() {
    let azure = Azure::start();
    azure.ingestion.state().poison = HashSet::from(["event-0050".to_owned()]);
    let home = azure.home("");
    let service = home.start();
    service.post(&fresh(ids(100)));
    service.wait_until_settled("sentinel");
    let mut expected = ids(100);
    expected.remove(50);
    assert_eq!(azure.ids(), expected);
    let entries = home.quarantine();
    assert_eq!(entries.len(), 1);
    assert_eq!(
        (&entries[0]["reason"], &entries[0]["target"]["code"]),
        (&"rejected".into(), &"InvalidPayload".into())
    );
}

#[test]
fn a_missing_role_rule_or_stream_pauses_the_sink_and_check_says_so() {
    let other = "dcr-ffffffffffffffffffffffffffffffff";
    for (before, after, words) in [
        ("", "", "Monitoring Metrics Publisher"),
        (RULE, other, "no such rule"),
        (
            "type = \"sentinel\"",
            "type = \"sentinel\"\nstream = \"Custom-Other\"",
            "does not declare this stream",
        ),
    ] {
        let azure = Azure::start();
        azure.ingestion.state().has_role = !before.is_empty();
        let home = azure.home("");
        let config = std::fs::read_to_string(home.path("test.toml")).expect("read");
        let wrong = if before.is_empty() { config.clone() } else { config.replace(before, after) };
        std::fs::write(home.path("test.toml"), wrong).expect("written");
        let checked = home.run(&["check", "--connect"]);
        assert_eq!(checked.status.code(), Some(1), "{words}");
        assert!(text(&checked).contains(words), "{words}: {}", text(&checked));
        let service = home.start();
        service.post(&fresh(ids(3)));
        let reason = paused(&service);
        assert!(reason.contains(words), "{reason}");
        assert!(home.quarantine().is_empty(), "no event is to blame");
        if before.is_empty() {
            // The role takes effect after some minutes.
            azure.ingestion.state().has_role = true;
            service.wait_until_settled("sentinel");
            assert_eq!(azure.ids(), ids(3));
        }
    }
    let azure = Azure::start();
    let checked = azure.home("").run(&["check", "--connect"]);
    assert!(checked.status.success(), "{}", text(&checked));
    assert!(text(&checked).contains("accepts the identity for this rule and stream"));
    assert!(azure.ingestion.state().stored.is_empty(), "a check writes nothing");
}

#[test]
fn an_outage_and_a_restart_lose_and_double_nothing() {
    let azure = Azure::start();
    let home = azure.home("batch = { events = 7 }\n");
    let service = home.start();
    service.post(&fresh(ids(20)));
    service.wait_until_settled("sentinel");
    azure.ingestion.state().traffic.down = Some(503);
    let later: Vec<String> = (20..60).map(|number| format!("event-{number:04}")).collect();
    service.post(&fresh(later));
    wait_for("an attempt", || {
        (service.readiness()["sinks"][0]["state"] == "retrying").then_some(())
    });
    service.kill();
    let service = home.start();
    azure.ingestion.state().traffic.down = None;
    service.wait_until_settled("sentinel");
    assert_eq!(azure.ids(), ids(60));
    assert!(home.quarantine().is_empty());
}

#[test]
fn old_events_are_sent_or_become_dead_letters() {
    let old = || ["old-1".to_owned(), "old-2".to_owned()];
    let azure = Azure::start();
    let home = azure.home("");
    let service = home.start();
    service.post(&aged(old(), TimeDelta::hours(49)));
    service.post(&fresh(ids(3)));
    service.wait_until_settled("sentinel");
    assert_eq!(azure.ids().len(), 5);
    assert_eq!(finding(&service, "time_replaced"), 2.0);
    for record in azure.ingestion.state().stored.iter().take(2) {
        assert_ne!(record["TimeGenerated"], record["EventTime"], "Azure replaces the time");
    }

    let azure = Azure::start();
    let home = azure.home("old_events = \"dead_letter\"\nbatch = { age = \"200ms\" }\n");
    let service = home.start();
    let mixed = [
        aged(old(), TimeDelta::hours(49)),
        fresh(ids(3)),
        aged(["edge".to_owned()], TimeDelta::hours(46)),
    ];
    let mixed: Vec<Value> = mixed
        .iter()
        .flat_map(|list| serde_json::from_str::<Vec<Value>>(list).expect("a list"))
        .collect();
    service.post(&Value::from(mixed).to_string());
    service.wait_until_settled("sentinel");
    let mut expected = ids(3);
    expected.push("edge".to_owned());
    assert_eq!(azure.ids(), expected);
    let entries = home.quarantine();
    assert_eq!(entries.len(), 2);
    for entry in &entries {
        assert_eq!(entry["reason"], "too_old");
        assert!(
            entry["detail"].as_str().is_some_and(|text| text.contains("older than 47 h")),
            "{entry}"
        );
    }
    let count = |name: &str| service.metric(&format!("davinci_siem_sink_{name}"));
    assert_eq!(count("failures_total{sink=\"sentinel\",verdict=\"too_old\"}"), 2.0);
    assert_eq!(count("events_total{result=\"dead_lettered\",sink=\"sentinel\"}"), 2.0);
    assert_eq!(count("events_total{result=\"delivered\",sink=\"sentinel\"}"), 4.0);
    let listed = home.run(&["quarantine", "list", "--reason", "too_old", "--json"]);
    assert_eq!(String::from_utf8_lossy(&listed.stdout).lines().count(), 2, "{}", text(&listed));
}

//! Summaries of flow runs: made, filtered, counted and continued by the real service.

use serde_json::{Value, json};
use std::fs;

use crate::support::events::{fixture_text, large};
use crate::support::service::{Home, Service};
use crate::support::{block_on, wait_for};

/// Two sinks: one gets everything, the other one summaries only.
const SINKS: &str = "[sinks.all]\ntype = \"file\"\npath = \"all.ndjson\"\n\
                     [sinks.summaries]\ntype = \"file\"\npath = \"summaries.ndjson\"\n\
                     include = { types = [\"DAVINCI_SIEM.INTERACTION\"] }\n";

/// Returns a documented event of a run.
pub fn event(name: &str, id: &str, run: &str, time: &str) -> Value {
    let mut event: Value =
        serde_json::from_str(&fixture_text(&format!("events/{name}.json"))).expect("JSON");
    event["id"] = json!(id);
    let flow = &mut event["_embedded"]["flowInteractionEvent"];
    flow["interactionId"] = json!(run);
    flow["tsEms"] = json!(time);
    event
}

fn summaries(home: &Home) -> Vec<Value> {
    let lines = home.lines("summaries.ndjson");
    lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Returns the durable totals of one name.
fn total(stats: &Value, name: &str) -> u64 {
    let rows = stats["totals"].as_array().expect("rows").iter();
    rows.filter(|row| row[0] == name).map(|row| row[2].as_u64().expect("a number")).sum()
}

fn report(service: &Service) -> Value {
    serde_json::from_str(&service.ask_admin("/api/flows?since=0").1).expect("JSON")
}

#[test]
fn a_flow_run_becomes_one_event_that_continues_after_a_kill() {
    let home = Home::new(&format!(
        "{SINKS}[interactions]\nenabled = true\ntimeout = \"1h\"\nsettle = \"20ms\"\n"
    ));
    let service = home.start();
    let first = [
        event("start_interaction", "1", "run", "2026-11-30T10:00:00Z"),
        event("receive_request", "2", "run", "2026-11-30T10:00:01Z"),
        event("send_error_response", "3", "run", "2026-11-30T10:00:02.500Z"),
    ];
    service.post(&json!(first).to_string());
    // A run without an outcome stays open.
    service.post(
        &json!([event("start_interaction", "4", "open", "2026-11-30T10:00:00Z")]).to_string(),
    );
    service.wait_until_settled("all");
    service.kill();
    let service = home.start();
    let mut last = event("custom_analytics", "5", "run", "2026-11-30T10:00:04Z");
    last["actors"] = json!({ "user": { "id": "u1", "name": "jdoe" } });
    service.post(&json!([last]).to_string());
    let summary = wait_for("the summary", || summaries(&home).pop());
    let flow = &summary["_embedded"]["flowInteractionEvent"];
    let facts = &flow["summary"];
    for (found, expected) in [
        (&summary["id"], json!("run:1")),
        (&summary["action"]["type"], json!("DAVINCI_SIEM.INTERACTION")),
        (&summary["actors"]["user"]["id"], json!("u1")),
        (&summary["result"]["status"], json!("SUCCESS")),
        (&flow["outcomeType"], json!("enrollment")),
        (&flow["connectorId"], json!("httpConnector")),
        (&flow["tsEms"], json!("2026-11-30T10:00:04Z")),
        (&facts["source"], json!("pingone")),
        (&facts["startedAt"], json!("2026-11-30T10:00:00Z")),
        (&facts["durationMs"], json!(4000)),
        (&facts["endedBy"], json!("outcome")),
        (&facts["startSeen"], json!(true)),
        (&facts["events"], json!(4)),
        (&facts["errors"], json!(1)),
        (&facts["path"][1]["result"], json!("error")),
    ] {
        assert_eq!(*found, expected, "{summary:#}");
    }
    // The open run is no summary, and its event is kept. What everyone gets, the other sink gets, too.
    assert_eq!(summaries(&home).len(), 1);
    wait_for("the summary beside the events", || {
        (home.lines("all.ndjson").len() == 6).then_some(())
    });
    service.wait_until_settled("all");
    service.wait_until_settled("summaries");
    // The sink may be faster than the counters.
    for metric in [
        "davinci_siem_interactions_total{ended_by=\"outcome\",outcome=\"success\"}",
        "davinci_siem_open_interactions",
        "davinci_siem_events_total{result=\"accepted\",source=\"interactions\"}",
    ] {
        wait_for(metric, || (service.metric(metric) == 1.0).then_some(()));
    }
    let stats = home.run_with(&service, &["spool", "stats", "--json"]).stdout;
    let stats: Value = serde_json::from_slice(&stats).expect("JSON");
    assert_eq!(stats["head"], 6, "{stats}");
    assert_eq!((total(&stats, "pingone"), total(&stats, "interactions")), (5, 1), "{stats}");
    assert_eq!((total(&stats, "all"), total(&stats, "summaries")), (6, 6), "{stats}");
}

#[test]
fn flows_are_counted_by_version() {
    let home = Home::new(&format!(
        "{SINKS}[interactions]\nenabled = true\ntimeout = \"30ms\"\nsettle = \"20ms\"\n"
    ));
    let service = home.start();
    assert_eq!(report(&service)["flows"], json!([]));
    for (run, status) in [("a", "success"), ("b", "denied"), ("c", "success")] {
        let start = event("start_interaction", &format!("s{run}"), run, "2026-11-30T10:00:00Z");
        let mut end = event("custom_analytics", &format!("e{run}"), run, "2026-11-30T10:00:02Z");
        end["_embedded"]["flowInteractionEvent"]["outcomeStatus"] = json!(status);
        service.post(&json!([start, end]).to_string());
    }
    service.post(&json!([event("custom_analytics", "d", "d", "2026-11-30T10:00:02Z")]).to_string());
    let abandoned = event("start_interaction", "s", "abandoned", "2026-11-30T10:00:00Z");
    service.post(&json!([abandoned]).to_string());
    wait_for("five summaries", || (summaries(&home).len() == 5).then_some(()));
    let flows = wait_for("the statistics", || {
        let flows = report(&service)["flows"].as_array().expect("a list").clone();
        let sum: u64 =
            flows.iter().map(|flow| flow["interactions"].as_u64().expect("a number")).sum();
        (sum == 5).then_some(flows)
    });
    let of = |version: Value| flows.iter().find(|flow| flow["version"] == version).expect("a flow");
    let known = of(json!(4));
    assert_eq!(known["name"], "PingOne Sign On Augmented with Custom Analytics");
    assert_eq!(known["outcomes"], json!({ "enrollment=denied": 1, "enrollment=success": 3 }));
    assert_eq!((&known["starts"], &known["success_rate"]), (&json!(3), &json!(0.75)));
    let unknown = of(Value::Null);
    assert_eq!((&unknown["abandoned"], &unknown["abandonment_rate"]), (&json!(1), &Value::Null));
    let printed = home.run_with(&service, &["flows", "--since", "1h"]);
    let text = String::from_utf8(printed.stdout).expect("UTF-8");
    assert!(text.contains("75.0 %") && text.contains("enrollment=success 3"), "{text}");
    let json = home.run_with(&service, &["flows", "--json"]).stdout;
    assert_eq!(String::from_utf8(json).expect("UTF-8").lines().count(), flows.len());
    let page = service.ask_admin("/console").1;
    assert!(page.contains("Flow runs") && page.contains("75.0 %"), "{page}");
}

#[test]
fn without_summaries_the_command_tells_how_to_get_them() {
    let home = Home::new(SINKS);
    let service = home.start();
    let refused = home.run_with(&service, &["flows"]);
    let message = String::from_utf8(refused.stderr).expect("UTF-8");
    assert_eq!(refused.status.code(), Some(1));
    assert!(message.contains("set interactions.enabled = true"), "{message}");
    assert!(!service.ask_admin("/console").1.contains("Flow runs"));
    service
        .post(&json!([event("custom_analytics", "1", "run", "2026-11-30T10:00:00Z")]).to_string());
    service.wait_until_settled("all");
    let stats = home.run_with(&service, &["spool", "stats", "--json"]).stdout;
    let stats: Value = serde_json::from_slice(&stats).expect("JSON");
    assert_eq!((total(&stats, "interactions"), total(&stats, "@interactions")), (0, 0));
}

/// Open runs hold their events in the spool. They end early before they keep new events out.
#[test]
fn open_runs_do_not_fill_the_spool() {
    const EVENTS: u64 = 200;
    const GONE: &str = "[sinks.gone]\ntype = \"file\"\npath = \"gone.ndjson\"\n";
    let home = Home::new(&format!(
        "{SINKS}{GONE}[interactions]\nenabled = true\ntimeout = \"1h\"\nsettle = \"1h\"\n\
         [limits]\nbody = \"512 KiB\"\nin_flight = \"4 MiB\"\n\
         [spool]\nmax_size = \"6 MiB\"\ndedup = {{ max_ids = 1000 }}\n"
    ));
    // The cursor of a sink that was removed stays in the spool, and keeps nothing.
    let service = home.start();
    service.post(&large("first"));
    service.terminate();
    let config = fs::read_to_string(home.path("test.toml")).expect("read");
    fs::write(home.path("test.toml"), config.replace(GONE, "")).expect("written");
    let service = home.start();
    block_on(async {
        let client = reqwest::Client::new();
        for index in 0..EVENTS {
            let run = format!("\"run-{index}\"");
            let body = large(&format!("event-{index}"))
                .replace("\"002ec717-c5a6-44ca-9d6f-ec9a86282fe7\"", &run);
            // PingOne repeats a batch until it is stored.
            while client
                .post(&service.url)
                .body(body.clone())
                .send()
                .await
                .expect("an answer")
                .status()
                != 200
            {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        }
    });
    let ended = "davinci_siem_interactions_total{ended_by=\"limit\",outcome=\"success\"}";
    assert!(service.metric(ended) >= 100.0, "about 50 events of this size fit");
}

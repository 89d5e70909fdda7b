//! The audit log: every operator's action, through the service and without it.

use reqwest::Client;
use serde_json::Value;

use crate::support::service::{Home, Service};
use crate::support::{block_on, wait_for};

fn records(home: &Home, more: &[&str]) -> Vec<Value> {
    let output = home.run(&[&["audit", "--json"], more].concat());
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn post(service: &Service, path: &str, password: Option<&str>, body: &str) -> u16 {
    block_on(async {
        let request = Client::new()
            .post(format!("{}{path}", service.admin))
            .header("x-davinci-siem-operation", "1")
            .header("content-type", "application/json")
            .basic_auth("admin", password)
            .body(body.to_owned());
        request.send().await.expect("an answer").status().as_u16()
    })
}

#[test]
fn every_action_is_recorded_with_its_actor_object_and_result() {
    let home = Home::with_two_sinks("").with_variables(&[
        ("DAVINCI_SIEM__ADMIN__PASSWORD_ENV", "PASSWORD"),
        ("PASSWORD", "canary-password"),
    ]);
    let service = home.start();
    service.post("[7]");
    let id = home.quarantine()[0]["id"].as_i64().expect("a number");
    let right = Some("canary-password");
    assert_eq!(post(&service, "/api/sinks/one/pause", right, ""), 200);
    assert_eq!(post(&service, "/api/sinks/one/pause", Some("wrong"), ""), 401);
    assert_eq!(post(&service, "/api/sinks/nosuch/resume", right, ""), 404);
    assert_eq!(post(&service, &format!("/api/quarantine/{id}/retry"), right, ""), 422);
    assert_eq!(post(&service, "/api/quarantine/purge", right, &format!("{{\"ids\":[{id}]}}")), 200);
    service.signal("HUP");
    let all = wait_for("the reload", || Some(records(&home, &[])).filter(|all| all.len() == 5));
    let shown = |record: &Value| {
        ["actor", "action", "object", "result"]
            .map(|field| record[field].as_str().unwrap_or("-").to_owned())
    };
    let id = id.to_string();
    assert_eq!(
        all.iter().map(shown).collect::<Vec<_>>(),
        [
            ["admin", "pause", "one", "ok"],
            ["admin", "resume", "nosuch", "failed with HTTP 404"],
            ["admin", "retry", id.as_str(), "failed with HTTP 422"],
            ["admin", "purge", "-", "ok"],
            ["signal", "reload", "-", "ok"],
        ]
    );
    assert_eq!(
        (&all[0]["address"], &all[3]["counts"]["removed"]),
        (&"127.0.0.1".into(), &1.into())
    );
    let count = |labels| service.metric(&format!("davinci_siem_{labels}"));
    assert_eq!(count("operator_actions_total{action=\"purge\",result=\"ok\"}"), 1.0);
    assert_eq!(count("operator_actions_total{action=\"resume\",result=\"failed\"}"), 1.0);
    assert_eq!(count("admin_refused_total{reason=\"password\"}"), 1.0);
    assert_eq!(service.log().matches("operator action").count(), 5);
    let text = std::fs::read_to_string(home.path("data/audit.ndjson")).expect("the log");
    assert!(!text.contains("canary"), "{text}");
    service.kill();
    assert_eq!(records(&home, &["--since", "1h"]), all, "also after the service ended");
    assert_eq!(records(&home, &["--since", "2100-01-01"]), [] as [Value; 0]);
}

#[test]
fn a_purge_without_the_service_is_recorded_too() {
    let home = Home::with_two_sinks("");
    let service = home.start();
    service.post("[7]");
    service.kill();
    let output = home.run(&["quarantine", "purge", "--all", "--yes"]);
    assert!(output.status.success(), "{output:?}");
    let all = records(&home, &[]);
    assert_eq!(all.len(), 1);
    assert!(all[0]["actor"].as_str().expect("text").starts_with("uid:"), "{all:?}");
    assert_eq!((&all[0]["action"], &all[0]["counts"]["removed"]), (&"purge".into(), &1.into()));
}

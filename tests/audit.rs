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

/// Returns fields of a record as text, `-` for an absent one.
fn fields<const N: usize>(record: &Value, names: [&str; N]) -> [String; N] {
    names.map(|name| match &record[name] {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    })
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

#[test]
fn a_record_names_its_object_and_parameters_in_one_way() {
    let home = Home::with_two_sinks("");
    let service = home.start();
    service.post("[7]");
    let id = home.quarantine()[0]["id"].as_i64().expect("a number");
    assert_eq!(post(&service, "/api/sinks/%6fne/pause", None, ""), 200);
    let padded: String = format!("000{id}").bytes().map(|byte| format!("%{byte:02x}")).collect();
    assert_eq!(post(&service, &format!("/api/quarantine/{padded}/retry"), None, ""), 422);
    assert_eq!(post(&service, &format!("/api/quarantine/{id}/retry"), None, "[8]"), 422);
    let range = "{\"from\":1,\"to\":2,\"after\":0}";
    assert_eq!(post(&service, "/api/sinks/one/replay", None, range), 200);
    assert_eq!(post(&service, "/api/quarantine/purge", None, "{\"ids\":[9,8,7,99]}"), 200);
    let shown = |record: &Value| {
        fields(record, ["action", "object", "replaced", "entries", "from", "to"]).join(" ")
    };
    assert_eq!(
        records(&home, &[]).iter().map(shown).collect::<Vec<_>>(),
        [
            "pause one - - - -".to_owned(),
            format!("retry {id} - - - -"),
            format!("retry {id} true - - -"),
            "replay one - - 1 2".to_owned(),
            "purge - - 7-9, 99 - -".to_owned(),
        ]
    );
    let table = home.run(&["audit"]);
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    for expected in
        ["failed with HTTP 422: content replaced", "entries 7-9, 99", "from 1970-01-01T"]
    {
        assert!(table.contains(expected), "{table}");
    }
}

#[test]
fn each_change_of_the_file_is_recorded_also_one_that_changes_nothing() {
    let home = Home::with_listen(
        "reload = \"20ms\"",
        "[sinks.one]\ntype = \"file\"\npath = \"one.ndjson\"\n[spool]\nmax_size = \"1 GiB\"\n",
    );
    let service = home.start();
    let text = std::fs::read_to_string(home.path("test.toml")).expect("read");
    let write = |text: String| std::fs::write(home.path("test.toml"), text).expect("written");
    let number = |count: usize| {
        wait_for("a record", || Some(records(&home, &[])).filter(|all| all.len() == count))
    };
    write(text.replace("1 GiB", "2 GiB"));
    number(1);
    write(text.replace("type = \"file\"", "type = \"fil\""));
    number(2);
    // Refused for the same reason, in another file.
    write(text.replace("type = \"file\"", "type = \"fil\"") + "# later\n");
    number(3);
    write(text);
    let all = number(4);
    let shown = |record: &Value| {
        fields(record, ["actor", "action", "result", "changed", "ignored"]).join(" ")
    };
    assert_eq!(
        all.iter().map(shown).collect::<Vec<_>>(),
        [
            "file reload ok - [\"spool.max_size\"]",
            "file reload refused - -",
            "file reload refused - -",
            "file reload ok - -",
        ]
    );
    drop(service);
}

#[test]
fn commands_without_the_service_are_recorded_also_failed_ones() {
    let home = Home::with_two_sinks("");
    let missing = home.run(&["audit"]);
    let error = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert_eq!(missing.status.code(), Some(1));
    assert!(error.contains("there is no directory data. Check spool.directory"), "{error}");
    let service = home.start();
    service.post("[7]");
    let id = home.quarantine()[0]["id"].to_string();
    // A repair is refused while the service runs.
    assert!(!home.run(&["spool", "repair"]).status.success());
    service.kill();
    std::fs::write(home.path("again"), "[8]").expect("written");
    let retried = home.run(&["quarantine", "retry", &id, "--replace", "again"]);
    assert!(!retried.status.success(), "{retried:?}");
    assert!(home.run(&["quarantine", "purge", &id, "--yes"]).status.success());
    let shown = |record: &Value| {
        fields(record, ["action", "object", "result", "replaced", "entries"]).join(" ")
    };
    assert_eq!(
        records(&home, &[]).iter().map(shown).collect::<Vec<_>>(),
        [
            "repair - failed - -".to_owned(),
            format!("retry {id} failed true -"),
            format!("purge - ok - {id}"),
        ]
    );
}

//! Logs, verdicts for every answer, and mistakes in a configuration.

use serde_json::{Value, json};

use super::*;
use crate::config;
use crate::decode;
use crate::event::Severity;
use crate::sinks::TargetConfig;
use crate::sinks::tests::{answer, letters};

fn sink(keys: &str) -> DatadogSinkConfig {
    let text = format!("[sinks.s]\ntype = \"datadog\"\napi_key_env = \"K\"\n{keys}");
    let variables = [("K".into(), "key".into())].into_iter();
    let config = config::parse(&text, None, variables).expect("valid");
    let TargetConfig::Datadog(sink) = &config.sinks[0].target else { panic!("a sink") };
    sink.clone()
}

fn encoded(keys: &str, line: &str, kind: &str) -> (Vec<u8>, Option<SinkFinding>) {
    let raw = json!({
        "id": "e", "recordedAt": "2026-03-01T12:00:00.5Z", "action": { "type": kind },
        "resources": [{ "id": "r", "environment": { "id": "a,b C" } }],
        "result": { "status": "FAILED" }
    });
    let raw = raw.to_string().into_bytes();
    let event = decode::event(&raw).expect("an event").event;
    let rendered = Rendered { line: line.into(), event: &event, source: "s" };
    encode::encode(&sink(keys), rendered)
}

fn log(keys: &str, line: &str, kind: &str) -> Value {
    serde_json::from_slice(&encoded(keys, line, kind).0).expect("JSON")
}

#[test]
fn a_log_has_the_reserved_attributes_and_the_event_as_its_message() {
    let line = r#"{"message":"not this","ddsource":"nor this","n":1.10}"#;
    let found = log("tags = [\"env:prod\", \"team\"]\n", line, "USER.CREATED");
    let uid = found["event_uid"].as_str().expect("a uid");
    assert_eq!(uid.len(), 40);
    let expected = json!({
        "timestamp": 1_772_366_400_500_i64, "ddsource": "ping-one", "service": "pingone-davinci",
        "hostname": "pingone", "status": found["status"], "event_uid": uid, "message": line,
        "ddtags": "env_id:a_b_c,action:user.created,outcome:failure,env:prod,team"
    });
    assert_eq!(found, expected);
    let named = "source = \"x\"\nservice = \"y\"\nhostname = \"z\"\n";
    let found = log(named, line, "USER.CREATED");
    assert_eq!([&found["ddsource"], &found["service"], &found["hostname"]], ["x", "y", "z"]);
    let long = "A".repeat(300);
    let found = log("", line, &long);
    let tag = found["ddtags"].as_str().and_then(|tags| tags.split(',').nth(1)).expect("a tag");
    assert_eq!(tag.chars().count(), 200);
}

#[test]
fn each_severity_has_its_status() {
    let severities = Severity::ALL.map(|(_, severity)| encode::status(severity));
    assert_eq!(severities, ["info", "notice", "warn", "error"]);
}

#[test]
fn ocsf_is_below_its_attribute() {
    let found = log("format = \"ocsf\"\n", r#"{"class_uid":3002}"#, "USER.CREATED");
    assert_eq!(found["message"], r#"{"ocsf":{"class_uid":3002}}"#);
}

#[test]
fn a_log_that_datadog_cuts_is_a_finding() {
    for (length, finding) in [(900_000, None), (1_000_000, Some(SinkFinding::Truncated))] {
        let line = format!("{{\"a\":\"{}\"}}", "x".repeat(length));
        assert_eq!(encoded("", &line, "A").1, finding, "{length}");
    }
}

#[test]
fn an_event_outside_of_the_range_is_sent_without_its_time() {
    let item = |payload: Vec<u8>| Item { position: 1, payload: payload.into() };
    let item = item(encoded("", "{}", "A").0);
    let time = encode::time_of(&item.payload).expect("a time");
    for (hours, is_late) in [(-3, true), (0, false), (16, false), (18, true)] {
        let now = time + TimeDelta::hours(hours);
        assert_eq!(is_out_of_range(&item, now), is_late, "{hours}");
    }
    let items = [item.clone(), item];
    let sent = body(&items, &[true, false]);
    let sent: Vec<Value> = serde_json::from_slice(&sent).expect("an array");
    assert!(sent[0].get("timestamp").is_none() && sent[1]["timestamp"].is_i64());
    assert_eq!(sent[0]["message"], sent[1]["message"]);
}

#[test]
fn an_answer_is_the_verdict_for_the_whole_request() {
    for (status, verdict) in [
        (202, 'D'),
        (200, 'F'),
        (204, 'F'),
        (301, 'F'),
        (400, 'R'),
        (422, 'R'),
        (401, 'F'),
        (403, 'F'),
        (404, 'F'),
        (408, 'R'),
        (413, 'S'),
        (429, 'R'),
        (500, 'R'),
        (503, 'R'),
    ] {
        let found = answer::verdict(&answer(status, "canary"));
        assert_eq!(letters(&Report::from(vec![found.clone()])), verdict.to_string(), "{status}");
        assert!(!found.into_reason().message.contains("canary"));
    }
    for (status, body, verdict) in [
        (400, r#"{"errors":[{"detail":"Malformed payload","status":"400"}]}"#, 'S'),
        (400, r#"{"error":{"code":400,"message":"x"}}"#, 'S'),
        (400, "<html>no</html>", 'R'),
        (400, "", 'R'),
        (200, "<!doctype html>", 'R'),
        (202, "{}", 'D'),
        (202, "<html>log in</html>", 'R'),
    ] {
        let found = answer::verdict(&answer(status, body));
        assert_eq!(letters(&Report::from(vec![found])), verdict.to_string(), "{status} {body}");
    }
}

#[test]
fn a_probe_says_what_the_answer_shows() {
    for (status, is_own, expected) in [
        (200, false, Ok("is valid")),
        (202, false, Err("HTTP 202: ")),
        (401, true, Err("correct api_key")),
        (403, false, Err("correct api_key")),
        (404, false, Err("does not know this URL")),
        (404, true, Ok("cannot be checked at this endpoint")),
    ] {
        let found = answer::probed(&answer(status, ""), is_own).map_err(|reason| reason.message);
        match (&found, expected) {
            (Ok(found), Ok(words)) | (Err(found), Err(words)) => {
                assert!(found.contains(words), "{status}: {found}");
            }
            _ => panic!("{status}: {found:?}"),
        }
    }
    for status in [429, 500, 503] {
        let reason = answer::probed(&answer(status, ""), false).expect_err("an outage");
        assert_eq!(reason.message, format!("HTTP {status}"), "nothing is to be corrected");
    }
}

#[test]
fn the_site_decides_about_the_hosts() {
    for (keys, intake, validation) in [
        (
            "",
            "https://http-intake.logs.datadoghq.com/",
            "https://api.datadoghq.com/api/v1/validate",
        ),
        (
            "site = \"datadoghq.eu\"\n",
            "https://http-intake.logs.datadoghq.eu/",
            "https://api.datadoghq.eu/api/v1/validate",
        ),
        (
            "endpoint = \"https://intake.example.com/dd\"\n",
            "https://intake.example.com/dd",
            "https://intake.example.com/dd/api/v1/validate",
        ),
    ] {
        let sink = sink(keys);
        assert_eq!((sink.client.url.as_str(), sink.validation.as_str()), (intake, validation));
    }
}

#[test]
fn mistakes_are_explained() {
    for (keys, expected) in [
        ("", "api_key_file: is missing"),
        ("api_key_env = \"K\"\nsite = \"us5\"\n", "site: \"us5\" is not one of"),
        ("api_key_env = \"K\"\nformat = \"ecs\"\n", "write \"native\" or \"ocsf\""),
        ("api_key_env = \"K\"\nformat = \"cef\"\n", "makes lines that are no JSON"),
        ("api_key_env = \"K\"\ntags = [\"a,b\"]\n", "tags: is not a tag"),
        ("api_key_env = \"K\"\ntags = [\"1a\"]\n", "tags: is not a tag"),
        ("api_key_env = \"K\"\nservice = \"a b\"\n", "service: must be 1 to 100"),
        (
            "api_key_env = \"K\"\nendpoint = \"https://x/api/v2/logs\"\n",
            "endpoint: has /api/v2/logs",
        ),
    ] {
        let text = format!("[sinks.s]\ntype = \"datadog\"\n{keys}");
        let variables = [("K".into(), "key".into())].into_iter();
        let found = config::parse(&text, None, variables).expect_err(keys).to_string();
        assert!(found.contains(expected), "{keys}{found}");
    }
}

//! Records, verdicts for every answer, and the URL.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyKind;
use prost::Message;
use serde_json::{Value, json};

use super::messages::{
    ExportLogsRequest, ExportLogsResponse, LogRecord, PartialSuccess, RefusalStatus, ResourceLogs,
    ScopeLogs,
};
use super::*;
use crate::decode;
use crate::http_client::Answer;
use crate::sinks::tests::{answer, letters};
use crate::sinks::{Item, Verdict};

fn record(raw: &Value, line: &str) -> LogRecord {
    let raw = raw.to_string().into_bytes();
    let event = decode::event(&raw).expect("an event").event;
    let bytes = encode::encode(Rendered { line: line.into(), event: &event, source: "prod" });
    LogRecord::decode(bytes.as_slice()).expect("a record")
}

fn attributes(record: &LogRecord) -> BTreeMap<String, Value> {
    let value = |kind: &AnyKind| match kind {
        AnyKind::StringValue(text) => json!(text),
        AnyKind::IntValue(number) => json!(number),
        AnyKind::BoolValue(flag) => json!(flag),
        other => panic!("{other:?}"),
    };
    let pairs = record.attributes.iter().map(|pair| {
        let kind = pair.value.as_ref().and_then(|any| any.value.as_ref()).expect("a value");
        (pair.key.clone(), value(kind))
    });
    let found: BTreeMap<String, Value> = pairs.collect();
    assert_eq!(found.len(), record.attributes.len(), "no key is there twice");
    found
}

fn fixture(name: &str) -> Value {
    let path = format!("{}/fixtures/events/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).expect("a fixture")).expect("JSON")
}

#[test]
fn a_flow_run_has_the_names_of_the_conventions() {
    let raw = fixture("custom_analytics");
    let record = record(&raw, "{\"the\":\"line\"}");
    assert_eq!((record.severity_number, record.severity_text.as_str()), (9, "INFO"));
    assert_eq!(record.event_name, "pingone.davinci.custom_analytics");
    assert_eq!(
        record.body.as_ref().and_then(|body| body.value.clone()),
        Some(AnyKind::StringValue("{\"the\":\"line\"}".to_owned()))
    );
    assert!(record.time_unix_nano > 1_600_000_000_000_000_000);
    assert!(record.observed_time_unix_nano > 1_600_000_000_000_000_000);
    let found = attributes(&record);
    let flow = &raw["_embedded"]["flowInteractionEvent"];
    for (name, value) in [
        ("session.id", &flow["interactionId"]),
        ("pingone.davinci.interaction.id", &flow["interactionId"]),
        ("pingone.environment.id", &flow["companyId"]),
        ("pingone.davinci.flow.name", &flow["flowName"]),
        ("pingone.event.id", &raw["id"]),
        ("pingone.recorded_at", &raw["recordedAt"]),
        ("pingone.action.type", &raw["action"]["type"]),
        ("pingone.source", &json!("prod")),
        ("pingone.outcome", &json!("success")),
    ] {
        assert_eq!(found.get(name), Some(value), "{name}: {found:#?}");
    }
    assert_eq!(found["log.record.uid"].as_str().map(str::len), Some(40));
    assert!(!found.contains_key("error.type"), "it is no failure");
    assert!(found.values().all(|value| value != ""), "no attribute is empty");
}

#[test]
fn a_failure_and_another_event_have_their_severity_and_name() {
    let failed = json!({
        "id": "e", "recordedAt": "2026-03-01T12:00:00.000000001Z",
        "action": { "type": "PASSWORD.CHECK_FAILED" },
        "actors": { "user": { "id": "u", "name": "" } },
        "source": { "ipAddress": "192.0.2.1", "userAgent": "curl" }
    });
    let record = record(&failed, "x");
    assert_eq!(record.event_name, "pingone.password.check_failed");
    assert!(record.severity_number > 9, "{}", record.severity_number);
    assert_eq!(record.time_unix_nano, 1_772_366_400_000_000_001);
    let found = attributes(&record);
    assert_eq!(found["error.type"], "PASSWORD.CHECK_FAILED");
    assert_eq!([&found["client.address"], &found["user_agent.original"]], ["192.0.2.1", "curl"]);
    assert!(!found.contains_key("user.name") && !found.contains_key("pingone.davinci.flow.id"));
}

#[test]
fn a_request_holds_the_encoded_records_unchanged() {
    let item = |payload: &'static [u8]| Item { position: 1, payload: payload.into() };
    let bytes = encode::request(&[item(b"\x1a\x01a"), item(b"\x1a\x01b")]);
    let request = ExportLogsRequest::decode(bytes.as_slice()).expect("a request");
    let [ResourceLogs { resource: Some(resource), scope_logs }] = &request.resource_logs[..] else {
        panic!("one resource: {request:?}")
    };
    let [ScopeLogs { scope: Some(scope), log_records }] = &scope_logs[..] else {
        panic!("one scope: {request:?}")
    };
    assert_eq!(scope.name, "davinci-siem");
    assert_eq!(resource.attributes[0].key, "service.name");
    let texts: Vec<String> = log_records
        .iter()
        .map(|record| LogRecord::decode(record.clone()).expect("a record").severity_text)
        .collect();
    assert_eq!(texts, ["a", "b"]);
}

fn partly(rejected: i64) -> Vec<u8> {
    let error_message = "canary".to_owned();
    let partial_success = PartialSuccess { rejected_log_records: rejected, error_message };
    ExportLogsResponse { partial_success: Some(partial_success) }.encode_to_vec()
}

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

fn typed(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Answer {
    let content_type = Some(content_type.to_owned()).filter(|kind| !kind.is_empty());
    Answer { content_type, body: body.into(), ..answer(status, "") }
}

#[test]
fn a_partial_success_is_counted_and_never_repeated() {
    for (kind, body, letter, counted) in [
        (PROTOBUF, Vec::new(), "DDD", None),
        ("application/protobuf", Vec::new(), "DDD", None),
        (JSON, Vec::new(), "DDD", None),
        ("", Vec::new(), "FFF", None),
        ("text/html", Vec::new(), "FFF", None),
        (JSON, b"[]".to_vec(), "FFF", None),
        (JSON, b"null".to_vec(), "FFF", None),
        (JSON, b"{\"error\":\"canary\"}".to_vec(), "FFF", None),
        (JSON, b"{\"code\":3,\"message\":\"canary\"}".to_vec(), "FFF", None),
        (JSON, b"{\"partialSuccess\":null,\"took\":3}".to_vec(), "DDD", None),
        (JSON, b"{\"partial_success\":{\"rejected_log_records\":1}}".to_vec(), "DDD", Some(1)),
        (PROTOBUF, partly(0), "DDD", None),
        (PROTOBUF, partly(2), "DDD", Some(2)),
        (PROTOBUF, partly(3), "XXX", None),
        (PROTOBUF, partly(9), "XXX", None),
        (PROTOBUF, partly(-1), "DDD", None),
        (PROTOBUF, b"<html>welcome</html>".to_vec(), "RRR", None),
        (JSON, b"{}".to_vec(), "DDD", None),
        ("text/plain", b"{}".to_vec(), "DDD", None),
        (JSON, b"{\"partialSuccess\":{}}".to_vec(), "DDD", None),
        (JSON, b"{\"partialSuccess\":{\"rejectedLogRecords\":\"1\"}}".to_vec(), "DDD", Some(1)),
        (
            JSON,
            b"{\"partialSuccess\":{\"rejectedLogRecords\":3,\"errorMessage\":\"m\"}}".to_vec(),
            "XXX",
            None,
        ),
        (JSON, b"{\"hello\":1}".to_vec(), "FFF", None),
        ("text/plain", b"{\"hello\":1}".to_vec(), "FFF", None),
        (JSON, b"<html>welcome</html>".to_vec(), "RRR", None),
        ("text/html", b"welcome".to_vec(), "RRR", None),
        ("", b"welcome".to_vec(), "FFF", None),
    ] {
        let found = answer::report(&typed(200, kind, body.clone()), 3);
        let text = format!("{kind}: {}", String::from_utf8_lossy(&body));
        assert_eq!(letters(&found), letter, "{text}");
        let counted = counted.map(|count| (SinkFinding::PartialSuccess, count));
        assert_eq!(found.findings, counted.into_iter().collect::<Vec<_>>(), "{text}");
        for verdict in found.verdicts {
            assert!(!verdict.into_reason().message.contains("canary"), "it may repeat an event");
        }
    }
    assert_eq!(letters(&answer::report(&typed(204, "", ""), 1)), "D", "as Loki answers");
    let torn = Answer { is_whole: false, ..answer(200, "") };
    assert_eq!(letters(&answer::report(&torn, 1)), "R");
    let endless = Answer { is_too_long: true, ..torn };
    assert_eq!(letters(&answer::report(&endless, 1)), "F", "no response is so long");
}

#[test]
fn every_other_status_has_its_verdict() {
    for (status, letter) in [
        (301, 'F'),
        (401, 'F'),
        (403, 'F'),
        (404, 'F'),
        (408, 'R'),
        (413, 'S'),
        (415, 'F'),
        (429, 'R'),
        (500, 'R'),
        (501, 'F'),
        (502, 'R'),
        (503, 'R'),
        (504, 'R'),
    ] {
        let found = answer::report(&answer(status, "canary"), 1);
        assert_eq!(letters(&found), letter.to_string(), "{status}");
        let reasons = found.verdicts.into_iter().map(Verdict::into_reason);
        assert!(reasons.into_iter().all(|reason| !reason.message.contains("canary")));
        assert!(answer::probed(&answer(status, "")).is_err(), "{status}");
    }
    assert!(answer::probed(&typed(200, PROTOBUF, "")).is_ok());
    assert!(answer::probed(&typed(200, "text/html", "<html>")).is_err());
}

/// A 400 is a record's fault only if a receiver of OTLP says so.
#[test]
fn a_refusal_is_a_status_of_the_protocol() {
    let status = RefusalStatus { code: 3, message: "canary".to_owned(), details: Vec::new() };
    for (kind, body, letter) in [
        (PROTOBUF, status.encode_to_vec(), 'S'),
        (JSON, b"{\"code\":3,\"message\":\"canary\"}".to_vec(), 'S'),
        (JSON, b"{\"message\":\"canary\",\"details\":[]}".to_vec(), 'S'),
        ("text/plain", b"{\"code\":3}".to_vec(), 'S'),
        (PROTOBUF, Vec::new(), 'S'),
        ("", Vec::new(), 'R'),
        ("text/html", Vec::new(), 'R'),
        (JSON, Vec::new(), 'R'),
        (PROTOBUF, b"<html>canary</html>".to_vec(), 'R'),
        (JSON, b"{\"error\":\"canary\"}".to_vec(), 'R'),
        (JSON, b"[]".to_vec(), 'R'),
        ("text/html", b"<html>canary</html>".to_vec(), 'R'),
        ("text/plain", b"Client sent an HTTP request to an HTTPS server.\n".to_vec(), 'R'),
    ] {
        for status in [400, 422] {
            let answer = typed(status, kind, body.clone());
            let found = answer::report(&answer, 1);
            let text = format!("{status} {kind}: {}", String::from_utf8_lossy(&body));
            assert_eq!(letters(&found), letter.to_string(), "{text}");
            assert_eq!(answer::probed(&answer).is_ok(), letter == 'S' && status == 400, "{text}");
            let reasons = found.verdicts.into_iter().map(Verdict::into_reason);
            assert!(reasons.into_iter().all(|reason| !reason.message.contains("canary")));
        }
    }
}

#[test]
fn the_protocols_path_is_appended_to_the_endpoint() {
    for (endpoint, sent_to) in [
        ("http://collector:4318", "http://collector:4318/v1/logs"),
        ("https://example.com/otlp/", "https://example.com/otlp/v1/logs"),
        ("https://example.com/otlp/v1/logs", "https://example.com/otlp/v1/logs"),
    ] {
        assert_eq!(sink::url(&endpoint.parse().expect("a URL")).as_str(), sent_to, "{endpoint}");
    }
}

//! Streams, entries, and the verdict of each status.

use bytes::Bytes;
use serde_json::{Value, json};

use super::*;
use crate::config;
use crate::sinks::TargetConfig;
use crate::sinks::tests::{answer, letters};

fn settings(keys: &str) -> LokiSinkConfig {
    let text = format!("[sinks.s]\ntype = \"loki\"\nendpoint = \"https://x\"\n{keys}\n");
    let config = config::parse(&text, None, std::iter::empty()).expect("valid");
    match &config.sinks[0].target {
        TargetConfig::Loki(sink) => sink.clone(),
        other => panic!("{other:?}"),
    }
}

fn payload(keys: &str, line: &str) -> Bytes {
    let raw = include_bytes!("../../../fixtures/events/custom_analytics.json");
    let event = crate::decode::event(raw).expect("an event").event;
    let line = line.as_bytes().to_vec();
    encode::encode(&settings(keys), Rendered { line, event: &event, source: "pingone" }).into()
}

fn body(payloads: &[Bytes]) -> Value {
    let items: Vec<Item> = (1..)
        .zip(payloads)
        .map(|(position, payload)| Item { position, payload: payload.clone() })
        .collect();
    serde_json::from_slice(&encode::body(&items)).expect("JSON")
}

#[test]
fn an_event_is_an_entry_with_labels_and_ids() {
    let line = "CEF:0|\"quoted\",\"values\":[";
    assert_eq!(
        body(&[payload("labels = [{ name = \"team\", value = \"i\\\"am\" }]", line)]),
        json!({ "streams": [{
            "stream": {
                "job": "pingone-davinci",
                "team": "i\"am",
                "environment": "9f835dca-fa37-489b-b835-6587ef71e5d8",
                "action": "DAVINCI_INTERACTION.CUSTOM_ANALYTICS",
                "outcome": "success",
            },
            "values": [["1708013223947000000", line, {
                "event_id": "c452dcdf-a535-43f6-8cc3-a09ccb440e91",
                "event_uid": "49b87b382da203111e668dde9d7a066b84d9c4f8",
                "interaction_id": "002ec717-c5a6-44ca-9d6f-ec9a86282fe7",
                "flow_id": "79f303c7f2cfae6c5ce221dc013c80c5",
            }]],
        }] })
    );
    let plain = body(&[payload("structured_metadata = false\nevent_labels = []", "{}")]);
    assert_eq!(plain["streams"][0]["stream"], json!({ "job": "pingone-davinci" }));
    assert_eq!(plain["streams"][0]["values"], json!([["1708013223947000000", "{}"]]));
    assert_eq!(body(&[]), json!({ "streams": [] }), "the probe");
}

#[test]
fn entries_of_a_stream_are_together_and_in_order() {
    let one = |line: &str| payload("job = \"one\"", line);
    let two = |line: &str| payload("job = \"two\"", line);
    let body = body(&[one("a"), two("b"), one("c"), two("d")]);
    let lines = |stream: usize| {
        let values = body["streams"][stream]["values"].as_array().expect("values");
        values.iter().map(|value| value[1].as_str().expect("a line")).collect::<Vec<_>>()
    };
    assert_eq!((lines(0), lines(1)), (vec!["a", "c"], vec!["b", "d"]));
    assert_eq!(body["streams"].as_array().expect("streams").len(), 2);
}

#[test]
fn every_status_has_its_verdict() {
    for (status, expected) in [
        (204, 'D'),
        (200, 'F'),
        // Blocked: nothing is stored.
        (260, 'R'),
        (202, 'F'),
        (400, 'S'),
        (413, 'S'),
        (422, 'S'),
        (401, 'F'),
        (403, 'F'),
        (404, 'F'),
        (302, 'F'),
        (429, 'R'),
        (500, 'R'),
        (503, 'R'),
    ] {
        let report = Report::from(vec![verdict(&answer(status, "entry too far behind"))]);
        assert_eq!(letters(&report), expected.to_string(), "{status}");
    }
    let disallowed = "stream '{job=\"x\"}' includes structured metadata, but this feature is disallowed. \
                      Please see `limits_config.allow_structured_metadata`";
    for (status, body, expected) in [
        (400, disallowed, 'F'),
        (400, " <html>no</html>", 'R'),
        (409, "<!DOCTYPE html>", 'R'),
        (400, "", 'R'),
        (200, "<html>log in</html>", 'R'),
        (200, "", 'F'),
        // The limit is that of the proxy, and smaller requests fit into it.
        (413, "<html>no</html>", 'S'),
    ] {
        let verdict = verdict(&answer(status, body));
        let is_advice =
            verdict.clone().into_reason().message.contains("structured_metadata = false");
        assert_eq!(is_advice, body == disallowed, "{body}");
        assert_eq!(letters(&Report::from(vec![verdict])), expected.to_string(), "{body}");
    }
}

#[test]
fn mistakes_are_reported() {
    for (keys, said) in [
        ("", "endpoint: is missing"),
        ("endpoint = \"https://x/loki/api/v1/push\"", "which the sink adds itself"),
        (
            "endpoint = \"https://x\"\nlabels = [{ name = \"a-b\", value = \"x\" }]",
            "is not a label",
        ),
        (
            "endpoint = \"https://x\"\nlabels = [{ name = \"__x\", value = \"x\" }]",
            "is not a label",
        ),
        (
            "endpoint = \"https://x\"\nlabels = [{ name = \"action\", value = \"x\" }]",
            "has action, which is set already",
        ),
        ("endpoint = \"https://x\"\nevent_labels = [\"flow\"]", "is not one of \"environment\""),
        ("endpoint = \"https://x\"\ntenant = \"\"", "is not a tenant"),
    ] {
        let text = format!("[sinks.s]\ntype = \"loki\"\n{keys}\n");
        let found = config::parse(&text, None, std::iter::empty()).expect_err(keys).to_string();
        assert!(found.contains(said), "{keys}: {found}");
    }
}

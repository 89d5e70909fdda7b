//! Subjects, headers, and the verdict of every answer of the server.

use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use serde_json::{Value, json};

use super::answer::{PublishRefusal, refusal};
use super::encode::encode;
use super::sink::*;
use super::*;
use crate::config;
use crate::sinks::{Item, TargetConfig, Verdict, record};

const FIXTURE: &[u8] = include_bytes!("../../../fixtures/events/custom_analytics.json");

fn settings(more: &str) -> NatsSinkConfig {
    let text =
        format!("[sinks.n]\ntype = \"nats\"\nservers = [\"nats://localhost:4222\"]\n{more}\n");
    let config = config::parse(&text, None, std::iter::empty()).expect("valid");
    let TargetConfig::Nats(settings) = &config.sinks[0].target else { panic!("a nats sink") };
    settings.clone()
}

/// Returns the item that the sink gets for an event.
fn item(settings: &NatsSinkConfig, event: &Value) -> Item {
    let text = event.to_string();
    let decoded = crate::decode::event(text.as_bytes()).expect("an event");
    let line = text.clone().into_bytes();
    let payload = encode(settings, Rendered { line, event: &decoded.event, source: "pingone" });
    Item { position: 1, payload: payload.into() }
}

#[test]
fn an_event_survives_encoding_and_decoding() {
    let mut event: Value = serde_json::from_slice(FIXTURE).expect("JSON");
    event["id"] = "line\nbreak".into();
    let item = item(&settings(""), &event);
    let (head, body) = record::decode(&item).expect("a record");
    assert_eq!(serde_json::from_slice::<Value>(&body).expect("JSON"), event);
    let environment = event["_embedded"]["flowInteractionEvent"]["companyId"].as_str();
    let subject = format!("pingone.davinci.{}.CUSTOM_ANALYTICS", environment.expect("an id"));
    assert_eq!(head.route.as_deref(), Some(subject.as_str()));
    assert_eq!(head.event_id, "line\nbreak");
    assert_eq!(header(&head.event_id), "line break");
    assert_eq!(head.action_type, "DAVINCI_INTERACTION.CUSTOM_ANALYTICS");
    assert_eq!(head.uid.len(), 40);
}

#[test]
fn no_value_makes_another_subject_than_its_template() {
    let settings = settings("subject = \"a.{environment}.{action}.{outcome}.{flow}.{connector}\"");
    let long = "x".repeat(1000);
    for (hostile, level) in [
        ("*", "_"),
        (">", "_"),
        ("a.b", "a_b"),
        ("a b\r\nPUB x 1", "a_b__PUB_x_1"),
        ("", "none"),
        ("ä\u{1f600}", "__"),
        ("$JS", "_JS"),
        (long.as_str(), &long[..128]),
    ] {
        let mut event: Value = serde_json::from_slice(FIXTURE).expect("JSON");
        let flow = &mut event["_embedded"]["flowInteractionEvent"];
        for field in ["companyId", "flowId", "connectorId"] {
            flow[field] = hostile.into();
        }
        // Without an id in the flow, the id of its resource is used.
        event["resources"] = json!([]);
        let item = item(&settings, &event);
        let (head, _) = record::decode(&item).expect("a record");
        let expected = format!("a.{level}.CUSTOM_ANALYTICS.success.{level}.{level}");
        assert_eq!(head.route.as_deref(), Some(expected.as_str()), "{hostile:?}");
    }
    let event = json!({
        "id": "1", "recordedAt": "2026-01-01T00:00:00Z", "action": { "type": "A.B>" },
    });
    let item = item(&settings, &event);
    let (head, _) = record::decode(&item).expect("a record");
    assert_eq!(head.route.as_deref(), Some("a.none.A_B_.unknown.none.none"));
}

#[test]
fn every_answer_has_its_verdict() {
    let settings = settings("stream = \"EVENTS\"");
    let letter = |error: &PublishError| match refusal(error, &settings) {
        PublishRefusal::NoResponders => '?',
        PublishRefusal::Known(Verdict::Retry { .. }) => 'R',
        PublishRefusal::Known(Verdict::Rejected { .. }) => 'X',
        PublishRefusal::Known(Verdict::Fatal { .. }) => 'F',
        PublishRefusal::Known(verdict) => panic!("{verdict:?}"),
    };
    for (kind, expected) in [
        (PublishErrorKind::StreamNotFound, '?'),
        (PublishErrorKind::TimedOut, 'R'),
        (PublishErrorKind::BrokenPipe, 'R'),
        (PublishErrorKind::MaxAckPending, 'R'),
        (PublishErrorKind::MaxPayloadExceeded, 'X'),
        (PublishErrorKind::Other, 'R'),
    ] {
        assert_eq!(letter(&PublishError::new(kind)), expected, "{kind}");
    }
    for (code, expected) in [
        // Account's, memory's, storage's and other limits; no quorum, no leader; the stream is full.
        (10002, 'R'),
        (10008, 'R'),
        (10009, 'R'),
        (10023, 'R'),
        (10028, 'R'),
        (10041, 'R'),
        (10047, 'R'),
        (10051, 'R'),
        (10077, 'R'),
        (10118, 'R'),
        (10167, 'R'),
        // Too large, of the stream's own limits.
        (10054, 'X'),
        (10097, 'X'),
        // Configured wrongly.
        (10039, 'F'),
        (10060, 'F'),
        (10070, 'F'),
        (10071, 'F'),
        (10109, 'F'),
        (10164, 'F'),
        // Of a later version.
        (19999, 'R'),
    ] {
        let said = json!({ "code": 400, "err_code": code, "description": "canary" });
        let api: async_nats::jetstream::Error = serde_json::from_value(said).expect("an error");
        for kind in [PublishErrorKind::Other, PublishErrorKind::WrongLastSequence] {
            let error = PublishError::with_source(kind, api.clone());
            assert_eq!(letter(&error), expected, "{code}");
            let PublishRefusal::Known(verdict) = refusal(&error, &settings) else {
                panic!("{code}")
            };
            let reason = verdict.into_reason();
            assert_eq!(reason.code, Some(code.to_string()));
            assert!(!reason.message.contains("canary") && reason.answer.contains("canary"));
        }
    }
}

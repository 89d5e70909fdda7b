//! Messages, and verdicts for every answer.

use serde_json::{Value, json};

use super::*;
use crate::config;
use crate::decode;
use crate::sinks::TargetConfig;
use crate::sinks::tests::{answer, letters};

#[test]
fn a_message_holds_the_line_and_its_ids() {
    let long = "x".repeat(MAX_ATTRIBUTE_BYTES + 1);
    for (id, has_id) in [("e", true), (long.as_str(), false)] {
        let raw = json!({
            "id": id, "recordedAt": "2026-03-01T12:00:00Z", "action": { "type": "USER.CREATED" }
        });
        let raw = raw.to_string().into_bytes();
        let event = decode::event(&raw).expect("an event").event;
        let rendered = Rendered { line: b"{\"a\":1}".to_vec(), event: &event, source: "prod" };
        let message: Value = serde_json::from_slice(&encode(&rendered)).expect("JSON");
        let mut attributes = json!({
            "event_uid": event.uid("prod"), "action_type": "USER.CREATED", "source": "prod",
            "outcome": event.outcome().as_str()
        });
        if has_id {
            attributes["event_id"] = id.into();
        }
        let data = STANDARD.encode("{\"a\":1}");
        assert_eq!(message, json!({ "data": data, "attributes": attributes }));
    }
}

#[test]
fn an_answer_is_the_verdict_for_the_whole_request() {
    for (status, body, verdict_letter) in [
        (200, "{\"messageIds\":[\"1\",\"2\"]}", 'D'),
        (200, "{\"messageIds\":[\"1\"]}", 'F'),
        (200, "{}", 'F'),
        (200, "<html>canary</html>", 'F'),
        (400, "{\"error\":{\"status\":\"INVALID_ARGUMENT\",\"message\":\"canary\"}}", 'S'),
        (400, "{\"error\":{\"status\":\"FAILED_PRECONDITION\",\"message\":\"canary\"}}", 'F'),
        (400, "<html>canary</html>", 'F'),
        (400, "", 'F'),
        (401, "canary", 'F'),
        (403, "canary", 'F'),
        (404, "canary", 'F'),
        (408, "", 'R'),
        (413, "", 'S'),
        (429, "canary", 'R'),
        (499, "{\"error\":{\"status\":\"CANCELLED\"}}", 'R'),
        (500, "", 'R'),
        (503, "", 'R'),
    ] {
        let found = verdict(&answer(status, body), 2);
        let letter = letters(&Report::from(vec![found.clone()]));
        assert_eq!(letter, verdict_letter.to_string(), "{status} {body}");
        assert!(!found.into_reason().message.contains("canary"));
    }
    let torn = Answer { is_whole: false, ..answer(200, "{\"mess") };
    assert_eq!(letters(&Report::from(vec![verdict(&torn, 2)])), "R");
    let endless = Answer { is_too_long: true, ..torn };
    assert_eq!(letters(&Report::from(vec![verdict(&endless, 2)])), "F", "no answer is so long");
}

#[test]
fn the_topic_is_a_part_of_the_url() {
    let text =
        "[sinks.s]\ntype = \"pubsub\"\nproject = \"p\"\ntopic = \"t\"\nmetadata_server = {}\n";
    let config = config::parse(text, None, std::iter::empty()).expect("valid");
    let TargetConfig::Pubsub(sink) = &config.sinks[0].target else { panic!("a sink") };
    drop(rustls::crypto::ring::default_provider().install_default());
    let opened = sink.open().expect("a sink");
    let topic = "https://pubsub.googleapis.com/v1/projects/p/topics/t";
    assert_eq!(opened.publish.as_str(), format!("{topic}:publish"));
    assert_eq!(opened.test.as_str(), format!("{topic}:testIamPermissions"));
}

//! Answers of targets, what is said about them, and the version of the templates in `deploy/`.

use serde_json::json;
use sha2::{Digest, Sha256};

use super::InstalledMapping::{Absent, Foreign, Hidden, Version};
use super::*;
use crate::sinks::tests::answer;

#[test]
fn a_mapping_is_known_by_its_version_or_by_its_field() {
    let numbered = json!({ "_meta": { "davinci_siem_mapping": 7 }, "properties": {} });
    let field = |kind: &str| {
        let davinci = json!({ "properties": { "extra": { "type": kind } } });
        json!({ "properties": { "ping_one": { "properties": { "davinci": davinci } } } })
    };
    for (status, mappings, expected) in [
        (200, numbered, Version(7)),
        (200, field("flattened"), Version(1)),
        (200, field("flat_object"), Version(1)),
        (200, field("object"), Foreign),
        (200, json!({ "_meta": { "davinci_siem_mapping": "x" } }), Foreign),
        (200, json!({ "properties": { "@timestamp": { "type": "date" } } }), Foreign),
        (200, Value::Null, Foreign),
        (404, json!({}), Absent),
        (401, json!({}), Hidden(401)),
        (403, json!({}), Hidden(403)),
        (500, json!({}), Hidden(500)),
    ] {
        let body = json!({ "template": { "mappings": mappings } }).to_string();
        let found = read(&answer(status, &body), |body| body.get("template"));
        assert_eq!(found, expected, "{status} {body}");
    }
    for (body, expected) in [("{}", Absent), ("<html>", Hidden(200)), ("[]", Absent)] {
        assert_eq!(read(&answer(200, body), |body| body.get("template")), expected, "{body}");
    }
}

#[test]
fn the_newest_index_has_the_highest_number() {
    for (name, expected) in [
        (".ds-logs-pingone.davinci-default-2026.11.30-000003", 3),
        (".ds-logs-pingone.davinci-default-000012", 12),
        ("logs-pingone.davinci-default", 0),
        ("", 0),
    ] {
        assert_eq!(generation(name), expected, "{name}");
    }
}

#[test]
fn every_state_says_what_to_do() {
    let [current, old] = [Version(VERSION), Version(1)];
    for (stream, template, expected) in [
        (Absent, current, Ok("the template of logs has version 3")),
        (Absent, Version(9), Ok("the template of logs has version 9")),
        (Absent, Hidden(403), Ok("was not checked (HTTP 403)")),
        (Absent, Absent, Err("no index template matches logs, so that")),
        (Absent, Foreign, Err("the index template of logs does not have davinci-siem's mapping")),
        (Absent, old, Err("the index template of logs has version 1 of the mapping")),
        (Foreign, current, Err("its template is current; roll it over with POST /logs/_rollover")),
        (old, current, Err("logs has version 1 of the mapping, so that")),
        (
            old,
            old,
            Err("install the templates in deploy/opensearch (mapping version 3), then roll"),
        ),
        (Foreign, Hidden(403), Err("install the templates in deploy/opensearch")),
    ] {
        let found = judge("logs", Flavor::Opensearch, stream, template);
        let (is_good, text) = match &found {
            Ok(text) => (true, text.clone()),
            Err(reason) => (false, reason.to_string()),
        };
        let (expected_good, part) = match expected {
            Ok(part) => (true, part),
            Err(part) => (false, part),
        };
        assert!(is_good == expected_good && text.contains(part), "{stream:?} {template:?}: {text}");
    }
}

/// A mapping that changes without its version would not be noticed in a target.
#[test]
fn the_deployed_mapping_has_this_version_and_this_content() {
    let deployed = |name: &str| {
        let path = format!("{}/deploy/{name}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).expect("a template");
        let template: Value = serde_json::from_str(&text).expect("JSON");
        template["template"]["mappings"].clone()
    };
    let templates =
        ["elasticsearch/component-template.json", "opensearch/index-template.json"].map(deployed);
    let mut digest = Sha256::new();
    for mappings in &templates {
        assert_eq!(mappings["_meta"]["davinci_siem_mapping"], VERSION);
        digest.update(mappings["properties"].to_string());
    }
    let digest: String =
        digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let known = "8e00b8422ea4c095";
    assert_eq!(
        digest, known,
        "raise template::VERSION and both _meta, then write this digest here"
    );
}

//! Records, verdicts for every answer, and mistakes in a configuration.

use serde_json::{Value, json};

use super::*;
use crate::config;
use crate::decode;
use crate::sinks::TargetConfig;
use crate::sinks::tests::{answer, letters};

const RULE: &str = "dcr-0123456789abcdef0123456789abcdef";
const ID: &str = "66666666-7777-8888-9999-000000000000";

fn raw(id: &str) -> Vec<u8> {
    let event = json!({
        "id": id, "recordedAt": "2026-03-01T12:00:00.5Z",
        "action": { "type": "USER.CREATED" }
    });
    event.to_string().into_bytes()
}

fn encoded(format: Format, line: &str) -> (Value, Option<SinkFinding>) {
    let raw = raw("e");
    let event = decode::event(&raw).expect("an event").event;
    let rendered = Rendered { line: line.into(), event: &event, source: "s" };
    let (record, finding) = encode::encode(format, rendered);
    let time = encode::time_of(&record).expect("a time");
    assert_eq!(time.timestamp_millis(), event.time().timestamp_millis());
    (serde_json::from_slice(&record).expect("JSON"), finding)
}

#[test]
fn a_record_has_the_columns_of_the_table() {
    let raw = raw("e");
    let uid = decode::event(&raw).expect("an event").event.uid("s");
    let columns = |more: Value| {
        let mut record = json!({
            "TimeGenerated": "2026-03-01T12:00:00.500Z", "EventTime": "2026-03-01T12:00:00.500Z",
            "RecordUid": uid
        });
        record
            .as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("fields").clone());
        record
    };
    for (format, line, more) in [
        (
            Format::Ecs,
            r#"{"event":{"id":"e"},"message":"m"}"#,
            json!({ "event": { "id": "e" }, "message": "m" }),
        ),
        (Format::Ecs, "{}", json!({})),
        (Format::Native, r#"{"id":"e"}"#, json!({ "RawEvent": { "id": "e" } })),
        (Format::Ocsf, r#"{"time":1}"#, json!({ "RawEvent": { "time": 1 } })),
    ] {
        assert_eq!(encoded(format, line), (columns(more), None), "{line}");
    }
}

#[test]
fn a_field_that_azure_cuts_is_a_finding() {
    let long = "x".repeat(64 * 1024);
    let one = format!("{{\"a\":\"{long}\"}}");
    let two = format!("{{\"a\":\"{0}\",\"b\":\"{0}\"}}", &long[..40_000]);
    for (format, line, finding) in [
        (Format::Ecs, &one, Some(SinkFinding::Truncated)),
        (Format::Ecs, &two, None),
        (Format::Native, &one, Some(SinkFinding::Truncated)),
        (Format::Native, &two, Some(SinkFinding::Truncated)),
    ] {
        let (record, found) = encoded(format, line);
        assert_eq!(found, finding, "{format:?}");
        let fields: Value = serde_json::from_str(line).expect("JSON");
        let kept = if format == Format::Ecs { &record } else { &record["RawEvent"] };
        assert_eq!(kept["a"], fields["a"], "the sink itself cuts nothing");
    }
}

#[test]
fn a_long_original_has_a_column_of_its_own() {
    let original = "x".repeat(70_000);
    let line = format!(
        "{{\"client\":{{}},\"event\":{{\"id\":\"e\",\"original\":\"{original}\",\"kind\":\"event\"}},\"message\":\"m\"}}"
    );
    let (record, finding) = encoded(Format::Ecs, &line);
    assert_eq!(record["event"], json!({ "id": "e", "kind": "event" }));
    assert_eq!(record["RawEvent"], original);
    assert_eq!((&record["client"], &record["message"]), (&json!({}), &json!("m")));
    assert_eq!(finding, Some(SinkFinding::Truncated));
    let short = line.replace(&original, "x");
    assert_eq!(encoded(Format::Ecs, &short).0["event"]["original"], "x", "it fits");
}

#[test]
fn an_answer_is_the_verdict_for_the_whole_request() {
    let error =
        |code: &str| format!("{{\"error\":{{\"code\":\"{code}\",\"message\":\"canary\"}}}}");
    for (status, body, verdict) in [
        (204, String::new(), 'D'),
        (200, "<html>welcome</html>".to_owned(), 'R'),
        (202, String::new(), 'F'),
        (301, String::new(), 'F'),
        (400, error("InvalidPayload"), 'S'),
        (400, error("RecordsTimeRangeIsMoreThan30Minutes"), 'S'),
        (400, "{\"error\":{\"code\":\"x y\"}}".to_owned(), 'S'),
        (400, "canary".to_owned(), 'R'),
        (400, String::new(), 'R'),
        (400, "<html>canary</html>".to_owned(), 'R'),
        (200, "<html>canary</html>".to_owned(), 'R'),
        (400, error("InvalidStream"), 'F'),
        (400, error("InvalidApiVersionParameter"), 'F'),
        (401, error("InvalidToken"), 'F'),
        (403, error("OperationFailed"), 'F'),
        (404, error("NotFound"), 'F'),
        (405, String::new(), 'F'),
        (408, String::new(), 'R'),
        (413, error("ContentLengthLimitExceeded"), 'S'),
        (415, String::new(), 'F'),
        (429, error("TooManyRequests"), 'R'),
        (500, String::new(), 'R'),
        (503, String::new(), 'R'),
    ] {
        let verdict_of = answer::verdict(&answer(status, &body));
        let found = letters(&Report::from(vec![verdict_of.clone()]));
        assert_eq!(found, verdict.to_string(), "{status} {body}");
        let message = verdict_of.into_reason().message;
        assert!(!message.contains("canary"), "it may repeat an event: {message}");
    }
}

#[test]
fn a_probe_tells_a_refused_rule_from_a_refused_empty_list() {
    let stream = r#"{"error":{"code":"InvalidStream"}}"#;
    for (status, body, is_good) in [
        (204, "", true),
        (400, r#"{"error":{"code":"InvalidPayload"}}"#, true),
        (400, stream, false),
        (401, "", false),
        (403, "", false),
        (404, "", false),
        (413, "", false),
        (503, "", false),
        (200, "", false),
    ] {
        assert_eq!(answer::probed(&answer(status, body)).is_ok(), is_good, "{status} {body}");
    }
}

/// Problems of a sink with these keys; an empty list if there are none.
fn mistakes(keys: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let text = format!("[sinks.s]\ntype = \"sentinel\"\n{keys}");
    let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
    match config::parse(&text, None, variables.collect::<Vec<_>>().into_iter()) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.0.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn mistakes_are_explained() {
    let endpoint = "endpoint = \"https://x\"\n";
    let rule = format!("rule_id = \"{RULE}\"\n");
    let managed = "managed_identity = {}\n";
    let secret = |tenant: &str, id: &str| {
        format!(
            "{endpoint}{rule}client_secret = {{ tenant_id = \"{tenant}\", client_id = \"{id}\", secret_env = \"S\" }}\n"
        )
    };
    let resource = "rule_id = \"/subscriptions/x/resourceGroups/y\"\n";
    for (keys, expected) in [
        (
            format!("{endpoint}{rule}"),
            "is missing; write client_secret, managed_identity or workload_identity",
        ),
        (format!("{}{managed}", secret(ID, ID)), "exclude each other"),
        (format!("{endpoint}{managed}{resource}"), "rule_id: is the rule's resource id"),
        (format!("{endpoint}{managed}rule_id = \"my-rule\"\n"), "rule_id: is not \"dcr-\""),
        (
            format!("{endpoint}{managed}{rule}stream = \"PingOneEvents_CL\"\n"),
            "stream: is not \"Custom-\"",
        ),
        (secret("a/b", ID), "tenant_id: is neither an id"),
        (secret(ID, "my app"), "client_id: is not an id"),
        (
            format!(
                "{endpoint}{rule}managed_identity = {{ client_id = \"{ID}\", object_id = \"{ID}\" }}\n"
            ),
            "exclude each other",
        ),
        (
            format!("{endpoint}{rule}managed_identity = {{ resource_id = \"x\" }}\n"),
            "resource_id: does not begin",
        ),
        (
            format!("{endpoint}{rule}workload_identity = {{}}\n"),
            "token_file: is missing; write it, or set AZURE_FEDERATED_TOKEN_FILE",
        ),
        (
            format!("endpoint = \"https://x.ingest.monitor.azure.us\"\n{rule}{managed}"),
            "write cloud = \"usgov\"",
        ),
        (format!("{endpoint}{rule}{managed}authority = \"login\"\n"), "authority: is not a URL"),
        (format!("{endpoint}{rule}{managed}format = \"cef\"\n"), "makes lines that are no JSON"),
    ] {
        let found = mistakes(&keys, &[("S", "secret")]);
        assert!(found.iter().any(|found| found.contains(expected)), "{keys}{found:#?}");
    }
    for good in [
        secret(ID, ID),
        secret("contoso.onmicrosoft.com", ID),
        format!("{endpoint}{rule}{managed}"),
        format!(
            "endpoint = \"https://x.ingest.monitor.azure.us\"\n{rule}{managed}cloud = \"usgov\"\n"
        ),
        format!("{endpoint}{rule}workload_identity = {{}}\n"),
    ] {
        let variables = [
            ("S", "secret"),
            ("AZURE_TENANT_ID", ID),
            ("AZURE_CLIENT_ID", ID),
            ("AZURE_FEDERATED_TOKEN_FILE", "/run/token"),
        ];
        assert_eq!(mistakes(&good, &variables), Vec::<String>::new(), "{good}");
    }
    let found = mistakes(
        &format!("{endpoint}{rule}{managed}"),
        &[("IDENTITY_ENDPOINT", "http://localhost:1/msi/token")],
    );
    assert!(found.iter().any(|found| found.contains("IDENTITY_HEADER is not set")), "{found:#?}");
}

/// Files whose change wakes a paused sink.
#[test]
fn the_federated_token_is_watched() {
    let text = format!(
        "[sinks.s]\ntype = \"sentinel\"\nendpoint = \"https://x\"\nrule_id = \"{RULE}\"\n\
         workload_identity = {{ tenant_id = \"{ID}\", client_id = \"{ID}\", token_file = \"/run/token\" }}"
    );
    let config = config::parse(&text, None, std::iter::empty()).expect("valid");
    let TargetConfig::Sentinel(sink) = &config.sinks[0].target else { panic!("a sink") };
    assert_eq!(sink.files(), [PathBuf::from("/run/token")]);
    let url = "https://x/dataCollectionRules/dcr-0123456789abcdef0123456789abcdef/streams/Custom-PingOneEvents?api-version=2023-01-01";
    assert_eq!(upload_url(sink).as_str(), url);
}

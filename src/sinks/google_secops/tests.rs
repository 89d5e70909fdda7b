//! Logs, verdicts for every answer, and mistakes in a configuration.

use serde_json::{Value, json};

use super::*;
use crate::config;
use crate::decode;
use crate::sinks::TargetConfig;
use crate::sinks::tests::{answer, letters};

const ID: &str = "66666666-7777-8888-9999-000000000000";

const KEYS: &str = "project = \"p\"\nlocation = \"eu\"\ninstance = \"66666666-7777-8888-9999-000000000000\"\n\
                    log_type = \"OCSF\"\n";

fn sink(keys: &str) -> GoogleSecopsSinkConfig {
    let text = format!("[sinks.s]\ntype = \"google_secops\"\n{KEYS}metadata_server = {{}}\n{keys}");
    let config = config::parse(&text, None, std::iter::empty()).expect("valid");
    let TargetConfig::GoogleSecops(sink) = &config.sinks[0].target else { panic!("a sink") };
    sink.clone()
}

#[test]
fn a_log_holds_the_line_and_the_uid() {
    let raw = json!({
        "id": "e", "recordedAt": "2026-03-01T12:00:00.5Z", "action": { "type": "USER.CREATED" }
    });
    let raw = raw.to_string().into_bytes();
    let event = decode::event(&raw).expect("an event").event;
    let encoded = |keys: &str| {
        let rendered = Rendered { line: b"{\"a\":1}".to_vec(), event: &event, source: "prod" };
        let bytes = encode(&sink(keys), &rendered);
        serde_json::from_slice::<Value>(&bytes).expect("JSON")
    };
    let expected = json!({
        "data": STANDARD.encode("{\"a\":1}"),
        "logEntryTime": "2026-03-01T12:00:00.500Z",
        "collectionTime": "2026-03-01T12:00:00.501Z",
        "labels": {
            "event_uid": { "value": event.uid("prod") }, "source": { "value": "prod" }
        }
    });
    assert_eq!(encoded(""), expected);
    assert_eq!(encoded("namespace = \"prod\"\n")["environmentNamespace"], "prod");
}

#[test]
fn a_request_names_the_instance_and_the_forwarder() {
    for (keys, url) in [
        ("", "https://chronicle.eu.rep.googleapis.com/v1"),
        ("api_version = \"v1beta\"\n", "https://chronicle.eu.rep.googleapis.com/v1beta"),
        (
            "endpoint = \"https://eu-chronicle.googleapis.com\"\n",
            "https://eu-chronicle.googleapis.com/v1",
        ),
    ] {
        let sink = sink(keys);
        let expected =
            format!("{url}/projects/p/locations/eu/instances/{ID}/logTypes/OCSF/logs:import");
        assert_eq!(sink.logs.as_str(), expected);
    }
    let item = || Item { position: 1, payload: "{\"data\":\"\"}".into() };
    for (keys, source) in [
        ("", json!({ "logs": [{ "data": "" }, { "data": "" }] })),
        (
            "forwarder = \"f\"\n",
            json!({
                "forwarder": format!("projects/p/locations/eu/instances/{ID}/forwarders/f"),
                "logs": [{ "data": "" }, { "data": "" }]
            }),
        ),
    ] {
        drop(rustls::crypto::ring::default_provider().install_default());
        let body = sink(keys).open().expect("a sink").body(&[item(), item()]);
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(body, json!({ "inlineSource": source }));
    }
}

#[test]
fn an_answer_is_the_verdict_for_the_whole_request() {
    let error = |status: &str, message: &str| {
        json!({ "error": { "code": 400, "status": status, "message": message } }).to_string()
    };
    for (status, body, verdict) in [
        (200, "{}".to_owned(), 'D'),
        (200, "{}\n".to_owned(), 'D'),
        (200, String::new(), 'D'),
        (200, "<html>canary</html>".to_owned(), 'F'),
        (200, "{\"canary\":1}".to_owned(), 'F'),
        (301, String::new(), 'F'),
        (400, error("INVALID_ARGUMENT", "canary is not valid"), 'S'),
        (400, error("INVALID_ARGUMENT", "Log type canary does not exist"), 'S'),
        (400, error("INVALID_ARGUMENT", "invalid forwarder"), 'S'),
        (400, error("FAILED_PRECONDITION", "canary"), 'F'),
        (400, "canary".to_owned(), 'F'),
        (400, String::new(), 'F'),
        (401, error("UNAUTHENTICATED", "canary"), 'F'),
        (403, error("PERMISSION_DENIED", "canary"), 'F'),
        (404, error("NOT_FOUND", "canary"), 'F'),
        (413, String::new(), 'S'),
        (429, error("RESOURCE_EXHAUSTED", "canary"), 'R'),
        (500, String::new(), 'R'),
        (503, error("UNAVAILABLE", "canary"), 'R'),
    ] {
        let found = verdict_of(status, &body);
        assert_eq!(
            letters(&Report::from(vec![found.clone()])),
            verdict.to_string(),
            "{status} {body}"
        );
        let message = found.into_reason().message;
        assert!(!message.contains("canary"), "it may repeat an event: {message}");
    }
    let torn = Answer { is_whole: false, ..answer(200, "") };
    assert_eq!(letters(&Report::from(vec![verdict(&torn)])), "R");
    let endless = Answer { is_too_long: true, ..torn };
    assert_eq!(letters(&Report::from(vec![verdict(&endless)])), "F", "no answer is so long");
}

#[test]
fn an_empty_list_tells_a_wrong_key_from_a_log_with_the_same_word() {
    let error = |message: &str| {
        json!({ "error": { "status": "INVALID_ARGUMENT", "message": message } }).to_string()
    };
    let quoted = answer(400, &error("invalid log: {\"forwarder\":1}"));
    let word = word_of_the_request(&quoted).expect("a word");
    for (status, body, letter) in [
        (400, error("invalid forwarder"), 'F'),
        (400, error("logs must not be empty"), 'X'),
        (400, error("log_type is unknown"), 'X'),
        (200, "{}".to_owned(), 'X'),
        (503, String::new(), 'R'),
        (403, error("canary"), 'F'),
    ] {
        let found = verdict_of_one(word, Reason::new("HTTP 400"), &answer(status, &body));
        assert_eq!(letters(&Report::from(vec![found])), letter.to_string(), "{status} {body}");
    }
    assert_eq!(word_of_the_request(&answer(503, &error("forwarder"))), None);
}

fn verdict_of(status: u16, body: &str) -> Verdict {
    verdict(&answer(status, body))
}

#[test]
fn mistakes_are_explained() {
    for (keys, expected) in [
        (KEYS.to_owned(), "write credentials_file, credentials_env or metadata_server"),
        (
            format!("{KEYS}metadata_server = {{}}\ncredentials_env = \"K\"\n"),
            "metadata_server: and credentials exclude each other",
        ),
        (
            format!("{KEYS}metadata_server = {{ service_account = \"me\" }}\n"),
            "service_account: is not the e-mail address",
        ),
        (format!("{KEYS}credentials = \"x\"\n"), "use credentials_file or credentials_env"),
        (KEYS.replace("\"eu\"", "\"EU\""), "location: is not a location"),
        (KEYS.replace(ID, "my-instance"), "instance: is not an id"),
        (KEYS.replace("OCSF", "ocsf"), "log_type: is not a log type"),
        (KEYS.replace("\"p\"", "\"projects/p\""), "project: must be 1 to 255"),
        (
            format!("{KEYS}metadata_server = {{}}\nendpoint = \"https://x/v1/projects/p\"\n"),
            "endpoint: has /projects",
        ),
    ] {
        let text = format!("[sinks.s]\ntype = \"google_secops\"\n{keys}");
        let variables = [("K".into(), "{}".into())].into_iter();
        let found = config::parse(&text, None, variables).expect_err(&keys).to_string();
        assert!(found.contains(expected), "{keys}{found}");
    }
}

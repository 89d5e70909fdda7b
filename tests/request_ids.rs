//! Every log line about a request contains its request id, in both log formats.

use reqwest::Client;
use reqwest::header::HeaderValue;
use serde_json::Value;

use crate::support::block_on;
use crate::support::service::{Home, Service};

const CONFIG: &str = "[sinks.file]\ntype = \"file\"\npath = \"out.ndjson\"\n[limits]\nbody = \"1 MiB\"\n\
     [sources.pingone]\npath = \"/webhooks/pingone\"\non_unparseable = \"quarantine\"\n\
     [sources.strict]\npath = \"/webhooks/strict\"\non_unparseable = \"reject\"\n\
     [sources.secured]\npath = \"/webhooks/secured\"\n\
     basic = [{ username = \"davinci\", password_env = \"PASSWORD\" }]\n\
     [sources.closed]\npath = \"/webhooks/closed\"\nallow_from = [\"203.0.113.7/32\"]\n";

/// Source, body, id, and the expected log line. The service logs some messages once a minute per address, so each of
/// them is requested once.
const REQUESTS: [(&str, &str, &str, &str); 7] = [
    ("pingone", "[7]", "abc", "events went to quarantine"),
    ("pingone", "no JSON", "whole", "a whole body went to quarantine"),
    ("strict", "no JSON", "refused", "refused a body; PingOne repeats it until it is taken"),
    ("secured", "[]", "stranger", "refused wrong or missing credentials"),
    ("closed", "[]", "outsider", "refused an address outside allow_from"),
    ("pingone", "", "probe", "answered a connection probe"),
    ("pingone", "large", "large", "a body is larger than limits.body"),
];

fn ask(service: &Service, source: &str, body: &str, id: &[u8]) {
    let url = service.url.replace("pingone", source);
    let id = HeaderValue::from_bytes(id).expect("a value");
    block_on(async {
        let request = match body {
            "" => Client::new().get(url),
            "large" => Client::new().post(url).body("x".repeat(2 << 20)),
            body => Client::new().post(url).body(body.to_owned()),
        };
        // The service does not read the body of a refused request; only the log matters here.
        drop(request.header("x-request-id", id).send().await);
    });
}

fn start(format: &str) -> (Home, Service) {
    let variables = [("PASSWORD", "secret"), ("DAVINCI_SIEM__LOG__FORMAT", format)];
    let home = Home::new(CONFIG).with_variables(&variables);
    let service = home.start();
    (home, service)
}

#[test]
fn json_names_the_request_in_flat_members() {
    let (_home, service) = start("json");
    for (source, body, id, _) in REQUESTS {
        ask(&service, source, body, id.as_bytes());
        service.wait_for_log(&format!("\"request_id\":\"{id}\""));
    }
    ask(&service, "nowhere", "[]", b"lost");
    let log = service.terminate().1;
    let lines: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    for (source, _, id, message) in REQUESTS {
        let lines: Vec<&Value> = lines.iter().filter(|line| line["request_id"] == id).collect();
        assert_eq!(lines.len(), 1, "{id}: one line, and not two");
        let text = lines[0]["message"].as_str().expect("a message");
        assert!(text.starts_with(message), "{id}: {text}");
        assert_eq!(lines[0]["source"], source);
    }
    // All other lines are about no request.
    for line in &lines {
        let message = line["message"].as_str().expect("a message");
        let is_of_a_request = line["request_id"].is_string();
        let names = ["refused", "answered", "events went", "a whole body", "a body"];
        assert_eq!(names.iter().any(|name| message.starts_with(name)), is_of_a_request, "{line}");
        assert!(line.get("span").is_none() && line.get("spans").is_none(), "{line}");
    }
}

#[test]
fn text_names_the_request_in_quotes() {
    let (_home, service) = start("text");
    for (source, body, id, message) in REQUESTS {
        ask(&service, source, body, id.as_bytes());
        service.wait_for_log(&format!("request_id=\"{id}\""));
        let log = service.log();
        let line = log.lines().find(|line| line.contains(&format!("request_id=\"{id}\"")));
        let line = line.expect("a line");
        assert!(line.contains(message) && line.contains(&format!(" source={source} ")), "{line}");
    }
}

#[test]
fn a_hostile_id_is_harmless_in_a_log() {
    // HTTP allows neither line breaks nor escape characters in a header, so the test uses the others.
    let hostile = "a\" source=evil {\"message\":\"ready\"} \u{9b}31m\u{7f}".replace('\u{7f}', "\t");
    let long = format!("{hostile}{}", "x".repeat(10_000));
    for format in ["json", "text"] {
        let (_home, service) = start(format);
        ask(&service, "pingone", "[7]", long.as_bytes());
        service.wait_for_log("events went to quarantine");
        let log = service.terminate().1;
        let line = log.lines().find(|line| line.contains("went to quarantine")).expect("a line");
        assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{line:?}");
        assert!(line.len() < 500, "{} bytes", line.len());
        let kept = format!("a\" source=evil {{\"message\":\"ready\"}} ??31m?{}", "x".repeat(87));
        assert_eq!(kept.len(), 128);
        match format {
            "json" => {
                let line: Value = serde_json::from_str(line).expect("JSON");
                assert_eq!(
                    (&line["request_id"], &line["source"]),
                    (&kept.into(), &"pingone".into())
                );
            }
            _ => assert!(line.contains(&format!("source=pingone request_id={kept:?} ")), "{line}"),
        }
    }
}

#[test]
fn ids_that_http_forbids_are_refused() {
    use std::io::{Read, Write};
    let (_home, service) = start("text");
    for id in ["a\u{1b}[31m", "a\u{7f}", "a\u{0}", "a\u{8}"] {
        let mut stream = std::net::TcpStream::connect(service.address()).expect("connected");
        let head =
            "POST /webhooks/pingone HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\nx-request-id: ";
        stream.write_all(format!("{head}{id}\r\n\r\n[7]").as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered and closed");
        assert!(answer.starts_with("HTTP/1.1 400 "), "{id:?}: {answer}");
    }
    let log = service.terminate().1;
    assert!(!log.contains("quarantine") && !log.contains('\u{1b}'), "{log}");
}

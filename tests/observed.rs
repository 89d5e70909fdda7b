//! Observability of accepted events: the data that the service shows, and the data that it must not show.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::support::events::{documented, fixture_text, minted};
use crate::support::service::{Home, Service};
use crate::support::{block_on, wait_for};

fn operator(service: &Service, path: &str) -> RequestBuilder {
    Client::new().get(format!("{}{path}", service.admin))
}

fn ask(service: &Service, path: &str) -> Value {
    block_on(async {
        let answer = operator(service, path).send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{path}");
        answer.json().await.expect("JSON")
    })
}

/// A client of the tail that returns its lines one by one.
struct Tail {
    response: Response,
    text: String,
}

impl Tail {
    async fn open(service: &Service, query: &str) -> Tail {
        let path = format!("/api/tail{query}");
        let response = operator(service, &path).send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        Tail { response, text: String::new() }
    }

    /// Returns the next line; `None` at the end.
    async fn line(&mut self) -> Option<Value> {
        loop {
            if let Some((line, rest)) = self.text.split_once('\n') {
                if line.is_empty() {
                    // An empty line, which keeps the connection open.
                    self.text = rest.to_owned();
                    continue;
                }
                let value = serde_json::from_str(line).expect("JSON");
                self.text = rest.to_owned();
                return Some(value);
            }
            let chunk = self.response.chunk().await.expect("no error")?;
            self.text.push_str(std::str::from_utf8(&chunk).expect("text"));
        }
    }

    /// Returns the ids of the next `count` events.
    async fn ids(&mut self, count: usize) -> Vec<String> {
        let mut ids = Vec::new();
        while ids.len() < count {
            let line = self.line().await.expect("a line");
            assert_eq!(line["id"], line["event"]["id"]);
            ids.push(line["id"].as_str().expect("an id").to_owned());
        }
        ids
    }
}

#[test]
fn statistics_count_accepted_events_only() {
    let home = Home::new("[sinks.out]\ntype = \"file\"\npath = \"out.ndjson\"\n");
    let service = home.start();
    let one = minted("one");
    for body in [documented(), format!("[{one},{one},7]"), documented(), format!("[{one}]")] {
        service.post(&body);
    }
    let observed = ask(&service, "/api/observed");
    let counts = observed["minutes"].as_array().expect("a list").iter();
    let counts = counts.flat_map(|minute| minute["counts"].as_array().expect("a list"));
    let sum: u64 = counts.map(|count| count["events"].as_u64().expect("a number")).sum();
    assert_eq!(sum, 6, "{observed:#}");
    assert_eq!(observed["sources"][0]["source"], "pingone");
    assert_eq!(observed["connectors"][0]["connector"], "httpConnector");
    let metrics = service.ask_admin("/metrics").1;
    let samples =
        metrics.lines().filter(|line| line.starts_with("davinci_siem_flow_events_total{"));
    let values =
        samples.map(|line| line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok()));
    assert_eq!(values.map(|value| value.expect("a number")).sum::<f64>(), 6.0);
    assert_eq!(
        service.metric("davinci_siem_events_total{result=\"accepted\",source=\"pingone\"}"),
        6.0
    );
    let deprecated: Vec<Value> = ask(&service, "/api/drift")["drift"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|line| line["finding"] == "deprecated_type")
        .map(|line| line["type"].clone())
        .collect();
    assert_eq!(
        deprecated,
        ["DAVINCI_INTERACTION.SEND_RESPONSE", "DAVINCI_INTERACTION.RECEIVE_REQUEST"]
    );
    wait_for("attempts", || {
        let attempts = "davinci_siem_sink_attempts_total{attempt=\"first\",sink=\"out\"}";
        (service.metric(attempts) > 0.0).then_some(())
    });
}

#[test]
fn events_are_shown_to_operators_only() {
    let home = Home::new("");
    let service = home.start();
    for path in ["/api/observed", "/api/drift", "/api/tail"] {
        block_on(async {
            let rebound = operator(&service, path).header("host", "evil.example:9090");
            assert_eq!(rebound.send().await.expect("an answer").status(), 403, "{path}");
            let answer = operator(&service, path).send().await.expect("an answer");
            assert_eq!(answer.headers()["cross-origin-resource-policy"], "same-origin", "{path}");
            assert_eq!(answer.headers()["x-content-type-options"], "nosniff", "{path}");
        });
    }
    block_on(async {
        let mistaken = operator(&service, "/api/tail?typ=admin").send().await.expect("an answer");
        assert_eq!(mistaken.status(), 400);
    });
}

#[test]
fn a_tail_continues_until_shutdown() {
    let home = Home::new("");
    let mut service = home.start();
    service.post(&format!("[{},{}]", minted("a"), minted("b")));
    block_on(async {
        let mut all = Tail::open(&service, "").await;
        let mut some = Tail::open(&service, "?match=-wanted-&type=custom_analytics").await;
        let mut none = Tail::open(&service, "?source=another").await;
        assert_eq!(all.ids(2).await, ["a", "b"], "what was there before");
        let post = |ids: [&str; 2]| {
            let body = format!("[{},{}]", minted(ids[0]), minted(ids[1]));
            Client::new().post(&service.url).body(body).send()
        };
        assert_eq!(post(["c", "x-wanted-x"]).await.expect("an answer").status(), 200);
        assert_eq!(all.ids(2).await, ["c", "x-wanted-x"], "what came");
        assert_eq!(some.ids(1).await, ["x-wanted-x"]);
        service.signal_end();
        for tail in [&mut all, &mut some, &mut none] {
            assert_eq!(tail.line().await, None);
        }
    });
    assert!(service.wait().0.success());
}

#[test]
fn a_tail_without_events_is_not_an_idle_connection() {
    let home = Home::new("[limits]\nheader_timeout = \"1s\"\n");
    let service = home.start();
    block_on(async {
        let mut tail = Tail::open(&service, "").await;
        // An idle tail that was opened later is closed first.
        let admin = service.admin.trim_start_matches("http://");
        let mut idle = tokio::net::TcpStream::connect(admin).await.expect("connected");
        let read = tokio::io::AsyncReadExt::read(&mut idle, &mut [0]).await;
        assert!(matches!(read, Ok(0) | Err(_)), "it is closed");
        let body = format!("[{}]", minted("a"));
        let post = Client::new().post(&service.url).body(body).send();
        assert_eq!(post.await.expect("an answer").status(), 200);
        assert_eq!(tail.ids(1).await, ["a"]);
    });
}

#[test]
fn a_large_batch_arrives_completely_in_several_updates() {
    let home = Home::new("");
    let service = home.start();
    let (one, all) = (|id| format!("event-{id}"), 0..600);
    let events: Vec<String> = all.clone().map(|id| minted(&one(id))).collect();
    block_on(async {
        let mut tail = Tail::open(&service, "").await;
        let mut some = Tail::open(&service, "?match=event-599%22&type=CUSTOM_ANALYTICS").await;
        let body = format!("[{}]", events.join(","));
        let answer = Client::new().post(&service.url).body(body).send().await;
        assert_eq!(answer.expect("an answer").status(), 200);
        assert_eq!(some.ids(1).await, ["event-599"], "what is not wanted is in nobody's way");
        assert_eq!(tail.ids(600).await, all.map(one).collect::<Vec<_>>());
    });
}

/// Sends a body and returns the status of the answer.
fn posted(service: &Service, body: &'static str) -> u16 {
    block_on(async {
        let answer = Client::new().post(&service.url).body(body).send().await;
        answer.expect("an answer").status().as_u16()
    })
}

#[test]
fn a_source_is_blocked_until_its_next_200() {
    let home = Home::new("[sources.pingone]\non_unparseable = \"reject\"\n");
    let service = home.start();
    let held_back = || service.metric("davinci_siem_blocked_seconds{source=\"pingone\"}");
    let source = || ask(&service, "/api/observed")["sources"][0].clone();
    let post = |body| posted(&service, body);
    assert_eq!((source()["last_heard"].clone(), held_back()), (Value::Null, 0.0));
    assert_eq!(post("[]"), 200);
    assert_eq!(source()["blocked_since"], Value::Null);
    assert_eq!(post("rubbish"), 400);
    let since = source()["blocked_since"].as_i64().expect("a time");
    assert_eq!(source()["loses_events_at"], json!(since + 7 * 86_400_000));
    wait_for("time passes", || (held_back() > 0.0).then_some(()));
    service.kill();
    let service = home.start();
    let held_back = || service.metric("davinci_siem_blocked_seconds{source=\"pingone\"}");
    let source = || ask(&service, "/api/observed")["sources"][0].clone();
    let post = |body| posted(&service, body);
    assert_eq!(source()["blocked_since"], since, "a restart does not reset it");
    assert!(held_back() > 0.0);
    assert_eq!(post("[]"), 200);
    assert_eq!((source()["blocked_since"].clone(), held_back()), (Value::Null, 0.0));
}

/// Returns canaries in every field that the rules redact, in spellings and places that would show them somewhere.
fn canaries() -> Value {
    let mut event: Value =
        serde_json::from_str(&fixture_text("events/send_error_response.json")).expect("JSON");
    event["actors"] = json!({"user": {"id": "u", "name": "canary", "type": "USER"}});
    event["source"] = json!({"ipAddress": "198.51.100.77", "userAgent": "Canary/1.0"});
    event["canary.name@example.org"] = json!("canary.value@example.org");
    event["unknown"] = json!("canary");
    let flow = &mut event["_embedded"]["flowInteractionEvent"];
    for member in ["flowId", "flowName", "connectorId", "originalCapabilityName", "capabilityName"]
    {
        flow[member] = json!(format!("canary {member}"));
    }
    flow["flowVersionId"] = json!("canary");
    flow["outcomeStatus"] = json!("canary");
    flow["success"] = json!("canary");
    flow["flow\u{e9}"] = json!({"canary-inner": "canary"});
    event
}

#[test]
fn redacted_values_are_shown_nowhere() {
    let rules = "[redact]\npii = \"mask\"\nmask = [\"unknown\", \"**.flowName\", \"**.connectorId\", \
                 \"**.outcomeStatus\", \"**.flowVersionId\", \"**.success\"]\n\
                 hash = [\"**.flowId\", \"**.originalCapabilityName\"]\nkey_env = \"KEY\"\n\
                 drop = [\"**.capabilityName\", \"**.flow\u{e9}\"]\n";
    let shown = |config: &str| {
        let home = Home::new(config).with_variables(&[("KEY", "000102030405060708090a0b0c0d0e0f")]);
        let service = home.start();
        let mut analytics = canaries();
        analytics["id"] = json!("another");
        analytics["action"]["type"] = json!("DAVINCI_INTERACTION.CUSTOM_ANALYTICS");
        service.post(&json!([canaries(), analytics]).to_string());
        let observed = ask(&service, "/api/observed");
        let drift = ask(&service, "/api/drift");
        let tail = block_on(async {
            let mut tail = Tail::open(&service, "").await;
            [tail.line().await.expect("a line"), tail.line().await.expect("a line")]
        });
        [observed.to_string(), drift.to_string(), json!(tail).to_string()]
    };
    let found = |text: &String| {
        let text = text.to_lowercase();
        text.matches("canary").count() + text.matches("198.51.100.77").count()
    };
    let without = shown("");
    assert!(without.iter().all(|text| found(text) > 0), "the search finds them: {without:?}");
    let with = shown(rules);
    assert!(with.iter().all(|text| found(text) == 0), "{with:?}");
    let observed: Value = serde_json::from_str(&with[0]).expect("JSON");
    assert_eq!(observed["flows"][0]["name"], "***");
    assert_eq!(observed["flows"][0]["outcomes"], json!({"***": 1}));
    assert_eq!(observed["flows"][0]["id"].as_str().map(str::len), Some(64), "its hash");
    assert_eq!(observed["connectors"][0]["connector"], "***");
    assert!(with[1].contains("\"path\":\"$.***\""), "{}", with[1]);
}

#[test]
fn the_command_drift_lists_findings() {
    let home = Home::new("");
    let service = home.start();
    let told = |arguments: &[&str]| {
        let output = home.run_with(&service, arguments);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    assert!(told(&["drift"]).contains("every event matched PingOne's documentation"));
    assert_eq!(told(&["drift", "--json"]), "");
    let mut event: Value = serde_json::from_str(&minted("a")).expect("JSON");
    event["new\u{1b}[31m"] = json!("value");
    service.post(&format!("[{event}]"));
    let table = told(&["drift"]);
    assert!(table.contains("unknown_field") && table.contains("string(5)"), "{table}");
    assert!(!table.contains('\u{1b}') && !table.contains("value"), "{table}");
    let line: Value = serde_json::from_str(&told(&["drift", "--json"])).expect("one line");
    assert_eq!(line["path"], "$.new\u{1b}[31m");
    assert_eq!(line["example"], json!({"type": "string", "length": 5}));
    // Drift continues after a restart; a corrupt file is reported and blocks nothing.
    assert!(service.terminate().0.success());
    let service = home.start();
    event["id"] = json!("b");
    service.post(&format!("[{event}]"));
    let told = home.run_with(&service, &["drift", "--json"]).stdout;
    let again: Value = serde_json::from_slice(&told).expect("one line");
    assert_eq!((&again["count"], &again["first_seen"]), (&json!(2), &line["first_seen"]));
    assert!(service.terminate().0.success());
    std::fs::write(home.path("data/drift.json"), "[").expect("written");
    let service = home.start();
    assert!(service.log().contains("cannot read the saved schema drift"));
    assert!(home.run_with(&service, &["drift", "--json"]).stdout.is_empty());
}

#[test]
fn the_tail_follows_on_the_command_line() {
    let home = Home::new("");
    let service = home.start();
    service.post(&format!("[{}]", minted("before")));
    let mut command = home.command(&["tail", "--json", "--match", "wanted"]);
    command.env("DAVINCI_SIEM__ADMIN__ADDRESS", service.admin.trim_start_matches("http://"));
    let mut tail = command.stdout(Stdio::piped()).spawn().expect("started");
    let mut lines = BufReader::new(tail.stdout.take().expect("a pipe")).lines();
    // The tail may start before or after these events; it shows the last ones in any case.
    service.post(&format!("[{},{}]", minted("other"), minted("wanted")));
    let line = lines.next().expect("a line").expect("text");
    let seen: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!((&seen["id"], &seen["event"]["id"]), (&json!("wanted"), &json!("wanted")));
    assert!(service.terminate().0.success());
    assert!(lines.next().is_none(), "it ends with the service");
    assert_eq!(tail.wait().expect("ended").code(), Some(1));
}

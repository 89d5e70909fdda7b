//! `[alerts]`: messages over real sockets to a receiver that may fail.

use std::thread::sleep;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::{Value, json};

use crate::support::events::{batch, ids};
use crate::support::service::{Home, Service};
use crate::support::targets::webhook::Webhook;
use crate::support::targets::{Behaviour, Fault, Target, Traffic, answer};
use crate::support::wait_for;

/// Path of the URL, which is the secret of a webhook.
const SECRET: &str = "T0CANARY/B0SECRET";

#[derive(Default)]
struct Receiver {
    traffic: Traffic,
    messages: Vec<Value>,
    /// Text of the messages that are refused.
    refused: Option<&'static str>,
}

impl Behaviour for Receiver {
    fn traffic(&mut self) -> &mut Traffic {
        &mut self.traffic
    }

    fn take(&mut self, path: &str, _query: &str, headers: &HeaderMap, body: &[u8]) -> Response {
        if path != format!("/{SECRET}") || headers["content-type"] != "application/json" {
            return answer(404, "no_service".to_owned());
        }
        let text = String::from_utf8_lossy(body);
        if self.refused.is_some_and(|refused| text.contains(refused)) {
            return answer(400, "invalid_payload".to_owned());
        }
        self.messages.push(serde_json::from_str(&text).expect("JSON"));
        answer(202, "ok".to_owned())
    }
}

fn home(receiver: &Target<Receiver>, kind: &str, more: &str) -> Home {
    let url = format!("{}/{SECRET}", receiver.url);
    let url_key = match kind {
        "pagerduty" => format!("url = \"{url}\"\nrouting_key_env = \"ALERTS_KEY\""),
        _ => "url_env = \"ALERTS_URL\"".to_owned(),
    };
    let silent = if kind == "slack" { "1s" } else { "1h" };
    Home::with_two_sinks(&format!(
        "{more}\n[alerts]\ntype = \"{kind}\"\n{url_key}\nname = \"siem-1\"\ninterval = \"20ms\"\nafter = \"0s\"\n\
         silent_after = \"{silent}\"\ntimeout = \"300ms\"\n"
    ))
    .with_variables(&[("ALERTS_URL", url.as_str()), ("ALERTS_KEY", "r0ut1ngk3y")])
}

fn set(home: &Home, service: &Service, verb: &str, sink: &str) {
    let output = home.run_with(service, &["sink", verb, sink]);
    assert!(output.status.success(), "{output:?}");
}

fn messages(receiver: &Target<Receiver>) -> Vec<Value> {
    receiver.state().messages.clone()
}

#[test]
fn a_problem_is_announced_once_and_resolved_once_also_across_restarts() {
    let receiver = Target::start(Receiver::default());
    let home = home(&receiver, "json", "");
    let service = home.start();
    set(&home, &service, "pause", "one");
    // A crash between the answer and this file repeats one message, as documented.
    wait_for("the state on disk", || {
        let state = std::fs::read_to_string(home.path("data/alerts.json")).unwrap_or_default();
        state.contains("\"sent_at\":1").then_some(())
    });
    let mut logs = service.log();
    service.kill();
    for _ in 0..3 {
        let service = home.start();
        service.post(&batch(ids(1)));
        sleep(Duration::from_millis(150));
        logs += &service.log();
        service.kill();
    }
    let service = home.start();
    set(&home, &service, "resume", "one");
    wait_for("the second message", || messages(&receiver).get(1).cloned());
    sleep(Duration::from_millis(150));
    let sent = messages(&receiver);
    let shown = |message: &Value| {
        ["status", "kind", "subject", "severity", "name"]
            .map(|field| message[field].as_str().expect("text").to_owned())
    };
    let expected = ["sink_paused", "one", "warning", "siem-1"];
    let of = |status: &'static str| [status, expected[0], expected[1], expected[2], expected[3]];
    assert_eq!(sent.iter().map(shown).collect::<Vec<_>>(), [of("firing"), of("resolved")]);
    assert_eq!(service.metric("davinci_siem_alerts_total{result=\"sent\"}"), 1.0);
    logs += &service.log();
    assert!(logs.contains("alert sent"), "{logs}");
    assert!(!logs.contains("CANARY"), "{logs}");
    let check = home.run(&["check", "--connect"]);
    assert!(check.status.success(), "{check:?}");
    assert_eq!(messages(&receiver).len(), 2, "check sends nothing");
    let text = String::from_utf8_lossy(&check.stdout);
    assert!(text.contains("alerts to http://localhost:") && !text.contains("CANARY"), "{text}");
}

#[test]
fn a_receiver_that_fails_or_hangs_slows_nothing_down_and_gets_the_message_later() {
    let receiver = Target::start(Receiver::default());
    let home = home(&receiver, "pagerduty", "");
    let service = home.start();
    receiver.fail([Fault::Hang, Fault::status(500)]);
    set(&home, &service, "pause", "two");
    for round in 0..40 {
        service.post(&batch((0..5).map(|number| format!("{round}-{number}")).collect::<Vec<_>>()));
    }
    wait_for("a failure", || {
        (service.metric("davinci_siem_alerts_total{result=\"failed\"}") >= 2.0).then_some(())
    });
    service.wait_until_settled("one");
    assert_eq!(home.lines("one.ndjson").len(), 200);
    let message = wait_for("the message", || messages(&receiver).first().cloned());
    assert!(receiver.requests() >= 3, "one attempt hung, and one got 500");
    assert_eq!(message["routing_key"], "r0ut1ngk3y");
    assert_eq!(message["event_action"], "trigger");
    assert_eq!(message["payload"]["severity"], "warning");
    set(&home, &service, "resume", "two");
    let end = wait_for("the end", || messages(&receiver).get(1).cloned());
    assert_eq!(
        end,
        json!({ "routing_key": "r0ut1ngk3y", "event_action": "resolve", "dedup_key": message["dedup_key"] })
    );
    let log = service.log();
    assert!(log.contains("alert not sent") && log.contains("answered with HTTP 500"), "{log}");
    assert!(!log.contains("CANARY") && !log.contains("r0ut1ngk3y"), "{log}");
}

#[test]
fn dead_letters_and_silence_are_announced_in_slack() {
    let (receiver, target) =
        (Target::start(Receiver::default()), Target::start(Webhook::default()));
    let sink = format!("[sinks.siem]\ntype = \"http\"\nurl = \"{}/events\"\n", target.url);
    let home = home(&receiver, "slack", &sink);
    let service = home.start();
    let ids = ids(2);
    target.state().poison.insert(ids[1].clone());
    sleep(Duration::from_millis(100));
    assert_eq!(messages(&receiver), [] as [Value; 0], "no problem yet");
    service.post(&batch(ids));
    let message = wait_for("a message", || messages(&receiver).first().cloned());
    let text = message["text"].as_str().expect("text");
    assert!(
        text.starts_with(
            "[warning] siem-1: The target of sink siem refuses events: 1 dead letters"
        ),
        "{text}"
    );
    assert_eq!(message.as_object().map(serde_json::Map::len), Some(1));
    let silent = wait_for("a second message", || messages(&receiver).get(1).cloned());
    let text = silent["text"].as_str().expect("text");
    assert!(text.starts_with("[warning] siem-1: Source pingone has sent no request"), "{text}");
}

/// Returns a home with a message at once, and more keys of `[alerts]`.
fn plain_home(receiver: &Target<Receiver>, alerts: &str) -> Home {
    let url = format!("{}/{SECRET}", receiver.url);
    Home::with_two_sinks(&format!(
        "[limits]\nshutdown_grace = \"2s\"\n[alerts]\ntype = \"json\"\nurl = \"{url}\"\ninterval = \"20ms\"\n{alerts}\n"
    ))
}

#[test]
fn a_message_that_is_refused_does_not_block_the_others() {
    let receiver = Target::start(Receiver { refused: Some("Sink one"), ..Receiver::default() });
    let home = plain_home(&receiver, "after = \"0s\"");
    let service = home.start();
    set(&home, &service, "pause", "one");
    wait_for("the refusal", || (receiver.requests() > 0).then_some(()));
    // The wait of the refused message doubles: without the mend, no other is sent meanwhile.
    set(&home, &service, "pause", "two");
    wait_for("two attempts more", || (receiver.requests() > 2).then_some(()));
    let sent = wait_for("the other message", || messages(&receiver).first().cloned());
    assert_eq!(sent["subject"], "two");
    receiver.state().refused = None;
    let sent = wait_for("the first message", || messages(&receiver).get(1).cloned());
    assert_eq!(sent["subject"], "one");
}

#[test]
fn a_shutdown_waits_for_the_message_that_is_being_sent() {
    let receiver = Target::start(Receiver::default());
    let home = plain_home(&receiver, "after = \"0s\"");
    receiver.state().traffic.delay = Duration::from_secs(1);
    let service = home.start();
    set(&home, &service, "pause", "one");
    wait_for("the request", || (receiver.requests() > 0).then_some(()));
    assert_eq!(messages(&receiver), [] as [Value; 0], "it is being sent");
    let (status, log) = service.terminate();
    assert!(status.success() && log.contains("alert sent"), "{log}");
    receiver.state().traffic.delay = Duration::ZERO;
    let service = home.start();
    set(&home, &service, "resume", "one");
    wait_for("the second message", || messages(&receiver).get(1).cloned());
    let statuses: Vec<Value> =
        messages(&receiver).iter().map(|message| message["status"].clone()).collect();
    assert_eq!(statuses, ["firing", "resolved"]);
    // A receiver that hangs delays the shutdown for the grace period only.
    receiver.fail([Fault::Hang]);
    set(&home, &service, "pause", "one");
    wait_for("the request", || (receiver.requests() > 2).then_some(()));
    let (status, log) = service.terminate();
    assert!(status.success(), "{log}");
    assert!(log.contains("an alert was not sent within limits.shutdown_grace"), "{log}");
    let service = home.start();
    wait_for("the third message", || messages(&receiver).get(2).cloned());
    drop(service);
}

#[test]
fn an_alert_without_a_message_is_stored_also_after_a_failed_write() {
    let receiver = Target::start(Receiver::default());
    let home = plain_home(&receiver, "after = \"1h\"");
    let blocking = home.path("data/alerts.json.new");
    std::fs::create_dir_all(&blocking).expect("created");
    let service = home.start();
    set(&home, &service, "pause", "one");
    service.wait_for_log("cannot write alerts.json");
    std::fs::remove_dir(&blocking).expect("removed");
    let state = wait_for("the state on disk", || {
        let text = std::fs::read_to_string(home.path("data/alerts.json")).ok()?;
        text.contains("sink_paused").then_some(text)
    });
    assert!(state.contains("\"sent_at\":null"), "{state}");
}

#[test]
fn a_slow_receiver_gets_no_message_about_a_problem_that_is_over() {
    let receiver = Target::start(Receiver::default());
    let home = plain_home(&receiver, "after = \"1s\"");
    receiver.state().traffic.delay = Duration::from_secs(5);
    let service = home.start();
    set(&home, &service, "pause", "one");
    set(&home, &service, "pause", "two");
    wait_for("the request", || (receiver.requests() > 0).then_some(()));
    set(&home, &service, "resume", "two");
    receiver.state().traffic.delay = Duration::ZERO;
    wait_for("the message", || messages(&receiver).first().cloned());
    set(&home, &service, "resume", "one");
    wait_for("the end", || messages(&receiver).get(1).cloned());
    let subjects: Vec<Value> =
        messages(&receiver).iter().map(|message| message["subject"].clone()).collect();
    assert_eq!(subjects, ["one", "one"]);
}

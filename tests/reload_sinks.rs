//! Sinks whose settings change, and sinks that are added, while the service runs.

use std::collections::HashSet;

use crate::support::events::{batch, id, ids};
use crate::support::service::{Home, Service};
use crate::support::targets::Target;
use crate::support::targets::webhook::Webhook;
use crate::support::{free_port, wait_for};

const APPLIED: &str = "davinci_siem_reloads_total{result=\"applied\"}";
const REFUSED: &str = "davinci_siem_reloads_total{result=\"refused\"}";

fn home(sinks: &str) -> Home {
    Home::with_listen("reload = \"1h\"", &format!("[spool]\nretention = \"1h\"\n{sinks}"))
}

/// Replaces text of the configuration and reloads. Returns false if the service refuses it.
fn reload(home: &Home, service: &Service, from: &str, to: &str) -> bool {
    let text = std::fs::read_to_string(home.path("test.toml")).expect("read");
    assert!(text.contains(from), "{from}: {text}");
    std::fs::write(home.path("next.toml"), text.replace(from, to)).expect("written");
    std::fs::rename(home.path("next.toml"), home.path("test.toml")).expect("replaced");
    let reloads = || (service.metric(APPLIED), service.metric(REFUSED));
    let before = reloads();
    service.signal("HUP");
    let after = wait_for("a reload", || Some(reloads()).filter(|now| *now != before));
    after.0 > before.0
}

fn state(service: &Service, sink: &str) -> String {
    let readiness = service.readiness();
    let sinks = readiness["sinks"].as_array().expect("sinks").iter();
    let found = sinks.clone().find(|it| it["sink"] == sink).expect("the sink");
    found["state"].as_str().expect("a state").to_owned()
}

fn numbered(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("event-{number}")).collect()
}

fn ids_in(home: &Home, file: &str) -> Vec<String> {
    home.lines(file).iter().map(|line| id(line)).collect()
}

#[test]
fn a_target_that_failed_is_replaced_and_every_event_arrives_once() {
    let down = free_port();
    let good = Target::start(Webhook::default());
    let down = format!("http://127.0.0.1:{down}");
    let home = home(&format!("[sinks.siem]\ntype = \"http\"\nurl = \"{down}/events\"\n"));
    let service = home.start();
    service.post(&batch(numbered(0..300)));
    wait_for("a failure", || (state(&service, "siem") == "retrying").then_some(()));
    assert!(reload(&home, &service, &down, &good.url));
    service.post(&batch(numbered(300..310)));
    service.wait_until_settled("siem");
    assert_eq!(good.state().ids(), numbered(0..310), "each once, and in order");
    // The cursor that the first settings left is that of the next process.
    drop(service);
    let service = home.start();
    service.post(&batch(numbered(310..320)));
    service.wait_until_settled("siem");
    assert_eq!(good.state().ids(), numbered(0..320));
}

#[test]
fn new_settings_apply_to_every_event_that_is_not_under_way() {
    let home = home("[sinks.a]\ntype = \"file\"\nbatch.age = \"1h\"\npath = \"a.ndjson\"\n");
    let service = home.start();
    // They wait for their batch to fill.
    service.post(&batch(numbered(0..20)));
    let exclude = "exclude = { types = [\"DAVINCI*\"] }\n";
    let filter = format!("batch.age = \"1s\"\n{exclude}");
    assert!(reload(&home, &service, "batch.age = \"1h\"\n", &filter));
    service.wait_until_settled("a");
    let filtered = "davinci_siem_sink_events_total{result=\"filtered\",sink=\"a\"}";
    assert_eq!(service.metric(filtered), 20.0);
    assert!(reload(&home, &service, exclude, ""), "a filter is removed again");
    service.post(&batch(numbered(20..30)));
    service.wait_until_settled("a");
    assert_eq!(ids_in(&home, "a.ndjson"), numbered(20..30));
    // Another type of sink under the same name continues at the same cursor.
    let target = Target::start(Webhook::default());
    let url = format!("type = \"http\"\nurl = \"{}/events\"\nconcurrency = 4\n", target.url);
    let file = "type = \"file\"\nbatch.age = \"1s\"\npath = \"a.ndjson\"\n";
    assert!(reload(&home, &service, file, &url));
    service.post(&batch(numbered(30..40)));
    service.wait_until_settled("a");
    assert_eq!(target.state().ids(), numbered(30..40));
    assert_eq!(home.lines("a.ndjson").len(), 10);
}

#[test]
fn an_added_sink_is_a_sink_like_any_other() {
    let target = Target::start(Webhook::default());
    target.state().poison.insert("event-3".to_owned());
    let home = home("[sinks.a]\ntype = \"file\"\npath = \"a.ndjson\"\n");
    let mut service = home.start();
    service.post(&batch(numbered(0..10)));
    service.wait_until_settled("a");
    let added = format!("[sinks.b]\ntype = \"http\"\nurl = \"{}/events\"\n[sinks.a]\n", target.url);
    assert!(reload(&home, &service, "[sinks.a]\n", &added));
    for start in ["added", "started anew"] {
        service.wait_until_settled("b");
        assert_eq!(state(&service, "b"), "running", "{start}");
        for command in ["pause", "resume"] {
            let done = home.run_with(&service, &["sink", command, "b"]);
            assert!(done.status.success(), "{start}: {done:?}");
        }
        if start == "added" {
            let letters = home.quarantine();
            assert_eq!((letters.len(), &letters[0]["sink"]), (1, &"b".into()));
            target.state().poison.clear();
            let entry = letters[0]["id"].to_string();
            let retried = home.run_with(&service, &["quarantine", "retry", &entry]);
            assert!(retried.status.success(), "{retried:?}");
            service.wait_until_settled("b");
            let seen: HashSet<String> = target.state().ids().into_iter().collect();
            assert_eq!(seen.len(), 10, "it begins with the oldest stored event");
            drop(service);
            service = home.start();
        }
    }
    assert_eq!(target.state().ids().len(), 10, "its cursor is stored");
    // It keeps events in the spool as the others do: its lag is counted and its series exist.
    assert_eq!(service.lag("b"), 0.0);
}

#[test]
fn a_sink_is_not_removed_and_its_redaction_is_not_dropped() {
    // The last section stays as it is: a file that ends earlier than before is refused for that.
    let sinks = "[sinks.a]\ntype = \"file\"\npath = \"a.ndjson\"\nredact = { pii = \"drop\" }\n\
                 [sinks.b]\ntype = \"file\"\npath = \"b.ndjson\"\n[sinks.c]\ntype = \"stdout\"\n";
    let home = home(sinks);
    let service = home.start();
    let redact = "redact = { pii = \"drop\" }\n";
    let removed = "[sinks.b]\ntype = \"file\"\npath = \"b.ndjson\"\n";
    for (from, message) in
        [(redact, "sinks.a.redact: was removed"), (removed, "sinks.b: the section is missing")]
    {
        let before = std::fs::read(home.path("test.toml")).expect("read");
        assert!(!reload(&home, &service, from, ""), "{from}");
        service.wait_for_log(message);
        std::fs::write(home.path("test.toml"), before).expect("written");
    }
    service.post(&batch(ids(5)));
    for sink in ["a", "b"] {
        service.wait_until_settled(sink);
        assert_eq!(ids_in(&home, &format!("{sink}.ndjson")).len(), 5);
    }
    assert!(reload(
        &home,
        &service,
        redact,
        "redact = { drop = [\"_embedded.flowInteractionEvent.eventMessage\"] }\n"
    ));
    service.post(&batch(numbered(0..5)));
    service.wait_until_settled("a");
    let lines = home.lines("a.ndjson");
    assert!(lines[5..].iter().all(|line| !line.contains("eventMessage")), "{lines:#?}");
    assert!(lines[..5].iter().any(|line| line.contains("eventMessage")), "{lines:#?}");
}

//! Tests of counts, bounds and redaction of the statistics.

use bytes::Bytes;
use serde_json::{Value, json};

use super::tail::TailUpdate;
use super::*;
use crate::decode;
use crate::metrics::Metrics;

const NOW: i64 = 1_700_000_000_000;

fn observer() -> Observer {
    let metrics = Arc::new(Metrics::new().expect("registered"));
    Observer::new(["one", "two"].into_iter(), metrics, NOW)
}

/// A flow event with more fields in its payload, which may replace others.
fn event(kind: &str, id: usize, payload: &Value) -> Value {
    let mut event = json!({
        "id": format!("event-{id}"),
        "recordedAt": "2023-11-14T22:13:15Z",
        "action": {"type": format!("DAVINCI_INTERACTION.{kind}")},
        "resources": [{"id": "8f43a71f-85b5-2501-09e7-cf4b705b1446", "name": "8f43a71f85b5250109e7cf4b705b1446"}],
        "result": {"status": "SUCCESS"},
        "_embedded": {"flowInteractionEvent": {
            "interactionId": "run", "flowId": "8f43a71f85b5250109e7cf4b705b1446",
            "tsEms": "2023-11-14T22:13:10Z", "capabilityName": "add",
        }},
    });
    let members = event["_embedded"]["flowInteractionEvent"].as_object_mut().expect("an object");
    members.extend(payload.as_object().expect("an object").clone());
    event
}

fn summaries<'a>(events: impl IntoIterator<Item = &'a Value>) -> Summaries {
    let mut summaries = Summaries::default();
    events.into_iter().for_each(|event| add(&mut summaries, event.to_string()));
    summaries
}

fn add(summaries: &mut Summaries, event: String) {
    let bytes = Bytes::from(event);
    let typed = decode::event(&bytes).expect("an event");
    summaries.add(&typed.event, bytes.clone(), typed.findings);
}

fn store(observer: &Observer, events: &[Value], repeated: &[u32]) {
    observer.stored("one", NOW, &summaries(events), repeated);
}

fn json_of(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("JSON")
}

#[test]
fn new_events_are_counted_once() {
    let observer = observer();
    let analytics = |id, status: &str| {
        let payload = json!({"outcomeStatus": status, "flowName": "Login", "usageTransactionType": "COUNTED"});
        event("CUSTOM_ANALYTICS", id, &payload)
    };
    let error =
        json!({"connectorId": "httpConnector", "originalCapabilityName": "makeRestApiCall"});
    let events = [
        event("START_INTERACTION", 0, &json!({})),
        event("START_INTERACTION", 1, &json!({})),
        analytics(2, "Denied"),
        analytics(3, "denied"),
        analytics(4, ""),
        event("SEND_ERROR_RESPONSE", 5, &error),
        // Not an error: the false branch of a comparison reports the same.
        event("SEND_RESPONSE", 6, &json!({"success": false, "connectorId": "nodeConnector"})),
    ];
    store(&observer, &events, &[1]);
    store(&observer, &events, &[0, 1, 2, 3, 4, 5, 6]);
    let observed = json_of(&observer.observed(NOW));
    assert_eq!(
        observed["flows"],
        json!([{
            "id": "8f43a71f85b5250109e7cf4b705b1446", "name": "Login", "starts": 1,
            "outcomes": {"denied": 2, "none": 1}, "errors": 1, "last_seen": NOW,
        }])
    );
    assert_eq!(
        observed["connectors"],
        json!([{
            "connector": "httpConnector", "capability": "makeRestApiCall", "errors": 1, "last_error": NOW,
        }])
    );
    assert_eq!(
        observed["minutes"],
        json!([{"at": NOW - NOW % 60_000, "counts": [
            {"type": "start_interaction", "outcome": "success", "events": 1},
            {"type": "custom_analytics", "outcome": "success", "events": 1},
            {"type": "custom_analytics", "outcome": "failure", "events": 2},
            {"type": "send_error_response", "outcome": "failure", "events": 1},
            {"type": "send_response", "outcome": "failure", "events": 1},
        ]}])
    );
    let metrics = observer.metrics.render(&[]).expect("text");
    for line in [
        "davinci_siem_flow_events_total{outcome=\"failure\",type=\"custom_analytics\"} 2",
        "davinci_siem_flow_events_total{outcome=\"success\",type=\"start_interaction\"} 1",
        "davinci_siem_usage_transactions_total{type=\"counted\"} 3",
        "davinci_siem_deprecated_events_total{type=\"send_response\"} 1",
        "davinci_siem_recorded_lag_seconds_sum{source=\"one\"} 30",
        "davinci_siem_packet_lag_seconds_sum{source=\"one\"} 60",
        "davinci_siem_packet_lag_seconds_count{source=\"one\"} 6",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
}

#[test]
fn duplicates_are_not_counted() {
    let observer = observer();
    let named = |id, name: &str| event("START_INTERACTION", id, &json!({"flowName": name}));
    let analytics = |id, status: &str| {
        event("CUSTOM_ANALYTICS", id, &json!({"flowName": "Two", "outcomeStatus": status}))
    };
    let findings = |id, length: usize| {
        event("SEND_RESPONSE", id, &json!({"newMember": "x".repeat(length), "flowName": "Two"}))
    };
    // Groups of equal events contain duplicates and new ones. The last name belongs to a duplicate, and the last new
    // event follows one with another name.
    let events = [
        findings(0, 1),
        named(1, "Two"),
        named(2, "One"),
        findings(3, 3),
        named(4, "Two"),
        analytics(5, "a"),
        analytics(6, "b"),
        named(7, "Three"),
        findings(8, 8),
    ];
    store(&observer, &events, &[0, 2, 6, 7]);
    let observed = json_of(&observer.observed(NOW));
    assert_eq!(
        observed["flows"],
        json!([{
            "id": "8f43a71f85b5250109e7cf4b705b1446", "name": "Two", "starts": 2,
            "outcomes": {"a": 1}, "errors": 0, "last_seen": NOW,
        }])
    );
    let drift = json_of(&observer.drifted())["drift"].clone();
    assert_eq!(
        (&drift[0]["finding"], &drift[0]["count"], &drift[0]["example"]),
        (&json!("unknown_field"), &json!(2), &json!({"type": "string", "length": 3}))
    );
    assert_eq!((&drift[1]["finding"], &drift[1]["count"]), (&json!("deprecated_type"), &json!(2)));
    store(&observer, &[named(9, "Two"), named(10, "One"), named(11, "Two")], &[2]);
    assert_eq!(observer.observed(NOW).flows[0].name, "One", "the name that was sent last");
}

#[test]
fn memory_is_bounded_for_any_sender() {
    let observer = observer();
    let long = "é".repeat(10_000);
    let events: Vec<Value> = (0..2000)
        .map(|id| {
            let name = format!("{id}-{long}");
            let mut findings = event(
                ["START_INTERACTION", "CUSTOM_ANALYTICS", "SEND_ERROR_RESPONSE", "NEW"][id % 4],
                id,
                &json!({
                    "flowId": name, "flowName": name, "outcomeStatus": name, "connectorId": name,
                    "originalCapabilityName": name, name.as_str(): 1,
                }),
            );
            findings[name.as_str()] = json!(1);
            findings
        })
        .collect();
    for events in events.chunks(500) {
        store(&observer, events, &[]);
    }
    let observed = observer.observed(NOW);
    assert_eq!(observed.flows.len(), 257);
    assert_eq!(observed.connectors.len(), 257);
    assert_eq!(observed.flows.iter().map(|flow| flow.starts).sum::<u64>(), 500);
    assert_eq!(observed.connectors.iter().map(|connector| connector.errors).sum::<u64>(), 500);
    assert_eq!(observed.flows.last().map(|flow| &*flow.id), Some(""), "the sum of all others");
    let drifted = observer.drifted();
    assert_eq!(drifted.drift.len(), 512);
    let rows: u64 = drifted.drift.iter().map(|line| line.count).sum();
    assert_eq!(rows + drifted.other, 4000, "two findings for each event");
    let size = json_of(&observed).to_string().len() + json_of(&drifted).to_string().len();
    assert!(size < 500_000, "{size} bytes");
    let mut watcher = observer.watch().expect("a reader");
    let kept = observer.read(&mut watcher).events;
    let size: usize = kept.iter().map(|kept| json_of(&kept.show()).to_string().len()).sum();
    assert!(size < 2 * 1024 * 1024, "{size} bytes");
}

#[test]
fn drift_contains_shapes_and_no_values() {
    let observer = observer();
    let secret = "secret-value";
    let payload = json!({"newMember": secret, "flowVersionId": "7", "nested": {"more": secret}});
    let mut findings = event("START_INTERACTION", 1, &payload);
    findings["resources"] = json!([{"id": "a"}, {"id": 7}]);
    store(&observer, &[findings.clone(), event("NEW_THING", 2, &json!({}))], &[]);
    observer.stored("one", NOW + 5000, &summaries([&findings]), &[]);
    let deprecated = event("RECEIVE_REQUEST", 3, &json!({}));
    observer.stored("one", NOW + 9000, &summaries([&deprecated]), &[]);
    let drifted = json_of(&observer.drifted());
    let start = "DAVINCI_INTERACTION.START_INTERACTION";
    let flow = "$._embedded.flowInteractionEvent";
    let row = |kind: &str, finding: &str, path: &str, count: u64, last: i64, example: Value| {
        json!({
            "type": kind, "finding": finding, "path": path, "count": count,
            "first_seen": NOW, "last_seen": last, "example": example,
        })
    };
    let string = |length: usize| json!({"type": "string", "length": length});
    let mut deprecated = row(
        "DAVINCI_INTERACTION.RECEIVE_REQUEST",
        "deprecated_type",
        "$.action.type",
        1,
        NOW + 9000,
        Value::Null,
    );
    deprecated["first_seen"] = json!(NOW + 9000);
    let later = NOW + 5000;
    let nested = json!({"type": "object", "length": 1});
    assert_eq!(
        drifted["drift"],
        json!([
            deprecated,
            row(start, "coerced_type", &format!("{flow}.flowVersionId"), 2, later, string(1)),
            row(start, "unknown_field", &format!("{flow}.nested"), 2, later, nested),
            row(start, "unknown_field", &format!("{flow}.newMember"), 2, later, string(12)),
            row(
                "DAVINCI_INTERACTION.NEW_THING",
                "unknown_type",
                "$.action.type",
                1,
                NOW,
                string(29)
            ),
            row(start, "coerced_type", "$.resources[].id", 2, later, json!({"type": "number"})),
        ])
    );
    assert!(!drifted.to_string().contains(secret));
}

#[test]
fn types_without_a_row_are_drift_of_a_bounded_size() {
    let observer = observer();
    let long = "X".repeat(10_000);
    let painted = |id: usize| {
        let mut event = event("START_INTERACTION", id, &json!({}));
        event["action"]["type"] = format!("USER.PAINTED_{}.{long}", id % 700).into();
        event
    };
    let events: Vec<Value> = (0..1400).map(painted).collect();
    for events in events.chunks(700) {
        store(&observer, events, &[]);
    }
    let drifted = observer.drifted();
    assert_eq!(drifted.drift.len(), 512);
    for line in &drifted.drift {
        assert_eq!((&*line.finding, &*line.path), ("unlisted_type", "$.action.type"));
        assert!(line.kind.starts_with("USER.PAINTED_") && line.kind.len() <= 80, "{line:?}");
    }
    let rows: u64 = drifted.drift.iter().map(|line| line.count).sum();
    assert_eq!(rows + drifted.other, 1400, "one finding for each event");
}

#[test]
fn readers_learn_how_many_events_they_missed() {
    let observer = observer();
    let events = |count: usize| {
        (0..count).map(|id| event("START_INTERACTION", id, &json!({}))).collect::<Vec<_>>()
    };
    let sequences =
        |news: &TailUpdate| news.events.iter().map(|seen| seen.sequence).collect::<Vec<_>>();
    let mut early = observer.watch().expect("a reader");
    let nothing = observer.read(&mut early);
    assert_eq!((nothing.missed, nothing.events.len()), (0, 0));
    store(&observer, &events(300), &[]);
    let news = observer.read(&mut early);
    assert_eq!(
        (news.missed, sequences(&news)),
        (0, (1..=300).collect()),
        "with a reader, all are kept"
    );
    store(&observer, &events(3000), &[]);
    let news = observer.read(&mut early);
    let kept = news.events.len() as u64;
    assert!(kept < 3000, "{kept}");
    assert_eq!(news.missed + kept, 3000);
    assert_eq!(sequences(&news), (3301 - kept..=3300).collect::<Vec<_>>());
    early.again_after(3200);
    let news = observer.read(&mut early);
    assert_eq!((news.missed, sequences(&news)), (0, (3201..=3300).collect()), "read again");
    drop(early);
    store(&observer, &events(500), &[0]);
    let mut late = observer.watch().expect("a reader");
    let news = observer.read(&mut late);
    assert_eq!((news.missed, sequences(&news)), (0, (3750..=3799).collect()), "the last 50");
    let shown = json_of(&news.events[49].show());
    assert_eq!(shown["event"]["id"], "event-499");
    assert_eq!(
        (&shown["type"], &shown["action"], &shown["outcome"], &shown["source"], &shown["id"]),
        (
            &json!("start_interaction"),
            &json!("DAVINCI_INTERACTION.START_INTERACTION"),
            &json!("success"),
            &json!("one"),
            &json!("event-499"),
        )
    );
}

#[test]
fn few_events_are_copied_without_readers() {
    let observer = observer();
    let batch: Vec<Value> = (0..20).map(|id| event("START_INTERACTION", id, &json!({}))).collect();
    let batch = summaries(&batch);
    let seen = || {
        let news = observer.read(&mut observer.watch().expect("a reader"));
        news.events.iter().map(|seen| seen.sequence).collect::<Vec<_>>()
    };
    (0..50).for_each(|_| observer.stored("one", NOW, &batch, &[]));
    assert_eq!(seen(), (951..=1000).collect::<Vec<_>>(), "a thousand in this second");
    observer.stored("one", NOW + 999, &batch, &[]);
    assert_eq!(seen(), [1020], "and the last");
    (0..2).for_each(|_| observer.stored("one", NOW + 1000, &batch, &[]));
    assert_eq!(seen(), (1020..=1060).collect::<Vec<_>>(), "the next second");
}

#[test]
fn an_event_is_shown_on_one_line_or_not_at_all() {
    let observer = observer();
    let pretty =
        |event: &Value| serde_json::to_string_pretty(event).expect("text").replace('\n', "\r\n");
    let small = event("START_INTERACTION", 1, &json!({"flowName": "a\nb"}));
    let large = event("START_INTERACTION", 2, &json!({"nodeTitle": "x".repeat(70_000)}));
    let mut both = Summaries::default();
    [&small, &large].into_iter().for_each(|event| add(&mut both, pretty(event)));
    observer.stored("one", NOW, &both, &[]);
    let mut watcher = observer.watch().expect("a reader");
    let news = observer.read(&mut watcher);
    let lines: Vec<String> =
        news.events.iter().map(|kept| json_of(&kept.show()).to_string()).collect();
    assert!(lines.iter().all(|line| !line.contains(['\n', '\r'])), "{lines:?}");
    let shown: Vec<Value> =
        lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((&shown[0]["event"], &shown[0]["flow_name"]), (&small, &json!("a\nb")));
    assert_eq!((&shown[1]["event"], &shown[1]["id"]), (&Value::Null, &json!("event-2")));
    assert!(shown[1]["bytes"].as_u64().expect("a number") > 70_000);
}

#[test]
fn the_number_of_readers_is_bounded() {
    let observer = observer();
    let watchers: Vec<TailReader> = std::iter::from_fn(|| observer.watch()).take(100).collect();
    assert_eq!(watchers.len(), 16);
    drop(watchers);
    assert!(observer.watch().is_some());
}

#[test]
fn a_source_is_blocked_from_its_first_refusal_to_its_next_200() {
    let observer = observer();
    let sources = |now| json_of(&observer.sources(now));
    let never = |source: &str, silent: i64| {
        json!({
            "source": source, "last_heard": null, "last_acknowledged": null, "blocked_since": null,
            "loses_events_at": null, "refusals": 0, "silent_millis": silent,
        })
    };
    assert_eq!(sources(NOW + 7), json!([never("one", 7), never("two", 7)]));
    observer.acknowledged("one", NOW + 10);
    observer.refused("one", NOW + 20);
    observer.refused("one", NOW + 30);
    observer.refused("unknown", NOW + 30);
    let blocked = json!({
        "source": "one", "last_heard": NOW + 30, "last_acknowledged": NOW + 10,
        "blocked_since": NOW + 20, "loses_events_at": NOW + 20 + 7 * 86_400_000_i64,
        "refusals": 2, "silent_millis": 5,
    });
    assert_eq!(sources(NOW + 35), json!([blocked, never("two", 35)]));
    observer.acknowledged("one", NOW + 40);
    let sources = sources(NOW + 40);
    assert_eq!((&sources[0]["blocked_since"], &sources[0]["refusals"]), (&Value::Null, &json!(0)));
}

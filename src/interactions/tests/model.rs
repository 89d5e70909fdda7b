//! The plain model: all events of a run, split where the run was silent for too long, and summed up one by one.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::interactions::{SUMMARY_SOURCE, time_text};
use crate::spool::{Millis, StoredEvent};

pub(super) const TIMEOUT: Millis = 1000;
pub(super) const OTHER_TIMEOUT: Millis = 3000;
pub(super) const SETTLE: Millis = 300;
pub(super) const MAX_AGE: Millis = 5000;

pub(super) const SOURCES: [&str; 2] = ["production", "test"];

const KINDS: [&str; 5] = [
    "START_INTERACTION",
    "CUSTOM_ANALYTICS",
    "RECEIVE_REQUEST",
    "SEND_RESPONSE",
    "SEND_ERROR_RESPONSE",
];

const OUTCOMES: [(&str, &str); 3] = [("login", "success"), ("login", "denied"), ("", "")];

/// One step of a history.
#[derive(Debug, Clone)]
pub(super) enum HistoryStep {
    /// An event is received `gap` ms after the one before; it happened `time` ms off its receipt.
    Event {
        run: u8,
        source: usize,
        kind: usize,
        time: Millis,
        node: u8,
        outcome: Option<usize>,
        parent: Option<u8>,
        gap: Millis,
    },
    /// An event that belongs to no run.
    Other,
    /// A copy of a stored event for one sink.
    Replay(usize),
    /// The tracker reads some entries.
    Read(usize),
    /// The tracker reads everything, and time passes.
    Wait(Millis),
    /// The process is killed: before or after it has stored the summaries that are due, and before or after it has
    /// moved its cursor.
    Restart { appends: bool, commits: bool },
}

pub(super) fn action() -> impl Strategy<Value = HistoryStep> {
    let gap = prop_oneof![8 => 0..100_i64, 2 => 100..1500_i64, 1 => 1500..7000_i64];
    let event = (
        (0..5_u8, 0..2_usize, 0..5_usize, -400..400_i64),
        (0..3_u8, prop::option::of(0..3_usize), prop::option::weighted(0.2, 0..5_u8), gap),
    );
    let event = event.prop_map(|((run, source, kind, time), (node, outcome, parent, gap))| {
        HistoryStep::Event { run, source, kind, time, node, outcome, parent, gap }
    });
    prop_oneof![
        20 => event,
        1 => Just(HistoryStep::Other),
        1 => any::<usize>().prop_map(HistoryStep::Replay),
        4 => (1..6_usize).prop_map(HistoryStep::Read),
        2 => (0..4000_i64).prop_map(HistoryStep::Wait),
        2 => any::<(bool, bool)>()
            .prop_map(|(appends, commits)| HistoryStep::Restart { appends, commits }),
    ]
}

/// Returns an event as PingOne writes it.
pub(super) fn bytes(action: &HistoryStep, index: usize, clock: Millis) -> Vec<u8> {
    let HistoryStep::Event { run, kind, time, node, outcome, parent, .. } = action else {
        return Vec::new();
    };
    let mut flow = json!({
        "interactionId": format!("run-{run}"),
        "flowId": format!("flow{}", run % 2),
        "flowVersionId": if *kind == 0 { -1 } else { i64::from(*node) },
        "companyId": "env",
        "tsEms": time_text(clock + time),
    });
    if *kind > 0 && *node > 0 {
        flow["nodeId"] = json!(format!("node{node}"));
        flow["connectorId"] = json!("http");
    }
    if let (1, Some(outcome)) = (*kind, outcome) {
        let (kind, status) = OUTCOMES[*outcome];
        flow["outcomeType"] = json!(kind);
        flow["outcomeStatus"] = json!(status);
    }
    if let Some(parent) = parent {
        flow["parentFlow"] = json!({ "interactionId": format!("run-{parent}"), "flowId": "p" });
    }
    let event = json!({
        "id": format!("event-{index}"),
        "recordedAt": time_text(clock),
        "action": { "type": format!("DAVINCI_INTERACTION.{}", KINDS[*kind]) },
        "actors": { "user": { "id": format!("user{index}"), "name": "jdoe" } },
        "_embedded": { "flowInteractionEvent": flow },
    });
    event.to_string().into_bytes()
}

pub(super) fn other_bytes() -> Vec<u8> {
    let event = json!({
        "id": "other", "recordedAt": "2026-01-01T00:00:00Z", "action": { "type": "USER.CREATED" },
    });
    event.to_string().into_bytes()
}

/// Returns the id of the run to which a received event belongs.
pub(super) fn run_of(stored: &StoredEvent) -> Option<String> {
    let event: Value = serde_json::from_slice(&stored.bytes).expect("JSON");
    let is_received = *stored.source != *SUMMARY_SOURCE;
    let run = event["_embedded"]["flowInteractionEvent"]["interactionId"].as_str();
    run.filter(|_| is_received).map(str::to_owned)
}

/// Returns the facts of a summary that the model knows.
pub(super) fn facts(bytes: &[u8]) -> Value {
    let event: Value = serde_json::from_slice(bytes).expect("JSON");
    let mut flow = event["_embedded"]["flowInteractionEvent"].clone();
    let fields = flow.as_object_mut().expect("an object");
    let summary = fields.remove("summary").expect("a summary");
    fields.extend(summary.as_object().expect("an object").clone());
    fields.insert("user".to_owned(), event["actors"]["user"]["id"].clone());
    fields.insert("status".to_owned(), event["result"]["status"].clone());
    // The path has a test of its own; here its length counts.
    let path = fields.remove("path").expect("a path");
    let answered = path.as_array().expect("a list").iter();
    fields.insert(
        "answered".to_owned(),
        json!(answered.filter(|step| step.get("durationMs").is_some()).count()),
    );
    let id = format!("{}:{}", flow["interactionId"].as_str().expect("an id"), flow["generation"]);
    assert_eq!(event["id"], id);
    flow
}

/// Mention of a parent: source, parent, position, time of receipt, and child.
type Mention = (String, String, u64, Millis, String);

/// An event of the log, as the model sees it.
struct Seen<'l> {
    position: u64,
    received_at: Millis,
    time: Millis,
    event: Value,
    stored: &'l StoredEvent,
}

impl Seen<'_> {
    fn flow(&self) -> &Value {
        &self.event["_embedded"]["flowInteractionEvent"]
    }

    fn kind(&self) -> usize {
        let kind = self.event["action"]["type"].as_str().expect("a type");
        KINDS.iter().position(|known| kind.ends_with(&format!(".{known}"))).expect("a kind")
    }

    fn is_outcome(&self) -> bool {
        let is_given = |name: &str| self.flow()[name].as_str().is_some_and(|text| !text.is_empty());
        self.kind() == 1 && (is_given("outcomeType") || is_given("outcomeStatus"))
    }
}

/// Returns the summaries that the log must contain, in the order of the first covered event.
pub(super) fn expected(log: &[StoredEvent]) -> Vec<Value> {
    let mut runs: BTreeMap<(String, String), Vec<Seen<'_>>> = BTreeMap::new();
    for stored in log.iter().filter(|stored| stored.only_sink.is_none()) {
        let Some(run) = run_of(stored) else { continue };
        let event: Value = serde_json::from_slice(&stored.bytes).expect("JSON");
        let time = event["_embedded"]["flowInteractionEvent"]["tsEms"].as_str().expect("a time");
        let time = chrono::DateTime::parse_from_rfc3339(time).expect("a time").timestamp_millis();
        let StoredEvent { position, received_at, .. } = *stored;
        let seen = Seen { position, received_at, time, event, stored };
        runs.entry((stored.source.to_string(), run)).or_default().push(seen);
    }
    let mut parts: Vec<(String, Vec<Seen<'_>>, &str)> = Vec::new();
    for ((source, _), events) in runs {
        let timeout = if source == SOURCES[1] { OTHER_TIMEOUT } else { TIMEOUT };
        split(events, timeout, |part, reason| parts.push((source.clone(), part, reason)));
    }
    let children: Vec<Mention> = parents(log);
    let mut found: Vec<Value> = parts
        .iter()
        .map(|(source, part, reason)| summary(source, part, reason, &children))
        .collect();
    found.sort_by_key(|summary| summary["generation"].as_u64());
    found
}

/// Splits the events of a run where it had ended before the next event.
fn split<'l>(
    events: Vec<Seen<'l>>,
    timeout: Millis,
    mut take: impl FnMut(Vec<Seen<'l>>, &'static str),
) {
    let end = |part: &[Seen<'l>]| {
        let has_outcome = part.iter().any(Seen::is_outcome);
        let wait = if has_outcome { SETTLE } else { timeout };
        let silent = part[part.len() - 1].received_at + wait;
        let old = part[0].received_at + MAX_AGE;
        match (silent <= old, has_outcome) {
            (false, _) => (old, "max_age"),
            (true, true) => (silent, "outcome"),
            (true, false) => (silent, "timeout"),
        }
    };
    let mut part: Vec<Seen<'l>> = Vec::new();
    for event in events {
        if !part.is_empty() && event.received_at >= end(&part).0 {
            let reason = end(&part).1;
            take(std::mem::take(&mut part), reason);
        }
        part.push(event);
    }
    let reason = end(&part).1;
    take(part, reason);
}

/// Returns each mention of a parent.
fn parents(log: &[StoredEvent]) -> Vec<Mention> {
    let received = log.iter().filter(|stored| stored.only_sink.is_none());
    let mentions = received.filter_map(|stored| {
        let child = run_of(stored)?;
        let event: Value = serde_json::from_slice(&stored.bytes).expect("JSON");
        let parent = event["_embedded"]["flowInteractionEvent"]["parentFlow"]["interactionId"]
            .as_str()
            .map(str::to_owned)
            .filter(|parent| *parent != child)?;
        Some((stored.source.to_string(), parent, stored.position, stored.received_at, child))
    });
    mentions.collect()
}

fn summary(source: &str, part: &[Seen<'_>], reason: &str, children: &[Mention]) -> Value {
    // Positions break ties of times.
    let latest = |has: &dyn Fn(&&Seen<'_>) -> bool| {
        part.iter().filter(|seen| has(seen)).max_by_key(|seen| (seen.time, seen.position))
    };
    let (first, last) = (&part[0], &part[part.len() - 1]);
    let run = run_of(first.stored).expect("a run");
    let started = part.iter().map(|seen| seen.time).min().expect("events");
    let ended = part.iter().map(|seen| seen.time).max().expect("events");
    let number = |kind: usize| part.iter().filter(|seen| seen.kind() == kind).count();
    let mut fields = Map::new();
    let mut set = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
    set("interactionId", json!(run));
    set("companyId", json!("env"));
    set("flowId", first.flow()["flowId"].clone());
    if let Some(seen) = latest(&|seen| seen.kind() != 0) {
        set("flowVersionId", seen.flow()["flowVersionId"].clone());
    }
    set("tsEms", json!(time_text(ended)));
    let outcome = latest(&|seen| seen.is_outcome());
    for name in ["outcomeType", "outcomeStatus"] {
        if let Some(seen) = outcome {
            set(name, seen.flow()[name].clone());
        }
    }
    let errors = number(4);
    if let Some(error) = latest(&|seen| seen.kind() == 4) {
        for name in ["nodeId", "connectorId"] {
            if let Some(text) = error.flow()[name].as_str() {
                set(name, json!(text));
            }
        }
    }
    let with_parent = |seen: &&Seen<'_>| !seen.flow()["parentFlow"].is_null();
    if let Some(seen) = latest(&with_parent) {
        set("parentFlow", seen.flow()["parentFlow"].clone());
    }
    let status = outcome.map(|seen| seen.flow()["outcomeStatus"].clone());
    set(
        "status",
        match status.as_ref().and_then(Value::as_str) {
            Some("success") => json!("SUCCESS"),
            Some("denied") => json!("FAILURE"),
            Some(_) => Value::Null,
            None if errors > 0 => json!("FAILURE"),
            None => Value::Null,
        },
    );
    set("user", latest(&|_| true).expect("events").event["actors"]["user"]["id"].clone());
    set("source", json!(source));
    set("generation", json!(first.position));
    set("lastPosition", json!(last.position));
    set("startedAt", json!(time_text(started)));
    set("durationMs", json!(ended - started));
    set("endedBy", json!(reason));
    set("startSeen", json!(number(0) > 0));
    set("outcomeSeen", json!(outcome.is_some()));
    set("timedOut", json!(reason == "timeout"));
    set("events", json!(part.len()));
    set("errors", json!(errors));
    set("counts", counts(part));
    set("answered", json!(answered(part)));
    let mut subflows: Vec<&String> = Vec::new();
    for (of, parent, position, received_at, child) in children {
        let is_open = *position > first.position && *received_at < end_of(part, source);
        if of == source && *parent == run && is_open && !subflows.contains(&child) {
            subflows.push(child);
        }
    }
    let listed = subflows.iter().map(|child| {
        let number: u8 = child.trim_start_matches("run-").parse().expect("a number");
        json!({ "interactionId": child, "flowId": format!("flow{}", number % 2) })
    });
    if !subflows.is_empty() {
        set("subflows", listed.collect());
    }
    Value::Object(fields)
}

/// Returns the time from which the part is over.
fn end_of(part: &[Seen<'_>], source: &str) -> Millis {
    let has_outcome = part.iter().any(Seen::is_outcome);
    let timeout = if source == SOURCES[1] { OTHER_TIMEOUT } else { TIMEOUT };
    let wait = if has_outcome { SETTLE } else { timeout };
    (part[part.len() - 1].received_at + wait).min(part[0].received_at + MAX_AGE)
}

fn counts(part: &[Seen<'_>]) -> Value {
    let names = crate::interactions::open::TYPE_NAMES;
    let mut counts = Map::new();
    for seen in part {
        let count = counts.entry(names[seen.kind()]).or_insert(json!(0));
        *count = json!(count.as_u64().expect("a number") + 1);
    }
    Value::Object(counts)
}

/// Returns the number of requests that an answer follows.
fn answered(part: &[Seen<'_>]) -> usize {
    let mut ordered: Vec<&Seen<'_>> = part.iter().collect();
    ordered.sort_by_key(|seen| (seen.time, seen.position));
    let mut waiting: BTreeMap<String, usize> = BTreeMap::new();
    let mut answered = 0;
    for seen in ordered {
        let waiting = waiting.entry(seen.flow()["nodeId"].to_string()).or_default();
        match seen.kind() {
            2 => *waiting += 1,
            3 | 4 if *waiting > 0 => {
                *waiting -= 1;
                answered += 1;
            }
            _ => {}
        }
    }
    answered
}

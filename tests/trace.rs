//! `trace`: the result of one event, as far as the spool contains it.

use std::collections::HashSet;
use std::process::Output;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::events::{batch, ids, minted, minted_with};
use crate::support::service::Home;
use crate::support::targets::Target;
use crate::support::targets::webhook::Webhook;

const KEEP: &str = "[spool]\nretention = \"1h\"\n";
/// `recordedAt` of the minted events.
const RECORDED: &str = "2024-02-15T16:07:03.995Z";

fn traced(home: &Home, arguments: &[&str]) -> (Option<i32>, Value) {
    let arguments = [&["trace", "--json"], arguments].concat();
    let Output { status, stdout, .. } = home.run(&arguments);
    (status.code(), serde_json::from_slice(&stdout).expect("JSON"))
}

fn words(home: &Home, arguments: &[&str]) -> String {
    let arguments = [&["trace"], arguments].concat();
    String::from_utf8(home.run(&arguments).stdout).expect("UTF-8")
}

/// Returns state and routes of a sink for a copy.
fn fate<'a>(place: &'a Value, sink: &str) -> (&'a Value, &'a Value) {
    let sinks = place["sinks"].as_array().expect("sinks");
    let fate = sinks.iter().find(|fate| fate["sink"] == sink).expect("the sink");
    (&fate["state"], &fate["possible"])
}

#[test]
fn an_event_that_waits_for_one_sink_has_been_delivered_by_the_other() {
    let home = Home::with_two_sinks(KEEP);
    let service = home.start();
    assert!(home.run_with(&service, &["sink", "pause", "two"]).status.success());
    service.post(&batch(ids(700)));
    service.wait_until_settled("one");
    let (code, found) = traced(&home, &["event-0650"]);
    assert_eq!(code, Some(0), "{found}");
    let stored = found["stored"].as_array().expect("places");
    assert_eq!(stored.len(), 1, "{found}");
    let place = &stored[0];
    assert_eq!(
        (&place["position"], &place["source"], &place["recorded_at"], &place["remembered"]),
        (&json!(651), &json!("pingone"), &json!(RECORDED), &json!(true))
    );
    assert!(place["received_at"].as_i64().expect("a time") > 1_700_000_000_000);
    let mut sinks = place["sinks"].clone();
    let at = sinks[0]["committed_at"].take().as_i64().expect("a time");
    assert!(at >= place["received_at"].as_i64().expect("a time"), "{found}");
    assert_eq!(
        sinks,
        json!([
            {
                "sink": "one",
                "state": "delivered",
                "committed_at": null,
                "attempts": 1,
                "is_configured": true,
            },
            {
                "sink": "two",
                "state": "waiting",
                "behind": 650,
                "passes_filter": true,
                "is_configured": true,
            },
        ])
    );
    assert_eq!(found["has_record"], true);
    assert_eq!((&found["searched_events"], &found["quarantine"]), (&json!(700), &json!([])));
    let text = words(&home, &["event-0650"]);
    let lines = ["position 651 of the spool", "sink two: not delivered yet, behind 650 events"];
    for line in lines {
        assert!(text.lines().any(|found| found.trim() == line), "{line}: {text}");
    }
    let delivered = |line: &str| {
        line.trim().starts_with("sink one: delivered at 2") && line.ends_with("Z, attempt 1")
    };
    assert!(text.lines().any(delivered), "{text}");
    assert!(text.contains("repetition would be dropped"), "{text}");
    assert!(!text.contains("event-065"), "no neighbours, and none of the event itself: {text}");
}

#[test]
fn a_filtered_event_names_the_filter_of_that_time_whatever_is_configured_now() {
    let other = "[sinks.other]\ntype = \"file\"\npath = \"other\"\n\
                 exclude = { types = [\"CUSTOM_ANALYTICS\"] }\n";
    let home = Home::with_two_sinks(&format!("{KEEP}{other}"));
    let service = home.start();
    let plain = minted("plain").replace("CUSTOM_ANALYTICS", "RECEIVE_REQUEST");
    service.post(&batch(["filtered".to_owned()]));
    service.wait_until_settled("other");
    let (_, found) = traced(&home, &["filtered"]);
    assert_eq!(fate(&found["stored"][0], "other").0, "filtered");
    service.post(&plain);
    service.wait_until_settled("other");
    let (_, found) = traced(&home, &["plain"]);
    assert_eq!(fate(&found["stored"][0], "other").0, "delivered", "its filter lets it through");
    let has = |text: &str, begin: &str, end: &str| {
        text.lines().any(|line| line.trim().starts_with(begin) && line.ends_with(end))
    };
    let text = words(&home, &["filtered"]);
    assert!(has(&text, "sink other: filtered at 2", "Z by sinks.other.exclude.types"), "{text}");
    // A copy for one sink leaves no doubt about the other sinks.
    assert!(home.run_with(&service, &["replay", "--sink", "one", "--from", "1h"]).status.success());
    for sink in ["one", "two", "other"] {
        service.wait_until_settled(sink);
    }
    let text = words(&home, &["plain"]);
    assert!(has(&text, "sink two: delivered at 2", "Z, attempt 1"), "{text}");
    assert!(text.contains("sink two: copy for sink one only, by a replay or a retry"), "{text}");
    drop(service);
    // A sink with `start = "next"` did not get the events that were already there.
    let config = std::fs::read_to_string(home.path("test.toml")).expect("read");
    let late = "[sinks.late]\ntype = \"file\"\npath = \"late\"\nstart = \"now\"\n";
    let config = config.replace("CUSTOM_ANALYTICS", "RECEIVE_REQUEST");
    std::fs::write(home.path("test.toml"), format!("{config}{late}")).expect("written");
    let text = words(&home, &["filtered"]);
    assert!(has(&text, "sink other: filtered at 2", "Z by sinks.other.exclude.types"), "{text}");
    assert!(has(&words(&home, &["plain"]), "sink other: delivered at 2", "Z, attempt 1"));
    let new = traced(&home, &["plain"]).1;
    assert_eq!(fate(&new["stored"][0], "late").0, "waiting", "it has never run");
    let service = home.start();
    let (_, found) = traced(&home, &["plain"]);
    assert_eq!(fate(&found["stored"][0], "late"), (&json!("before_start"), &Value::Null));
    drop(service);
}

#[test]
fn without_a_record_the_result_is_deduced() {
    let other = "[sinks.other]\ntype = \"file\"\npath = \"other\"\n\
                 exclude = { types = [\"CUSTOM_ANALYTICS\"] }\n";
    let home = Home::with_two_sinks(&format!("{KEEP}{other}"));
    let service = home.start();
    service.post(&batch(["filtered".to_owned()]));
    service.post(&minted("plain").replace("CUSTOM_ANALYTICS", "RECEIVE_REQUEST"));
    service.wait_until_settled("other");
    assert!(service.terminate().0.success());
    let store = Connection::open(home.path("data/spool.db")).expect("opened");
    store.execute("DELETE FROM dispositions", []).expect("deleted");
    let (_, found) = traced(&home, &["filtered"]);
    assert_eq!(fate(&found["stored"][0], "other"), (&json!("passed"), &json!(["filtered"])));
    let (_, found) = traced(&home, &["plain"]);
    assert_eq!(fate(&found["stored"][0], "other"), (&json!("passed"), &json!(["delivered"])));
    assert!(!words(&home, &["plain"]).contains("no record of each event"));
    store.execute("DROP TABLE dispositions", []).expect("dropped");
    drop(store);
    assert_eq!(traced(&home, &["plain"]).1["has_record"], false);
    let text = words(&home, &["filtered"]);
    assert!(text.contains("sink other: filtered: exclude types"), "{text}");
    assert!(text.contains("no record of each event"), "{text}");
    assert!(home.run(&["spool", "verify"]).status.success(), "an older spool is intact");
}

#[test]
fn refused_events_are_found_by_their_id_or_by_its_text() {
    let home = Home::with_two_sinks(KEEP);
    let service = home.start();
    let bad = minted("bad").replace("recordedAt", "recorded");
    service.post(&format!("[{bad},{{\"note\":\"bad\"}}]"));
    service.post("{\"id\":\"b\\u0061d\"}");
    service.post("neither bad nor JSON");
    let (code, found) = traced(&home, &["bad"]);
    assert_eq!((code, &found["stored"]), (Some(0), &json!([])), "{found}");
    let entries = found["quarantine"].as_array().expect("entries");
    let matches: Vec<_> = entries.iter().map(|entry| (&entry["id"], &entry["match"])).collect();
    assert_eq!(
        matches,
        [
            (&json!(1), &json!("id")),
            (&json!(2), &json!("text")),
            (&json!(3), &json!("id")),
            (&json!(4), &json!("text")),
        ]
    );
    assert_eq!(entries[0]["reason"], "missing_field");
    let text = words(&home, &["bad"]);
    assert!(
        text.contains("quarantine entry 1") && text.contains("recordedAt is required"),
        "{text}"
    );
    assert_eq!(traced(&home, &["ba"]).1["quarantine"][0]["match"], "text");
    // The corrected event is in the spool.
    std::fs::write(home.path("fixed"), minted("bad")).expect("written");
    let fixed = home.run_with(&service, &["quarantine", "retry", "1", "--replace", "fixed"]);
    assert!(fixed.status.success(), "{fixed:?}");
    assert_eq!(traced(&home, &["bad"]).1["stored"][0]["position"], 1);
}

#[test]
fn a_dead_letter_names_its_sink_and_a_retry_is_a_copy_for_it() {
    let poison = HashSet::from(["event-0001".to_owned()]);
    let target = Target::start(Webhook { poison, ..Webhook::default() });
    let hook = format!("[sinks.hook]\ntype = \"http\"\nurl = \"{}/events\"\n", target.url);
    let home = Home::with_two_sinks(&format!("{KEEP}{hook}"));
    let service = home.start();
    service.post(&batch(ids(3)));
    service.wait_until_settled("hook");
    service.wait_until_settled("one");
    let (_, found) = traced(&home, &["event-0001"]);
    let place = &found["stored"][0];
    assert_eq!(fate(place, "hook").0, "dead_lettered");
    let sinks = place["sinks"].as_array().expect("sinks");
    let hook = sinks.iter().find(|fate| fate["sink"] == "hook").expect("the sink");
    assert_eq!((&hook["cause"], &hook["dead_letters"]), (&json!("rejected 400"), &json!([1])));
    assert!(hook["attempts"].as_u64() > Some(1), "alone after the batch: {hook}");
    assert_eq!(fate(place, "one").0, "delivered");
    let letter = &found["quarantine"][0];
    assert_eq!((&letter["sink"], &letter["match"]), (&json!("hook"), &json!("id")));
    let text = words(&home, &["event-0001"]);
    assert!(text.contains(": rejected 400 (quarantine 1)"), "{text}");
    let (_, found) = traced(&home, &["event-0002"]);
    assert_eq!(fate(&found["stored"][0], "hook").0, "delivered");
    assert!(home.run_with(&service, &["sink", "pause", "hook"]).status.success());
    assert!(home.run_with(&service, &["quarantine", "retry", "1"]).status.success());
    service.wait_until_settled("one");
    let (_, found) = traced(&home, &["event-0001"]);
    let copy = &found["stored"][1];
    assert_eq!((&copy["position"], &copy["only_sink"]), (&json!(4), &json!("hook")));
    assert_eq!(fate(copy, "hook").0, "waiting");
    assert_eq!(fate(copy, "one").0, "not_addressed");
    let text = words(&home, &["event-0001"]);
    assert!(text.contains("rejected 400; the dead letter was retried or purged since"), "{text}");
}

#[test]
fn a_dead_letter_is_blamed_on_no_other_event() {
    let poison = HashSet::from(["event-0001".to_owned()]);
    let target = Target::start(Webhook { poison, ..Webhook::default() });
    let hook = format!("[sinks.hook]\ntype = \"http\"\nurl = \"{}/events\"\n", target.url);
    let home = Home::new(&format!("{KEEP}{hook}"));
    let service = home.start();
    let mentions = minted_with("event-0001", "after event-0002");
    service.post(&format!("[{mentions},{}]", minted("event-0002")));
    service.wait_until_settled("hook");
    let (_, found) = traced(&home, &["event-0002"]);
    assert_eq!(found["quarantine"][0]["match"], "text", "it is named there");
    assert_eq!(fate(&found["stored"][0], "hook").0, "delivered");
    assert!(found["stored"][0]["sinks"][0].get("dead_letters").is_none(), "{found}");
    // Another event with the same id is accepted.
    target.state().poison.clear();
    service.post(&mentions.replace(RECORDED, "2024-02-15T16:07:04Z"));
    service.wait_until_settled("hook");
    let (_, found) = traced(&home, &["event-0001"]);
    let letters =
        |found: &Value, place: usize| found["stored"][place]["sinks"][0]["dead_letters"].clone();
    assert_eq!((letters(&found, 0), letters(&found, 1)), (json!([1]), Value::Null), "{found}");
    // Another copy for the sink is delivered.
    assert!(
        home.run_with(&service, &["replay", "--sink", "hook", "--from", "1h"]).status.success()
    );
    service.wait_until_settled("hook");
    let (_, found) = traced(&home, &["event-0001"]);
    let states: Vec<_> = found["stored"].as_array().expect("copies").iter().collect();
    let states: Vec<_> = states.into_iter().map(|copy| fate(copy, "hook").0).collect();
    assert_eq!(states, ["dead_lettered", "delivered", "delivered", "delivered"], "{found}");
    assert_eq!((letters(&found, 0), letters(&found, 1)), (json!([1]), Value::Null));
}

#[test]
fn a_repetition_changes_nothing_and_a_different_time_makes_a_different_event() {
    let home = Home::with_two_sinks(KEEP);
    let service = home.start();
    service.post(&minted("again"));
    assert_eq!(service.answer(&minted("again"))["duplicates"], 1);
    assert_eq!(traced(&home, &["again"]).1["stored"].as_array().expect("places").len(), 1);
    service.post(&minted("again").replace(RECORDED, "2024-02-15T16:07:04Z"));
    let (_, found) = traced(&home, &["again"]);
    let positions: Vec<_> = found["stored"]
        .as_array()
        .expect("places")
        .iter()
        .map(|place| &place["position"])
        .collect();
    assert_eq!(positions, [1, 2]);
    assert_eq!(found["stored"][1]["recorded_at"], "2024-02-15T16:07:04Z");
}

#[test]
fn without_a_trace_it_explains_the_absence() {
    let home = Home::with_two_sinks("");
    let service = home.start();
    let (code, found) = traced(&home, &["event-0000"]);
    assert_eq!((code, &found["removed_events"]), (Some(1), &json!(0)));
    assert!(words(&home, &["x"]).contains("no event of this id was accepted"));
    service.post(&batch(ids(3)));
    service.wait_until_settled("one");
    service.wait_until_settled("two");
    // The next commit trims the events that every sink has.
    crate::support::wait_for("removal", || {
        service.post(&batch([format!("{}", uuid::Uuid::new_v4())]));
        (traced(&home, &["event-0000"]).1["stored"] == json!([])).then_some(())
    });
    assert_eq!(traced(&home, &["event-0000"]).0, Some(1));
    let text = words(&home, &["event-0000"]);
    assert!(text.contains("Either the event never arrived, or it was removed"), "{text}");
    assert!(text.contains("spool.retention"), "{text}");
    let (code, found) = traced(&home, &["event-0000", "--recorded-at", RECORDED]);
    assert_eq!(code, Some(0), "it is remembered");
    assert_eq!(found["remembered"], json!([{"source": "pingone", "remembered": true}]));
    let text = words(&home, &["event-0000", "--recorded-at", RECORDED]);
    assert!(text.contains("source pingone accepted an event of this id and time"), "{text}");
    assert!(text.contains("The event was removed after every sink had passed it"), "{text}");
    let (code, found) = traced(&home, &["never", "--recorded-at", RECORDED]);
    assert_eq!((code, &found["remembered"][0]["remembered"]), (Some(1), &json!(false)));
    assert_eq!(home.run(&["trace", "x", "--recorded-at", "today"]).status.code(), Some(64));
}

#[test]
fn damage_is_passed_over_and_named() {
    let home = Home::with_two_sinks("");
    let service = home.start();
    for sink in ["one", "two"] {
        assert!(home.run_with(&service, &["sink", "pause", sink]).status.success());
    }
    for part in 0..3 {
        service.post(&batch((0..10).map(|number| format!("event-{part}-{number}"))));
    }
    service.kill();
    let store = Connection::open(home.path("data/spool.db")).expect("opened");
    store.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("written back");
    store.execute("UPDATE chunks SET checksum = checksum + 1 WHERE last = 20", []).expect("broken");
    drop(store);
    let (code, found) = traced(&home, &["event-1-3"]);
    assert_eq!((code, &found["unread_positions"]), (Some(1), &json!([[11, 20]])));
    let text = words(&home, &["event-1-3"]);
    assert!(text.contains("events 11 to 20 cannot be read"), "{text}");
    assert!(text.contains("it is among the events that cannot be read"), "{text}");
    let (_, found) = traced(&home, &["event-2-3"]);
    assert_eq!(found["stored"][0]["position"], 24, "what follows is found");
}

//! The `loki` sink against a stand-in of Grafana Loki.

use serde_json::Value;

use crate::support::canary::{assert_silent, shown};
use crate::support::events::{batch, ids};
use crate::support::service::Home;
use crate::support::targets::loki::Loki;
use crate::support::targets::{Fault, Target, header};
use crate::support::wait_for;

fn start() -> Target<Loki> {
    Target::start(Loki {
        tenant: "identity".to_owned(),
        authorization: "Bearer s3cr3t-token".to_owned(),
        ..Loki::default()
    })
}

fn home(target: &Target<Loki>, more: &str) -> Home {
    let home = Home::new(&format!(
        "[sinks.loki]\ntype = \"loki\"\nendpoint = \"{}\"\ntenant = \"identity\"\nbearer_file = \"token\"\n\
         retry = {{ min = \"1ms\", max = \"100ms\" }}\n{more}",
        target.url
    ));
    std::fs::write(home.path("token"), "s3cr3t-token\n").expect("written");
    home
}

#[test]
fn events_arrive_as_entries_of_their_stream() {
    let target = start();
    let home = home(&target, "labels = [{ name = \"team\", value = \"iam\" }]\n");
    let checked = home.run(&["check", "--connect"]);
    assert!(checked.status.success(), "{checked:?}");
    let service = home.start();
    service.post(&batch(ids(50)));
    service.wait_until_settled("loki");
    let state = target.state();
    assert_eq!(state.ids(), ids(50), "each once, in order");
    let (labels, entries) = state.streams.first_key_value().expect("a stream");
    let labels: Value = serde_json::from_str(labels).expect("JSON");
    assert_eq!((&labels["job"], &labels["team"]), (&"pingone-davinci".into(), &"iam".into()));
    assert_eq!(labels["action"], "DAVINCI_INTERACTION.CUSTOM_ANALYTICS");
    assert_eq!(entries[7][2]["event_id"], "event-0007");
    let encodings: Vec<&str> =
        state.traffic.headers.iter().map(|headers| header(headers, "content-encoding")).collect();
    assert!(encodings.contains(&"gzip"), "{encodings:?}");
}

/// The valid entries of a refused request are stored at once; halving sends them again and leaves no duplicate.
#[test]
fn an_entry_that_is_too_old_becomes_a_dead_letter_and_the_others_are_stored_once() {
    let target = start();
    target.state().old.extend(["event-0003".to_owned(), "event-0040".to_owned()]);
    let home = home(&target, "");
    let service = home.start();
    service.post(&batch(ids(60)));
    service.wait_until_settled("loki");
    let expected: Vec<String> =
        ids(60).into_iter().filter(|id| id != "event-0003" && id != "event-0040").collect();
    let mut stored = target.state().ids();
    stored.sort();
    assert_eq!(stored, expected);
    assert!(target.state().dropped > 0, "halves repeat stored entries");
    let entries = home.quarantine();
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[0]["target"]["status"], 400);
}

#[test]
fn outages_leave_each_event_once() {
    let target = start();
    target.state().limit = Some(30_000);
    target.fail([Fault::status(500), Fault::retry_after(429, "0"), Fault::Reset(503)]);
    let home = home(&target, "");
    let service = home.start();
    service.post(&batch(ids(60)));
    service.wait_until_settled("loki");
    assert_eq!(target.state().ids(), ids(60));
    assert!(home.quarantine().is_empty());
}

#[test]
fn a_blocked_tenant_is_waited_for_and_a_wrong_token_pauses() {
    let target = start();
    target.state().is_blocked = true;
    let home = home(&target, "");
    let service = home.start();
    service.post(&batch(ids(5)));
    let wait_until = |state: &str, said: &str| {
        wait_for(said, || {
            let sink = service.readiness()["sinks"][0].clone();
            let reason = sink["reason"].as_str().unwrap_or_default().to_owned();
            (sink["state"] == state && reason.contains(said)).then_some(())
        });
    };
    wait_until("retrying", "ingestion is blocked for this tenant");
    target.state().is_blocked = false;
    target.state().authorization = "Bearer another".to_owned();
    wait_until("paused", "HTTP 401");
    assert_silent(&shown(&service), "s3cr3t-token", "while it is paused");
    target.state().authorization = "Bearer s3cr3t-token".to_owned();
    service.wait_until_settled("loki");
    assert_eq!(target.state().ids(), ids(5));
    assert_silent(&service.log(), "s3cr3t-token", "the log");
}

//! Retries that would fail forever: the batch gets smaller, and an event that fails alone becomes a dead letter, but
//! only if the target accepts other events.

use std::collections::HashSet;

use crate::support::events::{batch, ids};
use crate::support::service::Home;
use crate::support::targets::webhook::Webhook;
use crate::support::targets::{Fault, Target, header};
use crate::support::wait_for;

fn home(target: &Target<Webhook>, more: &str) -> Home {
    Home::new(&format!(
        "[sinks.hook]\ntype = \"http\"\nurl = \"{}/events\"\n\
         retry = {{ min = \"1ms\", max = \"20ms\", give_up = {{ attempts = 5, after = \"1ms\" }} }}\n{more}",
        target.url
    ))
}

fn crashing(id: &str) -> Target<Webhook> {
    Target::start(Webhook { crashes: HashSet::from([id.to_owned()]), ..Webhook::default() })
}

fn wait_for_requests(target: &Target<Webhook>, count: usize) {
    wait_for("requests", || (target.requests() >= count).then_some(()));
}

fn is_given_up(home: &Home, id: &str) {
    let entries = home.quarantine();
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert_eq!((&entries[0]["reason"], &entries[0]["sink"]), (&"given_up".into(), &"hook".into()));
    assert_eq!(entries[0]["target"]["status"], 500, "{entries:?}");
    assert!(entries[0]["target"]["attempts"].as_u64().expect("a number") >= 5, "{entries:?}");
    let shown = home.run(&["quarantine", "show", &entries[0]["id"].to_string()]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains(id), "{shown:?}");
}

#[test]
fn an_event_on_which_the_target_fails_is_given_up_and_its_neighbours_arrive_once() {
    let target = crashing("event-0007");
    let home = home(&target, "");
    let service = home.start();
    service.post(&batch(ids(20)));
    service.wait_until_settled("hook");
    let mut stored = target.state().ids();
    stored.sort();
    let mut expected = ids(20);
    expected.remove(7);
    assert_eq!(stored, expected);
    is_given_up(&home, "event-0007");
}

#[test]
fn an_event_that_came_alone_is_compared_with_the_next_one() {
    let target = crashing("event-0000");
    let home = home(&target, "");
    let service = home.start();
    service.post(&batch(ids(1)));
    wait_for_requests(&target, 12);
    assert!(home.quarantine().is_empty(), "nothing says that it is the event's fault");
    service.post(&batch(["next".to_owned(), "after".to_owned()]));
    service.wait_until_settled("hook");
    assert_eq!(target.state().ids(), ["next", "after"]);
    is_given_up(&home, "event-0000");
}

#[test]
fn several_connections_compare_with_what_the_others_deliver() {
    let target = crashing("event-0000");
    let home = home(&target, "concurrency = 2\n");
    let service = home.start();
    service.post(&batch(ids(1)));
    wait_for_requests(&target, 12);
    let (mut sent, mut posted) = (0, Vec::new());
    wait_for("a dead letter", || {
        let id = format!("other-{sent}");
        sent += 1;
        service.post(&batch([id.clone()]));
        posted.push(id);
        (!home.quarantine().is_empty()).then_some(())
    });
    service.wait_until_settled("hook");
    let stored: HashSet<String> = target.state().ids().into_iter().collect();
    assert_eq!(stored, posted.into_iter().collect());
    is_given_up(&home, "event-0000");
}

#[test]
fn an_outage_of_the_target_blames_no_event() {
    let target = Target::start(Webhook::default());
    target.state().traffic.down = Some(500);
    let home = home(&target, "");
    let service = home.start();
    service.post(&batch(ids(20)));
    wait_for_requests(&target, 60);
    let reason = service.readiness()["sinks"].to_string();
    assert!(reason.contains("if the target takes other events"), "{reason}");
    target.state().traffic.down = None;
    service.wait_until_settled("hook");
    let mut stored = target.state().ids();
    stored.sort();
    stored.dedup();
    assert_eq!(stored, ids(20));
    assert!(home.quarantine().is_empty());
}

#[test]
fn a_target_that_answers_too_late_gets_half() {
    let target = Target::start(Webhook::default());
    target.fail([Fault::Hang, Fault::Hang, Fault::Hang]);
    let home = home(&target, "timeout = \"1s\"\n");
    let service = home.start();
    service.post(&batch(ids(40)));
    service.wait_until_settled("hook");
    assert_eq!(target.state().ids(), ids(40), "each once, in order");
    let lengths: Vec<usize> = target
        .state()
        .traffic
        .headers
        .iter()
        .map(|headers| header(headers, "content-length").parse().expect("a number"))
        .collect();
    let share = |request: usize| (lengths[0] as f64 / lengths[request] as f64).round();
    assert_eq!([1, 2, 3, 4].map(share), [2.0, 4.0, 8.0, 8.0], "{lengths:?}");
}

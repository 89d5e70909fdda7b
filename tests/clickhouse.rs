//! The `clickhouse` sink against a stand-in of ClickHouse's HTTP interface.

use crate::support::canary::{assert_silent, shown};
use crate::support::events::{batch, equal, ids, minted};
use crate::support::service::{Home, Service};
use crate::support::targets::clickhouse::Clickhouse;
use crate::support::targets::{Fault, Target};
use crate::support::wait_for;

/// HTTP Basic of the user `davinci_siem` with the password `s3cr3t-key`.
const BASIC: &str = "Basic ZGF2aW5jaV9zaWVtOnMzY3IzdC1rZXk=";

fn start() -> Target<Clickhouse> {
    Target::start(Clickhouse { authorization: BASIC.to_owned(), ..Clickhouse::default() })
}

fn home(target: &Target<Clickhouse>) -> Home {
    let home = Home::new(&format!(
        "[sinks.lake]\ntype = \"clickhouse\"\nendpoint = \"{}\"\n\
         basic = {{ username = \"davinci_siem\", password_file = \"password\" }}\n\
         retry = {{ min = \"1ms\", max = \"100ms\" }}\n",
        target.url
    ));
    std::fs::write(home.path("password"), "s3cr3t-key\n").expect("written");
    home
}

fn wait_until(service: &Service, state: &str, said: &str) {
    wait_for(said, || {
        let sink = service.readiness()["sinks"][0].clone();
        let reason = sink["reason"].as_str().unwrap_or_default().to_owned();
        (sink["state"] == state && reason.contains(said)).then_some(())
    });
}

#[test]
fn events_arrive_as_rows_and_a_repeated_insert_is_dropped() {
    let target = start();
    let home = home(&target);
    let checked = home.run(&["check", "--connect"]);
    assert!(checked.status.success(), "{checked:?}");
    target.fail([Fault::StoreAndReset, Fault::status(502)]);
    let service = home.start();
    service.post(&batch(ids(50)));
    service.wait_until_settled("lake");
    let state = target.state();
    assert_eq!(state.ids(), ids(50), "each once, in order");
    assert!(state.repeated > 0, "the lost answer's insert came again, with its token");
    let row = &state.rows[7];
    assert_eq!(row["action_type"], "DAVINCI_INTERACTION.CUSTOM_ANALYTICS");
    assert!(equal(row["event"].as_str().expect("text"), &minted("event-0007")));
}

#[test]
fn a_refused_row_becomes_a_dead_letter_and_its_neighbours_are_stored_once() {
    let target = start();
    target.state().poison.insert("event-0020".to_owned());
    let home = home(&target);
    let service = home.start();
    service.post(&batch(ids(60)));
    service.wait_until_settled("lake");
    let mut expected = ids(60);
    expected.remove(20);
    assert_eq!(target.state().ids(), expected);
    let entries = home.quarantine();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0]["target"]["code"], "469");
}

#[test]
fn the_servers_state_is_waited_for_and_mistakes_pause() {
    let target = start();
    target.state().failing = Some((500, 241));
    let home = home(&target);
    let service = home.start();
    service.post(&batch(ids(5)));
    wait_until(&service, "retrying", "code 241");
    target.state().failing = None;
    target.state().has_no_table = true;
    service.post(&batch(["one-more".to_owned()]));
    wait_until(&service, "paused", "create the table as in deploy/clickhouse");
    target.state().authorization = "Basic another".to_owned();
    wait_until(&service, "paused", "code 516: correct the credentials");
    assert_silent(&shown(&service), "s3cr3t-key", "while it is paused");
    target.state().has_no_table = false;
    target.state().missing_column = Some("event");
    target.state().authorization = BASIC.to_owned();
    wait_until(&service, "paused", "code 16: create the table as in deploy/clickhouse");
    assert!(target.state().rows.is_empty(), "no row without its event");
    target.state().missing_column = None;
    service.wait_until_settled("lake");
    assert_eq!(target.state().rows.len(), 6);
    assert!(home.quarantine().is_empty());
    assert_silent(&service.log(), "s3cr3t-key", "the log");
}

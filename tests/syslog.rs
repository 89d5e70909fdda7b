//! The `syslog` sink against a receiver that breaks connections, over TCP and UDP. `syslog_peers` has real receivers.

use std::collections::HashSet;

use serde_json::Value;

use crate::support::events::{batch, id, ids, minted, minted_with};
use crate::support::service::{Home, Service};
use crate::support::targets::receiver::Receiver;
use crate::support::wait_for;

fn home(address: &str, more: &str) -> Home {
    Home::new(&format!(
        "[sinks.syslog]\ntype = \"syslog\"\naddress = \"{address}\"\n\
         retry = {{ min = \"1ms\", max = \"100ms\" }}\n{more}"
    ))
}

/// Parses the event at the end of a message.
fn text(message: &str) -> &str {
    let (_, text) = message.split_once("] ").expect("structured data");
    text
}

fn received(receiver: &Receiver) -> Vec<String> {
    receiver.messages().iter().map(|message| id(text(message))).collect()
}

fn resent(service: &Service) -> f64 {
    service.metric("davinci_siem_sink_findings_total{kind=\"resent\",sink=\"syslog\"}")
}

#[test]
fn messages_arrive_whole_over_tcp_and_udp() {
    let nasty = "quotes \" brackets []{} back\\slash\nline \u{1f600}";
    for (receiver, transport) in [(Receiver::tcp(), "tcp"), (Receiver::udp(), "udp")] {
        let home = home(&receiver.address, &format!("transport = \"{transport}\"\n"));
        let service = home.start();
        let event = minted_with("nasty", nasty);
        service.post(&format!("[{event},{}]", minted("next")));
        let messages = wait_for("messages", || {
            Some(receiver.messages()).filter(|messages| messages.len() == 2)
        });
        assert!(
            messages[0].starts_with("<86>1 2024-02-15T16:07:03.947000Z pingone davinci-siem - ")
        );
        let value = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
        assert_eq!(value(text(&messages[0])), value(&event), "{transport}");
        assert_eq!(resent(&service), 0.0);
    }
}

#[test]
fn messages_of_a_lost_connection_are_sent_again_and_counted() {
    let receiver = Receiver::tcp();
    let home = home(&receiver.address, "transport = \"tcp\"\nbatch = { events = 10 }\n");
    let service = home.start();
    for hang_up_after in [13, 40, 1] {
        receiver.hang_up_after(hang_up_after);
        let before = received(&receiver).len();
        let prefix = format!("after-{hang_up_after}-");
        let expected: HashSet<String> = (0..100).map(|n| format!("{prefix}{n}")).collect();
        service.post(&batch(expected.iter().cloned()));
        // One more event makes the sink check its connection.
        wait_for("all of them", || {
            service.post(&batch([format!("{prefix}probe-{}", rand::random::<u64>())]));
            let found: HashSet<String> =
                received(&receiver).split_off(before).into_iter().collect();
            expected.is_subset(&found).then_some(())
        });
    }
    let all = received(&receiver);
    let unique: HashSet<&String> = all.iter().collect();
    let doubled = all.len() - unique.len();
    // Counted at the end of an attempt.
    wait_for("the count", || (doubled as f64 <= resent(&service)).then_some(()));
    assert!(receiver.connections() >= 4, "{} connections", receiver.connections());
}

#[test]
fn a_receiver_that_hung_up_while_nothing_happened_loses_nothing() {
    let receiver = Receiver::tcp();
    let home = home(&receiver.address, "transport = \"tcp\"\n");
    let service = home.start();
    for round in 0..5 {
        let before = received(&receiver).len();
        service.post(&batch([format!("round-{round}")]));
        wait_for("the event", || {
            received(&receiver)[before..].contains(&format!("round-{round}")).then_some(())
        });
        receiver.hang_up();
    }
}

#[test]
fn a_message_that_is_too_long_is_kept_aside() {
    let receiver = Receiver::tcp();
    let home = home(&receiver.address, "transport = \"tcp\"\nmax_size = \"4000B\"\n");
    let service = home.start();
    let huge = minted_with("huge", &"x".repeat(5000));
    service.post(&format!("[{},{huge},{}]", minted("before"), minted("after")));
    wait_for("the others", || (received(&receiver) == ["before", "after"]).then_some(()));
    let entries = wait_for("an entry", || Some(home.quarantine()).filter(|found| found.len() == 1));
    assert_eq!(entries[0]["reason"], "unsendable");
    assert!(entries[0]["detail"].as_str().expect("text").contains("max_size is 4000"));
}

#[test]
fn a_receiver_that_is_away_is_waited_for() {
    let receiver = Receiver::tcp();
    let address = receiver.address.clone();
    // No process listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let nobody = free.local_addr().expect("an address").to_string();
    drop(free);
    let home = home(&nobody, "transport = \"tcp\"\n");
    let service = home.start();
    service.post(&batch(ids(3)));
    wait_for("retrying", || (service.readiness()["sinks"][0]["state"] == "retrying").then_some(()));
    let checked = home.run(&["check", "--connect"]);
    assert_eq!(checked.status.code(), Some(1));
    assert!(service.terminate().0.success());
    let moved = home.with_variables(&[("DAVINCI_SIEM__SINKS__SYSLOG__ADDRESS", &address)]);
    assert!(moved.run(&["check", "--connect"]).status.success());
    let service = moved.start();
    wait_for("the events", || (received(&receiver) == ids(3)).then_some(()));
    drop(service);
}

//! The `splunk_hec` sink against a collector with the measured behaviour of Splunk.

use std::collections::HashSet;

use serde_json::Value;

use crate::support::events::{batch, ids};
use crate::support::service::{Home, Service};
use crate::support::targets::collector::Collector;
use crate::support::targets::{Fault, Target, header};
use crate::support::wait_for;

const QUICK: &str = "retry = { min = \"1ms\", max = \"100ms\" }\n";

fn home(target: &Target<Collector>, more: &str) -> Home {
    let home = Home::new(&format!(
        "[sinks.splunk]\ntype = \"splunk_hec\"\nendpoint = \"{}\"\ntoken_file = \"token\"\n{QUICK}{more}",
        target.url
    ));
    std::fs::write(home.path("token"), "good\n").expect("written");
    home
}

fn wait_until_settled(service: &Service) {
    wait_for("no lag", || {
        (service.metric("davinci_siem_sink_lag_events{sink=\"splunk\"}") == 0.0).then_some(())
    });
}

fn findings(service: &Service, kind: &str) -> f64 {
    let labels = format!("{{kind=\"{kind}\",sink=\"splunk\"}}");
    service.metric(&format!("davinci_siem_sink_findings_total{labels}"))
}

#[test]
fn events_arrive_in_their_envelopes() {
    let target = Target::start(Collector::new("good"));
    let home = home(&target, "index = \"identity\"\n");
    let service = home.start();
    service.post(&batch(ids(50)));
    wait_until_settled(&service);
    let state = target.state();
    assert_eq!(state.ids(), ids(50));
    assert_eq!(header(&state.traffic.headers[0], "content-encoding"), "gzip");
    let envelope = &state.stored[7];
    assert_eq!(
        envelope["event"],
        serde_json::from_str::<Value>(&crate::support::events::minted("event-0007")).expect("JSON")
    );
    assert_eq!(envelope["time"], "1708013223.947", "seconds, as Splunk wants them");
    assert_eq!(envelope["index"], "identity");
    assert_eq!(envelope["fields"]["event_id"], "event-0007");
}

#[test]
fn one_malformed_event_among_500_is_found_and_its_neighbours_arrive_once() {
    let poison = HashSet::from(["event-0000".to_owned(), "event-0250".to_owned()]);
    let target = Target::start(Collector { poison, ..Collector::new("good") });
    let home = home(&target, "batch = { events = 500 }\n");
    let service = home.start();
    service.post(&batch(ids(500)));
    wait_until_settled(&service);
    let mut expected = ids(500);
    expected.remove(250);
    expected.remove(0);
    assert_eq!(target.state().ids(), expected);
    let entries = home.quarantine();
    assert_eq!(entries.len(), 2);
    for entry in entries {
        assert_eq!(
            (&entry["target"]["status"], &entry["target"]["code"]),
            (&400.into(), &"6".into())
        );
    }
}

#[test]
fn a_body_that_is_too_large_is_not_blamed_on_its_first_event() {
    let target = Target::start(Collector { limit: Some(20_000), ..Collector::new("good") });
    let home = home(&target, "");
    let service = home.start();
    service.post(&batch(ids(100)));
    wait_until_settled(&service);
    assert_eq!(target.state().ids(), ids(100), "each once, in order");
    assert!(home.quarantine().is_empty());
}

#[test]
fn a_wrong_index_pauses_the_sink_and_drops_nothing() {
    let wrong_index = HashSet::from(["event-0005".to_owned()]);
    let target = Target::start(Collector { wrong_index, ..Collector::new("good") });
    let home = home(&target, "");
    let service = home.start();
    service.post(&batch(ids(10)));
    wait_for("a pause", || {
        let sink = service.readiness()["sinks"][0].clone();
        let reason = sink["reason"].as_str().unwrap_or_default().to_owned();
        (sink["state"] == "paused" && reason.contains("incorrect index")).then_some(())
    });
    target.state().wrong_index.clear();
    wait_until_settled(&service);
    assert_eq!(target.state().ids(), ids(10), "what came before was settled, the rest came once");
    assert!(home.quarantine().is_empty());
}

#[test]
fn a_wrong_token_pauses_the_sink_until_the_file_is_corrected() {
    let target = Target::start(Collector::new("good"));
    let home =
        home(&target, "").with_variables(&[("DAVINCI_SIEM__SINKS__SPLUNK__RETRY__MAX", "1h")]);
    std::fs::write(home.path("token"), "wrong\n").expect("written");
    let service = home.start();
    service.post(&batch(ids(5)));
    let readiness = wait_for("a pause", || {
        Some(service.readiness()).filter(|ready| ready["sinks"][0]["state"] == "paused")
    });
    assert_eq!(readiness["ready"], true, "receiving goes on");
    assert_eq!(readiness["sinks"][0]["sink"], "splunk");
    let reason = readiness["sinks"][0]["reason"].as_str().expect("text");
    assert!(reason.contains("code 4, invalid token"), "{reason}");
    assert_eq!(service.metric("davinci_siem_sink_state{sink=\"splunk\",state=\"paused\"}"), 1.0);
    let checked = home.run(&["check", "--connect"]);
    assert_eq!(checked.status.code(), Some(1), "check --connect finds it as well");

    // Kubernetes replaces a file like this: another file under the same name.
    std::fs::write(home.path("next"), "good\n").expect("written");
    std::fs::rename(home.path("next"), home.path("token")).expect("replaced");
    wait_until_settled(&service);
    assert_eq!(target.state().ids(), ids(5), "without a restart, and long before retry.max");
    assert_eq!(service.readiness()["sinks"][0]["state"], "running");
    assert!(home.quarantine().is_empty());
    let checked = home.run(&["check", "--connect"]);
    assert!(checked.status.success(), "{checked:?}");
    assert!(String::from_utf8_lossy(&checked.stdout).contains("it knows the token"));
}

#[test]
fn transient_failures_are_retried_until_they_end() {
    let target = Target::start(Collector::new("good"));
    let busy = |status: u16, code: i64| {
        Fault::Answer(status, Vec::new(), format!("{{\"text\":\"x\",\"code\":{code}}}"))
    };
    target.fail([
        busy(503, 9),
        busy(500, 8),
        busy(429, 26),
        busy(503, 23),
        Fault::retry_after(503, "30"),
        Fault::Reset(200),
        Fault::Reset(400),
        Fault::Hang,
    ]);
    let home = home(&target, "timeout = \"1s\"\n");
    let service = home.start();
    service.post(&batch(ids(10)));
    wait_until_settled(&service);
    assert_eq!(target.state().ids(), ids(10));
    assert!(target.requests() >= 9, "each fault was met");
    // A lost answer causes a duplicate: Splunk removes none.
    target.fail([Fault::StoreAndReset]);
    service.post(&batch(["late".to_owned()]));
    wait_until_settled(&service);
    assert_eq!(target.state().ids()[10..], ["late", "late"]);
}

#[test]
fn acknowledgement_is_waited_for_and_what_is_lost_is_sent_again() {
    let collector = Collector { acknowledges: true, ..Collector::new("good") };
    let target = Target::start(Collector { lost_acknowledgements: 1, ..collector });
    let home = home(&target, "acknowledgement = { interval = \"10ms\", timeout = \"3s\" }\n");
    let service = home.start();
    service.post(&batch(ids(3)));
    wait_until_settled(&service);
    // The events may be indexed, but are never acknowledged; the sink cannot know.
    assert_eq!(target.state().ids(), [ids(3), ids(3)].concat());
    assert_eq!(findings(&service, "acknowledgement_expired"), 3.0);
    let channels: HashSet<String> = target
        .state()
        .traffic
        .headers
        .iter()
        .map(|headers| header(headers, "x-splunk-request-channel").to_owned())
        .collect();
    assert_eq!(channels.len(), 1, "one channel for events and questions");
    assert_eq!(channels.iter().next().map(String::len), Some(36), "a GUID: {channels:?}");

    // An invalid event in the middle: the events before it get no acknowledgement of their own.
    target.state().stored.clear();
    target.state().poison.insert("bad".to_owned());
    service.post(&batch(["a", "bad", "b"].map(str::to_owned)));
    wait_until_settled(&service);
    assert_eq!(target.state().ids(), ["a", "a", "b"]);
    assert_eq!(home.quarantine().len(), 1);
}

#[test]
fn a_token_without_acknowledgement_is_noticed() {
    let target = Target::start(Collector::new("good"));
    let home = home(&target, "acknowledgement = { interval = \"10ms\" }\n");
    let service = home.start();
    service.post(&batch(ids(3)));
    wait_until_settled(&service);
    assert_eq!(target.state().ids(), ids(3));
    assert_eq!(findings(&service, "unacknowledged"), 3.0);
}

#[test]
fn a_refused_request_for_an_acknowledgement_pauses_and_nothing_is_sent_again() {
    let collector = Collector { acknowledges: true, ..Collector::new("good") };
    let target = Target::start(Collector { hides_acknowledgements: true, ..collector });
    let home = home(&target, "acknowledgement = { interval = \"10ms\", timeout = \"60s\" }\n");
    let service = home.start();
    service.post(&batch(ids(3)));
    let reason = wait_for("a pause", || {
        let sinks = service.readiness()["sinks"].to_string();
        sinks.contains("\"paused\"").then_some(sinks)
    });
    assert!(
        reason.contains("refuses the requests for their acknowledgement")
            && reason.contains("HTTP 404"),
        "{reason}"
    );
    // The sink tries again by itself, after reading its files again.
    let requests = target.requests();
    wait_for("more questions", || (target.requests() > requests + 3).then_some(()));
    assert!(home.run_with(&service, &["sink", "resume", "splunk"]).status.success());
    target.state().hides_acknowledgements = false;
    wait_until_settled(&service);
    assert_eq!(target.state().ids(), ids(3), "each once");
}

#[test]
fn an_answer_that_is_compressed_unasked_is_understood() {
    use std::io::Write;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(b"{\"text\":\"Success\",\"code\":0}").expect("written");
    let body = gzip.finish().expect("finished");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let asked = std::thread::spawn(move || {
        use std::io::Read;
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut request = Vec::new();
        let mut chunk = [0; 4096];
        while !request.ends_with(b"}\n") {
            let length = stream.read(&mut chunk).expect("a request");
            request.extend_from_slice(&chunk[..length]);
        }
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), &body].concat()).expect("written");
        String::from_utf8_lossy(&request).to_lowercase()
    });
    let home = Home::new(&format!(
        "[sinks.splunk]\ntype = \"splunk_hec\"\nendpoint = \"{url}\"\ntoken_env = \"TOKEN\"\n\
         compression = \"none\"\n"
    ))
    .with_variables(&[("TOKEN", "good")]);
    let service = home.start();
    service.post(&batch(ids(1)));
    assert!(asked.join().expect("asked").contains("accept-encoding: identity"));
    service.wait_until_settled("splunk");
}

//! The `http` sink against an endpoint that accepts or refuses whole requests.

use std::collections::HashSet;
use std::time::Duration;

use crate::support::events::{batch, ids};
use crate::support::service::{Home, Service};
use crate::support::targets::webhook::Webhook;
use crate::support::targets::{Fault, Target, header};
use crate::support::wait_for;

const QUICK: &str = "retry = { min = \"1ms\", max = \"100ms\" }\n";

fn home(target: &Target<Webhook>, more: &str) -> Home {
    Home::new(&format!(
        "[sinks.hook]\ntype = \"http\"\nurl = \"{}/events\"\n{QUICK}{more}",
        target.url
    ))
}

fn wait_for_ids(target: &Target<Webhook>, expected: &[String]) {
    wait_for("the events", || (target.state().stored.len() >= expected.len()).then_some(()));
    assert_eq!(target.state().ids(), expected, "each once, in order");
}

fn wait_until_settled(service: &Service) {
    wait_for("no lag", || {
        (service.metric("davinci_siem_sink_lag_events{sink=\"hook\"}") == 0.0).then_some(())
    });
}

#[test]
fn every_body_and_compression_arrives() {
    let more =
        "headers = [{ name = \"X-Tenant\", value = \"identity\" }]\nbearer_env = \"TOKEN\"\n";
    for (shape, compression) in [("array", "none"), ("ndjson", "gzip"), ("single", "zstd")] {
        let authorization = Some("Bearer canary".to_owned());
        let target = Target::start(Webhook { authorization, ..Webhook::default() });
        let more = format!("{more}body = \"{shape}\"\ncompression = \"{compression}\"\n");
        let home = home(&target, &more).with_variables(&[("TOKEN", "canary")]);
        let service = home.start();
        service.post(&batch(ids(30)));
        wait_for_ids(&target, &ids(30));
        let state = target.state();
        let headers = &state.traffic.headers[0];
        assert_eq!(header(headers, "x-tenant"), "identity");
        let encoding = header(headers, "content-encoding");
        assert_eq!(encoding, if compression == "none" { "" } else { compression });
        assert!(!header(headers, "content-length").is_empty(), "no chunks: {headers:?}");
        assert_eq!(state.traffic.requests, if shape == "single" { 30 } else { 1 });
    }
}

#[test]
fn one_poisonous_event_among_500_is_found_and_its_neighbours_arrive_once() {
    let poison = HashSet::from(["event-0250".to_owned()]);
    let target = Target::start(Webhook { poison, ..Webhook::default() });
    let home = home(&target, "batch = { events = 500 }\n");
    let service = home.start();
    service.post(&batch(ids(500)));
    wait_until_settled(&service);
    let mut expected = ids(500);
    expected.remove(250);
    assert_eq!(target.state().ids(), expected);
    assert!(target.requests() < 25, "{} requests", target.requests());
    let entries = home.quarantine();
    assert_eq!(entries.len(), 1);
    let entry = &entries[0];
    assert_eq!((&entry["sink"], &entry["origin"]), (&"hook".into(), &"dead_letter".into()));
    assert_eq!(entry["target"]["status"], 400);
    assert_eq!(entry["target"]["text"], "one of these I do not like");
    assert!(entry["target"]["attempts"].as_u64().expect("a number") >= 9, "{entry}");

    // Events that the target accepts now are delivered.
    target.state().poison.clear();
    let id = entry["id"].to_string();
    let retried = home.run_with(&service, &["quarantine", "retry", &id]);
    assert!(retried.status.success(), "{retried:?}");
    expected.push("event-0250".to_owned());
    wait_for_ids(&target, &expected);
    assert!(home.quarantine().is_empty());
}

#[test]
fn a_request_that_is_too_large_is_halved_until_it_fits() {
    let target = Target::start(Webhook { limit: Some(4000), ..Webhook::default() });
    let home = home(&target, "");
    let service = home.start();
    let huge = crate::support::events::minted_with("huge", &"x".repeat(5000));
    service.post(&batch(ids(20)));
    service.post(&format!("[{huge}]"));
    service.post(&batch(["after".to_owned()]));
    wait_until_settled(&service);
    let mut expected = ids(20);
    expected.push("after".to_owned());
    wait_for_ids(&target, &expected);
    let entries = home.quarantine();
    assert_eq!(entries.len(), 1, "what is too large alone");
    assert_eq!(entries[0]["target"]["status"], 413);
}

#[test]
fn transient_failures_are_retried_until_they_end() {
    let target = Target::start(Webhook::default());
    let date = httpdate::fmt_http_date(std::time::SystemTime::now() + Duration::from_secs(9));
    target.fail([
        Fault::retry_after(429, "9"),
        Fault::retry_after(503, &date),
        Fault::status(500),
        Fault::status(502),
        Fault::status(408),
        Fault::Reset(503),
        Fault::Hang,
    ]);
    let home = home(&target, "timeout = \"1s\"\n");
    let service = home.start();
    service.post(&batch(ids(10)));
    wait_for_ids(&target, &ids(10));
    assert!(target.requests() >= 8, "each fault was met");
    let retries =
        service.metric("davinci_siem_sink_failures_total{sink=\"hook\",verdict=\"retry\"}");
    assert!(retries >= 70.0, "{retries}");
    wait_for("running", || (service.readiness()["sinks"][0]["state"] == "running").then_some(()));
}

#[test]
fn an_answer_that_breaks_off_after_its_status_is_an_answer() {
    let target = Target::start(Webhook::default());
    target.fail([Fault::StoreAndReset]);
    let home = home(&target, "");
    let service = home.start();
    service.post(&batch(ids(5)));
    wait_until_settled(&service);
    wait_for_ids(&target, &ids(5));
}

#[test]
fn a_wish_to_wait_is_granted() {
    let target = Target::start(Webhook::default());
    let home =
        home(&target, "").with_variables(&[("DAVINCI_SIEM__SINKS__HOOK__RETRY__MAX", "10s")]);
    let service = home.start();
    let date = httpdate::fmt_http_date(std::time::SystemTime::now() + Duration::from_secs(6));
    target.fail([Fault::retry_after(429, "1"), Fault::retry_after(503, &date)]);
    service.post(&batch(ids(3)));
    wait_for_ids(&target, &ids(3));
    let times = target.state().traffic.times.clone();
    assert!(times[1] - times[0] >= Duration::from_secs(1), "seconds: {times:?}");
    assert!(times[2] - times[1] >= Duration::from_secs(1), "a date: {times:?}");
}

#[test]
fn permanent_failures_pause_the_sink_and_drop_nothing() {
    for status in [301, 401, 403, 404, 405, 410, 415, 431, 501] {
        let elsewhere = Target::start(Webhook::default());
        let target = Target::start(Webhook::default());
        let location = format!("{}/events", elsewhere.url);
        target.state().traffic.down = Some(status);
        target.state().traffic.location = Some(location);
        let home = home(&target, "bearer_env = \"TOKEN\"\n").with_variables(&[("TOKEN", "t")]);
        let service = home.start();
        service.post(&batch(ids(3)));
        let sink = wait_for("a pause", || {
            let sink = service.readiness()["sinks"][0].clone();
            (sink["state"] == "paused").then_some(sink)
        });
        assert!(sink["reason"].as_str().expect("text").contains(&status.to_string()), "{sink}");
        // The sink tries again by itself and succeeds.
        target.state().traffic.down = None;
        wait_for_ids(&target, &ids(3));
        assert_eq!(elsewhere.requests(), 0, "{status}: redirects are not followed");
        assert!(home.quarantine().is_empty());
    }
}

#[test]
fn requests_are_signed_and_a_key_can_be_changed() {
    let old = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    let new = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    for known in [old, new] {
        use base64::Engine;
        let key = known.strip_prefix("whsec_").expect("a key");
        let key = base64::engine::general_purpose::STANDARD.decode(key).expect("base64");
        let target = Target::start(Webhook { signing_key: Some(key), ..Webhook::default() });
        target.fail([Fault::status(503)]);
        let keys = "signing_keys = [{ key_env = \"OLD\" }, { key_env = \"NEW\" }]\n";
        let home = home(&target, keys).with_variables(&[("OLD", old), ("NEW", new)]);
        let service = home.start();
        service.post(&batch(ids(3)));
        wait_for_ids(&target, &ids(3));
        let state = target.state();
        let ids: HashSet<&str> =
            state.traffic.headers.iter().map(|headers| header(headers, "webhook-id")).collect();
        assert_eq!(ids.len(), 1, "the second attempt has the id of the first: {ids:?}");
    }
}

#[test]
fn private_addresses_can_be_kept_out_of_reach() {
    let target = Target::start(Webhook::default());
    for url in [target.url.clone(), target.url.replace("localhost", "127.0.0.1")] {
        let home = Home::new(&format!(
            "[sinks.hook]\ntype = \"http\"\nurl = \"{url}/events\"\n{QUICK}private_addresses = \"deny\"\n"
        ));
        let service = home.start();
        service.post(&batch(ids(1)));
        let sink = wait_for("a pause", || {
            let sink = service.readiness()["sinks"][0].clone();
            (sink["state"] == "paused").then_some(sink)
        });
        let reason = sink["reason"].as_str().expect("text");
        assert!(reason.contains("is a private address"), "{reason}");
    }
    assert_eq!(target.requests(), 0);
}

#[test]
fn a_configured_proxy_is_used() {
    let proxy = Target::start(Webhook::default());
    let home = Home::new(&format!(
        "[sinks.hook]\ntype = \"http\"\nurl = \"http://collector.invalid/events\"\n{QUICK}\
         proxy = {{ url = \"{}\", username = \"me\", password_env = \"PW\" }}\n",
        proxy.url
    ));
    let home = home.with_variables(&[("PW", "secret")]);
    let service = home.start();
    service.post(&batch(ids(3)));
    wait_for_ids(&proxy, &ids(3));
    let state = proxy.state();
    assert_eq!(header(&state.traffic.headers[0], "proxy-authorization"), "Basic bWU6c2VjcmV0");
    assert_eq!(header(&state.traffic.headers[0], "host"), "collector.invalid");
}

#[test]
fn check_tests_the_url() {
    let target = Target::start(Webhook::default());
    let home = home(&target, "");
    let checked = home.run(&["check", "--connect"]);
    assert!(checked.status.success(), "{checked:?}");
    assert!(target.state().stored.is_empty(), "no event was sent");
    target.fail([Fault::status(401)]);
    let checked = home.run(&["check", "--connect"]);
    assert_eq!(checked.status.code(), Some(1));
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(said.contains("sink hook: it refuses the credentials"), "{said}");
}

//! The sinks `google_secops` and `pubsub` against Google's APIs: events, limits, refusals, outages, each identity, and a
//! search for secrets.

use std::collections::HashSet;
use std::process::Command;

use serde_json::json;

use crate::support::azure::{QUICK, paused};
use crate::support::canary::{TOKEN, assert_silent, text};
use crate::support::clouds::{PYTHON, numbered, written};
use crate::support::events::{batch, ids};
use crate::support::google::{Google, SINKS, key};
use crate::support::targets::Fault;
use crate::support::targets::google::EMAIL;
use crate::support::wait_for;

#[test]
fn events_arrive_with_their_uid() {
    for sink in SINKS {
        let google = Google::start();
        let home = google.home(sink, "");
        let service = home.start();
        service.post(&batch(ids(100)));
        service.wait_until_settled("google");
        assert_eq!(google.ids(), ids(100), "{sink}");
        let state = google.apis.state();
        let is_ocsf = state.stored[0].contains("\"class_uid\"");
        assert_eq!(is_ocsf, sink == "google_secops", "the default format");
        for attributes in &state.attributes {
            let uid = match sink {
                "pubsub" => &attributes["event_uid"],
                _ => &attributes["event_uid"]["value"],
            };
            assert_eq!(uid.as_str().map(str::len), Some(40), "{attributes}");
        }
        let is_compressed = state.traffic.headers[0].contains_key("content-encoding");
        assert_eq!(is_compressed, sink == "google_secops");
        assert_eq!(google.issuer.state().issued, 1);
    }
}

#[test]
fn a_request_is_halved_where_it_is_too_large_or_has_a_bad_event() {
    for sink in SINKS {
        let google = Google::start();
        google.apis.state().limit = 40_000;
        google.apis.state().poison = HashSet::from(["event-0050".to_owned()]);
        let home = google.home(sink, "");
        let service = home.start();
        service.post(&batch(ids(100)));
        service.wait_until_settled("google");
        let mut expected = ids(100);
        expected.remove(50);
        assert_eq!(google.ids(), expected, "{sink}");
        let entries = home.quarantine();
        assert_eq!((entries.len(), &entries[0]["reason"]), (1, &"rejected".into()));
        assert_eq!(entries[0]["target"]["code"], "INVALID_ARGUMENT");
    }
}

#[test]
fn an_outage_and_a_restart_lose_and_double_nothing() {
    for sink in SINKS {
        let google = Google::start();
        google.apis.fail([Fault::retry_after(429, "0"), Fault::status(503), Fault::status(500)]);
        google.issuer.fail([Fault::status(503)]);
        let home = google.home(sink, "batch = { events = 7 }\n");
        let service = home.start();
        service.post(&batch(ids(20)));
        service.wait_until_settled("google");
        google.apis.state().traffic.down = Some(503);
        service.post(&batch(numbered(20..60)));
        wait_for("an attempt", || {
            (service.readiness()["sinks"][0]["state"] == "retrying").then_some(())
        });
        service.kill();
        let service = home.start();
        google.apis.state().traffic.down = None;
        service.wait_until_settled("google");
        assert_eq!(google.ids(), ids(60), "{sink}");
        assert!(home.quarantine().is_empty());
    }
}

#[test]
fn a_missing_role_or_resource_pauses_the_sink_and_check_says_so() {
    for (sink, role, resource) in [
        ("google_secops", "chronicle.logs.import", "no such instance or log type"),
        ("pubsub", "Pub/Sub Publisher", "no such topic"),
    ] {
        let google = Google::start();
        let home = google.home(sink, "");
        let checked = home.run(&["check", "--connect"]);
        assert!(checked.status.success(), "{}", text(&checked));
        assert!(google.apis.state().stored.is_empty(), "a check writes nothing");
        google.apis.state().has_role = false;
        let checked = home.run(&["check", "--connect"]);
        assert!(text(&checked).contains(role), "{}", text(&checked));
        let service = home.start();
        service.post(&batch(ids(3)));
        let reason = paused(&service);
        assert!(reason.contains(role), "{reason}");
        google.apis.state().has_role = true;
        service.wait_until_settled("google");
        assert_eq!(google.ids(), ids(3));
        drop(service);
        let config = std::fs::read_to_string(home.path("test.toml")).expect("read");
        let wrong = config.replace("\"my-project\"", "\"other\"");
        std::fs::write(home.path("test.toml"), wrong).expect("written");
        let checked = home.run(&["check", "--connect"]);
        assert!(text(&checked).contains(resource), "{}", text(&checked));
        assert!(home.quarantine().is_empty(), "no event is to blame");
    }
}

#[test]
fn every_identity_signs_in_and_a_refused_token_is_renewed_once() {
    let file = "credentials_file = \"credentials.json\"\n";
    for kind in ["key", "key in a variable", "metadata", "account", "text", "json", "acts as"] {
        let google = Google::start();
        let account = format!("metadata_server = {{ service_account = \"{EMAIL}\" }}\n");
        let plain = json!({ "file": "subject" });
        let in_json = json!({
            "file": "subject", "format": { "type": "json", "subject_token_field_name": "t" }
        });
        let (keys, credentials, subject) = match kind {
            "metadata" => ("metadata_server = {}\n", json!({}), ""),
            "account" => (account.as_str(), json!({}), ""),
            "text" => (file, google.federated(&plain, false), TOKEN),
            "json" => {
                (file, google.federated(&in_json, false), &*format!("{{\"t\":\"{TOKEN}\"}}").leak())
            }
            "acts as" => (file, google.federated(&plain, true), TOKEN),
            "key in a variable" => ("credentials_env = \"KEY\"\n", google.service_account(), ""),
            _ => (file, google.service_account(), ""),
        };
        let home = google.home_with("pubsub", &format!("{QUICK}{keys}"), &credentials);
        let host = google.issuer.url.strip_prefix("http://").expect("a URL").to_owned();
        let home =
            home.with_variables(&[("GCE_METADATA_HOST", &host), ("KEY", &credentials.to_string())]);
        std::fs::write(home.path("subject"), subject).expect("written");
        let service = home.start();
        service.post(&batch(ids(3)));
        service.wait_until_settled("google");
        google.apis.state().stored.clear();
        google.issuer.state().tokens.lock().expect("a lock").clear();
        service.post(&batch(["other".to_owned()]));
        service.wait_until_settled("google");
        assert_eq!(google.ids(), ["other"], "{kind}");
        assert_eq!(google.apis.state().unauthorized, 1, "{kind}");
        let per_sign_in = if kind == "acts as" { 2 } else { 1 };
        assert_eq!(google.issuer.state().issued, 2 * per_sign_in, "{kind}");
    }
}

/// Google quotes the refused request, and the request has a word that also names a key.
#[test]
fn a_quoted_word_of_the_configuration_pauses_nothing() {
    let google = Google::start();
    google.apis.state().poison = HashSet::from(["event-0001".to_owned()]);
    let home = google.home("google_secops", "forwarder = \"f\"\n");
    let service = home.start();
    service.post(&batch(ids(3)));
    service.wait_until_settled("google");
    assert_eq!(google.ids(), ["event-0000", "event-0002"]);
    let entries = home.quarantine();
    assert_eq!((entries.len(), &entries[0]["reason"]), (1, &"rejected".into()));
}

/// The token of an account that was replaced is valid, but has no role.
#[test]
fn a_token_without_a_role_is_renewed_once() {
    for sink in SINKS {
        let google = Google::start();
        google.apis.fail([Fault::status(403)]);
        let home = google.home(sink, "");
        let service = home.start();
        service.post(&batch(ids(3)));
        service.wait_until_settled("google");
        assert_eq!(google.ids(), ids(3), "{sink}");
        assert_eq!(google.issuer.state().issued, 2, "{sink}");
        let failures = "davinci_siem_sink_failures_total{sink=\"google\",verdict=\"fatal\"}";
        assert_eq!(service.metric(failures), 0.0, "{sink}: it was not paused");
    }
}

#[test]
fn connections_share_one_token() {
    let google = Google::start();
    let home = google.home("pubsub", "concurrency = 4\nbatch = { events = 5 }\n");
    let service = home.start();
    service.post(&batch(ids(200)));
    service.wait_until_settled("google");
    let mut stored = google.ids();
    stored.sort();
    assert_eq!(stored, ids(200));
    assert_eq!(google.issuer.state().issued, 1);
}

#[test]
fn wrong_credentials_pause_the_sink_until_their_file_is_corrected() {
    for (wrong, words) in [
        ("{}", "neither a service account's key nor a federated identity"),
        ("not JSON", "neither a service account's key nor a federated identity"),
        ("key", "is not an RSA key"),
        ("account", "invalid_grant: the key was deleted"),
    ] {
        let google = Google::start();
        // Only the file's change can wake the sink in time.
        let keys =
            "credentials_file = \"credentials.json\"\nretry = { min = \"1ms\", max = \"1h\" }\n";
        let good = google.service_account();
        let home = google.home_with("pubsub", keys, &good);
        let mut other = good.clone();
        let content = match wrong {
            "key" => {
                other["private_key"] = "-----BEGIN PRIVATE KEY-----\nAA==\n".into();
                other.to_string()
            }
            "account" => {
                other["client_email"] = "other@example.com".into();
                other.to_string()
            }
            text => text.to_owned(),
        };
        std::fs::write(home.path("credentials.json"), content).expect("written");
        let service = home.start();
        service.post(&batch(ids(3)));
        let reason = paused(&service);
        assert!(reason.contains(words), "{wrong}: {reason}");
        std::fs::write(home.path("credentials.json"), good.to_string()).expect("written");
        service.wait_until_settled("google");
        assert_eq!(google.ids(), ids(3));
    }
}

/// The private key, the other issuer's token and every access token are secrets.
#[test]
fn no_secret_or_token_is_in_anything_that_the_process_writes() {
    let (pem, _) = key();
    let secret = pem.lines().nth(5).expect("a line of the key");
    for sink in SINKS {
        for is_federated in [false, true] {
            let google = Google::start();
            google.apis.state().poison = HashSet::from(["event-0001".to_owned()]);
            let credentials = match is_federated {
                true => google.federated(&json!({ "file": "subject" }), true),
                false => google.service_account(),
            };
            let keys = format!("{QUICK}credentials_file = \"credentials.json\"\n");
            let home = google.home_with(sink, &keys, &credentials);
            std::fs::write(home.path("subject"), TOKEN).expect("written");
            let service = home.start();
            service.post(&batch(ids(3)));
            service.wait_until_settled("google");
            for output in written(&home, service) {
                assert_silent(&output, TOKEN, sink);
                assert_silent(&output, secret, sink);
            }
        }
    }
}

/// The fakes accept Google's own clients for Python, whose requests have the same target, form and media type as those
/// of the sink.
#[test]
#[ignore = "needs Google's clients for Python, which .ci/cloud-clients installs"]
fn googles_own_clients_send_the_same_requests() {
    let google = Google::start();
    let home = google.home("pubsub", "");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cloud_clients/pubsub.py");
    let output = Command::new(PYTHON)
        .arg(script)
        .arg(home.path("credentials.json"))
        .arg(&google.apis.url)
        .output()
        .expect("python runs: .ci/cloud-clients installs it");
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(google.ids(), ["theirs"]);
    let service = home.start();
    service.post(&batch(ids(1)));
    service.wait_until_settled("google");
    let tokens = google.issuer.state().requested.clone();
    let published = google.apis.state().requested.clone();
    for requests in [tokens, published] {
        assert_eq!(requests.len(), 2, "{requests:?}");
        assert_eq!(requests[0], requests[1], "theirs and ours");
    }
}

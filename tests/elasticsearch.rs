//! The `elasticsearch` sink against a bulk API that judges each document.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

use crate::support::canary::{self, TOKEN};
use crate::support::events::{batch, ids};
use crate::support::service::{Home, Service};
use crate::support::targets::aws::Aws;
use crate::support::targets::elastic::Elastic;
use crate::support::targets::{Fault, Target};
use crate::support::wait_for;

const QUICK: &str = "retry = { min = \"1ms\", max = \"100ms\" }\n";

fn home(target: &Target<Elastic>, more: &str) -> Home {
    let home = Home::new(&format!(
        "[sinks.elastic]\ntype = \"elasticsearch\"\nendpoint = \"{}\"\n{QUICK}{more}",
        target.url
    ));
    home.with_variables(&[("API_KEY", "a2V5"), ("PASSWORD", "secret")])
}

fn wait_until_settled(service: &Service) {
    wait_for("no lag", || {
        (service.metric("davinci_siem_sink_lag_events{sink=\"elastic\"}") == 0.0).then_some(())
    });
}

const API_KEY: &str = "api_key_env = \"API_KEY\"\n";

#[test]
fn each_document_gets_what_it_needs() {
    let busy = HashMap::from([
        ("event-0003".to_owned(), vec![429]),
        ("event-0004".to_owned(), vec![503, 500]),
    ]);
    let target = Target::start(Elastic {
        first: busy,
        poison: HashSet::from(["event-0250".to_owned()]),
        failures: HashSet::from(["event-0007".to_owned()]),
        ..Elastic::new("ApiKey a2V5")
    });
    let home = home(&target, &format!("{API_KEY}batch = {{ events = 500 }}\n"));
    let service = home.start();
    service.post(&batch(ids(500)));
    wait_until_settled(&service);
    let mut stored = target.state().ids();
    stored.sort();
    let mut expected = ids(500);
    expected.remove(250);
    assert_eq!(stored, expected, "all but the bad one, each once");
    assert_eq!(target.state().conflicts, 0, "what was taken is not sent again");
    let found =
        service.metric("davinci_siem_sink_findings_total{kind=\"failure_store\",sink=\"elastic\"}");
    assert_eq!(found, 1.0);
    let entries = home.quarantine();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0]["target"]["code"], "document_parsing_exception");
    assert!(!service.log().contains("failed to parse field"), "no part of an event in the log");
}

#[test]
fn requests_are_signed_for_amazon_opensearch_service() {
    for compression in ["gzip", "none"] {
        let target = Target::start(Elastic {
            signed_with: Some(TOKEN.to_owned()),
            is_opensearch: true,
            ..Elastic::new("")
        });
        let aws = format!(
            "flavor = \"opensearch\"\ncompression = \"{compression}\"\n\
             aws = {{ region = \"eu-central-1\", access_key = {{ id = \"AKIAIOSFODNN7EXAMPLE\", secret_env = \"KEY\" }} }}\n"
        );
        let home = home(&target, &aws).with_variables(&[("KEY", TOKEN)]);
        let checked = home.run(&["check", "--connect"]);
        assert!(checked.status.success(), "{}", canary::text(&checked));
        let service = home.start();
        service.post(&batch(ids(100)));
        wait_until_settled(&service);
        assert_eq!(target.state().ids(), ids(100));
        // The key was replaced at AWS.
        target.state().signed_with = Some("another".to_owned());
        service.post(&batch(["later".to_owned()]));
        wait_for("a pause", || {
            (service.readiness()["sinks"][0]["state"] == "paused").then_some(())
        });
        assert!(home.quarantine().is_empty(), "no event is to blame");
        canary::assert_silent(&canary::shown(&service), TOKEN, "pages");
        let (_, log) = service.terminate();
        canary::assert_silent(&log, TOKEN, "log");
    }
}

/// Each request gets other credentials of the role once, if AWS has revoked the current ones.
#[test]
fn revoked_credentials_of_a_role_are_replaced_for_every_request() {
    let machine = Target::start(Aws::new());
    let target = Target::start(Elastic {
        signed_with: Some(TOKEN.to_owned()),
        revoked: Some("ASIATEMPORARY0000001".to_owned()),
        is_opensearch: true,
        ..Elastic::new("")
    });
    let keys = "flavor = \"opensearch\"\naws = { region = \"eu-central-1\" }\n";
    let home =
        home(&target, keys).with_variables(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &machine.url)]);
    let checked = home.run(&["check", "--connect"]);
    assert!(canary::text(&checked).contains("opensearch 9.1.0"), "{}", canary::text(&checked));
    machine.state().sign_ins.clear();
    let service = home.start();
    service.post(&batch(ids(10)));
    wait_until_settled(&service);
    assert_eq!(target.state().ids(), ids(10));
    assert_eq!(machine.state().sign_ins.len(), 2);
}

#[test]
fn an_answer_that_is_lost_doubles_nothing() {
    let target = Target::start(Elastic::new("ApiKey a2V5"));
    target.fail([Fault::StoreAndReset, Fault::status(502), Fault::Reset(200)]);
    let home = home(&target, API_KEY);
    let service = home.start();
    service.post(&batch(ids(20)));
    wait_until_settled(&service);
    assert_eq!(target.state().ids(), ids(20));
    assert_eq!(target.state().conflicts, 20, "sent again, and known by their ids");
    assert!(home.quarantine().is_empty(), "a conflict is a delivery");
}

#[test]
fn a_request_that_is_too_large_is_halved_until_it_fits() {
    let target = Target::start(Elastic { limit: Some(5000), ..Elastic::new("ApiKey a2V5") });
    let home = home(&target, API_KEY);
    let service = home.start();
    service.post(&batch(ids(50)));
    wait_until_settled(&service);
    assert_eq!(target.state().ids(), ids(50));
    assert!(home.quarantine().is_empty());
}

#[test]
fn a_missing_data_stream_pauses_the_sink() {
    let target = Target::start(Elastic::new("ApiKey a2V5"));
    let more = format!("{API_KEY}data_stream = \"logs-missing-default\"\n");
    let home = home(&target, &more);
    let service = home.start();
    service.post(&batch(ids(3)));
    wait_for("a pause", || {
        let sink = service.readiness()["sinks"][0].clone();
        let reason = sink["reason"].as_str().unwrap_or_default().to_owned();
        (sink["state"] == "paused" && reason.contains("index_not_found_exception")).then_some(())
    });
    assert!(home.quarantine().is_empty() && target.state().stored.is_empty());
}

#[test]
fn opensearch_gets_its_own_request() {
    let opensearch = Elastic { is_opensearch: true, ..Elastic::new("Basic dXNlcjpzZWNyZXQ=") };
    let target = Target::start(opensearch);
    let basic = "basic = { username = \"user\", password_env = \"PASSWORD\" }\n";
    let home = home(&target, &format!("{basic}flavor = \"opensearch\"\n"));
    let checked = home.run(&["check", "--connect"]);
    assert!(checked.status.success(), "{checked:?}");
    assert!(String::from_utf8_lossy(&checked.stdout).contains("opensearch 9.1.0"), "{checked:?}");
    let service = home.start();
    service.post(&batch(ids(3)));
    wait_until_settled(&service);
    assert_eq!(target.state().ids(), ids(3));
}

#[test]
fn documents_speak_ecs_unless_another_format_is_chosen() {
    let target = Target::start(Elastic::new("ApiKey a2V5"));
    let home = home(&target, API_KEY);
    let service = home.start();
    service.post(&batch(ids(3)));
    wait_until_settled(&service);
    let state = target.state();
    assert_eq!(state.stored.len(), 3);
    for (number, (_, document)) in state.stored.iter().enumerate() {
        assert_eq!(document["event"]["id"], format!("event-{number:04}"));
        assert_eq!(document["@timestamp"], "2024-02-15T16:07:03.947Z");
    }
}

#[test]
fn a_wrong_key_is_found_by_check() {
    let target = Target::start(Elastic::new("ApiKey b3RoZXI="));
    let home = home(&target, API_KEY);
    let checked = home.run(&["check", "--connect"]);
    assert_eq!(checked.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&checked.stderr).contains("refuses the credentials"));
}

#[test]
fn check_says_whether_the_mapping_is_that_of_this_release() {
    let stream = "/logs-pingone.davinci-default/_mapping";
    let template = "/_index_template/_simulate_index/logs-pingone.davinci-default";
    let numbered = |version: u64| json!({ "_meta": { "davinci_siem_mapping": version } });
    let other = || json!({ "properties": { "@timestamp": { "type": "date" } } });
    let indices = |mappings: Vec<Value>| {
        let name = |at: usize| format!(".ds-logs-pingone.davinci-default-2026.11.30-{:06}", at + 1);
        let index = |(at, mappings)| (name(at), json!({ "mappings": mappings }));
        Value::Object(mappings.into_iter().enumerate().map(index).collect())
    };
    let of_template = |mappings: Value| json!({ "template": { "mappings": mappings } });
    for (mappings, is_good, part) in [
        (vec![], true, "was not checked (HTTP 403)"),
        (
            vec![(template, of_template(numbered(3)))],
            true,
            "the template of logs-pingone.davinci-default has version 3",
        ),
        (vec![(template, of_template(numbered(1)))], false, "has version 1 of the mapping"),
        (vec![(template, of_template(other()))], false, "does not have davinci-siem's mapping"),
        (vec![(template, json!({}))], false, "no index template matches"),
        (vec![(stream, indices(vec![other(), numbered(3)]))], true, "has version 3 of the mapping"),
        (
            vec![
                (stream, indices(vec![numbered(3), other()])),
                (template, of_template(numbered(3))),
            ],
            false,
            "its template is current; roll it over with POST /logs-pingone.davinci-default/_rollover",
        ),
    ] {
        let mappings = mappings.into_iter().map(|(path, found)| (path.to_owned(), found));
        let elastic = Elastic { mappings: mappings.collect(), ..Elastic::new("ApiKey a2V5") };
        let target = Target::start(elastic);
        let checked = home(&target, API_KEY).run(&["check", "--connect"]);
        let said = [checked.stdout, checked.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(said.contains(part), "{part}: {said}");
        assert_eq!(checked.status.code(), Some(i32::from(!is_good)), "{said}");
        assert!(!target.state().mapping_requests.is_empty() && target.state().stored.is_empty());
    }
    let target = Target::start(Elastic::new("ApiKey a2V5"));
    let native = home(&target, &format!("{API_KEY}format = \"native\"\n"));
    assert!(native.run(&["check", "--connect"]).status.success());
    assert!(target.state().mapping_requests.is_empty(), "only ecs has a mapping");
}

#[test]
fn events_of_two_sources_are_two_documents_however_alike_they_are() {
    let target = Target::start(Elastic::new("ApiKey a2V5"));
    let home = Home::new(&format!(
        "[sources.a]\npath = \"/a\"\n[sources.b]\npath = \"/b\"\n[sinks.elastic]\ntype = \"elasticsearch\"\n\
         endpoint = \"{}\"\n{QUICK}{API_KEY}",
        target.url
    ))
    .with_variables(&[("API_KEY", "a2V5")]);
    let service = home.start();
    let post = |path: &str| {
        let url = format!("http://{}{path}", service.address());
        let client = reqwest::Client::new();
        let answer = crate::support::block_on(client.post(url).body(batch(ids(1))).send());
        assert_eq!(answer.expect("an answer").status(), 200);
    };
    post("/a");
    post("/b");
    post("/a");
    wait_until_settled(&service);
    assert_eq!(target.state().stored.len(), 2, "no document took the place of another");
}

//! The `sentinel` sink against the Logs Ingestion API and the issuers of its tokens.

use std::collections::HashSet;

use chrono::{TimeDelta, Utc};
use serde_json::Value;

use crate::support::canary::{TOKEN, assert_silent, shown, text};
use crate::support::events::{ids, minted};
use crate::support::service::{Home, Service};
use crate::support::targets::azure::{CLIENT, Ingestion, Issuer, RULE, STREAM, TENANT};
use crate::support::targets::{Fault, Target};
use crate::support::wait_for;

const QUICK: &str = "retry = { min = \"1ms\", max = \"100ms\" }\n";

/// Both targets, and a service that delivers to them.
struct Azure {
    issuer: Target<Issuer>,
    ingestion: Target<Ingestion>,
}

impl Azure {
    fn start() -> Azure {
        let issuer = Target::start(Issuer::new());
        let ingestion = Target::start(Ingestion::new(issuer.state().tokens.clone()));
        Azure { issuer, ingestion }
    }

    /// A home whose sink signs in with a client secret.
    fn home(&self, more: &str) -> Home {
        let secret = format!(
            "client_secret = {{ tenant_id = \"{TENANT}\", client_id = \"{CLIENT}\", secret_env = \"SECRET\" }}\n"
        );
        self.home_of(&format!("{secret}{more}"))
    }

    /// A home whose sink signs in as `identity` says.
    fn home_of(&self, identity: &str) -> Home {
        let home = Home::new(&format!(
            "[sinks.sentinel]\ntype = \"sentinel\"\nendpoint = \"{}\"\nrule_id = \"{RULE}\"\n\
             authority = \"{}\"\n{QUICK}{identity}",
            self.ingestion.url, self.issuer.url
        ));
        home.with_variables(&[("SECRET", TOKEN)])
    }

    fn issued(&self) -> usize {
        self.issuer.state().issued
    }

    fn ids(&self) -> Vec<String> {
        self.ingestion.state().ids()
    }
}

/// Events that happened `age` ago.
fn aged(ids: impl IntoIterator<Item = String>, age: TimeDelta) -> String {
    let time = (Utc::now() - age).to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    let events = ids.into_iter().map(|id| {
        let mut event: Value = serde_json::from_str(&minted(&id)).expect("JSON");
        event["recordedAt"] = time.clone().into();
        event["_embedded"]["flowInteractionEvent"]["tsEms"] = time.clone().into();
        event.to_string()
    });
    format!("[{}]", events.collect::<Vec<_>>().join(","))
}

fn fresh(ids: impl IntoIterator<Item = String>) -> String {
    aged(ids, TimeDelta::zero())
}

fn finding(service: &Service, kind: &str) -> f64 {
    let name = format!("davinci_siem_sink_findings_total{{kind=\"{kind}\",sink=\"sentinel\"}}");
    service.metric(&name)
}

/// The reason for which the sink is paused, once it is.
fn paused(service: &Service) -> String {
    wait_for("the pause", || {
        let sink = service.readiness()["sinks"][0].clone();
        (sink["state"] == "paused").then(|| sink["reason"].as_str().unwrap_or_default().to_owned())
    })
}

#[test]
fn events_become_rows_of_the_table() {
    let azure = Azure::start();
    let home = azure.home("");
    let service = home.start();
    service.post(&fresh(ids(100)));
    service.wait_until_settled("sentinel");
    assert_eq!(azure.ids(), ids(100));
    assert_eq!(azure.issued(), 1);
    let state = azure.ingestion.state();
    for record in &state.stored {
        assert_eq!(record["TimeGenerated"], record["EventTime"]);
        assert_eq!(record["RecordUid"].as_str().map(str::len), Some(40));
        assert_eq!(record["event"]["action"], "davinci_interaction.custom_analytics");
        assert!(record.get("@timestamp").is_none(), "it is no column");
    }
    assert_eq!(state.traffic.headers[0]["content-encoding"], "gzip");
    assert_eq!(finding(&service, "time_replaced"), 0.0);
}

#[test]
fn other_formats_are_one_column() {
    for format in ["native", "ocsf"] {
        let azure = Azure::start();
        let home = azure.home(&format!("format = \"{format}\"\n"));
        let service = home.start();
        service.post(&fresh(ids(3)));
        service.wait_until_settled("sentinel");
        assert_eq!(azure.ids(), ids(3), "{format}");
        assert!(azure.ingestion.state().stored.iter().all(|row| row["RawEvent"].is_object()));
    }
}

#[test]
fn a_token_is_renewed_before_it_expires() {
    let azure = Azure::start();
    azure.issuer.state().lifetime = 1;
    let home = azure.home("");
    let service = home.start();
    let mut posted = 0;
    wait_for("three tokens", || {
        service.post(&fresh([format!("event-{posted:04}")]));
        posted += 1;
        service.wait_until_settled("sentinel");
        (azure.issued() >= 3).then_some(())
    });
    assert_eq!(azure.ids(), ids(posted));
    assert_eq!(azure.ingestion.state().unauthorized, 0, "no request had an old token");
}

#[test]
fn a_refused_token_is_renewed_once_and_nothing_is_lost() {
    let azure = Azure::start();
    let home = azure.home("");
    let service = home.start();
    service.post(&fresh(ids(1)));
    service.wait_until_settled("sentinel");
    azure.issuer.state().tokens.revoke();
    service.post(&fresh(["other".to_owned()]));
    service.wait_until_settled("sentinel");
    assert_eq!(azure.ids(), ["event-0000", "other"]);
    assert_eq!((azure.issued(), azure.ingestion.state().unauthorized), (2, 1));
    let failures = "davinci_siem_sink_failures_total{sink=\"sentinel\",verdict=\"fatal\"}";
    assert_eq!(service.metric(failures), 0.0, "the sink was not paused");
}

#[test]
fn tokens_that_are_never_accepted_pause_the_sink() {
    let azure = Azure::start();
    azure.ingestion.state().refuses_tokens = true;
    let home = azure.home("");
    let service = home.start();
    service.post(&fresh(ids(3)));
    let reason = paused(&service);
    assert!(reason.contains("refuses the access token"), "{reason}");
    azure.ingestion.state().refuses_tokens = false;
    service.wait_until_settled("sentinel");
    assert_eq!(azure.ids(), ids(3));
    assert!(home.quarantine().is_empty());
}

#[test]
fn a_wrong_secret_pauses_the_sink_until_its_file_is_corrected() {
    let azure = Azure::start();
    let identity = format!(
        "client_secret = {{ tenant_id = \"{TENANT}\", client_id = \"{CLIENT}\", secret_file = \"secret\" }}\n"
    );
    // Only the file's change can wake the sink.
    let home = azure.home_of(&identity.replace('\n', "\nretry.max = \"1h\"\n")).with_variables(&[]);
    let config = std::fs::read_to_string(home.path("test.toml")).expect("read");
    std::fs::write(home.path("test.toml"), config.replace(QUICK, "")).expect("written");
    std::fs::write(home.path("secret"), "an-expired-secret").expect("written");
    let service = home.start();
    service.post(&fresh(ids(3)));
    let reason = paused(&service);
    assert!(reason.contains("AADSTS7000215") && reason.contains("write its value"), "{reason}");
    std::fs::write(home.path("secret"), TOKEN).expect("written");
    service.wait_until_settled("sentinel");
    assert_eq!(azure.ids(), ids(3));
}

#[test]
fn every_identity_signs_in() {
    let workload = format!(
        "workload_identity = {{ tenant_id = \"{TENANT}\", client_id = \"{CLIENT}\", token_file = \"token\" }}\n"
    );
    for (identity, is_app, query) in [
        (workload.as_str(), false, ""),
        ("workload_identity = {}\n", false, ""),
        ("managed_identity = {}\n", false, "resource=https%3A%2F%2Fmonitor.azure.com"),
        (&format!("managed_identity = {{ object_id = \"{CLIENT}\" }}\n"), false, "object_id="),
        (&format!("managed_identity = {{ client_id = \"{CLIENT}\" }}\n"), true, "client_id="),
        (&format!("managed_identity = {{ object_id = \"{CLIENT}\" }}\n"), true, "principal_id="),
        ("managed_identity = { resource_id = \"/subscriptions/x\" }\n", true, "mi_res_id=%2Fsub"),
    ] {
        let azure = Azure::start();
        let home = azure.home_of(identity);
        let token = home.path("token").display().to_string();
        let endpoint = format!("{}/msi/token", azure.issuer.url);
        let app = [("IDENTITY_ENDPOINT", endpoint.as_str()), ("IDENTITY_HEADER", TOKEN)];
        let home = home
            .with_variables(&[
                ("AZURE_TENANT_ID", TENANT),
                ("AZURE_CLIENT_ID", CLIENT),
                ("AZURE_FEDERATED_TOKEN_FILE", &token),
                ("AZURE_POD_IDENTITY_AUTHORITY_HOST", &azure.issuer.url),
            ])
            .with_variables(if is_app { &app } else { &[] });
        std::fs::write(&token, TOKEN).expect("written");
        let service = home.start();
        service.post(&fresh(ids(3)));
        service.wait_until_settled("sentinel");
        assert_eq!(azure.ids(), ids(3), "{identity}");
        let queries = azure.issuer.state().queries.join(" ");
        assert!(queries.contains(query), "{identity}: {queries}");
        // The other issuer's token is read again for each request.
        azure.issuer.state().assertion = "another".to_owned();
        std::fs::write(&token, "another").expect("written");
        azure.issuer.state().tokens.revoke();
        service.post(&fresh(["other".to_owned()]));
        service.wait_until_settled("sentinel");
        assert_eq!(azure.ids().len(), 4, "{identity}");
    }
}

#[test]
fn connections_share_one_token() {
    let azure = Azure::start();
    let home = azure.home("concurrency = 4\nbatch = { events = 5 }\n");
    let service = home.start();
    service.post(&fresh(ids(200)));
    service.wait_until_settled("sentinel");
    let mut stored = azure.ids();
    stored.sort();
    assert_eq!(stored, ids(200));
    assert_eq!(azure.issued(), 1);
}

#[test]
fn a_request_stays_below_the_limit_and_is_halved_where_the_limit_is_lower() {
    let azure = Azure::start();
    let home = azure.home("");
    let service = home.start();
    let large: Vec<String> = (0..20)
        .map(|number| {
            let noise = "0123456789abcdef".repeat(5_000);
            let mut event: Value =
                serde_json::from_str(&fresh([format!("event-{number:04}")])).expect("JSON");
            event[0]["result"]["description"] = noise.into();
            event[0].to_string()
        })
        .collect();
    service.post(&format!("[{}]", large.join(",")));
    service.wait_until_settled("sentinel");
    assert_eq!(azure.ids(), ids(20));
    assert!(azure.ingestion.state().sizes.len() > 1, "more than 1 MB before compression");
    assert_eq!(azure.ingestion.requests(), azure.ingestion.state().sizes.len(), "none was refused");
    assert_eq!(finding(&service, "truncated"), 20.0, "Azure cuts fields above 64 KB");

    let azure = Azure::start();
    azure.ingestion.state().limit = 5_000;
    let home = azure.home("");
    let service = home.start();
    service.post(&fresh(ids(50)));
    service.wait_until_settled("sentinel");
    assert_eq!(azure.ids(), ids(50));
    assert!(home.quarantine().is_empty());
}

#[test]
fn throttling_and_errors_are_waited_for() {
    let azure = Azure::start();
    azure.ingestion.fail([
        Fault::retry_after(429, "1"),
        Fault::status(503),
        Fault::status(500),
        Fault::Reset(204),
    ]);
    azure.issuer.fail([Fault::retry_after(429, "0"), Fault::status(500)]);
    let home = azure.home("").with_variables(&[]);
    let config = std::fs::read_to_string(home.path("test.toml")).expect("read");
    std::fs::write(home.path("test.toml"), config.replace("\"100ms\"", "\"2s\"")).expect("written");
    let service = home.start();
    service.post(&fresh(ids(3)));
    service.wait_until_settled("sentinel");
    assert_eq!(azure.ids(), ids(3));
    let times = azure.ingestion.state().traffic.times.clone();
    assert!((times[1] - times[0]).as_secs() >= 1, "Retry-After is honoured: {times:?}");
    assert!(home.quarantine().is_empty());
}

#[test]
fn a_bad_event_becomes_a_dead_letter_and_its_neighbours_arrive_once() {
    let azure = Azure::start();
    azure.ingestion.state().poison = HashSet::from(["event-0050".to_owned()]);
    let home = azure.home("");
    let service = home.start();
    service.post(&fresh(ids(100)));
    service.wait_until_settled("sentinel");
    let mut expected = ids(100);
    expected.remove(50);
    assert_eq!(azure.ids(), expected);
    let entries = home.quarantine();
    assert_eq!(entries.len(), 1);
    assert_eq!(
        (&entries[0]["reason"], &entries[0]["target"]["code"]),
        (&"rejected".into(), &"InvalidPayload".into())
    );
}

#[test]
fn a_missing_role_rule_or_stream_pauses_the_sink_and_check_says_so() {
    let other = "dcr-ffffffffffffffffffffffffffffffff";
    for (before, after, words) in [
        ("", "", "Monitoring Metrics Publisher"),
        (RULE, other, "no such rule"),
        (
            "type = \"sentinel\"",
            "type = \"sentinel\"\nstream = \"Custom-Other\"",
            "does not declare this stream",
        ),
    ] {
        let azure = Azure::start();
        azure.ingestion.state().has_role = !before.is_empty();
        let home = azure.home("");
        let config = std::fs::read_to_string(home.path("test.toml")).expect("read");
        let wrong = if before.is_empty() { config.clone() } else { config.replace(before, after) };
        std::fs::write(home.path("test.toml"), wrong).expect("written");
        let checked = home.run(&["check", "--connect"]);
        assert_eq!(checked.status.code(), Some(1), "{words}");
        assert!(text(&checked).contains(words), "{words}: {}", text(&checked));
        let service = home.start();
        service.post(&fresh(ids(3)));
        let reason = paused(&service);
        assert!(reason.contains(words), "{reason}");
        assert!(home.quarantine().is_empty(), "no event is to blame");
        if before.is_empty() {
            // The role takes effect after some minutes.
            azure.ingestion.state().has_role = true;
            service.wait_until_settled("sentinel");
            assert_eq!(azure.ids(), ids(3));
        }
    }
    let azure = Azure::start();
    let checked = azure.home("").run(&["check", "--connect"]);
    assert!(checked.status.success(), "{}", text(&checked));
    assert!(text(&checked).contains("accepts the identity for this rule and stream"));
    assert!(azure.ingestion.state().stored.is_empty(), "a check writes nothing");
    assert!(STREAM.starts_with("Custom-"));
}

#[test]
fn an_outage_and_a_restart_lose_and_double_nothing() {
    let azure = Azure::start();
    let home = azure.home("batch = { events = 7 }\n");
    let service = home.start();
    service.post(&fresh(ids(20)));
    service.wait_until_settled("sentinel");
    azure.ingestion.state().traffic.down = Some(503);
    let later: Vec<String> = (20..60).map(|number| format!("event-{number:04}")).collect();
    service.post(&fresh(later));
    wait_for("an attempt", || {
        (service.readiness()["sinks"][0]["state"] == "retrying").then_some(())
    });
    service.kill();
    let service = home.start();
    azure.ingestion.state().traffic.down = None;
    service.wait_until_settled("sentinel");
    assert_eq!(azure.ids(), ids(60));
    assert!(home.quarantine().is_empty());
}

#[test]
fn old_events_are_sent_or_become_dead_letters() {
    let old = || ["old-1".to_owned(), "old-2".to_owned()];
    let azure = Azure::start();
    let home = azure.home("");
    let service = home.start();
    service.post(&aged(old(), TimeDelta::hours(49)));
    service.post(&fresh(ids(3)));
    service.wait_until_settled("sentinel");
    assert_eq!(azure.ids().len(), 5);
    assert_eq!(finding(&service, "time_replaced"), 2.0);
    for record in azure.ingestion.state().stored.iter().take(2) {
        assert_ne!(record["TimeGenerated"], record["EventTime"], "Azure replaces the time");
    }

    let azure = Azure::start();
    let home = azure.home("old_events = \"dead_letter\"\nbatch = { age = \"200ms\" }\n");
    let service = home.start();
    let mixed = [
        aged(old(), TimeDelta::hours(49)),
        fresh(ids(3)),
        aged(["edge".to_owned()], TimeDelta::hours(46)),
    ];
    let mixed: Vec<Value> = mixed
        .iter()
        .flat_map(|list| serde_json::from_str::<Vec<Value>>(list).expect("a list"))
        .collect();
    service.post(&Value::from(mixed).to_string());
    service.wait_until_settled("sentinel");
    let mut expected = ids(3);
    expected.push("edge".to_owned());
    assert_eq!(azure.ids(), expected);
    let entries = home.quarantine();
    assert_eq!(entries.len(), 2);
    for entry in &entries {
        assert_eq!(entry["reason"], "too_old");
        assert!(
            entry["detail"].as_str().is_some_and(|text| text.contains("older than 47 h")),
            "{entry}"
        );
    }
    let count = |name: &str| service.metric(&format!("davinci_siem_sink_{name}"));
    assert_eq!(count("failures_total{sink=\"sentinel\",verdict=\"too_old\"}"), 2.0);
    assert_eq!(count("events_total{result=\"dead_lettered\",sink=\"sentinel\"}"), 2.0);
    assert_eq!(count("events_total{result=\"delivered\",sink=\"sentinel\"}"), 4.0);
    let listed = home.run(&["quarantine", "list", "--reason", "too_old", "--json"]);
    assert_eq!(String::from_utf8_lossy(&listed.stdout).lines().count(), 2, "{}", text(&listed));
}

/// The client secret, the other issuer's token, the app's header and every access token hold the canary.
#[test]
fn no_secret_or_token_is_in_anything_that_the_process_writes() {
    let workload = format!(
        "workload_identity = {{ tenant_id = \"{TENANT}\", client_id = \"{CLIENT}\", token_file = \"token\" }}\n"
    );
    let secret = format!(
        "client_secret = {{ tenant_id = \"{TENANT}\", client_id = \"{CLIENT}\", secret_env = \"SECRET\" }}\n"
    );
    for (identity, is_refused) in [
        (&secret, false),
        (&secret, true),
        (&workload, false),
        (&workload, true),
        (&"managed_identity = {}\n".to_owned(), false),
    ] {
        let azure = Azure::start();
        azure.ingestion.state().poison = HashSet::from(["event-0001".to_owned()]);
        if is_refused {
            azure.issuer.state().secret = "another".to_owned();
            azure.issuer.state().assertion = "another".to_owned();
        }
        let home = azure.home_of(identity);
        std::fs::write(home.path("token"), TOKEN).expect("written");
        let endpoint = format!("{}/msi/token", azure.issuer.url);
        let home =
            home.with_variables(&[("IDENTITY_ENDPOINT", &endpoint), ("IDENTITY_HEADER", TOKEN)]);
        let service = home.start();
        service.post(&fresh(ids(3)));
        match is_refused {
            true => drop(paused(&service)),
            false => service.wait_until_settled("sentinel"),
        }
        let mut written = vec![shown(&service)];
        for arguments in [
            &["sink", "list", "--json"][..],
            &["quarantine", "list", "--json"],
            &["quarantine", "export"],
            &["quarantine", "show", "1"],
            &["status"],
            &["check"],
            &["check", "--connect"],
        ] {
            written.push(text(&home.run_with(&service, arguments)));
        }
        let answers = written.join("\n");
        assert!(is_refused || answers.contains("authorization: Bearer [secret]"), "{answers}");
        written.push(service.terminate().1);
        for name in ["spool.db", "spool.db-wal"] {
            let bytes = std::fs::read(home.path("data").join(name)).unwrap_or_default();
            written.push(String::from_utf8_lossy(&bytes).into_owned());
        }
        for said in &written {
            assert_silent(said, TOKEN, identity);
        }
    }
}

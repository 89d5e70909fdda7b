//! The `nats` sink against real NATS servers: every kind of credentials, and every failure.

use std::collections::HashMap;

use async_nats::jetstream::stream::{Config, DiscardPolicy};
use nkeys::KeyPair;
use sha2::Digest;

use crate::support::certificates::Certificates;
use crate::support::events::{batch, equal, ids, large, minted};
use crate::support::nats::operator::Operator;
use crate::support::nats::{Client, Cluster, Stored};
use crate::support::service::{Home, Service};
use crate::support::wait_for;

const ENVIRONMENT: &str = "9f835dca-fa37-489b-b835-6587ef71e5d8";
const QUICK: &str = "retry = { min = \"1ms\", max = \"100ms\" }\n";
const PATIENT: &[(&str, &str)] = &[("DAVINCI_SIEM__SINKS__NATS__RETRY__MAX", "1h")];

fn home(servers: &str, more: &str) -> Home {
    Home::new(&format!("[sinks.nats]\ntype = \"nats\"\nservers = {servers}\n{QUICK}{more}\n"))
}

/// Creates a stream for all subjects of the sink.
fn events() -> Config {
    Config { name: "EVENTS".into(), subjects: vec!["pingone.>".into()], ..Config::default() }
}

fn arrived(client: &Client) -> Vec<String> {
    client.messages("EVENTS").iter().map(|stored| stored.header("event_id").to_owned()).collect()
}

fn wait_until_paused(service: &Service, said: &str) {
    wait_for(said, || {
        let sink = service.readiness()["sinks"][0].clone();
        let reason = sink["reason"].as_str().unwrap_or_default().to_owned();
        (sink["state"] == "paused" && reason.contains(said)).then_some(())
    });
}

fn wait_until_retrying(service: &Service, said: &str) {
    wait_for(said, || {
        let sink = service.readiness()["sinks"][0].clone();
        let reason = sink["reason"].as_str().unwrap_or_default().to_owned();
        (sink["state"] == "retrying" && reason.contains(said)).then_some(())
    });
}

/// Returns the output of `check --connect`, and true if it succeeded.
fn probe(home: &Home) -> (bool, String) {
    let output = home.run(&["check", "--connect"]);
    let said = String::from_utf8(output.stdout).expect("UTF-8")
        + &String::from_utf8(output.stderr).expect("UTF-8");
    (output.status.success(), said)
}

#[test]
#[ignore = "needs nats-server; .ci/nats unpacks it"]
fn events_arrive_in_order_with_their_names() {
    let cluster = Cluster::start(1);
    let client = cluster.client();
    client.stream(events());
    let home = home(&cluster.urls(), "stream = \"EVENTS\"\n");
    let (is_good, said) = probe(&home);
    assert!(is_good && said.contains("the stream EVENTS takes pingone.davinci.*.*"), "{said}");
    let service = home.start();
    service.post(&batch(ids(2500)));
    service.wait_until_settled("nats");
    let stored = client.messages("EVENTS");
    assert_eq!(arrived(&client), ids(2500), "each once, in order");
    let Stored { subject, body, .. } = &stored[7];
    assert_eq!(*subject, format!("pingone.davinci.{ENVIRONMENT}.CUSTOM_ANALYTICS"));
    assert!(equal(body, &minted("event-0007")));
    for (name, value) in [
        ("action_type", "DAVINCI_INTERACTION.CUSTOM_ANALYTICS"),
        ("schema", "native"),
        ("content-type", "application/json"),
        ("Nats-Expected-Stream", "EVENTS"),
    ] {
        assert_eq!(stored[7].header(name), value);
    }
    let mut key = b"davinci-siem uid v2".to_vec();
    for part in ["pingone", "event-0007"] {
        key.extend((part.len() as u64).to_le_bytes());
        key.extend(part.as_bytes());
    }
    let recorded_at: chrono::DateTime<chrono::Utc> =
        "2024-02-15T16:07:03.995Z".parse().expect("a time");
    key.extend(recorded_at.timestamp().to_le_bytes());
    key.extend(recorded_at.timestamp_subsec_nanos().to_le_bytes());
    let uid = sha2::Sha256::digest(key);
    let uid: String = uid[..20].iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(stored[7].header("Nats-Msg-Id"), uid);
}

#[test]
#[ignore = "needs nats-server; .ci/nats unpacks it"]
fn the_schema_header_names_the_format() {
    let cluster = Cluster::start(1);
    let client = cluster.client();
    client.stream(events());
    let home = home(&cluster.urls(), "format = \"ecs\"\nsubject = \"pingone.{outcome}\"\n");
    let service = home.start();
    service.post(&batch(ids(1)));
    service.wait_until_settled("nats");
    let stored = &client.messages("EVENTS")[0];
    assert_eq!((stored.subject.as_str(), stored.header("schema")), ("pingone.success", "ecs"));
    assert!(stored.body.contains("\"@timestamp\""));
}

#[test]
#[ignore = "needs nats-server; .ci/nats unpacks it"]
fn every_way_to_say_who_we_are_is_understood() {
    let (good, bad) = (KeyPair::new_user(), KeyPair::new_user());
    let seed = |key: &KeyPair| key.seed().expect("a seed");
    let nkey = format!("authorization {{ users: [{{ nkey: {} }}] }}", good.public_key());
    let operator = Operator::new();
    for (server, keys, good, bad) in [
        (
            "authorization { token: \"right\" }".to_owned(),
            "token_file = \"secret\"",
            "right".to_owned(),
            "wrong".to_owned(),
        ),
        (
            "authorization { user: davinci, password: \"right\" }".to_owned(),
            "basic = { username = \"davinci\", password_file = \"secret\" }",
            "right".to_owned(),
            "wrong".to_owned(),
        ),
        (nkey, "nkey_file = \"secret\"", seed(&good), seed(&bad)),
        (
            operator.server(),
            "credentials_file = \"secret\"",
            operator.credentials(&operator.account),
            operator.credentials(&KeyPair::new_account()),
        ),
    ] {
        let mut cluster = Cluster::start_with(1, &server);
        let home = home(&cluster.urls(), keys).with_variables(PATIENT);
        std::fs::write(home.path("secret"), format!("{bad}\n")).expect("written");
        let service = home.start();
        service.post(&batch(ids(3)));
        wait_until_paused(&service, "the server refuses the credentials");
        assert!(!service.log().contains(bad.lines().last().expect("a line")), "{keys}");
        // With accepted credentials, the check reports the missing stream.
        std::fs::write(home.path("secret"), format!("{good}\n")).expect("written");
        wait_until_paused(&service, "no stream takes pingone.davinci.*.*");
        let (is_good, said) = probe(&home);
        assert!(!is_good && said.contains("no stream takes"), "{keys}: {said}");
        // Credentials are read again for each connection, so that the new ones are accepted.
        cluster.node(0).restart();
        service.wait_for_log("connected to NATS again");
    }
}

#[test]
#[ignore = "needs nats-server; .ci/nats unpacks it"]
fn revoked_credentials_pause_the_sink() {
    let mut cluster = Cluster::start_with(1, "authorization { token: \"first\" }");
    let home = home(&cluster.urls(), "token_file = \"secret\"").with_variables(PATIENT);
    std::fs::write(home.path("secret"), "first").expect("written");
    let service = home.start();
    service.post(&batch(ids(3)));
    // The server accepts the credentials, and the sink reports the missing stream.
    wait_until_paused(&service, "no stream takes");
    let config = cluster.nodes[0].directory().join("nats.conf");
    let text = std::fs::read_to_string(&config).expect("the configuration");
    std::fs::write(&config, text.replace("first", "second")).expect("written");
    cluster.node(0).restart();
    assert!(home.run_with(&service, &["sink", "resume", "nats"]).status.success());
    wait_until_paused(&service, "the server refuses the credentials");
    std::fs::write(home.path("secret"), "second").expect("written");
    wait_until_paused(&service, "no stream takes");
}

#[test]
#[ignore = "needs nats-server; .ci/nats unpacks it"]
fn both_sides_show_their_certificates() {
    let directory = tempfile::tempdir().expect("a directory");
    let certificates = Certificates::new(directory.path(), "own");
    let strangers = Certificates::new(directory.path(), "strangers");
    let server = certificates.issue("localhost", |_| ());
    let tls = format!(
        "tls {{ cert_file: {:?}, key_file: {:?}, ca_file: {:?}, verify: true }}",
        server.certificate, server.key, certificates.ca
    );
    let cluster = Cluster::start_with(1, &tls);
    let (ca, certificate, key) = (&certificates.ca, &certificates.client, &certificates.client_key);
    for (tls, said) in [
        (
            format!("{{ ca = {ca:?}, certificate = {certificate:?}, key = {key:?} }}"),
            "no stream takes",
        ),
        (format!("{{ ca = {ca:?} }}"), "The server wants a client certificate"),
        (
            format!(
                "{{ ca = {ca:?}, certificate = {:?}, key = {:?} }}",
                strangers.client, strangers.client_key
            ),
            "The server wants a client certificate",
        ),
        (format!("{{ ca = {:?} }}", strangers.ca), "Name the server's own authority with tls.ca"),
        (format!("{{ ca = {key:?} }}"), "holds no usable certificate"),
    ] {
        let (is_good, answer) = probe(&home(&cluster.urls(), &format!("tls = {tls}")));
        assert!(!is_good && answer.contains(said), "{tls}: {answer}");
    }
    let by_address = cluster.urls().replace("localhost", "127.0.0.1");
    let (_, answer) = probe(&home(&by_address, &format!("tls = {{ ca = {ca:?} }}")));
    assert!(answer.contains("Write the name that is in the server's certificate"), "{answer}");
    let plain = Cluster::start(1);
    let servers = plain.urls().replace("nats://", "tls://");
    let (_, answer) = probe(&home(&servers, &format!("tls = {{ ca = {ca:?} }}")));
    assert!(answer.contains("TLS: ") && answer.contains("The server may speak no TLS"), "{answer}");
}

#[test]
#[ignore = "needs nats-server; .ci/nats unpacks it"]
fn servers_that_are_not_there_are_named() {
    let port = crate::support::free_port();
    for (servers, said) in [
        (
            format!("[\"nats://127.0.0.1:{port}\"]"),
            format!("nats://127.0.0.1:{port}: cannot connect: "),
        ),
        (
            "[\"nats://nowhere.invalid\"]".to_owned(),
            "nats://nowhere.invalid: no such host: ".to_owned(),
        ),
    ] {
        let (is_good, answer) = probe(&home(&servers, ""));
        assert!(!is_good && answer.contains(&said), "{answer}");
    }
    let plain = home("[\"nats://nowhere.invalid\"]", "token_env = \"T\"");
    let plain = plain.with_variables(&[("T", "t")]);
    let service = plain.start();
    service.post(&batch(ids(1)));
    service.wait_for_log("in the clear");
}

#[test]
#[ignore = "needs nats-server; .ci/nats unpacks it"]
fn a_full_stream_holds_the_sink_up_until_there_is_room() {
    let cluster = Cluster::start(1);
    let client = cluster.client();
    client.stream(Config { max_messages: 100, discard: DiscardPolicy::New, ..events() });
    let home = home(&cluster.urls(), "");
    let service = home.start();
    service.post(&batch(ids(150)));
    wait_until_retrying(&service, "the stream cannot store more");
    assert_eq!(arrived(&client), ids(150)[..100]);
    client.purge("EVENTS");
    service.wait_until_settled("nats");
    let mut rest = arrived(&client);
    // Messages that were in flight when room became free may come before the refused ones.
    rest.sort_unstable();
    assert_eq!(rest, ids(150)[100..], "each once");
    assert!(home.quarantine().is_empty());
}

#[test]
#[ignore = "needs nats-server; .ci/nats unpacks it"]
fn a_missing_stream_pauses_the_sink_until_it_is_made() {
    let cluster = Cluster::start(1);
    let client = cluster.client();
    let home = home(&cluster.urls(), "").with_variables(PATIENT);
    let service = home.start();
    service.post(&batch(ids(20)));
    wait_until_paused(&service, "no stream takes pingone.davinci.*.*; add one with this subject");
    client.stream(events());
    assert!(home.run_with(&service, &["sink", "resume", "nats"]).status.success());
    service.wait_until_settled("nats");
    assert_eq!(arrived(&client), ids(20));
}

#[test]
#[ignore = "needs nats-server; .ci/nats unpacks it"]
fn another_stream_than_expected_pauses_the_sink() {
    let cluster = Cluster::start(1);
    let client = cluster.client();
    client.stream(events());
    let home = home(&cluster.urls(), "stream = \"OTHERS\"").with_variables(PATIENT);
    let (is_good, said) = probe(&home);
    assert!(!is_good && said.contains("goes to the stream EVENTS, not to OTHERS"), "{said}");
    let service = home.start();
    service.post(&batch(ids(2)));
    wait_until_paused(&service, "another stream than \"OTHERS\" takes the subject");
    assert_eq!(client.count("EVENTS"), 0);
}

#[test]
#[ignore = "needs nats-server; .ci/nats unpacks it"]
fn an_event_that_is_too_large_becomes_a_dead_letter_and_the_others_arrive() {
    for (server, limit) in [("max_payload: 50KB", -1), ("", 50_000)] {
        let cluster = Cluster::start_with(1, server);
        let client = cluster.client();
        client.stream(Config { max_message_size: limit, ..events() });
        let home = home(&cluster.urls(), "");
        let service = home.start();
        let texts = [minted("event-0000"), large("big"), minted("event-0001")];
        let large = texts[1].trim_matches(['[', ']']);
        service.post(&format!("[{},{large},{}]", texts[0], texts[2]));
        service.wait_until_settled("nats");
        assert_eq!(arrived(&client), ids(2));
        assert_eq!(home.quarantine().len(), 1);
    }
}

#[test]
#[ignore = "needs nats-server; .ci/nats unpacks it"]
fn a_forbidden_subject_pauses_the_sink_at_once() {
    let users = "authorization { users: [ { user: davinci, password: right, permissions: \
                 { publish: [\"$JS.API.>\"], subscribe: \"_INBOX.>\" } }, \
                 { user: admin, password: admin } ] }\nno_auth_user: admin";
    let cluster = Cluster::start_with(1, users);
    let client = cluster.client();
    client.stream(events());
    let keys = "basic = { username = \"davinci\", password_env = \"P\" }\ntimeout = \"1h\"";
    let home =
        home(&cluster.urls(), keys).with_variables(PATIENT).with_variables(&[("P", "right")]);
    let service = home.start();
    service.post(&batch(ids(20)));
    // Before the timeout: no acknowledgement would arrive.
    wait_until_paused(&service, "does not let this user publish to pingone.davinci.*.*");
    assert!(!service.log().contains(ENVIRONMENT), "a subject is made of an event");
    assert_eq!(client.count("EVENTS"), 0);
}

const ROUNDS: usize = 4;
const PER_ROUND: usize = 500;
const PER_BATCH: usize = 50;

fn in_batches() -> String {
    format!("batch = {{ events = {PER_BATCH} }}\ntimeout = \"5s\"\n")
}

/// Asserts that each event is stored once, because the stream drops duplicates, and in order. Exception: after a lost
/// connection, the client first sends the messages of the batch that it has buffered.
fn assert_once(found: &[String], all: &[String]) {
    let mut sorted = found.to_vec();
    sorted.sort_unstable();
    assert!(sorted == all, "{} of {}, each once", found.len(), all.len());
    let place: HashMap<&String, usize> = all.iter().zip(0..).collect();
    for (index, id) in found.iter().enumerate() {
        assert!(place[id].abs_diff(index) < PER_BATCH, "{id} is at {index}, far from its place");
    }
}

/// Returns the events of one round.
fn post_round(service: &Service, round: usize) {
    let all = ids(ROUNDS * PER_ROUND);
    service.post(&batch(all.into_iter().skip(round * PER_ROUND).take(PER_ROUND)));
}

#[test]
#[ignore = "needs nats-server; .ci/nats unpacks it"]
fn a_server_that_dies_in_the_middle_loses_and_doubles_nothing() {
    let mut cluster = Cluster::start(1);
    let client = cluster.client();
    client.stream(events());
    let home = home(&cluster.urls(), &in_batches());
    let service = home.start();
    for round in 0..ROUNDS {
        let before = client.count("EVENTS");
        post_round(&service, round);
        // Once the first messages have arrived, most others are still in flight.
        wait_for("a message", || (client.count("EVENTS") > before).then_some(()));
        cluster.node(0).kill();
        cluster.node(0).restart();
    }
    service.wait_until_settled("nats");
    let all = ids(ROUNDS * PER_ROUND);
    assert_once(&arrived(&client), &all);
}

#[test]
#[ignore = "needs nats-server; .ci/nats unpacks it"]
fn a_lost_leader_causes_no_loss_no_duplicate_and_no_pause() {
    let mut cluster = Cluster::start(3);
    let client = cluster.client();
    client.stream(Config { num_replicas: 3, ..events() });
    let home = home(&cluster.urls(), &in_batches()).with_variables(PATIENT);
    let service = home.start();
    for round in 0..ROUNDS {
        let leader = wait_for("a leader", || client.leader_of("EVENTS"));
        let leader = cluster.node_named(&leader);
        let before = client.count("EVENTS");
        post_round(&service, round);
        wait_for("a message", || (client.count("EVENTS") > before).then_some(()));
        // A paused server keeps its connections open and answers nothing.
        if round % 2 == 0 {
            leader.pause();
        } else {
            leader.kill();
        }
        service.wait_until_settled("nats");
        if round % 2 == 0 { leader.resume() } else { leader.restart() }
    }
    // The servers may still be updating one that was paused.
    let all = ids(ROUNDS * PER_ROUND);
    wait_for("all of them", || (client.count("EVENTS") >= all.len() as u64).then_some(()));
    assert_once(&arrived(&client), &all);
    assert!(!service.log().contains("delivery is paused"), "an election is no missing stream");
}

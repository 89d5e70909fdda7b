//! Keys of records, and the verdict of each error.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use serde_json::{Value, json};

use super::sink::*;
use super::*;
use crate::config;
use crate::sinks::{Item, TargetConfig, Verdict};

fn settings() -> KafkaSinkConfig {
    let text = "[sinks.k]\ntype = \"kafka\"\nbrokers = [\"localhost:9092\"]\ntopic = \"t\"\n";
    let config = config::parse(text, None, std::iter::empty()).expect("valid");
    let TargetConfig::Kafka(settings) = &config.sinks[0].target else { panic!("a kafka sink") };
    settings.clone()
}

#[test]
fn the_flow_run_is_the_key() {
    let interaction = include_str!("../../../fixtures/events/custom_analytics.json");
    let other = json!({
        "id": "1", "recordedAt": "2026-01-01T00:00:00Z", "action": { "type": "USER.CREATED" },
    });
    let of_interaction: Value = serde_json::from_str(interaction).expect("JSON");
    let run = of_interaction["_embedded"]["flowInteractionEvent"]["interactionId"].as_str();
    assert!(run.is_some());
    for (event, key) in [(of_interaction.to_string(), run), (other.to_string(), None)] {
        let decoded = crate::decode::event(event.as_bytes()).expect("an event");
        let line = event.clone().into_bytes();
        let rendered = Rendered { line, event: &decoded.event, source: "pingone" };
        let (payload, _) = settings().encode(rendered).expect("encoded");
        let item = Item { position: 1, payload: payload.into() };
        let (head, body) = record::decode(&item).expect("a record");
        assert_eq!((head.route.as_deref(), &body[..]), (key, event.as_bytes()));
    }
}

#[test]
fn every_error_has_its_verdict() {
    for (code, expected) in [
        (Code::MessageSizeTooLarge, 'X'),
        (Code::InvalidMessageSize, 'X'),
        (Code::InvalidMessage, 'X'),
        (Code::InvalidRecord, 'X'),
        (Code::PolicyViolation, 'X'),
        (Code::InvalidTimestamp, 'F'),
        (Code::UnsupportedFeature, 'F'),
        // The client reports it for an answer that it cannot read.
        (Code::BadMessage, 'R'),
        (Code::UnknownTopic, 'F'),
        (Code::UnknownTopicOrPartition, 'F'),
        (Code::InvalidTopic, 'F'),
        (Code::TopicAuthorizationFailed, 'F'),
        (Code::ClusterAuthorizationFailed, 'F'),
        (Code::Authentication, 'F'),
        (Code::SaslAuthenticationFailed, 'F'),
        (Code::UnsupportedForMessageFormat, 'F'),
        (Code::InvalidRequiredAcks, 'F'),
        (Code::UnsupportedCompressionType, 'F'),
        (Code::PurgeQueue, '-'),
        (Code::PurgeInflight, 'R'),
        (Code::MessageTimedOut, 'R'),
        (Code::Fatal, 'R'),
        (Code::NotEnoughReplicas, 'R'),
        (Code::NotLeaderForPartition, 'R'),
        (Code::RequestTimedOut, 'R'),
        (Code::AllBrokersDown, 'R'),
        (Code::KafkaStorageError, 'R'),
        (Code::OutOfOrderSequenceNumber, 'R'),
        (Code::SSL, 'R'),
    ] {
        let error = KafkaError::MessageProduction(code);
        let letter = match answer::verdict(&error, &settings(), None) {
            Verdict::Retry { .. } => 'R',
            Verdict::Rejected { .. } => 'X',
            Verdict::Fatal { .. } => 'F',
            Verdict::NotTried => '-',
            verdict => panic!("{verdict:?}"),
        };
        assert_eq!(letter, expected, "{code:?}");
    }
}

#[test]
fn librdkafka_is_built_with_every_mechanism_and_compression() {
    let directory = tempfile::tempdir().expect("a directory");
    let ca = rcgen::generate_simple_self_signed(vec!["ca".to_owned()]).expect("a certificate");
    let path = directory.path().join("ca.pem");
    std::fs::write(&path, ca.cert.pem()).expect("written");
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        for compression in ["none", "gzip", "lz4", "snappy", "zstd"] {
            let text = format!(
                "[sinks.k]\ntype = \"kafka\"\nbrokers = [\"localhost:1\"]\ntopic = \"t\"\n\
                 compression = \"{compression}\"\ntls = {{ ca = {path:?} }}\n\
                 sasl = {{ mechanism = \"{mechanism}\", username = \"u\", password_env = \"P\" }}\n"
            );
            let variables = [("P".into(), "canary".into())].into_iter();
            let config = config::parse(&text, None, variables).expect("valid");
            assert!(!format!("{config:?}").contains("canary"));
            let TargetConfig::Kafka(settings) = &config.sinks[0].target else {
                panic!("a kafka sink")
            };
            let opened = Kafka::open(settings);
            assert!(opened.is_ok(), "{mechanism}, {compression}: {:?}", opened.err());
        }
    }
}

/// Reads a request with its body.
fn read_request(stream: &mut TcpStream) {
    let (mut request, mut part) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut part).expect("a request");
        assert_ne!(count, 0, "the request broke off");
        request.extend_from_slice(&part[..count]);
        let text = String::from_utf8_lossy(&request).to_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if length.is_some_and(|length| length.parse() == Ok(body.len())) {
            return;
        }
    }
}

/// Starts an issuer whose tokens are `token-1`, `token-2` and so on. Returns its port.
fn issuer() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for (number, stream) in (1..).zip(listener.incoming()) {
            let mut stream = stream.expect("a connection");
            read_request(&mut stream);
            let body = json!({
                "token_type": "Bearer", "expires_in": 3599, "access_token": format!("token-{number}"),
            });
            let body = body.to_string();
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\
                 content-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all((head + &body).as_bytes()).expect("written");
        }
    });
    port
}

/// Without the refusal, a token stays in use for an hour.
#[test]
fn a_refused_token_is_replaced() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let text = format!(
        "[sinks.k]\ntype = \"kafka\"\nbrokers = [\"localhost:1\"]\ntopic = \"t\"\n\
         [sinks.k.entra]\nauthority = \"http://127.0.0.1:{}\"\nclient_secret = {{ \
         tenant_id = \"11111111-2222-3333-4444-555555555555\", \
         client_id = \"66666666-7777-8888-9999-000000000000\", secret_env = \"S\" }}\n",
        issuer()
    );
    let config = config::parse(&text, None, [("S".into(), "secret".into())].into_iter());
    let config = config.expect("valid");
    let TargetConfig::Kafka(settings) = &config.sinks[0].target else { panic!("a kafka sink") };
    let open = || oauth::TokenSource::open(settings).expect("opened").expect("a sign-in");
    let (source, token) = (open(), |source: &oauth::TokenSource| source.token().map(|it| it.token));
    assert_eq!(token(&source).as_deref(), Ok("token-1"));
    assert_eq!(token(&source).as_deref(), Ok("token-1"));
    let errors = producer::BrokerErrors::new(Some(Arc::new(source)));
    let refused = KafkaError::Global(Code::Authentication);
    errors.error(refused.clone(), "sasl_plaintext://x: handshake failed: Local: broken");
    assert_eq!(token(&open()).as_deref(), Ok("token-1"), "no refusal");
    errors.error(refused, "sasl_ssl://x: SASL authentication error");
    assert!(errors.is_refused());
    assert_eq!(token(&open()).as_deref(), Ok("token-2"), "also after the sink is opened again");
}

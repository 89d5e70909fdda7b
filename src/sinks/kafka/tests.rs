//! Keys of records, and the verdict of each error.

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
        for compression in ["none", "lz4", "snappy", "zstd"] {
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

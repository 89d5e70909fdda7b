//! `type = "kafka"`: a topic of Apache Kafka, or of what speaks its protocol.

use std::path::PathBuf;
use std::time::Duration;

use super::client;
use crate::config::section::Section;
use crate::secret::{Form, Secret};
use crate::tls::Tls;

/// `type = "kafka"`.
#[derive(Debug, Clone)]
pub struct KafkaSink {
    /// Host and port of some of the brokers.
    pub brokers: Vec<String>,
    /// The topic.
    pub topic: String,
    /// Whether connections are encrypted.
    pub is_encrypted: bool,
    /// Certificates, for encrypted connections.
    pub tls: Tls,
    /// Who we say that we are.
    pub sasl: Option<Sasl>,
    /// How batches of records are compressed.
    pub compression: &'static str,
    /// How long a record may take, with all that the client repeats by itself.
    pub timeout: Duration,
    /// Bytes of a record at most.
    pub max_size: usize,
    /// What every record says of its format.
    pub schema: &'static str,
}

/// A name, a password, and how they are shown.
#[derive(Debug, Clone)]
pub struct Sasl {
    /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    pub mechanism: &'static str,
    /// The name.
    pub username: String,
    /// The password.
    pub password: Secret,
}

impl KafkaSink {
    /// Files whose change may make the target reachable.
    pub fn files(&self) -> Vec<PathBuf> {
        let password = self.sasl.as_ref().and_then(|sasl| sasl.password.file());
        self.tls.files().into_iter().chain(password.map(PathBuf::from)).collect()
    }
}

pub(super) fn read(section: &mut Section<'_>) -> KafkaSink {
    let transports = [("tls", true), ("tcp", false)];
    let compressions = ["none", "lz4", "snappy", "zstd"].map(|name| (name, name));
    let sink = KafkaSink {
        brokers: read_brokers(section),
        topic: section.required_text("topic", "pingone-davinci").unwrap_or_default(),
        is_encrypted: section.choice("transport", &transports).unwrap_or(true),
        tls: client::read_tls(section.table("tls")),
        sasl: section.table_if_given("sasl").and_then(read_sasl),
        compression: section.choice("compression", &compressions).unwrap_or("lz4"),
        timeout: section.timeout("timeout").unwrap_or(Duration::from_secs(30)),
        max_size: section.size("max_size", 1000).unwrap_or(1_000_000) as usize,
        schema: "native",
    };
    // https://kafka.apache.org/documentation/#java (org.apache.kafka.common.internals.Topic)
    let is_name = |name: &str| {
        name.len() <= 249
            && ![".", ".."].contains(&name)
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    };
    if !is_name(&sink.topic) {
        let advice = "is no topic's name, which is 1 to 249 of a-z, A-Z, 0-9, ., _ and -";
        section.report("topic", advice.to_owned());
    }
    if !sink.is_encrypted && sink.tls != Tls::default() {
        section.report("tls", "is for transport = \"tls\" only; leave it out".to_owned());
    }
    if sink.max_size > 100_000_000 {
        section.report("max_size", "must be at most 100000000 bytes".to_owned());
    }
    if sink.timeout > Duration::from_hours(1) {
        section.report("timeout", "must be at most 1h".to_owned());
    }
    sink
}

fn read_brokers(section: &mut Section<'_>) -> Vec<String> {
    let example = "write for example brokers = [\"kafka.example.com:9093\"]";
    if section.is_missing("brokers") {
        section.report("brokers", format!("is missing; {example}"));
    }
    let brokers = section.list::<String>("brokers", "a host and port");
    let is_address = |text: &String| {
        // A comma would make it two of them.
        let is_plain = text.chars().all(|c| c.is_ascii_graphic() && !",/@".contains(c));
        let parts = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
        is_plain && parts.is_some_and(|(_, port)| port.parse::<u16>().is_ok())
    };
    if !brokers.iter().all(is_address) {
        section.report("brokers", format!("are hosts with their ports; {example}"));
    }
    brokers
}

fn read_sasl(mut section: Section<'_>) -> Option<Sasl> {
    let mechanisms = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"].map(|name| (name, name));
    let mechanism = section.choice("mechanism", &mechanisms).unwrap_or("SCRAM-SHA-512");
    let username = section.required_text("username", "davinci-siem");
    let password = section.secret("password", Form::Line);
    section.finish();
    Some(Sasl { mechanism, username: username?, password: password? })
}

//! Settings of `type = "kafka"`: a topic of Apache Kafka, or of a broker with its protocol.

#[cfg(feature = "kafka")]
use std::sync::Arc;
use std::time::Duration;

use super::profile::{KAFKA, KafkaProfile, PROFILES};
use crate::azure::EntraConfig;
use crate::format::Format;
#[cfg(feature = "kafka")]
use crate::oauth::TokenCache;
use crate::secret::{Form, Secret};
use crate::settings::Section;
use crate::tls::TlsConfig;

/// `type = "kafka"`.
#[derive(Debug, Clone)]
pub struct KafkaSinkConfig {
    /// Defaults of the brokers.
    pub profile: &'static KafkaProfile,
    /// Host and port of some of the brokers.
    pub brokers: Vec<String>,
    pub topic: String,
    /// True if connections are encrypted.
    pub is_encrypted: bool,
    /// Certificates, for encrypted connections.
    pub tls: TlsConfig,
    pub sasl: Option<SaslConfig>,
    /// Sign-in at Microsoft Entra ID, whose tokens the brokers accept (`OAUTHBEARER`, RFC 7628).
    pub entra: Option<EntraConfig>,
    /// Access token, which the producers of the sink share.
    #[cfg(feature = "kafka")]
    pub(crate) tokens: Arc<TokenCache>,
    /// Compression of a batch of records.
    pub compression: &'static str,
    /// Timeout of one record, with all retries of the client.
    pub timeout: Duration,
    /// Upper bound of one record, in bytes.
    pub max_size: usize,
    /// Format of the events, for the header `schema`.
    pub schema: &'static str,
}

/// Mechanism, name and password (RFC 4422).
#[derive(Debug, Clone)]
pub struct SaslConfig {
    /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    pub mechanism: &'static str,
    pub username: String,
    pub password: Secret,
}

const EXAMPLE: &str = "kafka.example.com:9093";

/// Upper bound of `timeout`.
const MAX_TIMEOUT: Duration = Duration::from_hours(1);

pub(super) fn read(section: &mut Section<'_>, format: Format) -> Option<KafkaSinkConfig> {
    let doc = "Brokers that decide about the defaults of sasl, compression, timeout and max_size.";
    let chosen = section.choice("profile", &PROFILES, doc).or("kafka");
    let profile = chosen.unwrap_or(&KAFKA);
    let brokers = section.list_as("brokers", "Host and port of some of the brokers.", parse_broker);
    let brokers = brokers.required(EXAMPLE);
    let topic = section.text_as("topic", "The topic.", parse_topic).required("pingone-davinci");
    let transports = [("tls", true), ("tcp", false)];
    let is_encrypted = section.choice("transport", &transports, "Transport to the brokers.");
    let is_encrypted = is_encrypted.or("tls");
    let tls = TlsConfig::read(section);
    let sasl = section.optional_table("sasl", "Credentials.", |sasl| read_sasl(sasl, profile));
    let doc = "Sign-in at Microsoft Entra ID, for Azure Event Hubs; instead of sasl.";
    let host = brokers.as_deref().and_then(<[String]>::first).map(|broker| host_of(broker));
    let entra = section.optional_table("entra", doc, |entra| read_entra(entra, host));
    let compressions = ["none", "gzip", "lz4", "snappy", "zstd"].map(|name| (name, name));
    let doc = "Compression of a batch of records.";
    let compression = section.choice("compression", &compressions, doc).or(profile.compression);
    let doc = "Timeout of one record, with all retries of the client. At most 1h.";
    let timeout = section.timeout("timeout", doc).or(profile.timeout);
    let doc = "Upper bound of one record; a larger event goes to quarantine.";
    let max_size = section.size("max_size", 1000..=profile.max_record_bytes, doc).or("1 MB");
    let config = KafkaSinkConfig {
        profile: chosen?,
        brokers: brokers?,
        topic: topic?,
        is_encrypted: is_encrypted?,
        tls: tls?,
        sasl: sasl?,
        entra: entra?,
        #[cfg(feature = "kafka")]
        tokens: Arc::default(),
        compression: compression?,
        timeout: timeout?,
        max_size: max_size? as usize,
        schema: format.as_str(),
    };
    if !config.is_encrypted && config.tls != TlsConfig::default() {
        section.report("tls", "is for transport = \"tls\" only; leave it out");
    }
    if config.sasl.is_some() && config.entra.is_some() {
        section.report("entra", "and sasl are both given; use one");
    }
    if config.timeout > MAX_TIMEOUT {
        section.report("timeout", "must be at most 1h");
    }
    report_profile_conflicts(section, &config);
    Some(config)
}

/// Reports keys that the brokers of the profile do not accept, and an access token without encryption.
fn report_profile_conflicts(section: &mut Section<'_>, config: &KafkaSinkConfig) {
    if !config.is_encrypted && config.entra.is_some() {
        let message = "must be \"tls\" with entra: \"tcp\" would send the access token unencrypted";
        section.report("transport", message);
    }
    if !config.profile.accepts(config.compression) {
        let message = "must be \"none\" or \"gzip\" for this profile: Event Hubs accepts no other compression";
        section.report("compression", message);
    }
    if config.profile.needs_sign_in && config.sasl.is_none() && config.entra.is_none() {
        section.report("sasl", "is missing; this profile needs sasl or entra");
    }
}

/// A text is not a broker or a topic.
#[derive(Debug, thiserror::Error)]
enum NameError {
    #[error("are hosts with their ports; write for example brokers = [{:?}]", EXAMPLE)]
    Broker,
    #[error("is not a topic name: use 1 to 249 of a-z, A-Z, 0-9, ., _ and -")]
    Topic,
}

/// Parses a host and a port.
fn parse_broker(text: &str) -> Result<String, NameError> {
    // librdkafka reads a comma as the separator of two brokers.
    let is_plain = text.chars().all(|c| c.is_ascii_graphic() && !",/@".contains(c));
    let parts = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    match is_plain && parts.is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
        true => Ok(text.to_owned()),
        false => Err(NameError::Broker),
    }
}

/// Parses a topic's name: <https://kafka.apache.org/documentation/#java> (`org.apache.kafka.common.internals.Topic`).
fn parse_topic(name: &str) -> Result<String, NameError> {
    let is_name = (1..=249).contains(&name.len())
        && ![".", ".."].contains(&name)
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    match is_name {
        true => Ok(name.to_owned()),
        false => Err(NameError::Topic),
    }
}

/// Returns the host of a broker.
fn host_of(broker: &str) -> &str {
    broker.rsplit_once(':').map_or(broker, |(host, _)| host)
}

/// Reads a sign-in. The default audience of the tokens is the namespace: the host of the brokers.
fn read_entra(section: &mut Section<'_>, host: Option<&str>) -> Option<EntraConfig> {
    let is_own = section.is_given("audience");
    let mut entra = EntraConfig::read(section, |_| "https://eventhubs.azure.net")?;
    if let Some(host) = host.filter(|_| !is_own) {
        entra.audience = format!("https://{host}");
    }
    Some(entra)
}

fn read_sasl(section: &mut Section<'_>, profile: &KafkaProfile) -> Option<SaslConfig> {
    let mechanisms = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"].map(|name| (name, name));
    let mechanism =
        section.choice("mechanism", &mechanisms, "SASL mechanism.").or(profile.mechanism);
    let username = section.text("username", "User name.").optional();
    let password = section.secret("password", Form::Line, "Password.");
    let username = username?.or_else(|| profile.username.map(str::to_owned));
    if username.is_none() {
        let message = "is missing; write for example username = \"davinci-siem\"";
        section.report("username", message);
    }
    Some(SaslConfig { mechanism: mechanism?, username: username?, password: password? })
}

//! The producer of librdkafka: its settings, and the errors that it reports.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::FutureProducer;
use tokio::sync::watch;

use super::oauth::TokenSource;
use super::{KafkaSinkConfig, answer};
use crate::oauth::TokenError;
use crate::sinks::Reason;
use crate::tls;

/// Upper bound of the records in the client's queue. The sink waits while the queue is full.
const MAX_QUEUED_RECORDS: &str = "10000";

/// Upper bound of the time for which an unknown topic counts as new: the brokers may not know it yet.
const MAX_TOPIC_PROPAGATION: Duration = Duration::from_secs(10);

/// Errors that the client has reported since the last success. The client calls it on its own threads.
#[derive(Debug, Clone)]
pub(super) struct BrokerErrors(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Code of refused credentials. Without it, the sink would wait until its records time out.
    refused: watch::Sender<Option<RDKafkaErrorCode>>,
    /// Last error of a connection.
    cause: Mutex<Option<String>>,
    /// Kinds of the client's log lines that were logged. Each kind is logged once, even if the producer is replaced.
    logged: Arc<Mutex<HashSet<String>>>,
    /// Origin of access tokens, if the sink signs in at Microsoft Entra ID.
    tokens: Option<Arc<TokenSource>>,
}

/// Beginning of librdkafka's report about a token that it could not get. The reason is known already.
const NO_TOKEN: &str = "Failed to acquire SASL OAUTHBEARER token";

impl BrokerErrors {
    pub(super) fn new(tokens: Option<Arc<TokenSource>>) -> BrokerErrors {
        BrokerErrors(Arc::new(Shared {
            refused: watch::Sender::new(None),
            cause: Mutex::default(),
            logged: Arc::default(),
            tokens,
        }))
    }

    /// Returns the empty state of a replacement producer, which keeps the logged kinds.
    pub(super) fn for_replacement(&self) -> BrokerErrors {
        BrokerErrors(Arc::new(Shared {
            refused: watch::Sender::new(None),
            cause: Mutex::default(),
            logged: Arc::clone(&self.0.logged),
            tokens: self.0.tokens.clone(),
        }))
    }

    /// Forgets all errors, after a success.
    pub(super) fn clear(&self) {
        self.0.refused.send_replace(None);
        *locked(&self.0.cause) = None;
        locked(&self.0.logged).clear();
    }

    pub(super) fn cause(&self) -> Option<String> {
        locked(&self.0.cause).clone()
    }

    /// Returns true if the brokers have refused the credentials.
    pub(super) fn is_refused(&self) -> bool {
        self.0.refused.borrow().is_some()
    }

    /// Waits until the brokers refuse the credentials.
    pub(super) async fn refused(&self) -> RDKafkaErrorCode {
        let mut refused = self.0.refused.subscribe();
        // The sender lives as long as `self`, so that waiting cannot fail.
        let code = refused.wait_for(Option::is_some).await.ok().and_then(|code| *code);
        code.unwrap_or(RDKafkaErrorCode::Authentication)
    }

    fn is_new(&self, kind: &str) -> bool {
        let mut logged = locked(&self.0.logged);
        // librdkafka has a few dozen kinds; the bound is a safeguard.
        logged.len() < 100 && logged.insert(kind.to_owned())
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ClientContext for BrokerErrors {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, kind: &str, message: &str) {
        // Debug lines may contain secrets.
        let is_noise = matches!(
            level,
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug
        );
        if !is_noise && self.is_new(kind) {
            tracing::warn!(kind, message, "kafka");
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let Some(code) = error.rdkafka_error_code() else { return };
        if reason.starts_with(NO_TOKEN) {
            return;
        }
        let mut cause = locked(&self.0.cause);
        // The client reports "all brokers are down" after the cause; the cause is kept.
        if cause.is_none() || code != RDKafkaErrorCode::AllBrokersDown {
            *cause = Some(reason.to_owned());
        }
        drop(cause);
        // librdkafka reports a connection that breaks during the handshake with the code of a refusal.
        let is_broken = reason.contains("handshake failed: Local:");
        if answer::is_refused_credential(code) && !is_broken {
            // The next producer must not show the same access token.
            if let Some(tokens) = &self.0.tokens {
                tokens.refuse();
            }
            self.0.refused.send_replace(Some(code));
        }
    }

    /// Returns an access token. The client calls it before the first connection and shortly before a token expires.
    fn generate_oauth_token(
        &self,
        _: Option<&str>,
    ) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        let tokens = self.0.tokens.as_ref().ok_or("no sign-in is configured")?;
        tokens.token().map_err(|error| {
            let (message, is_refused) = match error {
                TokenError::Refused { message } => (message, true),
                TokenError::Unavailable { message, .. } => (message, false),
            };
            *locked(&self.0.cause) = Some(message.clone());
            if is_refused {
                self.0.refused.send_replace(Some(RDKafkaErrorCode::Authentication));
            }
            message.into()
        })
    }
}

/// Creates a producer, which connects in the background.
///
/// # Errors
/// A file cannot be read, or librdkafka does not accept a setting.
pub(super) fn open(
    settings: &KafkaSinkConfig,
    errors: BrokerErrors,
) -> Result<FutureProducer<BrokerErrors>, Reason> {
    let mut config = ClientConfig::new();
    let missing = (settings.timeout / 2).min(MAX_TOPIC_PROPAGATION);
    config
        .set("bootstrap.servers", settings.brokers.join(","))
        .set("client.id", "davinci-siem")
        // All in-sync replicas acknowledge; in order, and without duplicates as long as this producer lives.
        .set("enable.idempotence", "true")
        // The Java client's partitioner: other producers put the same key into the same partition.
        .set("partitioner", "murmur2_random")
        .set("compression.type", settings.compression)
        .set("message.timeout.ms", settings.timeout.as_millis().to_string())
        // A missing topic must be reported before the record times out.
        .set("topic.metadata.propagation.max.ms", missing.as_millis().to_string())
        .set("message.max.bytes", settings.max_size.to_string())
        .set("queue.buffering.max.messages", MAX_QUEUED_RECORDS)
        .set("linger.ms", "5")
        .set("socket.keepalive.enable", "true")
        .set("security.protocol", protocol(settings))
        .set("log_level", "4");
    if settings.is_encrypted {
        // Read here first, because these errors name the file and librdkafka's do not.
        tls::client_config(&settings.tls)?;
        set_tls(&mut config, &settings.tls);
    }
    for (name, value) in settings.profile.client {
        config.set(*name, *value);
    }
    if settings.entra.is_some() {
        config.set("sasl.mechanism", "OAUTHBEARER");
    }
    if let Some(sasl) = &settings.sasl {
        let password = sasl.password.reread()?;
        config
            .set("sasl.mechanism", sasl.mechanism)
            .set("sasl.username", &sasl.username)
            .set("sasl.password", password.expose());
    }
    config.create_with_context(errors).map_err(|error| {
        // The error quotes the value of the setting, which may be a secret.
        let cause = match error {
            KafkaError::ClientConfig(_, _, name, _) => format!("the client does not accept {name}"),
            KafkaError::ClientCreation(cause) => cause,
            other => other.to_string(),
        };
        Reason::new(format!("no Kafka client can be made: {cause}"))
    })
}

fn protocol(settings: &KafkaSinkConfig) -> &'static str {
    match (settings.is_encrypted, settings.sasl.is_some() || settings.entra.is_some()) {
        (true, true) => "SASL_SSL",
        (true, false) => "SSL",
        (false, true) => "SASL_PLAINTEXT",
        (false, false) => "PLAINTEXT",
    }
}

fn set_tls(config: &mut ClientConfig, tls: &tls::TlsConfig) {
    // "probe" searches the usual places for the system's certificate authorities.
    let ca = tls.ca.as_ref().map_or_else(|| "probe".to_owned(), |ca| ca.display().to_string());
    config.set("ssl.ca.location", ca);
    if let Some((certificate, key)) = &tls.certificate {
        config
            .set("ssl.certificate.location", certificate.display().to_string())
            .set("ssl.key.location", key.display().to_string());
    }
}

//! librdkafka's producer: how it is set up, and what it says of itself.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::FutureProducer;
use tokio::sync::watch;

use super::{KafkaSinkConfig, answer};
use crate::sinks::Reason;
use crate::tls;

/// Records that the client holds at a time; who has more waits.
const QUEUE: &str = "10000";

/// Time that a topic may be unknown to brokers because it is new.
const MISSING: Duration = Duration::from_secs(10);

/// Errors that the client has reported about its brokers since the last success.
#[derive(Debug, Clone)]
pub(super) struct Told(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Refused credentials: no record is acknowledged, and none is refused, before its time is over.
    refused: watch::Sender<Option<RDKafkaErrorCode>>,
    /// The last error of a connection.
    cause: Mutex<Option<String>>,
    /// Kinds of lines that were logged: each of them once, also if there is another producer.
    logged: Arc<Mutex<HashSet<String>>>,
}

impl Told {
    pub(super) fn new() -> Told {
        Told(Arc::new(Shared {
            refused: watch::Sender::new(None),
            cause: Mutex::default(),
            logged: Arc::default(),
        }))
    }

    /// For another producer, of which nothing has been said yet.
    pub(super) fn for_another(&self) -> Told {
        Told(Arc::new(Shared {
            refused: watch::Sender::new(None),
            cause: Mutex::default(),
            logged: Arc::clone(&self.0.logged),
        }))
    }

    /// Everything is in order.
    pub(super) fn forget(&self) {
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

    /// Ends when the brokers refuse us.
    pub(super) async fn refused(&self) -> RDKafkaErrorCode {
        let mut refused = self.0.refused.subscribe();
        // The sender is ours, so there is always one.
        let code = refused.wait_for(Option::is_some).await.ok().and_then(|code| *code);
        code.unwrap_or(RDKafkaErrorCode::Authentication)
    }

    fn is_new(&self, kind: &str) -> bool {
        let mut logged = locked(&self.0.logged);
        // There are a few dozen kinds.
        logged.len() < 100 && logged.insert(kind.to_owned())
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Called on threads of the client's own.
impl ClientContext for Told {
    fn log(&self, level: RDKafkaLogLevel, kind: &str, message: &str) {
        // What a level of debugging would say is not asked for; it may hold secrets.
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
        let mut cause = locked(&self.0.cause);
        // That all of them are away is said after why.
        if cause.is_none() || code != RDKafkaErrorCode::AllBrokersDown {
            *cause = Some(reason.to_owned());
        }
        drop(cause);
        // A connection that breaks in the middle of it is told like a refusal.
        let is_broken = reason.contains("handshake failed: Local:");
        if answer::is_about_us(code) && !is_broken {
            self.0.refused.send_replace(Some(code));
        }
    }
}

/// Makes a producer. It connects by itself; an error is about a file or a setting.
pub(super) fn open(settings: &KafkaSinkConfig, told: Told) -> Result<FutureProducer<Told>, Reason> {
    let mut config = ClientConfig::new();
    let missing = (settings.timeout / 2).min(MISSING);
    config
        .set("bootstrap.servers", settings.brokers.join(","))
        .set("client.id", "davinci-siem")
        // Acknowledged by all replicas in sync, in order, and once within the life of this producer.
        .set("enable.idempotence", "true")
        // Java's, so that others who write to the topic put the same key into the same partition.
        .set("partitioner", "murmur2_random")
        .set("compression.type", settings.compression)
        .set("message.timeout.ms", settings.timeout.as_millis().to_string())
        // A topic that is missing is to be told before a record's time is over.
        .set("topic.metadata.propagation.max.ms", missing.as_millis().to_string())
        .set("message.max.bytes", settings.max_size.to_string())
        .set("queue.buffering.max.messages", QUEUE)
        .set("linger.ms", "5")
        .set("security.protocol", protocol(settings))
        .set("log_level", "4");
    if settings.is_encrypted {
        // Their mistakes are told better here than by the client.
        tls::client_config(&settings.tls)?;
        set_tls(&mut config, &settings.tls);
    }
    if let Some(sasl) = &settings.sasl {
        let password = sasl.password.reread()?;
        config
            .set("sasl.mechanism", sasl.mechanism)
            .set("sasl.username", &sasl.username)
            .set("sasl.password", password.expose());
    }
    config.create_with_context(told).map_err(|error| {
        // A setting's value may be a secret, and the error quotes it.
        let cause = match error {
            KafkaError::ClientConfig(_, _, name, _) => format!("{name} is not taken"),
            KafkaError::ClientCreation(cause) => cause,
            other => other.to_string(),
        };
        Reason::new(format!("no Kafka client can be made: {cause}"))
    })
}

fn protocol(settings: &KafkaSinkConfig) -> &'static str {
    match (settings.is_encrypted, &settings.sasl) {
        (true, Some(_)) => "SASL_SSL",
        (true, None) => "SSL",
        (false, Some(_)) => "SASL_PLAINTEXT",
        (false, None) => "PLAINTEXT",
    }
}

fn set_tls(config: &mut ClientConfig, tls: &tls::TlsConfig) {
    // "probe" looks for the system's authorities where systems have them.
    let ca = tls.ca.as_ref().map_or_else(|| "probe".to_owned(), |ca| ca.display().to_string());
    config.set("ssl.ca.location", ca);
    if let Some((certificate, key)) = &tls.certificate {
        config
            .set("ssl.certificate.location", certificate.display().to_string())
            .set("ssl.key.location", key.display().to_string());
    }
}

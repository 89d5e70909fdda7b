//! The running sink: hands events to a producer and waits for their delivery reports.
//!
//! The producer of librdkafka is idempotent. It retries a failed record by itself, in order, until the record times
//! out; later retries come from `deliver`. The key of a record is the flow run, so that its events are in one
//! partition, in order.
//! <https://github.com/confluentinc/librdkafka/blob/master/INTRODUCTION.md#idempotent-producer>

use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer, PurgeConfig};
use tokio::time::{Instant, sleep};

use super::oauth::TokenSource;
use super::producer::{self, BrokerErrors};
use super::{KafkaSinkConfig, answer};
use crate::sinks::{Deliver, Item, Reason, Report, Verdict, record};

/// Interval of attempts while the client's queue is full.
const FULL_QUEUE_INTERVAL: Duration = Duration::from_millis(20);

/// Time after a record's timeout within which the client reports the timeout itself.
const REPORT_GRACE: Duration = Duration::from_secs(5);

/// A target of `type = "kafka"`.
pub(crate) struct Kafka {
    settings: KafkaSinkConfig,
    errors: BrokerErrors,
    producer: Option<FutureProducer<BrokerErrors>>,
}

impl std::fmt::Debug for Kafka {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Kafka").field("topic", &self.settings.topic).finish_non_exhaustive()
    }
}

impl Kafka {
    pub(super) fn open(settings: &KafkaSinkConfig) -> Result<Kafka, Reason> {
        let errors = BrokerErrors::new(TokenSource::open(settings)?.map(Arc::new));
        let producer = Some(producer::open(settings, errors.clone())?);
        Ok(Kafka { settings: settings.clone(), errors, producer })
    }

    /// Returns the producer. Creates one if the last one was discarded.
    fn producer(&mut self) -> Result<FutureProducer<BrokerErrors>, Reason> {
        let producer = match self.producer.take() {
            Some(producer) => producer,
            None => producer::open(&self.settings, self.errors.clone())?,
        };
        self.producer = Some(producer.clone());
        Ok(producer)
    }

    /// Discards the producer and the records in its queue. The drop blocks, so it runs on a thread.
    fn discard_producer(&mut self) {
        if let Some(producer) = self.producer.take() {
            // Without a thread, the producer is dropped here.
            drop(std::thread::Builder::new().spawn(move || drop(producer)));
        }
        self.errors = self.errors.for_replacement();
    }

    fn rejects(&self, error: &KafkaError) -> bool {
        matches!(answer::verdict(error, &self.settings, None), Verdict::Rejected { .. })
    }

    async fn verdict(&self, sent: Result<DeliveryFuture, KafkaError>, end: Instant) -> Verdict {
        let delivery = match sent {
            Ok(delivery) => delivery,
            Err(error) => return answer::verdict(&error, &self.settings, self.errors.cause()),
        };
        let late = KafkaError::MessageProduction(RDKafkaErrorCode::MessageTimedOut);
        let error = tokio::select! {
            biased;
            delivered = delivery => match delivered {
                Ok(Ok(_)) => return Verdict::Delivered,
                Ok(Err((error, _))) => error,
                Err(_) => KafkaError::Canceled,
            },
            code = self.errors.refused() => KafkaError::MessageProduction(code),
            () = tokio::time::sleep_until(end) => late,
        };
        answer::of_record_set(answer::verdict(&error, &self.settings, self.errors.cause()))
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        self.discard_producer();
    }
}

impl Deliver for Kafka {
    async fn deliver(&mut self, items: &[Item]) -> Report {
        if self.errors.is_refused() {
            // The brokers may accept the credentials by now. Only a new producer finds out.
            self.discard_producer();
        }
        let producer = match self.producer() {
            Ok(producer) => producer,
            Err(reason) => return Report::all(items, Verdict::Fatal { reason }),
        };
        let end = Instant::now() + self.settings.timeout + REPORT_GRACE;
        let mut sent = Vec::with_capacity(items.len());
        for item in items {
            let result = send(&producer, &self.settings, item, end).await;
            let stops = result.as_ref().is_err_and(|error| !self.rejects(error));
            sent.push(result);
            if stops {
                break;
            }
        }
        let mut verdicts = Vec::with_capacity(items.len());
        let (mut is_purged, mut is_blocked) = (false, false);
        for sent in sent {
            let verdict = self.verdict(sent, end).await;
            let is_repeated = matches!(verdict, Verdict::Retry { .. } | Verdict::Fatal { .. });
            if !is_purged && (is_repeated || matches!(verdict, Verdict::Split { .. })) {
                // Records that are still queued must not overtake the failed one.
                producer.purge(PurgeConfig::default().queue());
                is_purged = true;
            }
            is_blocked |= is_repeated;
            verdicts.push(verdict);
        }
        if let Some((code, _)) = producer.client().fatal_error() {
            // The client has then purged all records. The first verdict gets the cause of the fatal error.
            let is_open = |verdict: &&mut Verdict| !matches!(verdict, Verdict::Delivered);
            if let Some(first) = verdicts.iter_mut().find(is_open) {
                let error = KafkaError::MessageProduction(code);
                *first = answer::verdict(&error, &self.settings, self.errors.cause());
            }
            is_blocked = true;
        }
        if is_blocked {
            // The producer may never recover. The next one sends the records in its queue again.
            drop(producer);
            self.discard_producer();
        } else {
            self.errors.clear();
        }
        verdicts.resize(items.len(), Verdict::NotTried);
        verdicts.into()
    }

    /// Requests the topic's metadata from the brokers.
    async fn probe(&mut self) -> Result<String, Reason> {
        let producer = self.producer()?;
        let (topic, errors) = (self.settings.topic.clone(), self.errors.clone());
        let timeout = self.settings.timeout.min(Duration::from_secs(10));
        let metadata = tokio::task::spawn_blocking(move || {
            let metadata = producer.client().fetch_metadata(Some(&topic), timeout)?;
            let partitions = metadata.topics().first().map(|topic| topic.partitions().len());
            let error = metadata.topics().first().and_then(|topic| topic.error());
            Ok::<_, KafkaError>((partitions.unwrap_or(0), error.map(RDKafkaErrorCode::from)))
        });
        let metadata = tokio::select! {
            metadata = metadata => metadata.unwrap_or(Err(KafkaError::Canceled)),
            code = errors.refused() => return Err(answer::refused(code, self.errors.cause())),
        };
        let brokers = self.settings.brokers.join(", ");
        match metadata {
            Ok((partitions, None)) => {
                Ok(format!("topic {} has {partitions} partitions", self.settings.topic))
            }
            Ok((_, Some(code))) => {
                let error = KafkaError::MetadataFetch(code);
                Err(answer::verdict(&error, &self.settings, None).into_reason())
            }
            Err(error) => {
                let cause = self.errors.cause().unwrap_or_else(|| error.to_string());
                Err(Reason::new(format!("{brokers}: {cause}")))
            }
        }
    }
}

/// Passes a record to the client. Waits while the client's queue is full, at most until `end`.
async fn send(
    producer: &FutureProducer<BrokerErrors>,
    settings: &KafkaSinkConfig,
    item: &Item,
    end: Instant,
) -> Result<DeliveryFuture, KafkaError> {
    let Ok((head, body)) = record::decode(item) else { return Err(KafkaError::Canceled) };
    let header = |key, value| Header { key, value: Some(value) };
    let headers = OwnedHeaders::new_with_capacity(5)
        .insert(header("event_id", &*head.event_id))
        .insert(header("event_uid", &*head.uid))
        .insert(header("action_type", &*head.action_type))
        .insert(header("schema", settings.schema))
        .insert(header("content-type", "application/json"));
    loop {
        let record = FutureRecord::to(&settings.topic).payload(&body[..]).headers(headers.clone());
        let record = match &head.route {
            Some(key) => record.key(&**key),
            None => record,
        };
        match producer.send_result(record) {
            Ok(delivery) => return Ok(delivery),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _))
                if Instant::now() < end =>
            {
                sleep(FULL_QUEUE_INTERVAL).await;
            }
            Err((error, _)) => return Err(error),
        }
    }
}

//! The running sink: hands events to a producer and waits for their delivery reports.
//!
//! An idempotent producer of librdkafka sends them: it repeats what failed by itself, in order, until a
//! record's time is over; what is repeated after that comes from here. The key is the flow run, so
//! that its events are in one partition, in order.
//! <https://github.com/confluentinc/librdkafka/blob/master/INTRODUCTION.md#idempotent-producer>

use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer, PurgeConfig};
use tokio::time::{Instant, sleep};

use super::producer::{self, Told};
use super::{KafkaSinkConfig, answer};
use crate::sinks::{Deliver, Item, Reason, Report, Verdict, record};

/// Interval of attempts while the client's queue is full.
const FULL: Duration = Duration::from_millis(20);

/// Time after a record's timeout in which the client reports the timeout itself.
const GRACE: Duration = Duration::from_secs(5);

/// A target of `type = "kafka"`.
pub(crate) struct Kafka {
    settings: KafkaSinkConfig,
    told: Told,
    producer: Option<FutureProducer<Told>>,
}

impl std::fmt::Debug for Kafka {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Kafka").field("topic", &self.settings.topic).finish_non_exhaustive()
    }
}

impl Kafka {
    pub(super) fn open(settings: &KafkaSinkConfig) -> Result<Kafka, Reason> {
        let told = Told::new();
        let producer = Some(producer::open(settings, told.clone())?);
        Ok(Kafka { settings: settings.clone(), told, producer })
    }

    /// The producer; a new one where the last was given up.
    fn producer(&mut self) -> Result<FutureProducer<Told>, Reason> {
        let producer = match self.producer.take() {
            Some(producer) => producer,
            None => producer::open(&self.settings, self.told.clone())?,
        };
        self.producer = Some(producer.clone());
        Ok(producer)
    }

    /// Gives the producer up with all that it still holds. That takes it a moment, on a thread.
    fn give_up(&mut self) {
        if let Some(producer) = self.producer.take() {
            std::thread::spawn(move || drop(producer));
        }
        self.told = self.told.for_another();
    }

    fn rejects(&self, error: &KafkaError) -> bool {
        matches!(answer::verdict(error, &self.settings, None), Verdict::Rejected { .. })
    }

    async fn verdict(&self, sent: Result<DeliveryFuture, KafkaError>, end: Instant) -> Verdict {
        let delivery = match sent {
            Ok(delivery) => delivery,
            Err(error) => return answer::verdict(&error, &self.settings, self.told.cause()),
        };
        let late = KafkaError::MessageProduction(RDKafkaErrorCode::MessageTimedOut);
        let error = tokio::select! {
            biased;
            delivered = delivery => match delivered {
                Ok(Ok(_)) => return Verdict::Delivered,
                Ok(Err((error, _))) => error,
                Err(_) => KafkaError::Canceled,
            },
            code = self.told.refused() => KafkaError::MessageProduction(code),
            () = tokio::time::sleep_until(end) => late,
        };
        answer::of_a_set(answer::verdict(&error, &self.settings, self.told.cause()))
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        self.give_up();
    }
}

impl Deliver for Kafka {
    async fn deliver(&mut self, items: &[Item]) -> Report {
        if self.told.is_refused() {
            // It may have been let in since: another producer finds out.
            self.give_up();
        }
        let producer = match self.producer() {
            Ok(producer) => producer,
            Err(reason) => return Report::all(items, Verdict::Fatal { reason }),
        };
        let end = Instant::now() + self.settings.timeout + GRACE;
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
        let (mut is_purged, mut is_held_back) = (false, false);
        for sent in sent {
            let verdict = self.verdict(sent, end).await;
            let comes_again = matches!(verdict, Verdict::Retry { .. } | Verdict::Fatal { .. });
            if !is_purged && (comes_again || matches!(verdict, Verdict::Split { .. })) {
                // What has not gone out yet must not overtake.
                producer.purge(PurgeConfig::default().queue());
                is_purged = true;
            }
            is_held_back |= comes_again;
            verdicts.push(verdict);
        }
        if let Some((code, _)) = producer.client().fatal_error() {
            // The client has called everything back then, without a word of why.
            let is_open = |verdict: &&mut Verdict| !matches!(verdict, Verdict::Delivered);
            if let Some(first) = verdicts.iter_mut().find(is_open) {
                let error = KafkaError::MessageProduction(code);
                *first = answer::verdict(&error, &self.settings, self.told.cause());
            }
            is_held_back = true;
        }
        if is_held_back {
            // It may have failed for good, and what it still holds is sent again by the next one.
            drop(producer);
            self.give_up();
        } else {
            self.told.forget();
        }
        verdicts.resize(items.len(), Verdict::NotTried);
        verdicts.into()
    }

    /// Asks the brokers for the topic.
    async fn probe(&mut self) -> Result<String, Reason> {
        let producer = self.producer()?;
        let (topic, told) = (self.settings.topic.clone(), self.told.clone());
        let timeout = self.settings.timeout.min(Duration::from_secs(10));
        let asked = tokio::task::spawn_blocking(move || {
            let metadata = producer.client().fetch_metadata(Some(&topic), timeout)?;
            let partitions = metadata.topics().first().map(|topic| topic.partitions().len());
            let error = metadata.topics().first().and_then(|topic| topic.error());
            Ok::<_, KafkaError>((partitions.unwrap_or(0), error.map(RDKafkaErrorCode::from)))
        });
        let asked = tokio::select! {
            asked = asked => asked.unwrap_or(Err(KafkaError::Canceled)),
            code = told.refused() => return Err(answer::refused(code)),
        };
        let brokers = self.settings.brokers.join(", ");
        match asked {
            Ok((partitions, None)) => {
                Ok(format!("topic {} has {partitions} partitions", self.settings.topic))
            }
            Ok((_, Some(code))) => {
                let error = KafkaError::MetadataFetch(code);
                Err(answer::verdict(&error, &self.settings, None).into_reason())
            }
            Err(error) => {
                let cause = self.told.cause().unwrap_or_else(|| error.to_string());
                Err(Reason::new(format!("{brokers}: {cause}")))
            }
        }
    }
}

/// Hands a record to the client, and waits while its queue is full.
async fn send(
    producer: &FutureProducer<Told>,
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
        let record = match &head.place {
            Some(key) => record.key(&**key),
            None => record,
        };
        match producer.send_result(record) {
            Ok(delivery) => return Ok(delivery),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _))
                if Instant::now() < end =>
            {
                sleep(FULL).await;
            }
            Err((error, _)) => return Err(error),
        }
    }
}

//! The running sink: publishes events and waits for their acknowledgements.
//!
//! Each event is published to a subject of its own ([`super::encode`]) and is delivered when the stream has
//! acknowledged it: with replicas, when a quorum of them has it. The messages of a batch are sent
//! without waiting for each other, on one connection, which keeps their order.
//! <https://docs.nats.io/nats-concepts/jetstream>

use std::collections::VecDeque;

use async_nats::HeaderMap;
use async_nats::header::{NATS_EXPECTED_STREAM, NATS_MESSAGE_ID};
use async_nats::jetstream::context::PublishAckFuture;
use tokio::time::Instant;

use super::NatsSinkConfig;
use super::answer::{PublishRefusal, refusal, retry};
use super::connection::NatsConnection;
use crate::nats::ConnectError;
use crate::sinks::{Deliver, Item, Reason, Report, Verdict, record};

/// Upper bound of the messages in flight.
const MAX_IN_FLIGHT: usize = 1000;

/// A target of `type = "nats"`.
#[derive(Debug)]
pub(crate) struct Nats {
    settings: NatsSinkConfig,
    connection: Option<NatsConnection>,
}

/// A message in flight.
struct Sent {
    subject: String,
    /// Deadline of the acknowledgement.
    end: Instant,
    acknowledgement: Result<PublishAckFuture, PublishRefusal>,
}

impl Nats {
    pub(super) fn open(settings: &NatsSinkConfig) -> Nats {
        Nats { settings: settings.clone(), connection: None }
    }

    async fn connect(&mut self) -> Result<&NatsConnection, ConnectError> {
        if self.connection.is_none() {
            self.connection = Some(NatsConnection::open(&self.settings).await?);
        }
        // The connection exists: it was opened above, or before.
        self.connection.as_ref().ok_or_else(|| ConnectError::Unusable("no connection".to_owned()))
    }
}

impl Deliver for Nats {
    async fn deliver(&mut self, items: &[Item]) -> Report {
        let settings = self.settings.clone();
        let connection = match self.connect().await {
            Ok(connection) => connection,
            Err(error) => return Report::all(items, not_connected(&error)),
        };
        if let Err(verdict) = connection.begin(&settings) {
            return Report::all(items, verdict);
        }
        let mut refusals = publish(connection, &settings, items).await;
        look_for_a_stream(connection, &settings, &mut refusals).await;
        let verdict = |outcome| match outcome {
            None => Verdict::NotTried,
            Some((_, Ok(()))) => Verdict::Delivered,
            Some((_, Err(PublishRefusal::Known(verdict)))) => verdict,
            // The servers were asked about an earlier message of this kind.
            Some((_, Err(PublishRefusal::NoResponders))) => Verdict::NotTried,
        };
        let mut outcomes = refusals.into_iter().map(Some);
        let verdicts = items.iter().map(|_| verdict(outcomes.next().flatten())).collect::<Vec<_>>();
        verdicts.into()
    }

    /// Connects, and asks the servers which stream has the subject of the events.
    async fn probe(&mut self) -> Result<String, Reason> {
        let settings = self.settings.clone();
        let connection =
            self.connect().await.map_err(|error| not_connected(&error).into_reason())?;
        let pattern = settings.subject.pattern();
        let streams = connection.streams_for(&pattern, &settings).await;
        let streams = streams.map_err(Verdict::into_reason)?;
        match &settings.stream {
            _ if streams.is_empty() => Err(no_stream(&settings)),
            Some(expected) if !streams.contains(expected) => Err(Reason::new(format!(
                "{} goes to the stream {}, not to {expected}; correct stream or subject",
                pattern,
                streams.join(", ")
            ))),
            _ => Ok(format!("the stream {} takes {pattern}", streams.join(", "))),
        }
    }

    async fn close(&mut self) {
        // Each message is acknowledged, or will be sent again.
        self.connection = None;
    }
}

type PublishOutcome = (String, Result<(), PublishRefusal>);

/// Publishes in order and collects the result of each message. Stops after the first message that must be sent again,
/// because later ones would overtake it.
async fn publish(
    connection: &NatsConnection,
    settings: &NatsSinkConfig,
    items: &[Item],
) -> Vec<PublishOutcome> {
    let mut outcomes = Vec::with_capacity(items.len());
    let mut waiting: VecDeque<Sent> = VecDeque::new();
    let mut rest = items.iter();
    let mut stops = false;
    loop {
        let next = if stops || waiting.len() >= MAX_IN_FLIGHT { None } else { rest.next() };
        if let Some(item) = next {
            let sent = send(connection, settings, item).await;
            stops =
                sent.acknowledgement.as_ref().is_err_and(stops_the_batch) || connection.is_lost();
            waiting.push_back(sent);
            continue;
        }
        let Some(Sent { subject, end, acknowledgement }) = waiting.pop_front() else {
            return outcomes;
        };
        let outcome = match acknowledgement {
            Ok(future) => connection.acknowledged(&subject, future, end, settings).await,
            Err(refusal) => Err(refusal),
        };
        stops |= outcome.as_ref().is_err_and(stops_the_batch);
        outcomes.push((subject, outcome));
    }
}

async fn send(connection: &NatsConnection, settings: &NatsSinkConfig, item: &Item) -> Sent {
    let end = Instant::now() + settings.timeout;
    let (head, body) = match record::decode(item) {
        Ok(decoded) => decoded,
        Err(reason) => {
            let refusal = PublishRefusal::Known(Verdict::Fatal { reason });
            return Sent { subject: String::new(), end, acknowledgement: Err(refusal) };
        }
    };
    let subject = head.route.unwrap_or_default().into_owned();
    let mut headers = HeaderMap::new();
    headers.insert(NATS_MESSAGE_ID, &*head.uid);
    headers.insert("event_id", header(&head.event_id));
    headers.insert("action_type", header(&head.action_type));
    headers.insert("schema", settings.schema);
    headers.insert("content-type", "application/json");
    if let Some(stream) = &settings.stream {
        headers.insert(NATS_EXPECTED_STREAM, stream.as_str());
    }
    let published = connection.context().publish_with_headers(subject.clone(), headers, body).await;
    Sent { subject, end, acknowledgement: published.map_err(|error| refusal(&error, settings)) }
}

/// Returns a value for a header, with spaces in place of control characters, which would end it.
pub(super) fn header(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn stops_the_batch(refusal: &PublishRefusal) -> bool {
    !matches!(refusal, PublishRefusal::Known(Verdict::Rejected { .. }))
}

/// Asks the servers about the first message that had no responders: either no stream has its subject, or its stream has
/// no leader at the moment.
async fn look_for_a_stream(
    connection: &NatsConnection,
    settings: &NatsSinkConfig,
    outcomes: &mut [PublishOutcome],
) {
    let nobody =
        |(_, outcome): &&mut PublishOutcome| matches!(outcome, Err(PublishRefusal::NoResponders));
    let Some((subject, outcome)) = outcomes.iter_mut().find(nobody) else { return };
    let verdict = match connection.streams_for(subject, settings).await {
        Err(verdict) => verdict,
        Ok(streams) if streams.is_empty() => Verdict::Fatal { reason: no_stream(settings) },
        Ok(streams) => retry(format!(
            "{}: the stream {} has no leader at the moment",
            settings.connection,
            streams.join(", ")
        )),
    };
    *outcome = Err(PublishRefusal::Known(verdict));
}

fn no_stream(settings: &NatsSinkConfig) -> Reason {
    Reason::new(format!(
        "no stream takes {}; add one with this subject, or correct subject",
        settings.subject.pattern()
    ))
}

fn not_connected(error: &ConnectError) -> Verdict {
    let reason = Reason::new(error.to_string());
    if error.is_permanent() {
        Verdict::Fatal { reason }
    } else {
        Verdict::Retry { after: None, reason }
    }
}

//! Ordered reading: a consumer without acknowledgements, recreated when reading continues at another position.
//!
//! The consumer's sequence shows if a message was missed; then the consumer is recreated. If the sequence is
//! contiguous and the positions are not, the stream's leader is asked: either the messages are gone from the
//! stream, which is reported, or the consumer's server has skipped them, and the consumer is recreated.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy, pull};
use async_nats::jetstream::stream::Stream;
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep, timeout};

use super::status::{SinkLeaseState, StreamStatus};
use super::{REQUEST_TIMEOUT, message, stream_identity, unreadable};
use crate::spool::{Damage, Read, ReadError};

/// Messages per pull request.
const MESSAGES_PER_PULL: usize = 1000;

/// Time that the servers keep an idle consumer.
const CONSUMER_IDLE_TIMEOUT: Duration = Duration::from_mins(1);

/// Timeout for stored events to become readable: the serving replica may lag.
const LAG_TIMEOUT: Duration = Duration::from_secs(2);

/// Ordered reader of one sink.
#[derive(Debug)]
pub(super) struct OrderedReader {
    stream: Stream,
    shared: Arc<StreamStatus>,
    head: watch::Receiver<u64>,
    /// Connection, for the servers' current maximum payload.
    client: Client,
    at: Mutex<Option<ConsumerPosition>>,
    lease: Arc<SinkLeaseState>,
    /// Last delivered position and its storage time.
    last: std::sync::Mutex<(u64, i64)>,
}

/// Consumer and its position.
#[derive(Debug)]
struct ConsumerPosition {
    consumer: Consumer<pull::Config>,
    /// Last delivered position.
    position: u64,
    /// Number of messages delivered by the consumer.
    given: u64,
    used: Instant,
}

impl OrderedReader {
    pub(super) fn new(
        stream: Stream,
        shared: Arc<StreamStatus>,
        lease: Arc<SinkLeaseState>,
        client: Client,
    ) -> OrderedReader {
        let head = shared.head();
        let (at, last) = (Mutex::new(None), std::sync::Mutex::default());
        OrderedReader { stream, shared, head, client, at, lease, last }
    }

    /// See [`crate::spool::Reader::head`].
    pub(super) fn head(&self) -> watch::Receiver<u64> {
        self.head.clone()
    }

    /// See [`crate::spool::Reader::read`].
    pub(super) async fn read(&self, after: u64, max_bytes: usize) -> Result<Vec<Read>, ReadError> {
        let head = *self.head.borrow();
        if after >= head {
            return Ok(Vec::new());
        }
        let mut held = self.at.lock().await;
        let since = Instant::now();
        // The servers drop a consumer that was idle too long.
        let kept = held
            .take()
            .filter(|at| at.position == after && at.used.elapsed() < CONSUMER_IDLE_TIMEOUT / 2);
        let mut at = match kept {
            Some(at) => at,
            None => self.begin(after).await?,
        };
        loop {
            let (found, is_whole) = self.fetch(&mut at, max_bytes).await?;
            if !found.is_empty() {
                // A consumer that has missed a message is not used again.
                at.used = Instant::now();
                *held = is_whole.then_some(at);
                return Ok(found);
            }
            if since.elapsed() > LAG_TIMEOUT {
                // The known head is beyond the end of a truncated stream.
                let info = self.stream.get_info().await.map_err(unreadable)?;
                let last = info.state.last_sequence;
                if last <= after {
                    tracing::warn!(
                        known = head,
                        last,
                        "the stream is shorter than it was: it has lost its end, or its leader is behind"
                    );
                    self.shared.reset_head(last);
                    return Ok(Vec::new());
                }
                return Err(ReadError("stored events cannot be read yet".into()));
            }
            sleep(Duration::from_millis(20)).await;
            if !is_whole {
                at = self.begin(after).await?;
            }
        }
    }

    async fn begin(&self, after: u64) -> Result<ConsumerPosition, ReadError> {
        let (position, at) = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if position == after && at != 0 {
            match stream_identity::stored_at(&self.stream, after).await? {
                Some(found) if found == at => {}
                Some(_) => {
                    let mut held_lease = self.lease.held_lease.lock().await;
                    self.lease.give_up(&mut held_lease, "nobody: the stream has changed");
                    return Err(ReadError("the stream has changed".into()));
                }
                None => return Err(ReadError("the stream's leader is behind".into())),
            }
        }
        let deliver_policy = DeliverPolicy::ByStartSequence { start_sequence: after + 1 };
        let consumer = consumer(&self.stream, deliver_policy, false).await?;
        Ok(ConsumerPosition { consumer, position: after, given: 0, used: Instant::now() })
    }

    /// Fetches the available messages. Returns false if some were missed.
    async fn fetch(
        &self,
        at: &mut ConsumerPosition,
        max_bytes: usize,
    ) -> Result<(Vec<Read>, bool), ReadError> {
        // A server returns nothing if the first message is larger than the requested bytes.
        let largest = self.client.server_info().max_payload + message::OVERHEAD;
        let most = max_bytes.max(largest);
        let messages = at.consumer.fetch().max_messages(MESSAGES_PER_PULL).max_bytes(most);
        let messages = messages.messages().await.map_err(unreadable)?;
        let mut messages = std::pin::pin!(messages);
        let mut found = Vec::new();
        loop {
            let next = match timeout(REQUEST_TIMEOUT, messages.next()).await {
                Ok(Some(Ok(next))) => next,
                Ok(None) => return Ok((found, true)),
                Ok(Some(Err(error))) if is_enough(&error) => return Ok((found, true)),
                // The messages before it are sound.
                Ok(Some(Err(_))) | Err(_) if !found.is_empty() => return Ok((found, false)),
                Ok(Some(Err(error))) => return Err(ReadError(error)),
                Err(_) => return Err(ReadError("the servers do not answer".into())),
            };
            let Ok((position, number, stored)) = next.info().map(|info| {
                let stored = info.published.timestamp_nanos_opt().unwrap_or_default();
                (info.stream_sequence, info.consumer_sequence, stored)
            }) else {
                return Ok((found, false));
            };
            if number != at.given + 1 || position <= at.position {
                return Ok((found, false));
            }
            if position > at.position + 1 {
                let (first, last) = (at.position + 1, position - 1);
                if !are_gone(&self.stream, first, last).await? {
                    tracing::warn!(
                        first,
                        last,
                        "a NATS server has skipped stored messages; reading them again"
                    );
                    return Ok((found, false));
                }
                found.push(gone(first, last));
            }
            (at.position, at.given) = (position, number);
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = (position, stored);
            self.lease.give(position, stored);
            let (message, _) = next.split();
            let headers = message.headers.as_ref();
            found.push(message::read(&message.subject, headers, position, message.payload));
        }
    }
}

/// Creates a consumer without acknowledgements, in the memory of one server.
pub(super) async fn consumer(
    stream: &Stream,
    deliver_policy: DeliverPolicy,
    headers_only: bool,
) -> Result<Consumer<pull::Config>, ReadError> {
    let config = pull::Config {
        deliver_policy,
        ack_policy: AckPolicy::None,
        headers_only,
        memory_storage: true,
        num_replicas: 1,
        inactive_threshold: CONSUMER_IDLE_TIMEOUT,
        ..pull::Config::default()
    };
    stream.create_consumer(config).await.map_err(unreadable)
}

/// Returns true if the next message exceeds the requested bytes: the next pull returns it.
fn is_enough(error: &async_nats::Error) -> bool {
    error.to_string().contains("Exceeds MaxBytes")
}

/// Returns true if the stream's leader has no message from `first` to `last`. A consumer is no witness:
/// its server may pass over messages that it has (<https://github.com/nats-io/nats-server/issues/6932>).
pub(super) async fn are_gone(stream: &Stream, first: u64, last: u64) -> Result<bool, ReadError> {
    let info = stream.info_builder().with_deleted(true).fetch().await.map_err(unreadable)?;
    let first = first.max(info.info.state.first_sequence);
    let deleted = info.info.state.deleted.unwrap_or_default();
    let missing = deleted.iter().filter(|position| (first..=last).contains(*position)).count();
    Ok(missing as u64 == (last + 1).saturating_sub(first))
}

fn gone(first: u64, last: u64) -> Read {
    let detail = format!("positions {first} to {last} are gone from the stream");
    Read::Damaged(Damage { first, last, source: String::new(), detail, bytes: Bytes::new() })
}

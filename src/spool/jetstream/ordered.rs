//! Reading in order what follows a position: a consumer of the stream that nothing is acknowledged to, made anew
//! wherever reading goes on elsewhere.
//!
//! The consumer's own numbers say whether a message was missed on the way; then it is made anew. Where they
//! follow each other and the positions do not, the stream's leader is asked: what lies between may be gone from
//! the stream, and is reported, or the consumer's server has passed over it, and the consumer is made anew.

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

/// Messages asked for at a time.
const MESSAGES_PER_PULL: usize = 1000;

/// How long the servers keep a consumer that nobody asks.
const CONSUMER_IDLE_TIMEOUT: Duration = Duration::from_mins(1);

/// How long what is known to be stored may take to be readable: the server that is read from may be behind.
const LAG_TIMEOUT: Duration = Duration::from_secs(2);

/// One sink's own way to read.
#[derive(Debug)]
pub(super) struct OrderedReader {
    stream: Stream,
    shared: Arc<StreamStatus>,
    head: watch::Receiver<u64>,
    /// Knows how large a message may be, which may change while we run.
    client: Client,
    at: Mutex<Option<ConsumerPosition>>,
    lease: Arc<SinkLeaseState>,
    /// The position that was given last, and when the servers stored it.
    last: std::sync::Mutex<(u64, i64)>,
}

/// A consumer, and how far it has come.
#[derive(Debug)]
struct ConsumerPosition {
    consumer: Consumer<pull::Config>,
    /// The last position it has given.
    position: u64,
    /// How many messages it has given.
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
        // The servers have forgotten one that was not asked for long.
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
                // One that has missed a message is not asked again.
                at.used = Instant::now();
                *held = is_whole.then_some(at);
                return Ok(found);
            }
            if since.elapsed() > LAG_TIMEOUT {
                // Of a stream that has lost its end, more was known than there is.
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
                return Err(ReadError("what is stored cannot be read yet".into()));
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

    /// What is there now, and whether nothing was missed.
    async fn fetch(
        &self,
        at: &mut ConsumerPosition,
        max_bytes: usize,
    ) -> Result<(Vec<Read>, bool), ReadError> {
        // A server gives nothing at all where the first message is larger than what was asked for.
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
                // What came before it is sound.
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
                        "a NATS server has passed over what is stored; reading it again"
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

/// A consumer that nothing is acknowledged to, of one server's memory.
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

/// Whether a server says that the next message has no room in what was asked for: the consumer gives it next.
fn is_enough(error: &async_nats::Error) -> bool {
    error.to_string().contains("Exceeds MaxBytes")
}

/// Whether the stream has no message from `first` to `last`, by what its leader says. A consumer is no witness:
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

//! Parallel delivery: one durable consumer per sink, from which every receiver pulls messages.
//!
//! Positions are local numbers, assigned as messages arrive; each message is acknowledged when its number is
//! committed. A receiver extends the deadline of its messages regularly and returns them when it ends; the servers
//! redeliver the messages of a lost receiver after [`ACK_WAIT`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy, pull};
use async_nats::jetstream::context::Context;
use async_nats::jetstream::message::Acker;
use async_nats::jetstream::stream::Stream;
use async_nats::jetstream::{self, AckKind};
use async_nats::{Client, HeaderMap, StatusCode};
use futures_util::StreamExt;
use tokio::sync::{OnceCell, watch};
use tokio::time::timeout;

use super::lease_store::{self, SinkLease};
use super::status::SinkLeaseState;
use super::streams::StreamHandles;
use super::{REQUEST_TIMEOUT, error_chain, message, unreadable};
use crate::spool::{CommitError, Read, ReadError};

/// Time that a message may stay unacknowledged without a sign of life.
const ACK_WAIT: Duration = Duration::from_secs(20);

/// Maximum number of unacknowledged messages of all receivers.
const MAX_UNACKNOWLEDGED: i64 = 100_000;

/// Messages per pull request.
const MESSAGES_PER_PULL: usize = 1000;

/// First value of the wake-up counter: above every assigned number, so that it is no position.
const FIRST_TICK: u64 = 1 << 48;

/// Messages of a sink that this process has taken and not acknowledged.
#[derive(Debug)]
pub(super) struct Outstanding {
    held: Mutex<UnacknowledgedMessages>,
    ticks: watch::Sender<u64>,
}

#[derive(Default)]
struct UnacknowledgedMessages {
    /// Last number assigned.
    last: u64,
    messages: BTreeMap<u64, Arc<Acker>>,
}

impl std::fmt::Debug for UnacknowledgedMessages {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let messages = self.messages.len();
        out.debug_struct("Held").field("messages", &messages).finish_non_exhaustive()
    }
}

/// Parallel reader of one sink.
#[derive(Debug)]
pub(super) struct ParallelReader {
    stream: Stream,
    sink: String,
    outstanding: Arc<Outstanding>,
    context: Context,
    consumer: OnceCell<Consumer<pull::Config>>,
}

impl Default for Outstanding {
    fn default() -> Outstanding {
        Outstanding { held: Mutex::default(), ticks: watch::Sender::new(FIRST_TICK) }
    }
}

impl Outstanding {
    /// Acknowledges all messages up to a number.
    pub(super) async fn acknowledge(
        &self,
        number: u64,
        client: &Client,
    ) -> Result<(), CommitError> {
        let settled = self.upto(number);
        for acker in &settled {
            // A lost acknowledgement loses nothing: the message is redelivered.
            acker.ack().await.map_err(|error| CommitError::Store(error.to_string()))?;
        }
        client.flush().await.map_err(|error| CommitError::Store(error_chain(&error)))?;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.messages = held.messages.split_off(&(number + 1));
        Ok(())
    }

    /// Returns all unacknowledged messages for immediate redelivery.
    pub(super) async fn give_back(&self) {
        for acker in self.upto(u64::MAX) {
            // The servers notice on their own after the timeout.
            drop(acker.ack_with(AckKind::Nak(None)).await);
        }
        self.held.lock().unwrap_or_else(PoisonError::into_inner).messages.clear();
    }

    async fn keep(&self) {
        for acker in self.upto(u64::MAX) {
            drop(acker.ack_with(AckKind::Progress).await);
        }
    }

    fn upto(&self, number: u64) -> Vec<Arc<Acker>> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.messages.range(..=number).map(|(_, acker)| Arc::clone(acker)).collect()
    }

    fn take(&self, acker: Acker) -> u64 {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.last += 1;
        let number = held.last;
        held.messages.insert(number, Arc::new(acker));
        number
    }
}

impl ParallelReader {
    pub(super) fn new(
        stream: Stream,
        sink: &str,
        outstanding: Arc<Outstanding>,
        context: Context,
    ) -> ParallelReader {
        let sink = sink.to_owned();
        ParallelReader { stream, sink, outstanding, context, consumer: OnceCell::new() }
    }

    pub(super) fn head(&self) -> watch::Receiver<u64> {
        self.outstanding.ticks.subscribe()
    }

    /// Pulls the next messages, if any.
    pub(super) async fn read(&self, max_bytes: usize) -> Result<Vec<Read>, ReadError> {
        let open =
            || async { self.stream.get_consumer(&name(&self.sink)).await.map_err(ReadError) };
        let consumer = self.consumer.get_or_try_init(open).await?;
        let client = self.context.client();
        // The servers' maximum payload may change while the process runs.
        let largest = client.server_info().max_payload + message::OVERHEAD;
        let most = max_bytes.max(largest);
        let batch = pull::BatchConfig {
            batch: MESSAGES_PER_PULL,
            max_bytes: most,
            no_wait: true,
            ..pull::BatchConfig::default()
        };
        let inbox = async_nats::Subject::from(client.new_inbox());
        let mut answers = client.subscribe(inbox.clone()).await.map_err(unreadable)?;
        consumer.request_batch(batch, inbox).await.map_err(unreadable)?;
        let mut found = Vec::new();
        // The status that ends a pull may overtake its messages: with a replicated consumer, each waits for the
        // replicas. The status holds the number of messages.
        let mut expected = MESSAGES_PER_PULL;
        while found.len() < expected {
            let next = match timeout(REQUEST_TIMEOUT, answers.next()).await {
                Ok(Some(next)) => next,
                // Missing messages are redelivered after a while.
                _ if !found.is_empty() => break,
                Ok(None) => return Err(ReadError("the connection to NATS is closed".into())),
                Err(_) => return Err(ReadError("the servers do not answer".into())),
            };
            match next.status {
                None | Some(StatusCode::OK) => {
                    let message =
                        jetstream::Message { message: next, context: self.context.clone() };
                    let (message, acker) = message.split();
                    let number = self.outstanding.take(acker);
                    let headers = message.headers.as_ref();
                    found.push(message::read(&message.subject, headers, number, message.payload));
                }
                Some(status) => {
                    let headers = next.headers.as_ref();
                    expected = sent(headers).unwrap_or(found.len());
                    let is_end = matches!(status, StatusCode::NOT_FOUND | StatusCode::TIMEOUT);
                    if expected == 0 && !is_end {
                        let text = next.description.unwrap_or_default();
                        return Err(ReadError(
                            format!("the servers end a pull: {status} {text}").into(),
                        ));
                    }
                }
            }
        }
        Ok(found)
    }
}

/// Returns the number of messages sent for a pull, from the status at its end.
fn sent(headers: Option<&HeaderMap>) -> Option<usize> {
    let pending: usize = headers?.get("Nats-Pending-Messages")?.as_str().parse().ok()?;
    MESSAGES_PER_PULL.checked_sub(pending)
}

/// Creates a sink's consumer, starting at its cursor.
pub(super) async fn begin(
    streams: &StreamHandles,
    sink: &str,
    cursor: u64,
) -> Result<(), CommitError> {
    let config = pull::Config {
        durable_name: Some(name(sink)),
        description: Some("davinci-siem: messages that a sink has not committed".to_owned()),
        deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: cursor + 1 },
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        max_ack_pending: MAX_UNACKNOWLEDGED,
        ..pull::Config::default()
    };
    let made = streams.events.get_or_create_consumer(&name(sink), config).await;
    made.map(drop).map_err(|error| CommitError::Store(error_chain(&error)))
}

/// Deletes a sink's consumer after a change to ordered delivery: the cursor is in the lease.
pub(super) async fn end(streams: &StreamHandles, sink: &str) {
    // Usually there is none.
    drop(streams.events.delete_consumer(&name(sink)).await);
}

/// Wakes the worker for redelivered messages, extends the deadline of held messages, and moves the sink's cursor
/// to the consumer's acknowledged position.
pub(super) async fn tend(streams: &StreamHandles, sink: &str, own: &SinkLeaseState, is_due: bool) {
    own.outstanding.ticks.send_modify(|tick| *tick += 1);
    if !is_due {
        return;
    }
    own.outstanding.keep().await;
    let Ok(info) = streams.events.consumer_info(name(sink)).await else { return };
    let Ok(Some(held)) = lease_store::read(&streams.leases, sink).await else { return };
    let floor = info.ack_floor.stream_sequence;
    // The update is a sign of life, also without progress. Another receiver may be faster.
    let cursor = held.lease.cursor.max(floor);
    let lease = SinkLease { cursor, at: 0, holder: None, ..held.lease };
    drop(lease_store::update(&streams.leases, sink, &lease, held.revision).await);
}

fn name(sink: &str) -> String {
    format!("sink-{sink}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_how_many_messages_a_pull_has() {
        let sent = |pending: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("Nats-Pending-Messages", pending);
            sent(Some(&headers))
        };
        assert_eq!(sent("1000"), Some(0));
        assert_eq!(sent("997"), Some(3));
        assert_eq!(sent("0"), Some(1000));
        assert_eq!((sent("1001"), sent("many"), super::sent(None)), (None, None, None));
    }
}

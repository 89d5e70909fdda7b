//! Reads a stream in order, and proves that nothing is left out.
//!
//! The consumer has no acknowledgements and is created again wherever reading continues elsewhere. Its own numbers
//! show if a message was missed on the way. If they are contiguous and the sequences are not, the stream's leader is
//! asked: either the messages are gone from the stream, which is reported, or the consumer's server has skipped them
//! (<https://github.com/nats-io/nats-server/issues/6932>), and the consumer is created again.

use std::time::Duration;

use async_nats::Subject;
use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy, pull};
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{LastRawMessageError, LastRawMessageErrorKind, Stream};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::{Instant, timeout};

use super::{REQUEST_TIMEOUT, unreadable};
use crate::spool::ReadError;

/// Time that the servers keep an idle consumer.
const CONSUMER_IDLE_TIMEOUT: Duration = Duration::from_mins(1);

/// Time after the end of a pull that waits, within which the server reports the end.
const END_TIMEOUT: Duration = Duration::from_secs(1);

/// Timeout for stored messages to become readable: the serving replica may lag.
pub(super) const LAG_TIMEOUT: Duration = Duration::from_secs(2);

/// Pause before another attempt to read what a lagging replica does not have yet.
pub(super) const LAG_PAUSE: Duration = Duration::from_millis(20);

/// Bytes that a pull asks for, judged by the size of the last messages.
const PULL_BYTES: usize = 4 * 1024 * 1024;

/// Maximum number of messages of a pull; the first one asks for few, because their size is unknown.
const MAX_PULL: usize = 256;
const FIRST_PULL: usize = 8;

/// A message of the stream.
#[derive(Debug)]
pub(super) struct LogMessage {
    pub(super) sequence: u64,
    /// Storage time, in ns since the Unix epoch.
    pub(super) at: i64,
    pub(super) subject: Subject,
    pub(super) headers: Option<async_nats::HeaderMap>,
    pub(super) payload: Bytes,
}

/// Result of one step.
#[derive(Debug)]
pub(super) enum LogStep {
    Message(LogMessage),
    /// No message from `first` to `last` is in the stream any more.
    Gone {
        first: u64,
        last: u64,
    },
    /// No more messages can be read at the moment.
    End,
}

/// Reader of a stream from one sequence on.
#[derive(Debug)]
pub(super) struct LogReader {
    stream: Stream,
    /// Next sequence to return.
    next: u64,
    /// Time that a pull waits for messages; `None` returns at once.
    wait: Option<Duration>,
    headers_only: bool,
    open: Option<OpenConsumer>,
    /// Message after a gap that was just returned.
    after_gap: Option<LogMessage>,
}

struct OpenConsumer {
    consumer: Consumer<pull::Config>,
    pull: Option<Pull>,
    /// Number of messages that the consumer has delivered.
    given: u64,
    used: Instant,
    next_pull: usize,
}

struct Pull {
    messages: pull::Batch,
    asked: usize,
    count: usize,
    bytes: usize,
}

impl std::fmt::Debug for OpenConsumer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("OpenConsumer").field("given", &self.given).finish_non_exhaustive()
    }
}

impl LogReader {
    /// Reads what is stored, from `next` on.
    pub(super) fn new(stream: Stream, next: u64) -> LogReader {
        let (wait, headers_only, open, after_gap) = (None, false, None, None);
        LogReader { stream, next, wait, headers_only, open, after_gap }
    }

    /// Waits up to `wait` for new messages.
    pub(super) fn waiting(self, wait: Duration) -> LogReader {
        LogReader { wait: Some(wait), ..self }
    }

    /// Leaves out the payloads.
    pub(super) fn headers_only(self) -> LogReader {
        LogReader { headers_only: true, ..self }
    }

    /// Returns the next message, a gap before it, or the end.
    ///
    /// # Cancel safety
    ///
    /// No message is lost if the future is dropped.
    pub(super) async fn step(&mut self) -> Result<LogStep, ReadError> {
        if let Some(message) = self.after_gap.take() {
            return Ok(self.passed(message));
        }
        let Some(message) = self.pulled().await? else { return Ok(LogStep::End) };
        let (sequence, first) = (message.sequence, self.next);
        if sequence == first {
            return Ok(self.passed(message));
        }
        let last = sequence - 1;
        // Until the leader has confirmed the gap, the message is to be read again.
        let open = self.open.take();
        if !are_gone(&self.stream, first, last).await? {
            tracing::warn!(
                first,
                last,
                "a NATS server has skipped stored messages; reading them again"
            );
            return Ok(LogStep::End);
        }
        (self.open, self.next, self.after_gap) = (open, sequence, Some(message));
        Ok(LogStep::Gone { first, last })
    }

    fn passed(&mut self, message: LogMessage) -> LogStep {
        self.next = message.sequence + 1;
        LogStep::Message(message)
    }

    /// Returns the next message of the consumer; `None` if no message is waiting, or the consumer has to be recreated.
    async fn pulled(&mut self) -> Result<Option<LogMessage>, ReadError> {
        let is_stale = |open: &OpenConsumer| open.used.elapsed() > CONSUMER_IDLE_TIMEOUT / 2;
        if self.open.as_ref().is_some_and(is_stale) {
            self.open = None;
        }
        loop {
            if self.open.is_none() {
                let consumer = consumer(&self.stream, self.next, self.headers_only).await?;
                let (pull, given, used) = (None, 0, Instant::now());
                self.open =
                    Some(OpenConsumer { consumer, pull, given, used, next_pull: FIRST_PULL });
            }
            let Some(open) = &mut self.open else { return Ok(None) };
            if open.pull.is_none() {
                open.pull = Some(open.pull(self.wait).await?);
            }
            let Some(pull) = &mut open.pull else { return Ok(None) };
            let limit = self.wait.map_or(REQUEST_TIMEOUT, |wait| wait + END_TIMEOUT);
            let next = timeout(limit, pull.messages.next()).await;
            open.used = Instant::now();
            let message = match next {
                Ok(Some(Ok(message))) => message,
                Ok(None) => {
                    let was_full = pull.count == pull.asked;
                    open.next_pull = pull.next_size();
                    open.pull = None;
                    if was_full {
                        continue;
                    }
                    return Ok(None);
                }
                // The consumer has lost its server, or is gone.
                Ok(Some(Err(error))) => {
                    tracing::debug!(%error, "a pull has ended early");
                    self.open = None;
                    return Ok(None);
                }
                Err(_) => {
                    self.open = None;
                    return Err(ReadError("the servers do not answer".into()));
                }
            };
            let info = message.info().ok().map(|info| {
                let at = info.published.timestamp_nanos_opt().unwrap_or_default();
                (info.stream_sequence, info.consumer_sequence, at)
            });
            match info {
                Some((sequence, number, at))
                    if number == open.given + 1 && sequence >= self.next =>
                {
                    open.given = number;
                    pull.count += 1;
                    pull.bytes += message.payload.len();
                    let (message, _) = message.split();
                    let async_nats::Message { subject, headers, payload, .. } = message;
                    return Ok(Some(LogMessage { sequence, at, subject, headers, payload }));
                }
                // A message was missed on the way.
                _ => {
                    self.open = None;
                    return Ok(None);
                }
            }
        }
    }
}

impl OpenConsumer {
    async fn pull(&self, wait: Option<Duration>) -> Result<Pull, ReadError> {
        let asked = self.next_pull;
        let messages = match wait {
            Some(wait) => self.consumer.batch().max_messages(asked).expires(wait).messages().await,
            None => self.consumer.fetch().max_messages(asked).messages().await,
        };
        let messages = messages.map_err(unreadable)?;
        Ok(Pull { messages, asked, count: 0, bytes: 0 })
    }
}

impl Pull {
    /// Returns the number of messages to ask for next.
    fn next_size(&self) -> usize {
        match self.count {
            0 => self.asked,
            count => (PULL_BYTES * count / self.bytes.max(1)).clamp(1, MAX_PULL),
        }
    }
}

/// Creates a consumer without acknowledgements, in the memory of one server.
async fn consumer(
    stream: &Stream,
    start_sequence: u64,
    headers_only: bool,
) -> Result<Consumer<pull::Config>, ReadError> {
    let config = pull::Config {
        deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: start_sequence.max(1) },
        ack_policy: AckPolicy::None,
        headers_only,
        memory_storage: true,
        num_replicas: 1,
        inactive_threshold: CONSUMER_IDLE_TIMEOUT,
        ..pull::Config::default()
    };
    stream.create_consumer(config).await.map_err(unreadable)
}

/// Returns a message of a stream, which the leader is asked for; `None` if it is not stored.
pub(super) async fn message(
    stream: &Stream,
    sequence: u64,
) -> Result<Option<StreamMessage>, ReadError> {
    stored(stream.get_raw_message(sequence).await)
}

/// Returns the message of an answer; `None` if it is not stored.
pub(super) fn stored(
    answer: Result<StreamMessage, LastRawMessageError>,
) -> Result<Option<StreamMessage>, ReadError> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(unreadable(error)),
    }
}

/// Returns true if the stream's leader has no message from `first` to `last`.
async fn are_gone(stream: &Stream, first: u64, last: u64) -> Result<bool, ReadError> {
    let info = stream.info_builder().with_deleted(true).fetch().await.map_err(unreadable)?;
    let first = first.max(info.info.state.first_sequence);
    let deleted = info.info.state.deleted.unwrap_or_default();
    let missing = deleted.iter().filter(|sequence| (first..=last).contains(*sequence)).count();
    Ok(missing as u64 == (last + 1).saturating_sub(first))
}

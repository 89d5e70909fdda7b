//! Reader of one sink: the events of the log after its cursor, chunk by chunk, duplicates marked.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::stream::Stream;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep, timeout};

use super::REQUEST_TIMEOUT;
use super::checkpoint::Mark;
use super::frame::{self, BatchFrame};
use super::log::{LogMessage, LogReader, LogStep};
use super::sink_lease::ReadMessage;
use super::sinks::SinkLeaseState;
use super::status::LogStatus;
use crate::error_chain::error_chain;
use crate::spool::{Damage, Read, ReadError, StoredEvent};

/// Timeout for stored events to become readable: the serving replica may lag.
const LAG_TIMEOUT: Duration = Duration::from_secs(2);

/// Pause before another attempt to read what a lagging replica does not have yet.
const PAUSE: Duration = Duration::from_millis(20);

/// Reader of one sink.
#[derive(Debug)]
pub struct JetStreamReader {
    stream: Stream,
    status: Arc<LogStatus>,
    sink: Arc<SinkLeaseState>,
    state: Mutex<Option<ReadState>>,
}

/// Continuation of the last read. Kept if a caller stops waiting, so that nothing is read twice.
#[derive(Debug)]
struct ReadState {
    log: LogReader,
    /// Numbering of the positions.
    epoch: String,
    /// Position after which `found` begins.
    after: u64,
    /// Position of the last event before `open`, or in `found`.
    position: u64,
    open: Option<OpenMessage>,
    found: Vec<Read>,
    size: usize,
}

/// A message, of which the first chunks are read.
#[derive(Debug)]
struct OpenMessage {
    frame: BatchFrame,
    next_chunk: usize,
    /// Position before its first event.
    before: u64,
    /// Numbers of the duplicates among the events that follow, from 0.
    repeated: VecDeque<u32>,
}

impl JetStreamReader {
    pub(super) fn new(stream: Stream, status: Arc<LogStatus>, sink: Arc<SinkLeaseState>) -> Self {
        JetStreamReader { stream, status, sink, state: Mutex::default() }
    }

    /// See [`crate::spool::Reader::head`].
    pub(crate) fn head(&self) -> watch::Receiver<u64> {
        self.status.head()
    }

    /// See [`crate::spool::Reader::read`].
    ///
    /// # Cancel safety
    ///
    /// Events that are read in the meantime are returned by the next call.
    pub(crate) async fn read(&self, after: u64, max_bytes: usize) -> Result<Vec<Read>, ReadError> {
        let began = std::time::Instant::now();
        let mut state = self.state.lock().await;
        let read = self.read_into(&mut state, after, max_bytes).await;
        if read.is_err() {
            *state = None;
        }
        read.map_err(|ReadError(error)| {
            ReadError(self.status.denials.explain(error_chain(&*error), began).into())
        })
    }

    async fn read_into(
        &self,
        state: &mut Option<ReadState>,
        after: u64,
        max_bytes: usize,
    ) -> Result<Vec<Read>, ReadError> {
        if after >= *self.status.head().borrow() {
            return Ok(Vec::new());
        }
        let epoch = self.status.index().epoch.clone();
        if state.as_ref().is_none_or(|state| state.after != after || state.epoch != epoch) {
            let (sequence, position) = self.sink.start();
            let log = LogReader::new(self.stream.clone(), sequence);
            let (open, found, size) = (None, Vec::new(), 0);
            *state = Some(ReadState { log, epoch, after, position, open, found, size });
        }
        let Some(state) = state else { return Ok(Vec::new()) };
        let since = Instant::now();
        loop {
            while state.size < max_bytes && state.next_chunk() {}
            let is_at_end = state.position >= *self.status.head().borrow();
            if state.size >= max_bytes || (is_at_end && !state.found.is_empty()) {
                return Ok(state.take());
            }
            match state.log.step().await? {
                LogStep::Message(message) => self.open(state, message).await?,
                LogStep::Gone { first, last } => {
                    tracing::error!(first, last, "messages are gone from the stream");
                }
                LogStep::End if !state.found.is_empty() => return Ok(state.take()),
                LogStep::End if is_at_end => return Ok(Vec::new()),
                LogStep::End if since.elapsed() > LAG_TIMEOUT => {
                    return Err(ReadError("stored events cannot be read yet".into()));
                }
                LogStep::End => sleep(PAUSE).await,
            }
        }
    }

    /// Opens a message once it is indexed.
    async fn open(&self, state: &mut ReadState, message: LogMessage) -> Result<(), ReadError> {
        let mut indexed = self.status.indexed();
        let is_there = indexed.wait_for(|(_, sequence)| *sequence >= message.sequence);
        if timeout(REQUEST_TIMEOUT, is_there).await.is_err() {
            return Err(ReadError("the stream is being read anew".into()));
        }
        let LogMessage { sequence, at, payload, .. } = message;
        let (before, frame) = (state.position, frame::parse(&payload));
        let position = before + frame.as_ref().map_or(1, BatchFrame::events);
        let mark = Mark { sequence, position, at };
        self.sink.note_read(ReadMessage { mark, before });
        if position <= state.after {
            state.position = position;
            return Ok(());
        }
        match frame {
            Some(frame) => {
                let repeated = self.status.index().repeated(sequence).into_iter().collect();
                state.open = Some(OpenMessage { frame, next_chunk: 0, before, repeated });
            }
            None => {
                let detail = "a message of the stream was not written by davinci-siem";
                state.add_damage(position, String::new(), detail.to_owned(), payload);
            }
        }
        Ok(())
    }
}

impl ReadState {
    fn take(&mut self) -> Vec<Read> {
        (self.after, self.size) = (self.position, 0);
        std::mem::take(&mut self.found)
    }

    /// Adds the events of the next chunk of the open message. Returns false at the end.
    fn next_chunk(&mut self) -> bool {
        let Some(open) = &mut self.open else { return false };
        if open.next_chunk == open.frame.chunks() {
            self.open = None;
            return false;
        }
        let index = open.next_chunk;
        open.next_chunk += 1;
        let (first, last) = (self.position + 1, self.position + open.frame.count(index));
        if last <= self.after {
            self.position = last;
            return true;
        }
        let Some(events) = open.frame.chunk(index) else {
            let (source, bytes) = (open.frame.head.source.clone(), open.frame.raw_chunk(index));
            self.add_damage(
                last,
                source,
                "the chunk does not match its checksum".to_owned(),
                bytes,
            );
            return true;
        };
        let head = &open.frame.head;
        let source: Arc<str> = head.source.as_str().into();
        let only_sink: Option<Arc<str>> = head.only_sink.as_deref().map(Arc::from);
        for (bytes, position) in events.into_iter().zip(first..) {
            let number = position - open.before - 1;
            while open.repeated.front().is_some_and(|next| u64::from(*next) < number) {
                open.repeated.pop_front();
            }
            if position <= self.after {
                continue;
            }
            if open.repeated.front().is_some_and(|next| u64::from(*next) == number) {
                self.size += size_of::<Read>();
                self.found.push(Read::Repeated(position));
                continue;
            }
            self.size += bytes.len();
            self.found.push(Read::Event(StoredEvent {
                position,
                received_at: head.received_at,
                source: Arc::clone(&source),
                only_sink: only_sink.clone(),
                bytes,
            }));
        }
        self.position = last;
        true
    }

    /// Adds the positions up to `last` as damage.
    fn add_damage(&mut self, last: u64, source: String, detail: String, bytes: bytes::Bytes) {
        let first = self.position.max(self.after) + 1;
        self.size += bytes.len();
        self.found.push(Read::Damaged(Damage { first, last, source, detail, bytes }));
        self.position = last;
    }
}

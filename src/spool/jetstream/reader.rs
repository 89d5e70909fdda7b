//! Reader of one sink: the events of the log after its cursor, chunk by chunk, duplicates marked.

use std::collections::VecDeque;
use std::sync::Arc;

use async_nats::jetstream::stream::Stream;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep, timeout};

use super::REQUEST_TIMEOUT;
use super::checkpoint::Mark;
use super::frame::{self, BatchFrame};
use super::log::{LAG_PAUSE, LAG_TIMEOUT, LogMessage, LogReader, LogStep};
use super::sink_lease::ReadMessage;
use super::sinks::SinkLeaseState;
use super::status::LogStatus;
use crate::error_chain::error_chain;
use crate::spool::{Damage, Read, ReadError, StoredEvent};

/// Reader of one sink.
#[derive(Debug)]
pub struct JetStreamReader {
    stream: Stream,
    status: Arc<LogStatus>,
    sink: Arc<SinkLeaseState>,
    state: Mutex<Option<ReadState>>,
}

/// Continuation of the last read. Kept if a caller stops waiting, so that nothing is read twice or left out.
#[derive(Debug)]
struct ReadState {
    log: LogReader,
    /// Numbering of the positions.
    epoch: String,
    buffer: ReadBuffer,
}

/// Messages and events that were read and not returned yet.
#[derive(Debug, Default)]
struct ReadBuffer {
    /// Position after which `found` begins.
    after: u64,
    /// Position of the last event before `pending` and `open`, or in `found`.
    position: u64,
    /// Message that may not be indexed yet.
    pending: Option<LogMessage>,
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
        let is_continued = |state: &ReadState| state.buffer.after == after && state.epoch == epoch;
        if !state.as_ref().is_some_and(is_continued) {
            let (sequence, position) = self.sink.start();
            let log = LogReader::new(self.stream.clone(), sequence);
            let buffer = ReadBuffer { after, position, ..ReadBuffer::default() };
            *state = Some(ReadState { log, epoch, buffer });
        }
        let Some(ReadState { log, buffer, .. }) = state else { return Ok(Vec::new()) };
        let since = Instant::now();
        loop {
            while buffer.size < max_bytes && buffer.next_chunk() {}
            let is_at_end = buffer.position >= *self.status.head().borrow();
            if buffer.size >= max_bytes || (is_at_end && !buffer.found.is_empty()) {
                return Ok(buffer.take());
            }
            if buffer.pending.is_some() {
                buffer.open_pending(&self.status, &self.sink).await?;
                continue;
            }
            match log.step().await? {
                LogStep::Message(message) => buffer.pending = Some(message),
                LogStep::Gone { first, last } => {
                    tracing::error!(first, last, "messages are gone from the stream");
                }
                LogStep::End if !buffer.found.is_empty() => return Ok(buffer.take()),
                LogStep::End if is_at_end => return Ok(Vec::new()),
                LogStep::End if since.elapsed() > LAG_TIMEOUT => {
                    return Err(ReadError("stored events cannot be read yet".into()));
                }
                LogStep::End => sleep(LAG_PAUSE).await,
            }
        }
    }
}

impl ReadBuffer {
    /// Opens the pending message once it is indexed.
    ///
    /// # Cancel safety
    ///
    /// The message stays pending until it is opened.
    async fn open_pending(
        &mut self,
        status: &LogStatus,
        sink: &SinkLeaseState,
    ) -> Result<(), ReadError> {
        let Some(sequence) = self.pending.as_ref().map(|message| message.sequence) else {
            return Ok(());
        };
        let mut indexed = status.indexed();
        let is_there = indexed.wait_for(|(_, indexed)| *indexed >= sequence);
        if timeout(REQUEST_TIMEOUT, is_there).await.is_err() {
            return Err(ReadError("the stream is being read anew".into()));
        }
        let Some(LogMessage { at, payload, .. }) = self.pending.take() else { return Ok(()) };
        let (before, frame) = (self.position, frame::parse(&payload));
        let position = before + frame.as_ref().map_or(1, BatchFrame::events);
        let mark = Mark { sequence, position, at };
        sink.note_read(ReadMessage { mark, before });
        if position <= self.after {
            self.position = position;
            return Ok(());
        }
        match frame {
            Some(frame) => {
                let repeated = status.index().repeated(sequence).into_iter().collect();
                self.open = Some(OpenMessage { frame, next_chunk: 0, before, repeated });
            }
            None => {
                let detail = "a message of the stream was not written by davinci-siem";
                self.add_damage(position, String::new(), detail.to_owned(), payload);
            }
        }
        Ok(())
    }

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
            let bytes = open.frame.raw_chunk(index).map_or_else(Vec::new, |chunk| chunk.body);
            let source = open.frame.head.source.clone();
            let detail = "the chunk does not match its checksum".to_owned();
            self.add_damage(last, source, detail, bytes.into());
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;

    use super::*;
    use crate::spool::jetstream::index::DedupWindow;
    use crate::spool::jetstream::permissions::Denials;
    use crate::spool::{Batch, DedupKey, Disposition, NewEvent, chunk};

    fn message(sequence: u64, ids: &[&'static str]) -> LogMessage {
        let event = |id: &&'static str| NewEvent {
            key: DedupKey::new("pingone", id, (0, 0)),
            bytes: bytes::Bytes::from_static(id.as_bytes()),
        };
        let events: Vec<NewEvent> = ids.iter().map(event).collect();
        let chunks = chunk::encode(events.iter().map(|event| event.bytes.as_ref()));
        let batch = Batch { source: "pingone".into(), events, ..Batch::default() };
        let payload = frame::encode(batch, &chunks, Disposition::Accepted, 0, 1 << 20);
        let subject = "s.batch.pingone".into();
        LogMessage { sequence, at: 1, subject, headers: None, payload }
    }

    #[tokio::test]
    async fn a_message_is_not_left_out_if_the_caller_stops_waiting_for_its_index() {
        let window = DedupWindow { age: Duration::from_secs(60), max_keys: 100 };
        let status = LogStatus::new(window, Arc::new(Denials::new("s")));
        let (sink, mut buffer) = (SinkLeaseState::default(), ReadBuffer::default());
        for (sequence, ids) in [(1, ["a", "b"]), (2, ["c", "d"])] {
            let message = message(sequence, &ids);
            let frame = frame::parse(&message.payload);
            buffer.pending = Some(message);
            // A worker drops its read whenever a delivery ends.
            assert!(buffer.open_pending(&status, &sink).now_or_never().is_none());
            status.add(sequence, 1, frame.as_ref());
            buffer.open_pending(&status, &sink).await.expect("indexed");
            while buffer.next_chunk() {}
        }
        let positions: Vec<u64> = buffer.take().iter().map(Read::last_position).collect();
        assert_eq!(positions, [1, 2, 3, 4]);
        assert_eq!(buffer.after, 4);
    }
}

//! Fills new streams with the content of an embedded spool, for `spool move`.
//!
//! Each message expects the sequence of the message before it, and the same content is always sent in the same order.
//! So a repetition continues after the last stored message, and nothing is stored twice. No receiver starts with the
//! streams until the move is complete ([`move_record`]).

use std::collections::{BTreeMap, VecDeque};

use async_nats::jetstream::context::PublishAckFuture;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::Stream;
use bytes::Bytes;

use super::append::refusal;
use super::checkpoint::{self, Checkpoint, Mark, created};
use super::move_record::{self, IncomingMove, MoveRecord};
use super::sink_lease::SinkLease;
use super::{JetStreamSpool, connect, entry, frame, records, streams, unreadable};
use crate::spool::moving::MoveError;
use crate::spool::moving::contents::{MovedChunk, MovedState};
use crate::spool::{AppendError, Clock, DedupKey, Entry, Millis, SpoolConfig};

/// Messages that are sent before the first of them is acknowledged.
const MAX_PENDING: usize = 64;

/// Move into new streams.
pub(in crate::spool) struct StreamImport {
    spool: JetStreamSpool,
    incoming: IncomingMove,
    /// True if no earlier attempt has begun the move.
    is_new: bool,
    /// Revision of the record; 0 before it is stored.
    revision: u64,
    events: Appender,
    quarantine: Appender,
    /// Message after which each sink reads.
    starts: BTreeMap<String, Mark>,
}

/// Sends the messages of one stream in order.
struct Appender {
    /// Sequence of the last message sent or found.
    sent: u64,
    /// Sequence of the last message that an earlier attempt has stored.
    stored: u64,
    pending: VecDeque<PublishAckFuture>,
}

impl StreamImport {
    /// Creates the streams, or continues an earlier attempt. Stores nothing in them. `since` is the time of the oldest ids to move. Returns
    /// `None` if the move is complete already.
    pub(in crate::spool) async fn begin(
        settings: &SpoolConfig,
        clock: Clock,
        from: &str,
        since: Millis,
    ) -> Result<Option<StreamImport>, MoveError> {
        let spool = connect(settings, clock, true).await?;
        let (record, revision) = move_record::read(&spool.streams.leases).await?;
        let events = Appender::new(&spool.streams.events).await?;
        let quarantine = Appender::new(&spool.streams.quarantine).await?;
        let is_unused = record == MoveRecord::default()
            && events.stored + quarantine.stored == 0
            && records::keys(&spool.streams.leases)
                .await?
                .iter()
                .all(|key| key == move_record::KEY);
        let known = record.incoming.filter(|known| known.from == from);
        let is_new = known.is_none();
        let incoming = match known {
            Some(known) if known.is_complete => return Ok(None),
            Some(known) => known,
            None if is_unused => {
                let epoch = uuid::Uuid::new_v4().to_string();
                IncomingMove { from: from.to_owned(), epoch, since, is_complete: false }
            }
            None => {
                return Err(MoveError::Refused(format!(
                    "stream {} was used before: set another spool.jetstream.stream, or delete the stream, its \
                     quarantine and its bucket",
                    spool.stream
                )));
            }
        };
        let starts = BTreeMap::new();
        Ok(Some(StreamImport { spool, incoming, is_new, revision, events, quarantine, starts }))
    }

    /// Returns true if no earlier attempt has begun the move.
    pub(in crate::spool) fn is_new(&self) -> bool {
        self.is_new
    }

    /// Returns true if an earlier attempt has stored messages.
    pub(in crate::spool) fn has_content(&self) -> bool {
        self.events.stored + self.quarantine.stored > 0
    }

    /// Records that the move has begun: from here on, no receiver starts with the streams.
    pub(in crate::spool) async fn announce(&mut self) -> Result<(), MoveError> {
        if self.is_new {
            self.store_record(self.incoming.clone()).await?;
        }
        Ok(())
    }

    async fn store_record(&mut self, incoming: IncomingMove) -> Result<(), MoveError> {
        let record = MoveRecord { incoming: Some(incoming), outgoing: None };
        let leases = &self.spool.streams.leases;
        let stored = records::update(leases, move_record::KEY, &record, self.revision).await?;
        self.revision = stored.ok_or_else(|| {
            MoveError::Refused(
                "another command moves a spool into the stream at the same time".into(),
            )
        })?;
        Ok(())
    }

    /// Returns the time of the oldest ids to move, in ms since the Unix epoch.
    pub(in crate::spool) fn since(&self) -> Millis {
        self.incoming.since
    }

    /// Adds ids. All of them come before the first chunk.
    pub(in crate::spool) async fn add_ids(
        &mut self,
        source: &str,
        at: Millis,
        keys: &[DedupKey],
    ) -> Result<(), MoveError> {
        let bytes = frame::encode_keys(source, at, keys);
        self.add_message(source, bytes, "an id").await
    }

    /// Sets the position before the first chunk, after all ids.
    pub(in crate::spool) fn start_at(&mut self, state: &MovedState) {
        let start = Mark { sequence: self.events.sent, position: state.trimmed, at: 0 };
        self.starts = state.sinks.iter().map(|sink| (sink.name.clone(), start)).collect();
    }

    /// Adds the next chunk.
    pub(in crate::spool) async fn add_chunk(
        &mut self,
        chunk: MovedChunk,
        state: &MovedState,
    ) -> Result<(), MoveError> {
        let (source, last) = (chunk.source.clone(), chunk.last);
        self.add_message(&source, frame::encode_moved(chunk), &format!("event {last}")).await?;
        let mark = Mark { sequence: self.events.sent, position: last, at: 0 };
        for sink in state.sinks.iter().filter(|sink| sink.cursor >= last) {
            self.starts.insert(sink.name.clone(), mark);
        }
        Ok(())
    }

    async fn add_message(
        &mut self,
        source: &str,
        bytes: Bytes,
        content: &str,
    ) -> Result<(), MoveError> {
        self.check_size(bytes.len(), content)?;
        let subject = streams::batch_subject(&self.spool.stream, source);
        let message = PublishMessage::build().payload(bytes);
        self.events.send(&self.spool, subject, message).await
    }

    /// Adds a quarantine entry.
    pub(in crate::spool) async fn add_entry(&mut self, stored: Entry) -> Result<(), MoveError> {
        let Entry { summary, bytes } = stored;
        let fields = serde_json::to_vec(&summary).map_or(0, |fields| fields.len());
        self.check_size(bytes.len() + fields, &format!("quarantine entry {}", summary.id))?;
        let id = format!("moved-{}-{}", self.incoming.epoch, summary.id);
        let message = entry::message(&summary, bytes.into(), &id);
        let subject = entry::subject(&self.spool.stream);
        self.quarantine.send(&self.spool, subject, message).await
    }

    fn check_size(&self, size: usize, content: &str) -> Result<(), MoveError> {
        let (size, max) = (size + super::OVERHEAD, self.spool.max_payload());
        match size <= max {
            true => Ok(()),
            false => Err(MoveError::Refused(format!(
                "the message with {content} has {size} bytes, and max_payload of the NATS servers is {max}: raise \
                 max_payload there, and repeat the command"
            ))),
        }
    }

    /// Waits for all acknowledgements, and stores sinks and totals. The streams are complete then, and still refused
    /// by receivers.
    pub(in crate::spool) async fn store_state(
        &mut self,
        state: &MovedState,
    ) -> Result<(), MoveError> {
        self.events.wait(0).await?;
        self.quarantine.wait(0).await?;
        let StreamImport { spool, incoming, starts, .. } = self;
        let leases = &spool.streams.leases;
        for sink in &state.sinks {
            let start = starts.get(&sink.name).copied().unwrap_or_default();
            let lease = SinkLease::moved(start, &incoming.epoch, sink, state);
            // An earlier attempt may have stored the same record.
            records::update(leases, &sink.name, &lease, 0).await?;
        }
        let info = spool.streams.events.get_info().await.map_err(unreadable)?;
        if (info.state.last_sequence, info.state.first_sequence) != (self.events.sent, 1)
            && self.events.sent > 0
        {
            return Err(MoveError::Refused(format!(
                "stream {} has other messages than the move has stored: delete the stream, its quarantine and its \
                 bucket, and repeat the command",
                spool.stream
            )));
        }
        let at = match self.events.sent {
            0 => 0,
            sequence => {
                let last = spool.streams.events.get_raw_message(sequence).await;
                last.map_err(unreadable)?.time.timestamp_nanos_opt().unwrap_or_default()
            }
        };
        let log = Checkpoint {
            epoch: incoming.epoch.clone(),
            created: created(&info),
            trimmed: Mark { sequence: 0, position: state.trimmed, at: 0 },
            head: Mark { sequence: self.events.sent, position: state.head, at },
            totals: state.totals_of(false).cloned().collect(),
        };
        records::update(leases, checkpoint::KEY, &log, 0).await?;
        Ok(())
    }

    /// Lets receivers start with the streams.
    pub(in crate::spool) async fn complete(mut self) -> Result<(), MoveError> {
        let incoming = IncomingMove { is_complete: true, ..self.incoming.clone() };
        self.store_record(incoming).await
    }
}

impl Appender {
    async fn new(stream: &Stream) -> Result<Appender, MoveError> {
        let info = stream.get_info().await.map_err(unreadable)?;
        Ok(Appender { sent: 0, stored: info.state.last_sequence, pending: VecDeque::new() })
    }

    async fn send(
        &mut self,
        spool: &JetStreamSpool,
        subject: String,
        message: PublishMessage,
    ) -> Result<(), MoveError> {
        let before = self.sent;
        self.sent += 1;
        if self.sent <= self.stored {
            return Ok(());
        }
        let message = message.expected_last_sequence(before);
        let sent = spool.context.send_publish(subject, message).await;
        self.pending.push_back(sent.map_err(|error| refusal(&error, AppendError::Full))?);
        self.wait(MAX_PENDING).await
    }

    /// Waits until at most `count` messages are not acknowledged.
    async fn wait(&mut self, count: usize) -> Result<(), MoveError> {
        while self.pending.len() > count
            && let Some(pending) = self.pending.pop_front()
        {
            pending.await.map_err(|error| refusal(&error, AppendError::Full))?;
        }
        Ok(())
    }
}

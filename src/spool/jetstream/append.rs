//! Appends: a batch without its known duplicates is one message; its acknowledgement makes the batch durable.

use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::publish::PublishAck;
use bytes::Bytes;
use tokio::time::{Instant, sleep};

use super::frame::{self, BatchFrame};
use super::sink_lease::SinkLease;
use super::{JetStreamSpool, OVERHEAD, REQUEST_TIMEOUT, entry, error_code, streams};
use crate::error_chain::error_chain;
use crate::spool::{
    AppendError, Batch, CommitError, DedupKey, Disposition, NewEntry, PreparedBatch, Receipt, chunk,
};

/// Interval between two attempts to publish a batch that another receiver is storing.
const RETRY_INTERVAL: Duration = Duration::from_millis(20);

impl JetStreamSpool {
    /// See [`crate::spool::Spool::append`].
    pub(crate) async fn append(&self, batch: PreparedBatch) -> Result<Receipt, AppendError> {
        let began = std::time::Instant::now();
        let stored = self.store(batch).await.map_err(|error| match error {
            AppendError::Store(error) => {
                AppendError::Store(self.status.denials.explain(error, began))
            }
            error => error,
        });
        match &stored {
            Ok(_) => self.status.failing.set(None),
            Err(AppendError::Store(error)) => self.status.failing.set(Some(error.clone())),
            Err(AppendError::Full) => self.status.full.set(true),
            Err(AppendError::QuarantineFull) => self.status.quarantine_full.set(true),
            Err(error @ AppendError::TooLarge { .. }) => {
                self.status.too_large.set(Some(error.to_string()));
            }
            Err(_) => {}
        }
        stored
    }

    async fn store(&self, prepared: PreparedBatch) -> Result<Receipt, AppendError> {
        if prepared.is_copy() && self.status.crowded.get() {
            return Err(AppendError::Full);
        }
        let (received, events) = (prepared.events() as u64, prepared.batch.events.len() as u32);
        let is_copy = prepared.is_copy();
        let PreparedBatch { mut batch, chunks } = prepared;
        let resolves = batch.resolves;
        let disposition = match (resolves, is_copy) {
            (Some(id), _) => {
                self.identify_copies(&mut batch, id).await?;
                Disposition::Released
            }
            (None, true) => Disposition::Replayed,
            (None, false) => Disposition::Accepted,
        };
        let repeated = match disposition {
            Disposition::Replayed => Vec::new(),
            _ => self.without_duplicates(&mut batch),
        };
        let (accepted, quarantined) = (batch.events.len() as u64, batch.quarantine.len() as u64);
        let mut receipt = Receipt {
            accepted,
            duplicates: received - accepted - quarantined,
            quarantined,
            repeated,
        };
        if accepted + quarantined > 0
            && self.publish_batch(batch, chunks, disposition).await?.duplicate
        {
            // Another receiver has stored the same events just now.
            let repeated = (0..events).collect();
            receipt = Receipt { duplicates: received, repeated, ..Receipt::default() };
        }
        if let Some(id) = resolves {
            self.remove(vec![id]).await.map_err(|error| AppendError::Store(error.to_string()))?;
        }
        Ok(receipt)
    }

    /// Gives the copies of a dead letter keys of their own: a retry that is repeated after a failure stores nothing
    /// twice. Entries have the same number again where the quarantine was recreated, but not the same time.
    async fn identify_copies(&self, batch: &mut Batch, id: i64) -> Result<(), AppendError> {
        let entry = self.raw(id).await.map_err(|error| AppendError::Store(error.to_string()))?;
        let entry = entry.ok_or(AppendError::EntryGone)?;
        let Some(sink) = batch.only_sink.clone() else { return Ok(()) };
        let stored = entry.time.timestamp_nanos_opt().unwrap_or_default();
        let identity = format!("retry of {id}, stored at {stored}, for {sink}");
        for (event, number) in batch.events.iter_mut().zip(0_u64..) {
            let content = [identity.as_bytes(), &number.to_le_bytes(), &event.bytes].concat();
            event.key = DedupKey::of_bytes(&batch.source, &content);
        }
        Ok(())
    }

    /// Removes the events and entries that the index knows. Returns the numbers of the removed events.
    fn without_duplicates(&self, batch: &mut Batch) -> Vec<u32> {
        let keys = batch.events.iter().map(|event| event.key);
        // An entry without a key gets one that no event has: it is never a duplicate.
        let unkeyed = |entry: &NewEntry| entry.key.is_none();
        let of_entries = batch.quarantine.iter().filter(|entry| !unkeyed(entry));
        let of_entries = of_entries.filter_map(|entry| entry.key);
        let known = self.status.index().known(keys.chain(of_entries));
        let (events, entries) = known.split_at(batch.events.len());
        let mut of_entries = entries.iter();
        batch.quarantine.retain(|entry| unkeyed(entry) || of_entries.next() == Some(&false));
        let repeated = events.iter().zip(0_u32..).filter(|(is_known, _)| **is_known);
        let repeated: Vec<u32> = repeated.map(|(_, number)| number).collect();
        let mut is_known = events.iter();
        batch.events.retain(|_| is_known.next() == Some(&false));
        repeated
    }

    /// Publishes a batch, and copies its entries into the quarantine's stream.
    async fn publish_batch(
        &self,
        batch: Batch,
        chunks: Vec<chunk::Chunk>,
        disposition: Disposition,
    ) -> Result<PublishAck, AppendError> {
        let count: usize = chunks.iter().map(|chunk| chunk.count as usize).sum();
        let chunks = match count == batch.events.len() {
            true => chunks,
            false => chunk::encode(batch.events.iter().map(|event| event.bytes.as_ref())),
        };
        let added: u64 = batch.quarantine.iter().map(NewEntry::size).sum();
        let room = super::max_bytes(self.streams.quarantine.cached_info());
        if added > 0 && *self.status.quarantine_size().borrow() + added > room {
            return Err(AppendError::QuarantineFull);
        }
        let subject = streams::batch_subject(&self.stream, &batch.source);
        let max_payload = self.max_payload();
        let bytes = frame::encode(batch, &chunks, disposition, (self.clock)(), max_payload);
        if bytes.len() > self.largest() {
            return Err(AppendError::TooLarge { size: bytes.len() + OVERHEAD, max: max_payload });
        }
        let frame = frame::parse(&bytes);
        let id = frame.as_ref().and_then(message_id);
        let ack = self.publish(&subject, bytes, id).await?;
        if let Some(frame) = frame.filter(|_| added > 0 && !ack.duplicate) {
            // The batch is stored, and with it the entries. Upkeep copies what is missing.
            if let Err(error) = self.copy_entries(&frame).await {
                tracing::warn!(%error, "quarantine entries are stored and not listed yet");
            }
        }
        Ok(ack)
    }

    /// Publishes a batch, and waits until a majority of the servers has it.
    ///
    /// A server may report a duplicate of a message that another receiver is just storing, or that was never stored:
    /// it records an id before the replicas agree. If that goes on, the batch is stored without an id: should the
    /// first message have been stored after all, its events are recognised by their keys.
    async fn publish(
        &self,
        subject: &str,
        bytes: Bytes,
        mut id: Option<String>,
    ) -> Result<PublishAck, AppendError> {
        let began = Instant::now();
        loop {
            let message = PublishMessage::build().payload(bytes.clone());
            let message = match &id {
                Some(id) => message.message_id(id),
                None => message,
            };
            let sent = self.context.send_publish(subject.to_owned(), message).await;
            let answer = sent.map_err(|error| refusal(&error, AppendError::Full))?.await;
            match stored(answer, AppendError::Full)? {
                Some(ack) => return Ok(ack),
                None if began.elapsed() < REQUEST_TIMEOUT / 2 => sleep(RETRY_INTERVAL).await,
                None => {
                    tracing::debug!(id, "JetStream remembers an id that it has not stored");
                    id = None;
                }
            }
        }
    }

    /// Copies the entries of a stored batch into the quarantine's stream, those that it does not have yet.
    pub(super) async fn copy_entries(&self, frame: &BatchFrame) -> Result<(), AppendError> {
        for ((summary, key, bytes), number) in frame.entries().zip(0..) {
            let id = match key {
                Some(key) => hex(key),
                None => format!("{}-{number}", frame.head.id),
            };
            let message = entry::message(summary, bytes.clone(), &id);
            self.publish_entry(message).await?;
        }
        Ok(())
    }

    /// Stores dead letters of a sink. Within one revision of `lease`, each is stored once, however often it is sent.
    pub(super) async fn bury(
        &self,
        sink: &str,
        lease: &SinkLease,
        letters: Vec<(String, NewEntry)>,
    ) -> Result<(), CommitError> {
        for ((source, letter), number) in letters.into_iter().zip(0..) {
            let letter = entry::fitting(letter, self.max_payload());
            let key = hex(DedupKey::of_bytes(sink, &letter.bytes));
            let SinkLease { cursor, epoch, .. } = lease;
            let id = format!("letter-{epoch}-{cursor}-{number}-{key}");
            let summary = entry::summary_of(&letter, &source, (self.clock)());
            let message = entry::message(&summary, letter.bytes, &id);
            self.publish_entry(message).await.map_err(|error| match error {
                AppendError::QuarantineFull => CommitError::QuarantineFull,
                error => CommitError::Store(error.to_string()),
            })?;
        }
        Ok(())
    }

    async fn publish_entry(&self, message: PublishMessage) -> Result<(), AppendError> {
        let full = || AppendError::QuarantineFull;
        let began = Instant::now();
        loop {
            let sent =
                self.context.send_publish(entry::subject(&self.stream), message.clone()).await;
            let answer = sent.map_err(|error| refusal(&error, full()))?.await;
            match stored(answer, full()) {
                Ok(Some(_)) => return Ok(()),
                Ok(None) if began.elapsed() < REQUEST_TIMEOUT => sleep(RETRY_INTERVAL).await,
                Ok(None) => return Err(AppendError::Store("the servers do not answer".to_owned())),
                Err(error) => {
                    if error == full() {
                        self.status.quarantine_full.set(true);
                    }
                    return Err(error);
                }
            }
        }
    }
}

/// Returns the id of a batch for the servers: the same events in the same order have the same. A replay has none.
fn message_id(frame: &BatchFrame) -> Option<String> {
    let keys = frame.event_keys().iter().chain(frame.entry_keys());
    let bytes: Vec<u8> = keys.flat_map(|key| key.to_bytes()).collect();
    let is_whole = frame.entries().all(|(_, key, _)| key.is_some());
    (is_whole && !bytes.is_empty()).then(|| hex(DedupKey::of_bytes("batch", &bytes)))
}

fn hex(key: DedupKey) -> String {
    format!("{:032x}", u128::from_le_bytes(key.to_bytes()))
}

/// Returns the acknowledgement; `None` if a server reports a duplicate of a message that is not stored yet and may
/// never be. Before nats-server 2.11 such an acknowledgement has no sequence; later servers return
/// `STREAM_DUPLICATE_MESSAGE_CONFLICT`.
fn stored(
    answer: Result<PublishAck, PublishError>,
    full: AppendError,
) -> Result<Option<PublishAck>, AppendError> {
    match answer {
        Ok(ack) if ack.duplicate && ack.sequence == 0 => Ok(None),
        Ok(ack) => Ok(Some(ack)),
        Err(error) if error_code(&error) == Some(ErrorCode::STREAM_DUPLICATE_MESSAGE_CONFLICT) => {
            Ok(None)
        }
        Err(error) => Err(refusal(&error, full)),
    }
}

pub(super) fn refusal(error: &PublishError, full: AppendError) -> AppendError {
    let message = error_chain(error);
    // This code also covers other failures of the stream's storage.
    let is_full = error_code(error) == Some(ErrorCode::STREAM_STORE_FAILED)
        && message.contains("maximum bytes exceeded");
    match error.kind() {
        _ if is_full => full,
        PublishErrorKind::StreamNotFound => AppendError::Store(
            "no server answers for the stream: is a majority of them there?".to_owned(),
        ),
        _ => AppendError::Store(message),
    }
}

//! Appends: all messages of a batch are published at once, in order, and each acknowledgement is awaited.

use std::time::{Duration, Instant};

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{PublishAckFuture, PublishError, PublishErrorKind};
use async_nats::jetstream::message::{PublishMessage, StreamMessage};
use async_nats::jetstream::publish::PublishAck;
use tokio::time::sleep;

use super::lease_store::{self, SinkLease, StoredLease};
use super::stream_identity::{self, made_at};
use super::{JetStreamSpool, REQUEST_TIMEOUT, error_chain, error_code, message, unreadable};
use crate::spool::{
    AppendError, Batch, CommitError, DedupKey, NewEntry, PreparedBatch, ReadError, Receipt,
};

/// Interval between two attempts to publish a message that another receiver is storing.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// Message to publish.
#[derive(Clone)]
struct Publication {
    subject: String,
    message: PublishMessage,
    id: Option<String>,
    /// Error if the stream is full.
    full: AppendError,
}

impl JetStreamSpool {
    /// See [`crate::spool::Spool::append`]. After an error, acknowledged messages stay: the sender's retry finds them
    /// as duplicates within the stream's window.
    pub(crate) async fn append(&self, batch: PreparedBatch) -> Result<Receipt, AppendError> {
        let began = Instant::now();
        let stored = self.store(batch.batch).await.map_err(|error| match error {
            AppendError::Store(error) => {
                AppendError::Store(self.shared.denials.explain(error, began))
            }
            error => error,
        });
        match &stored {
            Ok(_) => self.shared.set_failing(None),
            Err(AppendError::Store(error)) => self.shared.set_failing(Some(error.clone())),
            Err(AppendError::Full) => self.shared.set_full(true),
            Err(AppendError::QuarantineFull) => self.shared.set_quarantine_full(true),
            Err(_) => {}
        }
        stored
    }

    async fn store(&self, batch: Batch) -> Result<Receipt, AppendError> {
        let Batch { source, received_at, events, quarantine, resolves, only_sink } = batch;
        let entry = match resolves {
            None => None,
            Some(id) => {
                let entry = self.raw(id).await;
                let entry = entry.map_err(|error| AppendError::Store(error.to_string()))?;
                Some(entry.ok_or(AppendError::EntryGone)?)
            }
        };
        let count = events.len();
        let mut publications = Vec::with_capacity(count + quarantine.len());
        let subject = message::event_subject(&self.stream, &source, only_sink.as_deref());
        for event in events {
            // A replay stores the event again; a retry stores it once.
            let id = match (&only_sink, &entry) {
                (None, _) => Some(message::id(event.key)),
                (Some(sink), Some(entry)) => Some(retry_id(sink, entry, &event.bytes)),
                (Some(_), None) => None,
            };
            publications.push(Publication {
                subject: subject.clone(),
                message: message::event(event.bytes, received_at, id.clone()),
                id,
                full: AppendError::Full,
            });
        }
        let retried = match entry {
            Some(_) => publications.clone(),
            None => Vec::new(),
        };
        publications.extend(quarantine.into_iter().map(|entry| {
            let id = entry.key.map(message::id);
            self.refused(entry, &source, id)
        }));
        let mut acknowledged = self.publish(publications).await?;
        for (publication, ack) in retried.into_iter().zip(&mut acknowledged) {
            // After an earlier failure, a retry finds its events stored.
            if ack.duplicate {
                self.store_again(publication, ack, only_sink.as_deref()).await?;
            }
        }
        let (events, entries) = acknowledged.split_at(count.min(acknowledged.len()));
        let is_repeated = |ack: &&PublishAck| ack.duplicate;
        let repeated = events.iter().zip(0_u32..).filter(|(ack, _)| ack.duplicate);
        let repeated: Vec<u32> = repeated.map(|(_, index)| index).collect();
        let repeated_entries = entries.iter().filter(is_repeated).count();
        if let Some(last) = events.iter().map(|ack| ack.sequence).max() {
            self.shared.note_head(last);
        }
        if let Some(id) = resolves {
            self.remove(vec![id]).await.map_err(|error| AppendError::Store(error.to_string()))?;
        }
        Ok(Receipt {
            accepted: (events.len() - repeated.len()) as u64,
            duplicates: (repeated.len() + repeated_entries) as u64,
            quarantined: (entries.len() - repeated_entries) as u64,
            repeated,
        })
    }

    /// Stores an event of a retry again if the servers remember its id but the event was removed before every sink
    /// had committed it. Replaces its acknowledgement.
    async fn store_again(
        &self,
        mut publication: Publication,
        ack: &mut PublishAck,
        only_sink: Option<&str>,
    ) -> Result<(), AppendError> {
        let is_kept = self.is_kept(ack.sequence, only_sink).await;
        if !is_kept.map_err(|error| AppendError::Store(error.to_string()))? {
            publication.rename(&uuid::Uuid::new_v4().to_string());
            *ack = self.publish(vec![publication]).await?.pop().unwrap_or_default();
        }
        Ok(())
    }

    /// Returns true if the stream holds a position, or every sink that it was for has committed it.
    async fn is_kept(&self, position: u64, only_sink: Option<&str>) -> Result<bool, ReadError> {
        if stream_identity::stored_at(&self.streams.events, position).await?.is_some() {
            return Ok(true);
        }
        let info = self.streams.events.get_info().await.map_err(unreadable)?;
        let mut leases = lease_store::all(&self.streams.leases).await?;
        leases.retain(|(sink, _)| only_sink.is_none_or(|only| only == sink));
        let has_settled = |held: &StoredLease| {
            held.lease.stream == made_at(&info) && held.lease.cursor >= position
        };
        Ok(!leases.is_empty() && leases.iter().all(|(_, held)| has_settled(held)))
    }

    /// Stores dead letters of a sink. Within one revision of `lease`, each is stored once, however often it is sent.
    pub(super) async fn bury(
        &self,
        sink: &str,
        lease: Option<&SinkLease>,
        letters: Vec<(String, NewEntry)>,
    ) -> Result<(), CommitError> {
        if letters.is_empty() {
            return Ok(());
        }
        let publications = letters.into_iter().map(|(source, entry)| {
            // A recreated stream repeats cursors, with other dead letters.
            let id = lease.map(|SinkLease { cursor, stream, at, .. }| {
                let key = message::id(DedupKey::of_bytes(sink, &entry.bytes));
                format!("letter-{stream}-{cursor}-{at}-{key}")
            });
            self.refused(entry, &source, id)
        });
        match self.publish(publications.collect()).await {
            Ok(_) => Ok(()),
            Err(AppendError::QuarantineFull) => {
                self.shared.set_quarantine_full(true);
                Err(CommitError::QuarantineFull)
            }
            Err(error) => Err(CommitError::Store(error.to_string())),
        }
    }

    fn refused(&self, entry: NewEntry, source: &str, id: Option<String>) -> Publication {
        let entry = message::fitting(entry, self.context.client().server_info().max_payload);
        Publication {
            subject: message::entry_subject(&self.stream),
            message: message::entry(entry, source, (self.clock)(), id.clone()),
            id,
            full: AppendError::QuarantineFull,
        }
    }

    /// Publishes all, and returns the acknowledgements in the same order. Fails if any is missing.
    ///
    /// Messages that another receiver is storing at the moment, or failed to store, are published again together until
    /// their outcome is known. If no outcome becomes known in time, the undecided messages are stored with another id.
    async fn publish(
        &self,
        publications: Vec<Publication>,
    ) -> Result<Vec<PublishAck>, AppendError> {
        let mut acknowledged: Vec<Option<PublishAck>> = vec![None; publications.len()];
        let mut undecided: Vec<(usize, Publication)> =
            publications.into_iter().enumerate().collect();
        let mut decided_at = Instant::now();
        loop {
            let mut under_way = Vec::with_capacity(undecided.len());
            for (index, publication) in undecided {
                let sent = self.send(&publication).await?;
                under_way.push((index, publication, sent));
            }
            undecided = Vec::new();
            for (index, publication, sent) in under_way {
                let ack = stored(sent.await, &publication.full)?;
                match &ack {
                    Some(_) => decided_at = Instant::now(),
                    None => undecided.push((index, publication)),
                }
                acknowledged[index] = ack;
            }
            if undecided.is_empty() {
                return Ok(acknowledged.into_iter().flatten().collect());
            }
            match decided_at.elapsed() < REQUEST_TIMEOUT {
                true => sleep(RETRY_INTERVAL).await,
                false => undecided.iter_mut().for_each(|(_, publication)| {
                    publication.rename("again");
                    tracing::debug!(
                        id = publication.id,
                        "JetStream remembers an id that it has not stored"
                    );
                }),
            }
        }
    }

    async fn send(&self, publication: &Publication) -> Result<PublishAckFuture, AppendError> {
        let Publication { subject, message, full, .. } = publication;
        let sent = self.context.send_publish(subject.clone(), message.clone()).await;
        sent.map_err(|error| refusal(&error, full))
    }
}

impl Publication {
    /// Replaces the id that the servers remember.
    fn rename(&mut self, suffix: &str) {
        let id = format!("{}-{suffix}", self.id.take().unwrap_or_default());
        self.message = self.message.clone().message_id(&id);
        self.id = Some(id);
    }
}

/// Returns the message id of an event that a retry makes of a dead letter. A recreated quarantine stream repeats
/// entry numbers, and an operator may have replaced the event.
fn retry_id(sink: &str, entry: &StreamMessage, event: &[u8]) -> String {
    let stored = entry.time.timestamp_nanos_opt().unwrap_or_default();
    let key = message::id(DedupKey::of_bytes(sink, event));
    format!("retry-{}-{stored}-{key}", entry.sequence)
}

/// Returns the acknowledgement; `None` if a server reports a duplicate of a message that is not stored yet and may
/// never be: it records an id before the replicas agree (`processClusteredInboundMsg`). Before nats-server 2.11
/// such an acknowledgement has no sequence; later servers return `STREAM_DUPLICATE_MESSAGE_CONFLICT`.
fn stored(
    answer: Result<PublishAck, PublishError>,
    full: &AppendError,
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

fn refusal(error: &PublishError, full: &AppendError) -> AppendError {
    let message = error_chain(error);
    // This code also covers other failures of the stream's storage.
    let is_full = error_code(error) == Some(ErrorCode::STREAM_STORE_FAILED)
        && message.contains("maximum bytes exceeded");
    match error.kind() {
        PublishErrorKind::MaxPayloadExceeded => AppendError::TooLarge,
        _ if is_full => full.clone(),
        PublishErrorKind::StreamNotFound => AppendError::Store(
            "no server answers for the stream: is a majority of them there?".to_owned(),
        ),
        _ => AppendError::Store(message),
    }
}

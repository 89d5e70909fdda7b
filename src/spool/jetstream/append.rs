//! Storing a batch: everything of it is published at once, in order, and each acknowledgement awaited.

use std::time::{Duration, Instant};

use async_nats::jetstream::context::{PublishAckFuture, PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::publish::PublishAck;
use tokio::time::sleep;

use super::{PATIENCE, Spool, message, said};
use crate::spool::{AppendError, Batch, CommitError, DedupKey, NewEntry, Prepared, Receipt};

/// How long a repetition waits for what it repeats to be stored.
const STAGED: Duration = Duration::from_millis(100);

/// `JSStreamDuplicateMessageConflict`.
const IN_PROCESS: &str = "error code 10158";

/// A message on its way.
struct Publication {
    subject: String,
    message: PublishMessage,
    id: Option<String>,
    /// What refuses it if the stream is full.
    full: AppendError,
}

impl Spool {
    /// See [`crate::spool::Spool::append`]. An error leaves what was acknowledged: the repetition of the
    /// batch finds it to be there, as long as the stream's window remembers it.
    pub async fn append(&self, batch: Prepared) -> Result<Receipt, AppendError> {
        let stored = self.store(batch.batch).await;
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
        if let Some(id) = resolves {
            let entry =
                self.entry(id).await.map_err(|error| AppendError::Store(error.to_string()))?;
            entry.ok_or(AppendError::EntryGone)?;
        }
        let count = events.len();
        let mut publications = Vec::with_capacity(count + quarantine.len());
        let subject = message::event_subject(&self.stream, &source, only_sink.as_deref());
        for event in events {
            // A copy is the same event again; one that a retry makes is made once.
            let id = match (&only_sink, resolves) {
                (None, _) => Some(message::id(event.key)),
                (Some(_), Some(entry)) => Some(format!("retry-{entry}")),
                (Some(_), None) => None,
            };
            publications.push(Publication {
                subject: subject.clone(),
                message: message::event(event.bytes, received_at, id.clone()),
                id,
                full: AppendError::Full,
            });
        }
        publications.extend(quarantine.into_iter().map(|entry| {
            let id = entry.key.map(message::id);
            self.refused(entry, &source, id)
        }));
        let acknowledged = self.publish(publications).await?;
        let (events, entries) = acknowledged.split_at(count.min(acknowledged.len()));
        let is_repeated = |ack: &&PublishAck| ack.duplicate;
        let repeated = events.iter().zip(0_u32..).filter(|(ack, _)| ack.duplicate);
        let repeated: Vec<u32> = repeated.map(|(_, index)| index).collect();
        let repeated_entries = entries.iter().filter(is_repeated).count();
        if let Some(last) = events.iter().map(|ack| ack.sequence).max() {
            self.shared.note_head(last);
        }
        if let Some(id) = resolves {
            // Left behind by a failure, a retry finds its events to be there.
            self.remove(vec![id]).await.map_err(|error| AppendError::Store(error.to_string()))?;
        }
        Ok(Receipt {
            accepted: (events.len() - repeated.len()) as u64,
            duplicates: (repeated.len() + repeated_entries) as u64,
            quarantined: (entries.len() - repeated_entries) as u64,
            repeated,
        })
    }

    /// Stores dead letters of a sink; each once, however often the same ones come, where they are after one
    /// `cursor`.
    pub(super) async fn bury(
        &self,
        sink: &str,
        cursor: Option<u64>,
        letters: Vec<(String, NewEntry)>,
    ) -> Result<(), CommitError> {
        if letters.is_empty() {
            return Ok(());
        }
        let publications = letters.into_iter().map(|(source, entry)| {
            let id = cursor.map(|cursor| {
                let key = message::id(DedupKey::of_bytes(sink, &entry.bytes));
                format!("letter-{cursor}-{key}")
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
    async fn publish(
        &self,
        publications: Vec<Publication>,
    ) -> Result<Vec<PublishAck>, AppendError> {
        let mut under_way: Vec<(Publication, PublishAckFuture)> =
            Vec::with_capacity(publications.len());
        for publication in publications {
            let sent = self.send(&publication).await?;
            under_way.push((publication, sent));
        }
        let mut acknowledged = Vec::with_capacity(under_way.len());
        // For all of them together: nobody waits as long for each.
        let deadline = Instant::now() + PATIENCE;
        for (publication, sent) in under_way {
            acknowledged.push(match stored(sent.await, &publication.full)? {
                Some(ack) => ack,
                None => self.again(publication, deadline).await?,
            });
        }
        Ok(acknowledged)
    }

    async fn send(&self, publication: &Publication) -> Result<PublishAckFuture, AppendError> {
        let Publication { subject, message, full, .. } = publication;
        let sent = self.context.send_publish(subject.clone(), message.clone()).await;
        sent.map_err(|error| refusal(&error, full))
    }

    /// A repetition of what is being stored just now, or was to be and was not: asked again until it is known
    /// which. What stays undecided is stored under another id, so that it is stored.
    async fn again(
        &self,
        mut publication: Publication,
        deadline: Instant,
    ) -> Result<PublishAck, AppendError> {
        loop {
            if Instant::now() < deadline {
                sleep(STAGED).await;
            } else {
                let id = format!("{}-again", publication.id.unwrap_or_default());
                tracing::debug!(id, "JetStream remembers an id that it has not stored");
                publication.message = publication.message.message_id(&id);
                publication.id = Some(id);
            }
            let sent = self.send(&publication).await?;
            if let Some(ack) = stored(sent.await, &publication.full)? {
                return Ok(ack);
            }
        }
    }
}

/// The acknowledgement; none where a server says "duplicate" of a message that is not stored yet, and may never
/// be: it notes an id before the replicas agree (`processClusteredInboundMsg`). Before nats-server 2.11 it
/// acknowledges it without a sequence then, later it says that the id is in process.
fn stored(
    answer: Result<PublishAck, PublishError>,
    full: &AppendError,
) -> Result<Option<PublishAck>, AppendError> {
    match answer {
        Ok(ack) if ack.duplicate && ack.sequence == 0 => Ok(None),
        Ok(ack) => Ok(Some(ack)),
        Err(error) if said(&error).contains(IN_PROCESS) => Ok(None),
        Err(error) => Err(refusal(&error, full)),
    }
}

fn refusal(error: &PublishError, full: &AppendError) -> AppendError {
    let said = said(error);
    match error.kind() {
        PublishErrorKind::MaxPayloadExceeded => AppendError::TooLarge,
        _ if said.contains("maximum bytes exceeded") => full.clone(),
        PublishErrorKind::StreamNotFound => AppendError::Store(
            "no server answers for the stream: is a majority of them there?".to_owned(),
        ),
        _ => AppendError::Store(said),
    }
}

//! Quarantine entries on their way back into the spool.

use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;

use super::body;
use super::in_flight::InFlight;
use super::ingest::{self, Context};
use crate::spool::{AppendError, Batch, DedupKey, Entry, Event, Origin, ReadError, Receipt, Spool};

/// Why an entry stays where it is.
#[derive(Debug, Error)]
pub enum RetryError {
    /// There is no such entry.
    #[error("there is no quarantine entry {0}")]
    Missing(i64),
    /// It is still refused.
    #[error("still refused: {path}: {detail}")]
    Refused {
        /// JSON path of what is wrong.
        path: String,
        /// What is wrong.
        detail: String,
    },
    /// It holds a damaged chunk, of which no event can be made.
    #[error("this entry keeps a damaged part of the spool; export it, then purge it")]
    Damage,
    /// The spool could not store it.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The spool could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Decodes an entry again and, if all of it is accepted now, moves it into the spool in one commit.
///
/// `replacement` stands in for the stored bytes: an event that someone has corrected. A dead letter
/// goes to its own sink only. With `strict`, findings refuse as they do when receiving.
pub async fn retry(
    spool: &Spool,
    id: i64,
    replacement: Option<Bytes>,
    strict: bool,
    inflate_limit: u64,
) -> Result<Receipt, RetryError> {
    let entry = spool.entry(id).await?.ok_or(RetryError::Missing(id))?;
    let batch = release(entry, replacement, strict, inflate_limit)?;
    Ok(spool.append(batch.prepare()).await?)
}

fn release(
    entry: Entry,
    replacement: Option<Bytes>,
    strict: bool,
    inflate_limit: u64,
) -> Result<Batch, RetryError> {
    let Entry { summary, bytes } = entry;
    let context = Context {
        source: Arc::from(summary.source),
        received_at: summary.at,
        request_id: summary.request_id,
        strict,
    };
    let is_replaced = replacement.is_some();
    let bytes = replacement.unwrap_or_else(|| Bytes::from(bytes));
    let mut batch = match summary.origin {
        Origin::Damage => return Err(RetryError::Damage),
        Origin::DeadLetter => Batch {
            source: context.source,
            received_at: context.received_at,
            // Not looked at: a dead letter was accepted, and remembered, when it was received.
            events: vec![Event { key: DedupKey::new("", "", (0, 0)), bytes }],
            only_sink: summary.sink.map(Arc::from),
            ..Batch::default()
        },
        Origin::Element | Origin::Body => {
            let encodings: Vec<String> = summary
                .encoding
                .split(", ")
                .filter(|name| !name.is_empty() && !is_replaced)
                .map(str::to_owned)
                .collect();
            accepted_batch(&context, bytes, &encodings, inflate_limit)?
        }
    };
    batch.resolves = vec![summary.id];
    Ok(batch)
}

fn accepted_batch(
    context: &Context,
    bytes: Bytes,
    encodings: &[String],
    inflate_limit: u64,
) -> Result<Batch, RetryError> {
    let refused = |path: &str, detail: &str| RetryError::Refused {
        path: path.to_owned(),
        detail: detail.to_owned(),
    };
    // Two encodings at most, each result within the limit.
    let mut reservation = InFlight::new(inflate_limit.saturating_mul(2))
        .reserve(0)
        .ok_or_else(|| refused("$", "it cannot be inflated"))?;
    let inflated = body::inflate(bytes, encodings, inflate_limit, &mut reservation)
        .map_err(|error| refused("$", &error.to_string()))?;
    let ingested = ingest::ingest(context, &inflated)
        .map_err(|refusal| refused(&refusal.path, &refusal.detail))?;
    match ingested.batch.quarantine.first() {
        Some(first) => Err(refused(&first.path, &first.detail)),
        None => Ok(ingested.batch),
    }
}

//! Quarantine entries on their way back into the spool, redacted like everything that goes there.

use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;

use super::body;
use super::in_flight::InFlight;
use super::ingest::{self, Context};
use super::redacted::{self, MARK};
use crate::config::Config;
use crate::decode;
use crate::redact::Redaction;
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
    /// The sink that it is for is not configured.
    #[error(
        "this is a dead letter of sink {0:?}, which is not configured; configure it, or export the entry"
    )]
    NoSink(String),
    /// The spool could not store it.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The spool could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// What a retry goes by, from the configuration.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Sources that refuse events with findings.
    pub strict_sources: Vec<String>,
    /// The configured sinks.
    pub sinks: Vec<String>,
    /// Bytes that a body may inflate to.
    pub body_limit: u64,
    /// What must not reach the disk.
    pub redaction: Option<Redaction>,
}

impl Rules {
    /// The rules of a configuration.
    pub fn new(config: &Config) -> Rules {
        let strict = config.sources.iter().filter(|source| source.strict);
        Rules {
            strict_sources: strict.map(|source| source.name.clone()).collect(),
            sinks: config.sinks.iter().map(|sink| sink.name.clone()).collect(),
            body_limit: config.limits.body,
            redaction: config.redact.as_ref().map(Redaction::new),
        }
    }
}

/// Decodes an entry again and, if all of it is accepted now, moves it into the spool in one commit.
/// Returns the entry's source and what became of its events.
///
/// `replacement` stands in for the stored bytes: an event that someone has corrected. A dead letter
/// goes to its own sink only.
pub async fn retry(
    spool: &Spool,
    id: i64,
    replacement: Option<Bytes>,
    rules: &Rules,
) -> Result<(String, Receipt), RetryError> {
    let entry = spool.entry(id).await?.ok_or(RetryError::Missing(id))?;
    let source = entry.summary.source.clone();
    let batch = release(entry, replacement, rules)?;
    Ok((source, spool.append(batch.prepare()).await?))
}

fn release(entry: Entry, replacement: Option<Bytes>, rules: &Rules) -> Result<Batch, RetryError> {
    let Entry { summary, bytes } = entry;
    // What was redacted before, and a correction that somebody makes of it, holds hashes already.
    let was_redacted = summary.origin == Origin::DeadLetter || summary.detail.ends_with(MARK);
    let redaction = rules.redaction.as_ref().map(|redaction| match was_redacted {
        true => redaction.again(),
        false => redaction.clone(),
    });
    let context = Context {
        strict: rules.strict_sources.contains(&summary.source),
        source: Arc::from(summary.source),
        received_at: summary.at,
        request_id: summary.request_id.into(),
        redaction: redaction.map(Arc::new),
    };
    let is_replaced = replacement.is_some();
    let bytes = replacement.unwrap_or_else(|| Bytes::from(bytes));
    let mut batch = match summary.origin {
        Origin::Damage => return Err(RetryError::Damage),
        Origin::DeadLetter
            if !rules.sinks.iter().any(|sink| Some(sink) == summary.sink.as_ref()) =>
        {
            return Err(RetryError::NoSink(summary.sink.unwrap_or_default()));
        }
        Origin::DeadLetter => Batch {
            source: Arc::clone(&context.source),
            received_at: context.received_at,
            // Not looked at: a dead letter was accepted, and remembered, when it was received.
            events: vec![Event {
                key: DedupKey::new("", "", (0, 0)),
                bytes: letter(&context, &bytes),
            }],
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
            accepted_batch(&context, bytes, &encodings, rules.body_limit)?
        }
    };
    batch.resolves = Some(summary.id);
    Ok(batch)
}

/// A dead letter, as it is stored: somebody may have replaced it by anything.
fn letter(context: &Context, bytes: &Bytes) -> Bytes {
    let redaction = context.redaction.as_deref();
    match decode::event(bytes) {
        Ok(_) => redacted::event(redaction, bytes, bytes).0,
        Err(_) => redacted::refused(redaction, bytes, bytes).0,
    }
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
    let mut reservation = InFlight::new(inflate_limit.saturating_mul(2)).nothing();
    let inflated = body::inflate(bytes, encodings, inflate_limit, &mut reservation)
        .map_err(|error| refused("$", &error.to_string()))?;
    let ingested = ingest::ingest(context, &inflated)
        .map_err(|refusal| refused(&refusal.path, &refusal.detail))?;
    match ingested.batch.quarantine.first() {
        // Nothing of it is stored: it stays as it is.
        Some(first) => {
            let detail = first.detail.strip_suffix(MARK).unwrap_or(&first.detail);
            Err(refused(&first.path, detail))
        }
        None => Ok(ingested.batch),
    }
}

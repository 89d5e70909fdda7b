//! Retries quarantine entries: decodes them again and moves them into the spool, redacted like
//! every event.

use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;

use super::body;
use super::in_flight::InFlightBytes;
use super::ingest::{Context, Ingest};
use super::policy::SharedPolicy;
use super::redacted::{self, MARK};
use crate::decode;
use crate::redact::Redaction;
use crate::spool::{
    AppendError, Batch, DedupKey, Entry, EntryOrigin, NewEvent, ReadError, Receipt, Spool,
};

/// Error of a retry. The entry stays in quarantine.
#[derive(Debug, Error)]
pub(crate) enum RetryError {
    /// The entry does not exist.
    #[error("there is no quarantine entry {0}")]
    Missing(i64),
    /// The content is still refused.
    #[error("still refused: {path}: {detail}")]
    Refused {
        /// JSON path of the error.
        path: String,
        /// Description of the error.
        detail: String,
    },
    /// The entry is a damaged chunk of the spool, which contains no readable event.
    #[error("this entry keeps a damaged part of the spool; export it, then purge it")]
    Damage,
    /// The dead letter's sink is not configured.
    #[error(
        "this is a dead letter of sink {0:?}, which is not configured; configure it, or export the entry"
    )]
    NoSink(String),
    /// The spool could not store the events.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The spool could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Settings of a retry.
#[derive(Debug, Clone)]
pub struct RetryRules {
    /// Access policy, which says whether a source quarantines events with findings.
    pub policy: Arc<SharedPolicy>,
    /// Names of the configured sinks.
    pub sinks: Vec<String>,
    /// Maximum size of an inflated body, in bytes.
    pub body_limit: u64,
    /// Redaction before the bytes reach the disk.
    pub redaction: Option<Redaction>,
}

/// Decodes an entry again and, if all of it is accepted, moves it into the spool in one commit.
/// Returns the entry's source and the receipt.
///
/// `replacement` replaces the stored bytes by a corrected event. A dead letter goes to its own sink
/// only.
///
/// # Errors
///
/// See [`RetryError`]. On an error, the entry stays in quarantine.
pub(crate) async fn retry(
    spool: &Spool,
    id: i64,
    replacement: Option<Bytes>,
    rules: &RetryRules,
) -> Result<(String, Receipt), RetryError> {
    let entry = spool.entry(id).await?.ok_or(RetryError::Missing(id))?;
    let source = entry.summary.source.clone();
    let batch = release(entry, replacement, rules)?;
    Ok((source, spool.append(batch.prepare()).await?))
}

fn release(
    entry: Entry,
    replacement: Option<Bytes>,
    rules: &RetryRules,
) -> Result<Batch, RetryError> {
    let Entry { summary, bytes } = entry;
    // Stored bytes, and corrections of them, may already contain hashes of the redaction.
    let was_redacted = summary.origin == EntryOrigin::DeadLetter || summary.detail.ends_with(MARK);
    let redaction = rules.redaction.as_ref().map(|redaction| match was_redacted {
        true => redaction.again(),
        false => redaction.clone(),
    });
    let context = Context {
        strict: rules.policy.current().is_strict(&summary.source),
        // A released event is not summarised.
        outcomes: Arc::default(),
        source: Arc::from(summary.source),
        received_at: summary.at,
        request_id: summary.request_id.into(),
        redaction: redaction.map(Arc::new),
    };
    let is_replaced = replacement.is_some();
    let bytes = replacement.unwrap_or_else(|| Bytes::from(bytes));
    let mut batch = match summary.origin {
        EntryOrigin::Damage => return Err(RetryError::Damage),
        EntryOrigin::DeadLetter
            if !rules.sinks.iter().any(|sink| Some(sink) == summary.sink.as_ref()) =>
        {
            return Err(RetryError::NoSink(summary.sink.unwrap_or_default()));
        }
        EntryOrigin::DeadLetter => {
            let bytes = match is_replaced {
                true => replaced_letter(&context, bytes, rules.body_limit)?,
                false => letter(&context, &bytes),
            };
            Batch {
                source: Arc::clone(&context.source),
                received_at: context.received_at,
                // Not deduplicated: the event was accepted, and its key stored, when it was
                // received.
                events: vec![NewEvent { key: DedupKey::new("", "", (0, 0)), bytes }],
                only_sink: summary.sink.map(Arc::from),
                ..Batch::default()
            }
        }
        EntryOrigin::Element | EntryOrigin::Body => {
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

/// Returns the one event that replaces a dead letter, in its stored form. It is checked like a
/// received event, because its sink gets it without any further check.
fn replaced_letter(context: &Context, bytes: Bytes, limit: u64) -> Result<Bytes, RetryError> {
    let mut events = accepted_batch(context, bytes, &[], limit)?.events;
    match events.len() {
        1 => Ok(events.remove(0).bytes),
        number => Err(RetryError::Refused {
            path: "$".to_owned(),
            detail: format!("a dead letter is replaced by one event, and there are {number}"),
        }),
    }
}

/// Returns the event of a dead letter. Earlier versions allowed any replacement, so the bytes may
/// not be an event.
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
    // At most two encodings, each result within the limit.
    let mut reservation = InFlightBytes::new(inflate_limit.saturating_mul(2)).nothing();
    let undeclared = encodings.is_empty().then(|| body::undeclared_encoding(&bytes)).flatten();
    let undeclared = undeclared.map(str::to_owned);
    let encodings = undeclared.as_ref().map_or(encodings, std::slice::from_ref);
    let inflated = body::inflate(bytes, encodings, inflate_limit, &mut reservation)
        .map_err(|error| refused("$", &error.to_string()))?;
    let ingested = Ingest::new(context.clone())
        .finish(&inflated)
        .map_err(|refusal| refused(&refusal.path, &refusal.detail))?;
    match ingested.batch.quarantine.first() {
        // One refused element refuses the whole entry.
        Some(first) => {
            let detail = first.detail.strip_suffix(MARK).unwrap_or(&first.detail);
            Err(refused(&first.path, detail))
        }
        None if ingested.batch.events.is_empty() => {
            Err(refused("$", "it holds no event; purge the entry if nothing of it is needed"))
        }
        None => Ok(ingested.batch),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::EntrySummary;

    const EVENT: &str = r#"{"id":"a","recordedAt":"2024-01-01T00:00:00Z","action":{"type":"X"}}"#;

    fn released(origin: EntryOrigin, replacement: &[u8]) -> Result<Batch, String> {
        let entry = Entry {
            summary: EntrySummary {
                id: 1,
                at: 0,
                source: "pingone".to_owned(),
                origin,
                reason: String::new(),
                detail: String::new(),
                path: "$".to_owned(),
                index: 0,
                request_id: String::new(),
                encoding: String::new(),
                sink: Some("siem".to_owned()),
                target: None,
                size: 2,
            },
            bytes: b"{}".to_vec(),
        };
        let config = crate::config::parse("", None, std::iter::empty()).expect("the defaults");
        let rules = RetryRules { sinks: vec!["siem".to_owned()], ..config.retry_rules() };
        release(entry, Some(Bytes::copy_from_slice(replacement)), &rules)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn only_events_take_the_place_of_an_entry() {
        for origin in [EntryOrigin::Element, EntryOrigin::Body, EntryOrigin::DeadLetter] {
            for nothing in
                ["", " ", "\u{feff}", "[]", "[", "{}", "null", "garbage", "[[]]", "{\"logs\":[]}"]
            {
                let refused = released(origin, nothing.as_bytes());
                let message = refused.expect_err(nothing);
                assert!(message.starts_with("still refused: $"), "{nothing:?}: {message}");
            }
            let one = released(origin, format!(" [{EVENT}]\n").as_bytes()).expect("an event");
            assert_eq!((one.events.len(), one.events[0].bytes.as_ref()), (1, EVENT.as_bytes()));
            assert_eq!(one.resolves, Some(1));
        }
        let incomplete = EVENT.replace("2024", "year");
        let refused = released(EntryOrigin::DeadLetter, incomplete.as_bytes());
        assert!(refused.is_err_and(|message| message.contains("$.recordedAt")));
        let two = format!("{EVENT}{EVENT}");
        assert!(
            released(EntryOrigin::DeadLetter, two.as_bytes())
                .is_err_and(|message| message.contains("2"))
        );
        assert_eq!(
            released(EntryOrigin::Body, two.as_bytes()).map(|batch| batch.events.len()),
            Ok(2)
        );
    }
}

//! Turns a body into a batch for the spool. Pure: no clock, no I/O.
//!
//! All decisions are made on the bytes as received; [`redacted`] determines the bytes that are
//! stored.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use bytes::Bytes;

use super::redacted;
use crate::decode::{self, Element, ElementReader, Refusal, RefusalReason};
use crate::event::{Event, Finding, FindingKind, OutcomeWords};
use crate::observe::{Kind, Summaries};
use crate::redact::Redaction;
use crate::spool::{self, Batch, DedupKey, EntryOrigin, NewEntry};

/// Properties of a request besides its body.
#[derive(Debug, Clone)]
pub(super) struct Context {
    pub(super) source: Arc<str>,
    pub(super) received_at: i64,
    /// Request id, redacted.
    pub(super) request_id: Arc<str>,
    pub(super) strict: bool,
    /// `[outcomes]`, for the summaries.
    pub(super) outcomes: Arc<OutcomeWords>,
    /// Redaction before the bytes reach the disk.
    pub(super) redaction: Option<Arc<Redaction>>,
}

/// A batch, and the counts to be recorded once it is stored.
#[derive(Debug)]
pub(super) struct Ingested {
    pub(super) batch: Batch,
    /// Summaries of the batch's events, in the same order.
    pub(super) summaries: Summaries,
    pub(super) refusals: Vec<RefusalReason>,
}

/// Batch of a body that may arrive in pieces.
#[derive(Debug)]
pub(super) struct Ingest {
    context: Context,
    reader: ElementReader,
    ingested: Ingested,
    /// Received bytes of the first event with each key.
    seen: HashMap<DedupKey, Bytes>,
    conflicts: Vec<Finding>,
}

impl Ingest {
    pub(super) fn new(context: Context) -> Ingest {
        let batch = Batch {
            source: Arc::clone(&context.source),
            received_at: context.received_at,
            ..Batch::default()
        };
        Ingest {
            reader: ElementReader::new(context.strict),
            context,
            ingested: Ingested { batch, summaries: Summaries::default(), refusals: Vec::new() },
            seen: HashMap::new(),
            conflicts: Vec::new(),
        }
    }

    /// Types the complete elements at the start of `bytes`. Returns the number of bytes read; see
    /// [`ElementReader::feed`].
    pub(super) fn feed(&mut self, bytes: &Bytes) -> usize {
        let Ingest { context, reader, ingested, seen, conflicts } = self;
        reader.feed(bytes, |element| take(context, bytes, element, ingested, seen, conflicts))
    }

    /// Types the rest of the body.
    ///
    /// # Errors
    ///
    /// The body as a whole cannot be parsed.
    pub(super) fn finish(self, rest: &Bytes) -> Result<Ingested, Refusal> {
        let Ingest { context, reader, mut ingested, mut seen, mut conflicts } = self;
        let redaction = context.redaction.as_deref();
        let mut of_body = reader
            .finish(rest, |element| {
                take(&context, rest, element, &mut ingested, &mut seen, &mut conflicts);
            })
            .map_err(|refusal| Refusal {
                path: redacted::path(redaction, &refusal.path),
                detail: redacted::words(redaction, refusal.detail),
                ..refusal
            })?;
        of_body.append(&mut conflicts);
        for finding in findings(redaction, of_body) {
            ingested.summaries.add_of_body(finding);
        }
        Ok(ingested)
    }
}

/// Adds an element to the batch, and notes a second event with the same key but other bytes.
fn take(
    context: &Context,
    bytes: &Bytes,
    element: Element<'_>,
    ingested: &mut Ingested,
    seen: &mut HashMap<DedupKey, Bytes>,
    conflicts: &mut Vec<Finding>,
) {
    let (path, raw) = (element.path, element.raw);
    let Some(key) = add(context, bytes, element, ingested) else { return };
    match seen.entry(key) {
        Entry::Occupied(first) if *first.get() != raw => conflicts
            .push(Finding { kind: FindingKind::ConflictingDuplicate, path: path.to_string() }),
        Entry::Occupied(_) => {}
        Entry::Vacant(new) => {
            new.insert(bytes.slice_ref(raw));
        }
    }
}

/// Adds an element to the batch. Returns the deduplication key if it is an event.
fn add(
    context: &Context,
    body: &Bytes,
    element: Element<'_>,
    ingested: &mut Ingested,
) -> Option<DedupKey> {
    let redaction = context.redaction.as_deref();
    match element.verdict {
        Ok(mut typed) => {
            let envelope = typed.event.envelope();
            let recorded_at = envelope.recorded_at;
            let instant = (recorded_at.timestamp(), recorded_at.timestamp_subsec_nanos());
            let key = DedupKey::of_id(&context.source, envelope.id_bytes(), instant);
            let (bytes, is_changed) = redacted::event(redaction, body, element.raw);
            let findings = findings(redaction, typed.findings);
            let (event, summaries) = (&mut typed.event, &mut ingested.summaries);
            summarise(&context.outcomes, summaries, event, &bytes, is_changed, findings);
            ingested.batch.events.push(spool::NewEvent { key, bytes });
            Some(key)
        }
        Err(refusal) => {
            ingested.refusals.push(refusal.reason);
            let (bytes, is_changed) = redacted::refused(redaction, body, element.raw);
            let key = redacted::key(redaction, &context.source, element.raw, &bytes);
            ingested.batch.quarantine.push(NewEntry {
                origin: EntryOrigin::Element,
                key: Some(key),
                reason: refusal.reason.as_str(),
                detail: redacted::detail(redaction, refusal.detail, is_changed),
                path: redacted::path(redaction, &refusal.path),
                index: element.index as u64,
                request_id: context.request_id.to_string(),
                encoding: String::new(),
                sink: None,
                target: None,
                bytes,
            });
            None
        }
    }
}

/// Redacts findings, whose paths contain field names that the sender chose.
fn findings(redaction: Option<&Redaction>, mut findings: Vec<Finding>) -> Vec<Finding> {
    if redaction.is_some() {
        for finding in &mut findings {
            finding.path = redacted::path(redaction, &finding.path);
        }
    }
    findings
}

/// Adds the summary of a stored (redacted) event.
fn summarise(
    outcomes: &OutcomeWords,
    summaries: &mut Summaries,
    event: &mut Event<'_>,
    stored: &Bytes,
    is_changed: bool,
    findings: Vec<Finding>,
) {
    match is_changed.then(|| decode::event(stored)) {
        Some(Ok(mut redacted)) => {
            redacted.event.apply(outcomes);
            summaries.add(&redacted.event, stored.clone(), findings);
        }
        // Unreachable: a redacted event is still an event.
        Some(Err(_)) => summaries.add_unread(Kind::of(event), stored.clone(), findings),
        None => {
            event.apply(outcomes);
            summaries.add(event, stored.clone(), findings);
        }
    }
}

/// Returns a batch with one quarantine entry: a body that cannot be parsed or inflated.
pub(super) fn quarantine_body(
    context: &Context,
    body: &Bytes,
    encoding: String,
    reason: &'static str,
    detail: String,
) -> Batch {
    let redaction = context.redaction.as_deref();
    let (bytes, is_changed) = match encoding.is_empty() {
        true => redacted::refused(redaction, body, body),
        false => redacted::encoded(redaction, body),
    };
    Batch {
        source: Arc::clone(&context.source),
        received_at: context.received_at,
        quarantine: vec![NewEntry {
            origin: EntryOrigin::Body,
            key: Some(redacted::key(redaction, &context.source, body, &bytes)),
            reason,
            detail: redacted::detail(redaction, detail, is_changed),
            path: "$".to_owned(),
            index: 0,
            request_id: context.request_id.to_string(),
            encoding: redacted::words(redaction, encoding),
            sink: None,
            target: None,
            bytes,
        }],
        ..Batch::default()
    }
}

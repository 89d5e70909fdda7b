//! From a body to the batch that the spool is asked to store. Pure: no clock, no I/O.
//!
//! Everything is decided by the bytes as they came, and stored as [`redacted`].

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use bytes::Bytes;

use super::redacted;
use crate::decode::{self, Element, Reason, Refusal};
use crate::event::{Event, Finding, FindingKind};
use crate::observe::{Kind, Summaries};
use crate::redact::Redaction;
use crate::spool::{self, Batch, DedupKey, EntryOrigin, NewEntry};

/// What is known of a request besides its body.
#[derive(Debug, Clone)]
pub(super) struct Context {
    pub(super) source: Arc<str>,
    pub(super) received_at: i64,
    /// Without what `redaction` takes.
    pub(super) request_id: Arc<str>,
    pub(super) strict: bool,
    /// What must not reach the disk.
    pub(super) redaction: Option<Arc<Redaction>>,
}

/// A batch, and what has to be counted about it once it is stored.
#[derive(Debug)]
pub(super) struct Ingested {
    pub(super) batch: Batch,
    /// Of the batch's events, in the same order.
    pub(super) summaries: Summaries,
    pub(super) refusals: Vec<Reason>,
}

/// Splits and types a body. Fails if it cannot be parsed at all.
pub(super) fn ingest(context: &Context, body: &Bytes) -> Result<Ingested, Refusal> {
    let redaction = context.redaction.as_deref();
    let mut ingested = Ingested {
        batch: Batch {
            source: Arc::clone(&context.source),
            received_at: context.received_at,
            ..Batch::default()
        },
        summaries: Summaries::default(),
        refusals: Vec::new(),
    };
    let (mut seen, mut conflicts) = (HashMap::new(), Vec::new());
    let mut of_body = decode::each(body, context.strict, |element| {
        let (path, raw) = (element.path, element.raw);
        let Some(key) = take(context, body, element, &mut ingested) else { return };
        match seen.entry(key) {
            Entry::Occupied(first) if *first.get() != raw => conflicts
                .push(Finding { kind: FindingKind::ConflictingDuplicate, path: path.to_string() }),
            Entry::Occupied(_) => {}
            Entry::Vacant(new) => {
                new.insert(raw);
            }
        }
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

/// Takes an element into the batch. Returns the key of an event.
fn take(
    context: &Context,
    body: &Bytes,
    element: Element<'_>,
    ingested: &mut Ingested,
) -> Option<DedupKey> {
    let redaction = context.redaction.as_deref();
    match element.verdict {
        Ok(typed) => {
            let envelope = typed.event.envelope();
            let recorded_at = envelope.recorded_at;
            let instant = (recorded_at.timestamp(), recorded_at.timestamp_subsec_nanos());
            let key = DedupKey::of_id(&context.source, envelope.id_bytes(), instant);
            let (bytes, is_changed) = redacted::event(redaction, body, element.raw);
            let findings = findings(redaction, typed.findings);
            summarise(&mut ingested.summaries, &typed.event, &bytes, is_changed, findings);
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

/// What was odd about an event. The paths of members are the sender's words.
fn findings(redaction: Option<&Redaction>, mut findings: Vec<Finding>) -> Vec<Finding> {
    if redaction.is_some() {
        for finding in &mut findings {
            finding.path = redacted::path(redaction, &finding.path);
        }
    }
    findings
}

/// Notes what is observed of an event: of the stored one, whatever that has lost.
fn summarise(
    summaries: &mut Summaries,
    event: &Event<'_>,
    stored: &Bytes,
    is_changed: bool,
    findings: Vec<Finding>,
) {
    match is_changed.then(|| decode::event(stored)) {
        Some(Ok(redacted)) => summaries.add(&redacted.event, stored.clone(), findings),
        // Not reachable: what is left of an event is one.
        Some(Err(_)) => summaries.add_unread(Kind::of(event), stored.clone(), findings),
        None => summaries.add(event, stored.clone(), findings),
    }
}

/// The batch that keeps a body which cannot be parsed, or not even inflated.
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

//! From a body to the batch that the spool is asked to store. Pure: no clock, no I/O.

use std::sync::Arc;

use bytes::Bytes;

use crate::decode::{self, Reason, Refusal};
use crate::event::{Event, FindingKind};
use crate::spool::{self, Batch, DedupKey, NewEntry, Origin};

/// What is known of a request besides its body.
#[derive(Debug, Clone)]
pub(super) struct Context {
    pub(super) source: Arc<str>,
    pub(super) received_at: i64,
    pub(super) request_id: String,
    pub(super) strict: bool,
}

/// A batch, and what has to be counted about it once it is stored.
#[derive(Debug)]
pub(super) struct Ingested {
    pub(super) batch: Batch,
    pub(super) findings: Vec<FindingKind>,
    pub(super) refusals: Vec<Reason>,
    pub(super) delivery_tests: u64,
}

/// Splits and types a body. Fails if it cannot be parsed at all.
pub(super) fn ingest(context: &Context, body: &Bytes) -> Result<Ingested, Refusal> {
    let elements = decode::body(body, context.strict)?;
    let mut ingested = Ingested {
        batch: Batch {
            source: Arc::clone(&context.source),
            received_at: context.received_at,
            events: Vec::with_capacity(elements.len()),
            ..Batch::default()
        },
        findings: Vec::new(),
        refusals: Vec::new(),
        delivery_tests: 0,
    };
    for element in elements {
        match element.verdict {
            Ok(typed) => {
                let envelope = typed.event.envelope();
                let recorded_at = envelope.recorded_at;
                let instant = (recorded_at.timestamp(), recorded_at.timestamp_subsec_nanos());
                let key = DedupKey::new(&context.source, &envelope.id, instant);
                let bytes = body.slice_ref(element.raw);
                ingested.batch.events.push(spool::Event { key, bytes });
                ingested.findings.extend(typed.findings.iter().map(|finding| finding.kind));
                ingested.delivery_tests += u64::from(matches!(typed.event, Event::DeliveryTest(_)));
            }
            Err(refusal) => {
                ingested.refusals.push(refusal.reason);
                ingested.batch.quarantine.push(NewEntry {
                    origin: Origin::Element,
                    key: Some(DedupKey::of_bytes(&context.source, element.raw)),
                    reason: refusal.reason.as_str(),
                    detail: refusal.detail,
                    path: refusal.path,
                    index: element.index as u64,
                    request_id: context.request_id.clone(),
                    encoding: String::new(),
                    sink: None,
                    target: None,
                    bytes: body.slice_ref(element.raw),
                });
            }
        }
    }
    Ok(ingested)
}

/// The batch that keeps a body which cannot be parsed, or not even inflated.
pub(super) fn quarantine_body(
    context: &Context,
    body: Bytes,
    encoding: String,
    reason: &'static str,
    detail: String,
) -> Batch {
    Batch {
        source: Arc::clone(&context.source),
        received_at: context.received_at,
        quarantine: vec![NewEntry {
            origin: Origin::Body,
            key: Some(DedupKey::of_bytes(&context.source, &body)),
            reason,
            detail,
            path: "$".to_owned(),
            index: 0,
            request_id: context.request_id.clone(),
            encoding,
            sink: None,
            target: None,
            bytes: body,
        }],
        ..Batch::default()
    }
}

//! Inflates, decodes and packs a received body for the spool.

use bytes::Bytes;

use super::answer::{Unavailable, WebhookAnswer};
use super::body::{self, InflateError};
use super::in_flight::Reservation;
use super::ingest::{self, Context, Ingested};
use super::redacted;
use crate::decode::{self, Refusal, RefusalReason};
use crate::event::{Finding, FindingKind};
use crate::receive::OnUnparseable;
use crate::spool::{Millis, PreparedBatch};

/// Settings and properties of a request that decoding needs.
pub(super) struct DecodeJob {
    pub(super) context: Context,
    pub(super) encodings: Vec<String>,
    pub(super) limit: u64,
    pub(super) on_unparseable: OnUnparseable,
}

impl DecodeJob {
    /// Returns the detected encoding of a body without `Content-Encoding`.
    fn undeclared_encoding(&self, body: &[u8]) -> Option<String> {
        let encoding = self.encodings.is_empty().then(|| body::undeclared_encoding(body))?;
        encoding.map(str::to_owned)
    }

    /// Returns whether the body is not encoded.
    pub(super) fn is_plain(&self, body: &[u8]) -> bool {
        self.encodings.is_empty() && body::undeclared_encoding(body).is_none()
    }
}

/// A batch ready to be stored, with its counts.
pub(super) struct PreparedBody {
    pub(super) prepared: PreparedBatch,
    pub(super) counts: Option<Ingested>,
    pub(super) received_at: Millis,
    /// Reason if the body as a whole goes to quarantine.
    pub(super) reason: Option<&'static str>,
}

/// Makes a batch of a body. The reservation grows with the inflated bytes and is returned.
///
/// # Errors
///
/// Returns the answer if the body cannot become a batch.
pub(super) fn prepare(
    job: &DecodeJob,
    body: &Bytes,
    mut reservation: Reservation,
) -> Result<(PreparedBody, Reservation), WebhookAnswer> {
    // No encoding turns whitespace into events.
    if decode::is_blank(body) {
        return Err(WebhookAnswer::Empty);
    }
    let undeclared = job.undeclared_encoding(body);
    let encodings = undeclared.as_ref().map_or(&*job.encodings, std::slice::from_ref);
    let inflated = body::inflate(body.clone(), encodings, job.limit, &mut reservation);
    let ready = match inflated {
        Ok(inflated) => match ingest::ingest(&job.context, &inflated) {
            Ok(mut ingested) => {
                if undeclared.is_some() {
                    let kind = FindingKind::UndeclaredEncoding;
                    ingested.summaries.add_of_body(Finding { kind, path: "$".to_owned() });
                }
                let batch = std::mem::take(&mut ingested.batch);
                let prepared = batch.prepare();
                let received_at = job.context.received_at;
                PreparedBody { prepared, counts: Some(ingested), received_at, reason: None }
            }
            Err(Refusal { reason: RefusalReason::EmptyBody, .. }) => {
                return Err(WebhookAnswer::Empty);
            }
            Err(Refusal { reason, detail, .. }) => {
                unparseable(job, &inflated, String::new(), reason.as_str(), detail)?
            }
        },
        Err(InflateError::TooLarge) => return Err(WebhookAnswer::TooLarge),
        Err(InflateError::InFlight) => {
            return Err(WebhookAnswer::Unavailable(Unavailable::InFlight));
        }
        Err(InflateError::Broken(detail)) => {
            unparseable(job, body, job.encodings.join(", "), "encoding", detail)?
        }
    };
    Ok((ready, reservation))
}

/// Quarantines or refuses a body that cannot be parsed, as configured.
fn unparseable(
    job: &DecodeJob,
    body: &Bytes,
    encoding: String,
    reason: &'static str,
    detail: String,
) -> Result<PreparedBody, WebhookAnswer> {
    let Context { source, request_id, .. } = &job.context;
    // The detail contains the encoding as the sender named it.
    let detail = redacted::words(job.context.redaction.as_deref(), detail);
    match job.on_unparseable {
        OnUnparseable::Reject => {
            tracing::error!(
                %source, request_id = &**request_id, detail,
                "refused a body; PingOne repeats it until it is taken"
            );
            Err(WebhookAnswer::Unparseable)
        }
        OnUnparseable::Quarantine => {
            tracing::error!(
                %source, request_id = &**request_id, detail,
                "a whole body went to quarantine"
            );
            let batch = ingest::quarantine_body(&job.context, body, encoding, reason, detail);
            let received_at = job.context.received_at;
            Ok(PreparedBody {
                prepared: batch.prepare(),
                counts: None,
                received_at,
                reason: Some(reason),
            })
        }
    }
}

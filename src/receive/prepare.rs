//! Everything between the last byte of a body and the spool: inflating, decoding, packing.

use bytes::Bytes;

use super::answer::{Answer, Unavailable};
use super::body::{self, InflateError};
use super::in_flight::Reservation;
use super::ingest::{self, Context, Ingested};
use super::redacted;
use crate::config::OnUnparseable;
use crate::decode::{self, Reason, Refusal};
use crate::event::{Finding, FindingKind};
use crate::spool::{Millis, PreparedBatch};

/// What has to be known of a request.
pub(super) struct Job {
    pub(super) context: Context,
    pub(super) encodings: Vec<String>,
    pub(super) limit: u64,
    pub(super) on_unparseable: OnUnparseable,
    /// Whether the spool stores packed chunks.
    pub(super) packs: bool,
}

impl Job {
    /// The encoding that a body is in though no header says so.
    fn undeclared_encoding(&self, body: &[u8]) -> Option<String> {
        let encoding = self.encodings.is_empty().then(|| body::undeclared_encoding(body))?;
        encoding.map(str::to_owned)
    }

    /// Reports that there is nothing to inflate.
    pub(super) fn is_plain(&self, body: &[u8]) -> bool {
        self.encodings.is_empty() && body::undeclared_encoding(body).is_none()
    }
}

/// A batch ready to be stored, and what to count then.
pub(super) struct Ready {
    pub(super) prepared: PreparedBatch,
    pub(super) counts: Option<Ingested>,
    pub(super) received_at: Millis,
    /// Why the body as a whole is in quarantine, if it is.
    pub(super) reason: Option<&'static str>,
}

/// Makes a batch of a body. The reservation grows with what is inflated, and is handed back.
pub(super) fn prepare(
    job: &Job,
    body: &Bytes,
    mut reservation: Reservation,
) -> Result<(Ready, Reservation), Answer> {
    // No encoding makes events of nothing.
    if decode::is_blank(body) {
        return Err(Answer::Empty);
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
                let prepared = if job.packs { batch.prepare() } else { batch.unpacked() };
                let received_at = job.context.received_at;
                Ready { prepared, counts: Some(ingested), received_at, reason: None }
            }
            Err(Refusal { reason: Reason::EmptyBody, .. }) => return Err(Answer::Empty),
            Err(Refusal { reason, detail, .. }) => {
                unparseable(job, &inflated, String::new(), reason.as_str(), detail)?
            }
        },
        Err(InflateError::TooLarge) => return Err(Answer::TooLarge),
        Err(InflateError::InFlight) => return Err(Answer::Unavailable(Unavailable::InFlight)),
        Err(InflateError::Broken(detail)) => {
            unparseable(job, body, job.encodings.join(", "), "encoding", detail)?
        }
    };
    Ok((ready, reservation))
}

/// Keeps a body that cannot be parsed, or refuses it, as configured.
fn unparseable(
    job: &Job,
    body: &Bytes,
    encoding: String,
    reason: &'static str,
    detail: String,
) -> Result<Ready, Answer> {
    let Context { source, request_id, .. } = &job.context;
    // A body's encoding is named in it as the sender named it.
    let detail = redacted::words(job.context.redaction.as_deref(), detail);
    match job.on_unparseable {
        OnUnparseable::Reject => {
            tracing::error!(
                %source, request_id = &**request_id, detail,
                "refused a body; PingOne repeats it until it is taken"
            );
            Err(Answer::Unparseable)
        }
        OnUnparseable::Quarantine => {
            tracing::error!(
                %source, request_id = &**request_id, detail,
                "a whole body went to quarantine"
            );
            let batch = ingest::quarantine_body(&job.context, body, encoding, reason, detail);
            let received_at = job.context.received_at;
            Ok(Ready { prepared: batch.prepare(), counts: None, received_at, reason: Some(reason) })
        }
    }
}

//! Makes a batch for the spool from a request's body: inflates, decodes and packs it.
//!
//! A plain body is decoded while it arrives, on the thread that reads it. What takes long (an encoded body, one that is
//! malformed, no array, or larger than two full batches) runs on a blocking thread.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;

use super::answer::{Unavailable, WebhookAnswer};
use super::body::{self, Frames, InflateError};
use super::in_flight::Reservation;
use super::ingest::{self, Context, Ingest, Ingested};
use super::intake::{Intake, IntakeRest};
use super::redacted;
use super::state::Receiver;
use crate::decode::{self, Refusal, RefusalReason};
use crate::event::{Finding, FindingKind};
use crate::receive::OnUnparseable;
use crate::spans;
use crate::spool::{Batch, Millis, PreparedBatch};

/// Length of the longest signature by which [`body::undeclared_encoding`] detects an encoding.
const SIGNATURE_BYTES: usize = 4;

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

    /// Returns whether the body is not encoded, by its first bytes.
    fn is_plain(&self, body: &[u8]) -> bool {
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

/// A body whose last frame has arrived.
pub(super) enum ReceivedBody {
    /// Decoded but for the rest.
    Plain(Box<IntakeRest>),
    Encoded(Bytes),
}

/// Reads a body to its end, and decodes a plain one meanwhile.
///
/// # Errors
///
/// Returns the answer if the body is empty, too large or broken, or too many bytes are in flight.
pub(super) async fn read(
    job: &DecodeJob,
    body: Body,
    reservation: &mut Reservation,
) -> Result<ReceivedBody, WebhookAnswer> {
    let mut frames = Frames::new(body, job.limit);
    let mut first = frames.next(reservation).await?.ok_or(WebhookAnswer::Empty)?;
    while first.len() < SIGNATURE_BYTES
        && let Some(more) = frames.next(reservation).await?
    {
        first = Bytes::from([first, more].concat());
    }
    if !job.is_plain(&first) {
        return Ok(ReceivedBody::Encoded(frames.gather(first, reservation).await?));
    }
    let mut intake = Intake::new(job.context.clone());
    let mut next = Some(first);
    while let Some(frame) = next {
        intake.push(frame);
        next = frames.next(reservation).await?;
    }
    Ok(ReceivedBody::Plain(Box::new(intake.end())))
}

/// Decodes and packs the rest of a body. The reservation grows with inflated bytes and is returned.
///
/// # Errors
///
/// Returns the answer if the body cannot become a batch.
pub(super) async fn finish(
    receiver: &Receiver,
    job: DecodeJob,
    body: ReceivedBody,
    reservation: Reservation,
) -> Result<(PreparedBody, Reservation), WebhookAnswer> {
    match body {
        ReceivedBody::Plain(rest) if rest.is_short() => {
            Ok((prepared(&job, rest.decode())?, reservation))
        }
        ReceivedBody::Plain(rest) => {
            blocking(receiver, move || Ok((prepared(&job, rest.decode())?, reservation))).await
        }
        ReceivedBody::Encoded(body) => {
            blocking(receiver, move || inflated(&job, &body, reservation)).await
        }
    }
}

/// Runs `work` on a blocking thread, as soon as one of the permits for that is free.
async fn blocking<T: Send + 'static>(
    receiver: &Receiver,
    work: impl FnOnce() -> Result<T, WebhookAnswer> + Send + 'static,
) -> Result<T, WebhookAnswer> {
    // The semaphore is never closed.
    let permit = Arc::clone(&receiver.decoding).acquire_owned().await;
    let done = tokio::task::spawn_blocking(move || {
        let _held = permit;
        work()
    });
    done.await.unwrap_or(Err(WebhookAnswer::Unavailable(Unavailable::Panic)))
}

/// Inflates and decodes an encoded body.
fn inflated(
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
    let ready = match body::inflate(body.clone(), encodings, job.limit, &mut reservation) {
        Ok(inflated) => {
            let mut decoded = Ingest::new(job.context.clone())
                .finish(&inflated)
                .map_err(|refusal| (refusal, inflated));
            if undeclared.is_some()
                && let Ok(ingested) = &mut decoded
            {
                let kind = FindingKind::UndeclaredEncoding;
                ingested.summaries.add_of_body(Finding { kind, path: "$".to_owned() });
            }
            prepared(job, decoded)?
        }
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

/// Packs the events. A body that cannot be parsed is quarantined or refused.
fn prepared(
    job: &DecodeJob,
    decoded: Result<Ingested, (Refusal, Bytes)>,
) -> Result<PreparedBody, WebhookAnswer> {
    spans::step("decoded");
    match decoded {
        Ok(mut ingested) => {
            let batch = std::mem::take(&mut ingested.batch);
            let batch = Batch { received_at: job.context.received_at, ..batch };
            let prepared = batch.prepare();
            spans::step("packed");
            let received_at = job.context.received_at;
            Ok(PreparedBody { prepared, counts: Some(ingested), received_at, reason: None })
        }
        Err((Refusal { reason: RefusalReason::EmptyBody, .. }, _)) => Err(WebhookAnswer::Empty),
        Err((Refusal { reason, detail, .. }, body)) => {
            unparseable(job, &body, String::new(), reason.as_str(), detail)
        }
    }
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

//! The one handler: credentials, limits, decode, spool, answer, in this order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::Request;
use axum::http::{Method, request};
use axum::response::Response;
use bytes::Bytes;

use super::answer::{Answer, Stored, Unavailable};
use super::body::{self, InflateError};
use super::in_flight::Reservation;
use super::ingest::{self, Context, Ingested};
use super::router::{Receiver, Source};
use crate::config::OnUnparseable;
use crate::decode::Refusal;
use crate::spool::{Batch, Prepared};

/// Bodies up to this size are decoded where they arrived; larger ones on a thread that may be busy
/// for a while.
const INLINE_BYTES: usize = 64 * 1024;

/// A request's peer, put there by the listener.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// Answers one request on a webhook's path.
pub(super) async fn handle(
    receiver: Arc<Receiver>,
    source: Arc<Source>,
    request: Request,
) -> Response {
    let begun = Instant::now();
    let closes = request.version() <= http::Version::HTTP_11;
    let answer = answer(&receiver, &source, request).await.unwrap_or_else(|answer| answer);
    let status = answer.status();
    let metrics = &receiver.metrics;
    metrics.requests.with_label_values(&[&*source.name, status.as_str()]).inc();
    if let Answer::Stored(_) = &answer {
        metrics
            .ack_seconds
            .with_label_values(&[&source.name])
            .observe(begun.elapsed().as_secs_f64());
    }
    answer.into_response(closes)
}

/// Both sides are answers; `Err` is the early way out.
async fn answer(
    receiver: &Arc<Receiver>,
    source: &Arc<Source>,
    request: Request,
) -> Result<Answer, Answer> {
    let (head, body) = request.into_parts();
    let peer = head.extensions.get::<Peer>().map(|peer| peer.0.ip().to_canonical());
    let allowed = source.allow_from.is_empty()
        || peer.is_some_and(|peer| source.allow_from.iter().any(|net| net.contains(&peer)));
    if !allowed {
        tracing::warn!(source = %source.name, peer = ?peer, "refused an address outside allow_from");
        return Err(Answer::Forbidden);
    }
    let has_credentials = source.credentials.allow(&head.headers);
    match head.method {
        Method::POST if has_credentials => {}
        Method::POST => {
            tracing::warn!(source = %source.name, peer = ?peer, "refused wrong or missing credentials");
            return Err(Answer::Unauthorized);
        }
        // Whether PingOne sends its credentials with the probe is not documented: a probe that has
        // none is answered all the same, and said.
        Method::GET | Method::HEAD => {
            tracing::info!(source = %source.name, has_credentials, "answered a connection probe");
            return Ok(Answer::Probe);
        }
        _ => return Err(Answer::MethodNotAllowed),
    }
    if receiver.shutdown.has_begun() {
        return Err(Answer::Unavailable(Unavailable::ShuttingDown));
    }
    let limits = &receiver.limits;
    if content_length(&head).is_some_and(|length| length > limits.body) {
        return Err(too_large(source, limits.body));
    }
    let nothing = Answer::Unavailable(Unavailable::InFlight);
    let mut reservation = receiver.in_flight.reserve(0).ok_or(nothing)?;
    let bytes = body::read(body, limits.body, limits.body_timeout, &mut reservation)
        .await
        .map_err(|answer| match answer {
            Answer::TooLarge => too_large(source, limits.body),
            other => other,
        })?;
    let work = Work {
        context: Context {
            source: Arc::clone(&source.name),
            received_at: (receiver.clock)(),
            request_id: request_id(&head),
            strict: source.strict,
        },
        encodings: body::encodings(&head.headers),
        limit: limits.body,
        on_unparseable: source.on_unparseable,
    };
    let done = if bytes.len() <= INLINE_BYTES && work.encodings.is_empty() {
        work.run(bytes, &mut reservation)
    } else {
        let moved = tokio::task::spawn_blocking(move || {
            let done = work.run(bytes, &mut reservation);
            (done, reservation)
        });
        let (done, moved_back) =
            moved.await.map_err(|_| Answer::Unavailable(Unavailable::Panic))?;
        reservation = moved_back;
        done
    };
    let done = done.map_err(|answer| match answer {
        Answer::TooLarge => too_large(source, limits.body),
        other => other,
    })?;
    // A task of its own: a client that leaves now must not free the bytes before they are stored,
    // nor leave what was stored uncounted.
    let (receiver, source) = (Arc::clone(receiver), Arc::clone(source));
    let storing = tokio::spawn(async move {
        let stored = store(&receiver, &source, done).await;
        drop(reservation);
        stored
    });
    storing.await.unwrap_or(Err(Answer::Unavailable(Unavailable::Panic)))
}

/// Everything between the last byte of a body and the spool.
struct Work {
    context: Context,
    encodings: Vec<String>,
    limit: u64,
    on_unparseable: OnUnparseable,
}

/// A batch ready to be stored, and what to count then.
struct Ready {
    prepared: Prepared,
    counts: Option<Ingested>,
    reason: Option<&'static str>,
}

impl Work {
    fn run(self, body: Bytes, reservation: &mut Reservation) -> Result<Ready, Answer> {
        let inflated = match body::inflate(body.clone(), &self.encodings, self.limit, reservation) {
            Ok(inflated) => inflated,
            Err(InflateError::TooLarge) => return Err(Answer::TooLarge),
            Err(InflateError::InFlight) => {
                return Err(Answer::Unavailable(Unavailable::InFlight));
            }
            Err(InflateError::Broken(detail)) => {
                let encoding = self.encodings.join(", ");
                return self.unparseable(body, encoding, "encoding", detail);
            }
        };
        match ingest::ingest(&self.context, &inflated) {
            Ok(mut ingested) => {
                let batch = std::mem::take(&mut ingested.batch);
                Ok(Ready { prepared: batch.prepare(), counts: Some(ingested), reason: None })
            }
            Err(Refusal { reason, detail, .. }) => {
                self.unparseable(inflated, String::new(), reason.as_str(), detail)
            }
        }
    }

    fn unparseable(
        self,
        body: Bytes,
        encoding: String,
        reason: &'static str,
        detail: String,
    ) -> Result<Ready, Answer> {
        let source = &self.context.source;
        match self.on_unparseable {
            OnUnparseable::Reject => {
                tracing::error!(%source, detail, "refused a body; PingOne repeats it until it is taken");
                Err(Answer::Unparseable)
            }
            OnUnparseable::Quarantine => {
                tracing::error!(%source, detail, "a whole body went to quarantine");
                let batch = ingest::quarantine_body(&self.context, body, encoding, reason, detail);
                Ok(Ready { prepared: Batch::prepare(batch), counts: None, reason: Some(reason) })
            }
        }
    }
}

/// Waits for stable storage, then counts.
async fn store(receiver: &Receiver, source: &Source, ready: Ready) -> Result<Answer, Answer> {
    let Ready { prepared, counts, reason } = ready;
    let asked = prepared.events() as u64;
    let metrics = &receiver.metrics;
    let count = |door: &str, number: u64| {
        metrics.events.with_label_values(&[&*source.name, door]).inc_by(number);
    };
    let receipt = receiver.spool.append(prepared).await.map_err(|error| {
        tracing::warn!(source = %source.name, %error, "answered 503; PingOne keeps the batch");
        count("refused", asked);
        Answer::Unavailable(Unavailable::Spool(error))
    })?;
    let stored = Stored::from(receipt);
    count("accepted", stored.accepted);
    count("duplicate", stored.duplicates);
    count("quarantined", stored.quarantined);
    metrics.batch_events.observe(stored.received as f64);
    metrics.last_received.with_label_values(&[&source.name]).set((receiver.clock)() / 1000);
    let quarantined = |reason| metrics.quarantined.with_label_values(&[reason]).inc();
    reason.into_iter().for_each(quarantined);
    if let Some(Ingested { findings, refusals, delivery_tests, .. }) = counts {
        findings.iter().for_each(|kind| metrics.findings.with_label_values(&[kind.as_str()]).inc());
        refusals.iter().for_each(|reason| quarantined(reason.as_str()));
        if stored.quarantined > 0 {
            tracing::warn!(source = %source.name, events = stored.quarantined, "events went to quarantine");
        }
        if delivery_tests > 0 {
            metrics.delivery_tests.with_label_values(&[&source.name]).inc_by(delivery_tests);
            tracing::info!(source = %source.name, "PingOne's connection test arrived");
        }
    }
    Ok(Answer::Stored(stored))
}

fn too_large(source: &Source, limit: u64) -> Answer {
    tracing::error!(
        source = %source.name, limit_bytes = limit,
        "a body is larger than limits.body; PingOne repeats it until the limit is raised"
    );
    Answer::TooLarge
}

fn content_length(head: &request::Parts) -> Option<u64> {
    head.headers.get(http::header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn request_id(head: &request::Parts) -> String {
    let id = head.headers.get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
    id.chars().take(128).collect()
}

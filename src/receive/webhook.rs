//! The webhook handler: address, credentials, limits, body, batch, spool, answer, in this order.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::Request;
use axum::http::header;
use axum::response::Response;
use futures_util::FutureExt;

use super::admission::admit;
use super::answer::{StoredCounts, Unavailable, WebhookAnswer};
use super::body;
use super::ingest::{Context, Ingested};
use super::prepare::{self, DecodeJob, PreparedBody};
use super::request_id;
use super::state::{Receiver, RouteSource};
use crate::spans;

/// Answers one request on a webhook's path.
pub(super) async fn handle(
    receiver: Arc<Receiver>,
    source: Arc<RouteSource>,
    request: Request,
) -> Response {
    let started = Instant::now();
    spans::step("head");
    let request_id = request_id::of(request.headers(), receiver.redaction.as_deref());
    let span = spans::ReceiveSpan::begin(&source.name, &request_id, request.method().as_str());
    let answering = answer(&receiver, &source, &request_id, &span, request);
    let answer = unless_it_panics(answering).await.unwrap_or_else(|answer| answer);
    let metrics = &receiver.metrics;
    metrics.requests.with_label_values(&[&*source.name, answer.status().as_str()]).inc();
    match &answer {
        WebhookAnswer::StoredCounts(_) => metrics
            .ack_seconds
            .with_label_values(&[&source.name])
            .observe(started.elapsed().as_secs_f64()),
        WebhookAnswer::TooLarge => tracing::error!(
            source = %source.name, request_id = &*request_id, limit_bytes = receiver.limits.body,
            "a body is larger than limits.body; PingOne repeats it until the limit is raised"
        ),
        WebhookAnswer::Empty => {
            metrics.empty_bodies.with_label_values(&[&*source.name]).inc();
            if receiver.logged.may_log((receiver.clock)()) {
                tracing::error!(
                    source = %source.name, request_id = &*request_id,
                    "answered 400: the body is empty, and PingOne repeats the batch; look for a proxy that drops bodies"
                );
            }
        }
        WebhookAnswer::Unavailable(Unavailable::Panic) => tracing::error!(
            source = %source.name, request_id = &*request_id,
            "a request handler panicked; answered 503, nothing was acknowledged"
        ),
        _ => {}
    }
    if let WebhookAnswer::StoredCounts(StoredCounts { accepted, duplicates, quarantined, .. }) =
        answer
    {
        span.stored(accepted, duplicates, quarantined);
    }
    span.answered(answer.status().as_u16());
    spans::step("counted");
    let (observer, now) = (&receiver.observer, (receiver.clock)());
    match answer.moves_the_sender_on() {
        Some(true) => observer.acknowledged(&source.name, now),
        Some(false) => observer.refused(&source.name, now),
        None => {}
    }
    answer.into_response()
}

/// Converts a panic of the handler into a 503.
async fn unless_it_panics(
    answering: impl Future<Output = Result<WebhookAnswer, WebhookAnswer>>,
) -> Result<WebhookAnswer, WebhookAnswer> {
    let answered = AssertUnwindSafe(answering).catch_unwind().await;
    answered.unwrap_or(Err(WebhookAnswer::Unavailable(Unavailable::Panic)))
}

/// Handles a request. Both `Ok` and `Err` are answers; `Err` is the early return.
async fn answer(
    receiver: &Arc<Receiver>,
    source: &Arc<RouteSource>,
    request_id: &Arc<str>,
    span: &spans::ReceiveSpan,
    request: Request,
) -> Result<WebhookAnswer, WebhookAnswer> {
    let (head, body) = request.into_parts();
    let policy = receiver.policy.current();
    admit(receiver, &policy, source, &head, request_id)?;
    let rules = policy.source(&source.name).ok_or(WebhookAnswer::NotFound)?;
    if receiver.shutdown.has_begun() {
        return Err(WebhookAnswer::Unavailable(Unavailable::ShuttingDown));
    }
    let announced = head.headers.get(header::CONTENT_LENGTH);
    let announced: Option<u64> = announced.and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length| length > receiver.limits.body) {
        return Err(WebhookAnswer::TooLarge);
    }
    let mut job = DecodeJob {
        context: Context {
            source: Arc::clone(&source.name),
            received_at: (receiver.clock)(),
            request_id: Arc::clone(request_id),
            strict: rules.strict,
            outcomes: Arc::clone(&receiver.outcomes),
            redaction: receiver.redaction.clone(),
        },
        encodings: body::encodings(&head.headers),
        limit: receiver.limits.body,
        on_unparseable: rules.on_unparseable,
    };
    let mut reservation = receiver.in_flight.nothing();
    let reading = prepare::read(&job, body, &mut reservation);
    let reading = tokio::time::timeout(receiver.limits.body_timeout, reading);
    let body = reading.await.unwrap_or(Err(WebhookAnswer::Timeout))?;
    // A batch is received when its last byte is.
    job.context.received_at = (receiver.clock)();
    span.body(reservation.bytes());
    spans::step("body read");
    let (ready, reservation) = prepare::finish(receiver, job, body, reservation).await?;
    // A task of its own: a client that disconnects must neither release the bytes before they are
    // stored, nor leave stored events uncounted.
    let (receiver, source) = (Arc::clone(receiver), Arc::clone(source));
    let request_id = Arc::clone(request_id);
    let storing = tokio::spawn(async move {
        let stored = store(&receiver, &source, &request_id, ready).await;
        drop(reservation);
        stored
    });
    storing.await.unwrap_or(Err(WebhookAnswer::Unavailable(Unavailable::Panic)))
}

/// Stores the batch, waits for stable storage, and then counts.
async fn store(
    receiver: &Receiver,
    source: &RouteSource,
    request_id: &str,
    ready: PreparedBody,
) -> Result<WebhookAnswer, WebhookAnswer> {
    let PreparedBody { prepared, counts, reason, received_at } = ready;
    let requested = prepared.events() as u64;
    let metrics = &receiver.metrics;
    let count = |disposition: &str, number: u64| {
        metrics.events.with_label_values(&[&*source.name, disposition]).inc_by(number);
    };
    let receipt = receiver.spool.append(prepared).await.map_err(|error| {
        tracing::warn!(
            source = %source.name, request_id, %error,
            "answered 503; PingOne keeps the batch"
        );
        count("refused", requested);
        WebhookAnswer::Unavailable(Unavailable::Spool(error))
    })?;
    spans::step("handler woken");
    let stored = StoredCounts::from(&receipt);
    count("accepted", stored.accepted);
    count("duplicate", stored.duplicates);
    count("quarantined", stored.quarantined);
    metrics.batch_events.observe(stored.received as f64);
    metrics.last_received.with_label_values(&[&source.name]).set((receiver.clock)() / 1000);
    let quarantined = |reason| metrics.quarantined.with_label_values(&[reason]).inc();
    reason.into_iter().for_each(quarantined);
    if let Some(Ingested { summaries, refusals, .. }) = counts {
        receiver.observer.stored(&source.name, received_at, &summaries, &receipt.repeated);
        for (kind, number) in summaries.findings() {
            metrics.findings.with_label_values(&[kind.as_str()]).inc_by(number);
            if kind.is_of_damaged_body() && receiver.logged.may_log((receiver.clock)()) {
                tracing::warn!(
                    source = %source.name, request_id, finding = kind.as_str(), number,
                    "a body may not be as PingOne sent it; what was whole in it is stored"
                );
            }
        }
        refusals.iter().for_each(|reason| quarantined(reason.as_str()));
        if stored.quarantined > 0 {
            tracing::warn!(
                source = %source.name, request_id, events = stored.quarantined,
                "events went to quarantine"
            );
        }
        let tests = summaries.delivery_tests();
        if tests > 0 {
            metrics.delivery_tests.with_label_values(&[&source.name]).inc_by(tests);
            tracing::info!(
                source = %source.name, request_id,
                "PingOne's connection test arrived"
            );
        }
    }
    Ok(WebhookAnswer::StoredCounts(stored))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_answer() {
        let answered = unless_it_panics(async { panic!("a bug") }).await;
        assert!(matches!(answered, Err(WebhookAnswer::Unavailable(Unavailable::Panic))));
        assert!(matches!(
            unless_it_panics(async { Ok(WebhookAnswer::Probe) }).await,
            Ok(WebhookAnswer::Probe)
        ));
    }
}

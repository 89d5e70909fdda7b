//! Spans of the service, for `[traces]`: every name and every attribute.
//!
//! No span contains a credential, a body, or a field of an event. OpenTelemetry's attribute names
//! are used where they exist. Without `[traces]`, spans are disabled and cost nothing.

use tracing::Span;
use tracing::field::Empty;

/// Target that separates spans from log events.
pub(crate) const LOG_TARGET: &str = "spans";

/// Reports that a request has reached a step, for the timeline that `benches/end_to_end/timeline.rs` prints. Costs
/// nothing without a subscriber of this target; the service has none.
pub(crate) fn step(step: &'static str) {
    tracing::trace!(target: "timeline", step);
}

/// Span of one webhook request, from its head to its answer. It has no parent, because a
/// `traceparent` header is not trusted.
pub(crate) struct ReceiveSpan(Span);

impl ReceiveSpan {
    pub(crate) fn begin(source: &str, request_id: &str, method: &str) -> ReceiveSpan {
        // A client may send any word as method.
        let known =
            ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
        let method = if known.contains(&method) { method } else { "_OTHER" };
        ReceiveSpan(tracing::info_span!(
            target: LOG_TARGET,
            parent: None,
            "receive",
            otel.kind = "server",
            otel.status_code = Empty,
            davinci_siem.source = source,
            davinci_siem.request_id = request_id,
            davinci_siem.events.accepted = Empty,
            davinci_siem.events.duplicate = Empty,
            davinci_siem.events.quarantined = Empty,
            http.request.method = method,
            http.request.body.size = Empty,
            http.response.status_code = Empty,
        ))
    }

    /// Records the size of the body, in bytes as sent.
    pub(crate) fn body(&self, bytes: u64) {
        self.0.record("http.request.body.size", number(bytes));
    }

    /// Records the HTTP status of the answer and ends the span.
    pub(crate) fn answered(self, status: u16) {
        self.0.record("http.response.status_code", i64::from(status));
        if status >= 500 {
            self.0.record("otel.status_code", "ERROR");
        }
    }

    /// Records the number of stored events.
    pub(crate) fn stored(&self, accepted: u64, duplicate: u64, quarantined: u64) {
        self.0.record("davinci_siem.events.accepted", number(accepted));
        self.0.record("davinci_siem.events.duplicate", number(duplicate));
        self.0.record("davinci_siem.events.quarantined", number(quarantined));
    }
}

/// Span of one attempt to deliver a batch to a sink.
pub(crate) struct DeliverSpan(Span);

impl DeliverSpan {
    /// Starts the span. `bytes` returns the size of the batch as the target counts it; called only
    /// if spans are enabled.
    pub(crate) fn begin(
        sink: &str,
        attempt: &str,
        events: usize,
        bytes: impl FnOnce() -> usize,
    ) -> DeliverSpan {
        let span = tracing::info_span!(
            target: LOG_TARGET,
            parent: None,
            "deliver",
            otel.kind = "client",
            otel.status_code = Empty,
            error.type = Empty,
            davinci_siem.sink = sink,
            davinci_siem.attempt = attempt,
            davinci_siem.events = number(events),
            davinci_siem.bytes = Empty,
            davinci_siem.verdicts.delivered = Empty,
            davinci_siem.verdicts.retry = Empty,
            davinci_siem.verdicts.rejected = Empty,
            davinci_siem.verdicts.too_old = Empty,
            davinci_siem.verdicts.split = Empty,
            davinci_siem.verdicts.fatal = Empty,
            davinci_siem.verdicts.not_tried = Empty,
        );
        if !span.is_disabled() {
            span.record("davinci_siem.bytes", number(bytes()));
        }
        DeliverSpan(span)
    }

    /// Records one verdict for each event and ends the span.
    pub(crate) fn ended(self, verdicts: impl Iterator<Item = &'static str>) {
        if self.0.is_disabled() {
            return;
        }
        let mut counts = [0_i64; VERDICTS.len()];
        for verdict in verdicts {
            let known = VERDICTS.iter().zip(&mut counts).find(|((name, _), _)| *name == verdict);
            known.into_iter().for_each(|(_, count)| *count += 1);
        }
        let mut gravest = "delivered";
        for ((verdict, attribute), count) in VERDICTS.into_iter().zip(counts) {
            if count > 0 {
                self.0.record(attribute, count);
                gravest = verdict;
            }
        }
        if gravest != "delivered" {
            self.0.record("otel.status_code", "ERROR");
            self.0.record("error.type", gravest);
        }
    }
}

/// Converts a count to `i64`, the only integer attribute type of OpenTelemetry.
fn number(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

/// Verdicts in ascending severity, with the attribute that counts each.
const VERDICTS: [(&str, &str); 7] = [
    ("delivered", "davinci_siem.verdicts.delivered"),
    ("not_tried", "davinci_siem.verdicts.not_tried"),
    ("split", "davinci_siem.verdicts.split"),
    ("rejected", "davinci_siem.verdicts.rejected"),
    ("too_old", "davinci_siem.verdicts.too_old"),
    ("retry", "davinci_siem.verdicts.retry"),
    ("fatal", "davinci_siem.verdicts.fatal"),
];

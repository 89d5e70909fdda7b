//! The spans of the service, for `[traces]`: every name and every attribute there is.
//!
//! None holds a credential, a body, or a member of an event. OpenTelemetry's names are used where it has some.
//! Where no traces are configured nobody is interested in them, and they are not even made.

use tracing::Span;
use tracing::field::Empty;

/// What tells them from logs.
pub(crate) const TARGET: &str = "spans";

/// One request on a webhook's path, from its head to its answer.
///
/// It has no parent: a `traceparent` is the word of whoever sent it.
pub(crate) struct Receive(Span);

impl Receive {
    pub(crate) fn begin(source: &str, request_id: &str, method: &str) -> Receive {
        // A method can be any word.
        let known =
            ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
        let method = if known.contains(&method) { method } else { "_OTHER" };
        Receive(tracing::info_span!(
            target: TARGET,
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

    /// The body has arrived, so many bytes as they were sent.
    pub(crate) fn body(&self, bytes: usize) {
        self.0.record("http.request.body.size", number(bytes));
    }

    /// It was answered.
    pub(crate) fn answered(self, status: u16) {
        self.0.record("http.response.status_code", i64::from(status));
        if status >= 500 {
            self.0.record("otel.status_code", "ERROR");
        }
    }

    /// What it brought is stored.
    pub(crate) fn stored(&self, accepted: u64, duplicate: u64, quarantined: u64) {
        self.0.record("davinci_siem.events.accepted", number(accepted));
        self.0.record("davinci_siem.events.duplicate", number(duplicate));
        self.0.record("davinci_siem.events.quarantined", number(quarantined));
    }
}

/// One attempt to deliver a batch to a sink.
pub(crate) struct Deliver(Span);

impl Deliver {
    /// `bytes` as the target counts them; only asked for where somebody wants to know.
    pub(crate) fn begin(
        sink: &str,
        attempt: &str,
        events: usize,
        bytes: impl FnOnce() -> usize,
    ) -> Deliver {
        let span = tracing::info_span!(
            target: TARGET,
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
            davinci_siem.verdicts.split = Empty,
            davinci_siem.verdicts.fatal = Empty,
            davinci_siem.verdicts.not_tried = Empty,
        );
        if !span.is_disabled() {
            span.record("davinci_siem.bytes", number(bytes()));
        }
        Deliver(span)
    }

    /// It has ended, with one verdict for each event.
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

/// OpenTelemetry knows no other whole numbers: they would become texts.
fn number(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

/// What a target can say of an event, the gravest last, and the attribute that counts it.
const VERDICTS: [(&str, &str); 6] = [
    ("delivered", "davinci_siem.verdicts.delivered"),
    ("not_tried", "davinci_siem.verdicts.not_tried"),
    ("split", "davinci_siem.verdicts.split"),
    ("rejected", "davinci_siem.verdicts.rejected"),
    ("retry", "davinci_siem.verdicts.retry"),
    ("fatal", "davinci_siem.verdicts.fatal"),
];

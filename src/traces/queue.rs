//! Bounded queue of ended spans.

use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use prometheus::IntCounter;
use tokio::sync::mpsc;

/// Maximum number of queued spans, of about 1 KiB each.
pub(super) const MAX_QUEUED_SPANS: usize = 2048;

/// Sender side of the queue.
#[derive(Debug)]
pub(super) struct SpanQueue {
    spans: mpsc::Sender<SpanData>,
    dropped: IntCounter,
}

/// Creates an empty queue and its receiver side.
pub(super) fn new(dropped: IntCounter) -> (SpanQueue, mpsc::Receiver<SpanData>) {
    let (spans, ended) = mpsc::channel(MAX_QUEUED_SPANS);
    (SpanQueue { spans, dropped }, ended)
}

impl SpanProcessor for SpanQueue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    /// Runs on the thread that ended the span, before the answer is sent, and therefore never
    /// waits.
    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() && self.spans.try_send(span).is_err() {
            self.dropped.inc();
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

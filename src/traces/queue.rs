//! Where ended spans wait to be sent: so many and no more.

use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use prometheus::IntCounter;
use tokio::sync::mpsc;

/// Spans that wait, about 1 KiB each.
pub(super) const LENGTH: usize = 2048;

/// The end at which spans come in.
#[derive(Debug)]
pub(super) struct Queue {
    spans: mpsc::Sender<SpanData>,
    dropped: IntCounter,
}

/// An empty queue, and the end at which they are taken out.
pub(super) fn new(dropped: IntCounter) -> (Queue, mpsc::Receiver<SpanData>) {
    let (spans, ended) = mpsc::channel(LENGTH);
    (Queue { spans, dropped }, ended)
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    /// Runs where the span ended, on the path to an answer: it waits for nothing.
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

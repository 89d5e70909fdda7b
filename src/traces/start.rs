//! Start of the export, and the resource of all spans.

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::TelemetryResourceDetector;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::{Layer, Registry};

use super::export::{self, ExportTask};
use super::{TracesConfig, queue};
use crate::metrics::Metrics;
use crate::spans;

/// Starts the export on the current runtime. The returned layer turns tracing spans into
/// OpenTelemetry spans.
pub(crate) fn start(
    config: &TracesConfig,
    metrics: &Metrics,
) -> (Box<dyn Layer<Registry> + Send + Sync>, ExportTask) {
    let [exported, dropped] =
        ["exported", "dropped"].map(|result| metrics.spans.with_label_values(&[result]));
    let resource = resource();
    let (queue, ended) = queue::new(dropped.clone());
    let exporting = export::start(config.clone(), &resource, ended, exported, dropped);
    let provider = SdkTracerProvider::builder()
        .with_sampler(Sampler::TraceIdRatioBased(config.ratio))
        .with_resource(resource)
        .with_span_processor(queue)
        .build();
    let layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer(env!("CARGO_PKG_NAME")))
        .with_location(false)
        .with_target(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_context_activation(false)
        // Spans only: log events stay in the log.
        .with_filter(Targets::new().with_target(spans::LOG_TARGET, LevelFilter::INFO));
    (Box::new(layer), exporting)
}

/// Resource attributes of every span. Variables such as `OTEL_SERVICE_NAME` are ignored.
fn resource() -> Resource {
    Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_attributes([
            KeyValue::new("service.name", env!("CARGO_PKG_NAME")),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        ])
        .build()
}

//! Logging on standard error, and traces if configured.
//!
//! A level tells operators what to do: `error` act, `warn` investigate, `info` nothing. No line
//! contains a credential, a body or a field of an event. Lines about a request have `source` and
//! `request_id` as fields of the log event itself, so that JSON lines stay flat and text lines are
//! searchable.

mod config;

use std::borrow::Cow;
use std::time::Duration;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, registry};

use crate::metrics::Metrics;
use crate::printable;
use crate::spans;
use crate::traces::TracesConfig;
#[cfg(feature = "otlp")]
use crate::traces::{self, ExportTask};
pub use config::{LogConfig, LogFormat};

type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// Handle of the exporters that must be flushed at the end.
#[derive(Debug, Default)]
pub struct Telemetry {
    #[cfg(feature = "otlp")]
    traces: Option<ExportTask>,
}

/// Starts logging and traces for the process, on the current runtime.
#[cfg(feature = "otlp")]
pub fn start(log: &LogConfig, traces: Option<&TracesConfig>, metrics: &Metrics) -> Telemetry {
    let (layer, traces) = traces.map(|config| traces::start(config, metrics)).unzip();
    init(log, layer);
    Telemetry { traces }
}

/// Starts logging for the process. Without the feature `otlp`, the configuration reader refuses
/// `[traces]`.
#[cfg(not(feature = "otlp"))]
pub fn start(log: &LogConfig, _: Option<&TracesConfig>, _: &Metrics) -> Telemetry {
    init(log, None);
    Telemetry::default()
}

impl Telemetry {
    /// Exports the remaining spans, within the time limit.
    #[cfg(feature = "otlp")]
    pub async fn finish(self, within: Duration) {
        if let Some(traces) = self.traces {
            traces.finish(within).await;
        }
    }

    /// Does nothing, because nothing is exported.
    #[cfg(not(feature = "otlp"))]
    pub fn finish(self, _: Duration) -> impl Future<Output = ()> {
        std::future::ready(())
    }
}

/// Writer to standard error, which may be a terminal. The formatter escapes fields, except for
/// characters that change the direction of text. The formatter's own colours are kept.
struct Escaped(std::io::Stderr);

impl std::io::Write for Escaped {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match std::str::from_utf8(bytes).map(printable::colored) {
            Ok(Cow::Owned(text)) => self.0.write_all(text.as_bytes()).map(|()| bytes.len()),
            _ => self.0.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// Sets up logging. A second call has no effect.
fn init(log: &LogConfig, traces: Option<BoxedLayer>) {
    // Below `warn`, libraries log frames and bytes, some of which are secret.
    let levels = Targets::new()
        .with_default(LevelFilter::WARN.min(LevelFilter::from_level(log.level)))
        // These libraries warn of malformed input, as often as clients send it.
        .with_targets(["h2", "hyper", "rustls"].map(|library| (library, LevelFilter::ERROR)))
        // async_nats logs each attempt; `nats/events.rs` logs the first.
        .with_target("async_nats", LevelFilter::OFF)
        .with_target("davinci_siem", log.level)
        .with_target(spans::LOG_TARGET, LevelFilter::OFF);
    let layer = fmt::layer()
        .with_writer(|| Escaped(std::io::stderr()))
        // A full log disk must not panic the thread that logs.
        .log_internal_errors(false)
        .with_target(false);
    let layer: BoxedLayer = match log.format {
        LogFormat::Text => {
            let colours = std::env::var_os("NO_COLOR").is_none()
                && std::io::IsTerminal::is_terminal(&std::io::stderr());
            Box::new(layer.with_ansi(colours).with_filter(levels))
        }
        LogFormat::Json => Box::new(layer.json().flatten_event(true).with_filter(levels)),
    };
    let layers: Vec<BoxedLayer> = traces.into_iter().chain([layer]).collect();
    // Fails only if a test has set up logging before.
    drop(registry().with(layers).try_init());
}

//! Logging: what the service says about itself, on standard error; and traces, where they are configured.
//!
//! Levels say what an operator has to do: `error`, act; `warn`, look; `info`, nothing. No line holds
//! a credential, a body or a member of an event. What belongs to a request says which:
//! `source` and `request_id` are members of the event itself, so that JSON stays flat and text can be searched.

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
#[cfg(feature = "otlp")]
use crate::traces;
#[cfg(feature = "otlp")]
use crate::traces::Exporting;
use crate::traces::TracesConfig;
pub use config::{LogConfig, LogFormat};

type Boxed = Box<dyn Layer<Registry> + Send + Sync>;

/// What has to be finished at the end.
#[derive(Debug, Default)]
pub struct Telemetry {
    #[cfg(feature = "otlp")]
    traces: Option<Exporting>,
}

/// Starts logging and traces for the process, on the current runtime.
#[cfg(feature = "otlp")]
pub fn start(log: &LogConfig, traces: Option<&TracesConfig>, metrics: &Metrics) -> Telemetry {
    let (layer, traces) = traces.map(|config| traces::start(config, metrics)).unzip();
    init(log, layer);
    Telemetry { traces }
}

/// Starts logging for the process. Traces are refused where the configuration is read.
#[cfg(not(feature = "otlp"))]
pub fn start(log: &LogConfig, _: Option<&TracesConfig>, _: &Metrics) -> Telemetry {
    init(log, None);
    Telemetry::default()
}

impl Telemetry {
    /// Exports what is left, for so long at most.
    #[cfg(feature = "otlp")]
    pub async fn finish(self, within: Duration) {
        if let Some(traces) = self.traces {
            traces.finish(within).await;
        }
    }

    /// There is nothing to export.
    #[cfg(not(feature = "otlp"))]
    pub fn finish(self, _: Duration) -> impl Future<Output = ()> {
        std::future::ready(())
    }
}

/// Standard error, which may be a terminal. Fields are escaped by the formatter, except for what changes the direction
/// of text; its own colours stay.
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

/// A second call changes nothing.
fn init(log: &LogConfig, traces: Option<Boxed>) {
    // What libraries say below a warning is about frames and bytes, of which some are secret.
    let levels = Targets::new()
        .with_default(LevelFilter::WARN.min(LevelFilter::from_level(log.level)))
        // They warn of what strangers send, as often as strangers send it.
        .with_targets(["h2", "hyper", "rustls"].map(|library| (library, LevelFilter::ERROR)))
        // It says at each attempt what it tells its caller as well; `nats/events.rs` says it once.
        .with_target("async_nats", LevelFilter::OFF)
        .with_target("davinci_siem", log.level)
        .with_target(spans::TARGET, LevelFilter::OFF);
    let layer = fmt::layer()
        .with_writer(|| Escaped(std::io::stderr()))
        // A full disk under the log must not panic whoever has something to say about it.
        .log_internal_errors(false)
        .with_target(false);
    let layer: Boxed = match log.format {
        LogFormat::Text => {
            let colours = std::env::var_os("NO_COLOR").is_none()
                && std::io::IsTerminal::is_terminal(&std::io::stderr());
            Box::new(layer.with_ansi(colours).with_filter(levels))
        }
        LogFormat::Json => Box::new(layer.json().flatten_event(true).with_filter(levels)),
    };
    let layers: Vec<Boxed> = traces.into_iter().chain([layer]).collect();
    // Only fails where a test has set up logging before.
    drop(registry().with(layers).try_init());
}

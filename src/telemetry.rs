//! Logging: what the service says about itself, on standard error.
//!
//! Levels say what an operator has to do: `error`, act; `warn`, look; `info`, nothing. No line holds
//! a credential, a body or a member of an event.

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt, registry};

use crate::config::{Log, LogFormat};

/// Starts logging for the process. A second call changes nothing.
pub fn init(log: &Log) {
    // What libraries say below a warning is about frames and bytes, of which some are secret.
    let levels = Targets::new()
        .with_default(LevelFilter::WARN.min(LevelFilter::from_level(log.level)))
        // They warn of what strangers send, as often as strangers send it.
        .with_targets(["h2", "hyper", "rustls"].map(|library| (library, LevelFilter::ERROR)))
        // It says at each attempt what it tells its caller as well; `nats/events.rs` says it once.
        .with_target("async_nats", LevelFilter::OFF)
        .with_target("davinci_siem", log.level);
    let layer = fmt::layer()
        .with_writer(std::io::stderr)
        // A full disk under the log must not panic whoever has something to say about it.
        .log_internal_errors(false)
        .with_target(false);
    let started = match log.format {
        LogFormat::Text => {
            let colours = std::env::var_os("NO_COLOR").is_none()
                && std::io::IsTerminal::is_terminal(&std::io::stderr());
            registry().with(layer.with_ansi(colours).with_filter(levels)).try_init()
        }
        LogFormat::Json => {
            registry().with(layer.json().flatten_event(true).with_filter(levels)).try_init()
        }
    };
    // Only fails where a test has set up logging before.
    drop(started);
}

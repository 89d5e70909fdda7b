//! Logging: what the service says about itself, on standard error.
//!
//! Levels say what an operator has to do: `error`, act; `warn`, look; `info`, nothing. No line holds
//! a credential, a body or a member of an event.

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt;

use crate::config::{Log, LogFormat};

/// Starts logging for the process. A second call changes nothing.
pub fn init(log: &Log) {
    let builder = fmt()
        .with_writer(std::io::stderr)
        // A full disk under the log must not panic whoever has something to say about it.
        .log_internal_errors(false)
        .with_max_level(LevelFilter::from_level(log.level))
        .with_target(false);
    let started = match log.format {
        LogFormat::Text => {
            let colours = std::env::var_os("NO_COLOR").is_none()
                && std::io::IsTerminal::is_terminal(&std::io::stderr());
            builder.with_ansi(colours).try_init()
        }
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    // Only fails where a test has set up logging before.
    drop(started);
}

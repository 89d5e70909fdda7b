//! `[traces]`: sends the service's own spans to a collector, over OTLP/HTTP (cargo feature `otlp`).
//! <https://opentelemetry.io/docs/specs/otlp/>
//!
//! Whoever ends a span never waits: it goes into a queue of a fixed length, or is dropped and counted. One task
//! takes spans out of it, and one HTTP client, made as those of the sinks are, sends them. OpenTelemetry's own
//! exporters are not used: they block a thread, read variables that `check` knows nothing of, and say of each
//! batch that it failed.
//!
//! | file | what |
//! | --- | --- |
//! | [`queue`] | where ended spans wait |
//! | [`export`] | the task that sends them |

mod config;
#[cfg(feature = "otlp")]
mod export;
#[cfg(feature = "otlp")]
mod queue;
#[cfg(feature = "otlp")]
mod start;

pub(crate) use config::TracesConfig;
#[cfg(feature = "otlp")]
pub(crate) use export::Exporting;
#[cfg(feature = "otlp")]
pub(crate) use start::start;

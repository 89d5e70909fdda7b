//! `[traces]`: sends the service's own spans to a collector, over OTLP/HTTP (cargo feature `otlp`).
//! <https://opentelemetry.io/docs/specs/otlp/>
//!
//! Ending a span never blocks: the span is added to a bounded queue, or dropped and counted. One
//! task takes spans from the queue and sends them with the HTTP client of the sinks.
//! OpenTelemetry's own exporters are not used: they block a thread, read environment variables that
//! `check` does not see, and log every failed batch.
//!
//! | file | content |
//! | --- | --- |
//! | [`queue`] | bounded queue of ended spans |
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
pub(crate) use export::ExportTask;
#[cfg(feature = "otlp")]
pub(crate) use start::start;

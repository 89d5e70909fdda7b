//! Receives PingOne DaVinci webhook events, spools them durably, and delivers them to SIEMs.
//!
//! > **A 200 means: every event in the body is on disk, in the spool or in quarantine. Each spooled
//! > event is delivered to each sink at least once, in the order received per sink. Nothing is dropped
//! > without a counted reason.**
//!
//! The binary is [`cli::run`]. A program of its own can decode webhook bodies ([`decode`]), render events
//! ([`format`](mod@format)), store them ([`spool`]), or run the whole service ([`app`] with [`config`]); `examples/` has
//! one. ARCHITECTURE.md describes all modules and the path of an event.

pub(crate) mod admin;
pub(crate) mod alerts;
pub mod app;
pub(crate) mod audit;
mod aws;
mod azure;
pub mod cli;
pub mod config;
pub mod decode;
pub(crate) mod deliver;
mod disk_space;
mod durable_dir;
mod error_chain;
pub mod event;
mod file_fingerprint;
pub mod format;
#[cfg(any(test, fuzzing))]
#[path = "../fuzz/properties/mod.rs"]
pub mod fuzzing;
mod google;
mod http_client;
pub mod interactions;
pub(crate) mod json;
pub(crate) mod listener;
pub mod metrics;
pub(crate) mod nats;
mod oauth;
pub mod observe;
mod paths;
mod pem;
mod pingone;
mod printable;
pub(crate) mod receive;
mod reconcile;
pub mod redact;
pub mod reload;
pub(crate) mod rlimit;
mod secret;
pub(crate) mod settings;
mod shown;
pub mod shutdown;
pub(crate) mod sinks;
mod spans;
pub mod spool;
pub mod telemetry;
mod tls;
mod traces;

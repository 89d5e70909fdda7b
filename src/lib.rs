//! Receives PingOne DaVinci webhook events, spools them durably, and delivers them to SIEMs.
//!
//! > **A 200 means: every event in the body is on disk, in the spool or in quarantine. Each spooled
//! > event is delivered to each sink at least once, in the order received per sink. Nothing is dropped
//! > without a counted reason.**
//!
//! ```text
//!  PingOne ──POST──▶ receive ──▶ decode ──▶ spool ◀── deliver ──▶ sinks ──▶ SIEM
//!                   (auth,      (pure)       │ one durable commit:   │ one worker per sink:
//!                    limits)                 │ events + dedup keys   │ cursor, filter, format,
//!                                            │ + quarantine          │ batch, retry
//!                                            └── quarantine ◀────────┘ dead letters
//! ```
//!
//! | module | content |
//! | --- | --- |
//! | [`event`] | data model: events, outcomes, findings; no JSON, no HTTP, no I/O |
//! | [`decode`] | bytes to typed events or refusals; the only module that knows PingOne's JSON; pure |
//! | [`redact`] | redaction of events, before the spool or for one sink; pure |
//! | [`listener`] | connections: TLS, HTTP/1.1, HTTP/2, timeouts, shutdown; used by `receive` and `admin` |
//! | [`receive`] | credentials, limits, the webhook handler; knows decode and spool, but no sink |
//! | [`spool`] | durable log, deduplication, quarantine; events are opaque bytes |
//! | [`deliver`] | one worker per sink: batches, retries, cursor commits |
//! | [`format`](mod@format) | rendering of events for sinks; pure |
//! | [`sinks`] | one per target; knows no spool and no other sink |
//! | [`observe`] | statistics of accepted events, in memory |
//! | [`admin`] | health, metrics, operations |
//! | [`config`] | one TOML file, all problems at once |
//! | [`app`], [`cli`] | wiring of the service; the command line |
//! | [`json`] | tokens of accepted JSON; pure |
//! | [`nats`] | connections to NATS |
//! | `azure` | access tokens of Microsoft Entra ID |
//! | `durable_dir`, `paths` | directories that survive a power loss; identity of files |
//! | `http_client` | HTTP client of sinks and traces |
//! | `pem`, `shown`, `secret` | PEM files and secrets; errors that quote neither |
//! | [`metrics`], [`telemetry`], [`shutdown`] | metrics, logs, shutdown signal |

pub(crate) mod admin;
pub mod app;
mod azure;
pub mod cli;
pub mod config;
pub mod decode;
pub(crate) mod deliver;
mod durable_dir;
mod error_chain;
pub mod event;
mod file_fingerprint;
pub mod format;
#[cfg(any(test, fuzzing))]
#[path = "../fuzz/properties/mod.rs"]
pub mod fuzzing;
mod http_client;
pub(crate) mod json;
pub(crate) mod listener;
pub mod metrics;
pub(crate) mod nats;
pub mod observe;
mod paths;
mod pem;
mod printable;
pub(crate) mod receive;
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

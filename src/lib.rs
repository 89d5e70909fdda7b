//! Receives PingOne DaVinci webhook events and gets every one of them into a SIEM.
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
//! | module | what lives there |
//! | --- | --- |
//! | [`event`] | the words: events, outcomes, findings; knows no JSON, no HTTP, no I/O |
//! | [`decode`] | bytes to typed events, or refusals; the only place that knows PingOne's JSON; pure |
//! | [`redact`] | what is taken out of events, before the spool or for one sink; pure |
//! | [`listener`] | accepts connections: TLS, HTTP/1.1, HTTP/2, timeouts, shutdown; used by `receive` and `admin` |
//! | [`receive`] | credentials, limits, the one handler; knows decode and spool, never a sink |
//! | [`spool`] | the durable log, dedup, quarantine; opaque bytes only |
//! | [`deliver`] | one worker per sink: batches, retries, settlement |
//! | [`format`](mod@format) | what an event becomes for a sink; pure |
//! | [`sinks`] | one per target; knows no spool and no other sink |
//! | [`observe`] | what is seen of accepted events, in memory |
//! | [`admin`] | health, metrics, operations |
//! | [`config`] | one TOML file, all mistakes at once |
//! | [`app`], [`cli`] | putting it together; the command line |
//! | [`durable_dir`] | folders that outlast a power loss |
//! | [`json`] | tokens of JSON that was accepted; pure |
//! | [`nats`] | how NATS is reached |
//! | `pem`, `shown` | errors that quote neither a file nor a secret |
//! | [`metrics`], [`telemetry`], [`shutdown`] | instruments, logs, the end |

pub mod admin;
pub mod app;
pub mod cli;
pub mod config;
pub mod decode;
pub mod deliver;
mod durable_dir;
mod error_chain;
pub mod event;
mod file_fingerprint;
pub mod format;
#[cfg(any(test, fuzzing))]
#[path = "../fuzz/properties/mod.rs"]
pub mod fuzzing;
mod http_client;
pub mod json;
pub mod listener;
pub mod metrics;
pub mod nats;
pub mod observe;
mod paths;
mod pem;
mod printable;
pub mod receive;
pub mod redact;
pub mod reload;
pub mod rlimit;
mod secret;
mod shown;
pub mod shutdown;
pub mod sinks;
mod spans;
pub mod spool;
pub mod telemetry;
mod tls;
#[cfg(feature = "otlp")]
mod traces;

//! Delivery: one worker per sink reads the spool from the sink's cursor, and every policy is here.
//!
//! ```text
//! read → filter → format → batch → deliver → settle each item → commit the settled prefix
//! ```
//!
//! The [`worker`] reads and commits; a [`connection`] is one connection with the policy for one batch;
//! [`batch`] knows what became of each event, [`groups`] how to find the one that a target refuses
//! among many, and [`suspect`] how a batch that fails unchanged gets smaller.
//!
//! A worker knows only its own sink, so a slow or dead one delays nobody else. Retries go on for
//! ever, unless the target takes others and not this one; what the target refuses for good goes to quarantine as a dead letter and the cursor moves
//! on; what only a person can repair pauses the sink and keeps its events.

mod backoff;
mod batch;
mod config;
mod connection;
mod filter;
mod groups;
pub mod replay;
mod status;
mod suspect;
mod worker;

pub use backoff::Backoff;
pub(crate) use config::DEFAULT_NAME as DEFAULT_SINK;
pub use config::{BatchConfig, FilterConfig, GiveUpConfig, RetryConfig, RoutingConfig, SinkConfig};
pub use filter::{unwanted, wants};
pub use status::{SinkState, SinkStatus};
pub use worker::Worker;

//! Delivery: one worker per sink reads the spool from the sink's cursor; every delivery policy is here.
//!
//! ```text
//! read → filter → format → batch → deliver → apply verdicts → commit the final prefix
//! ```
//!
//! The [`worker`] reads and commits. A [`connection`] applies the policy for one batch. [`batch`] holds
//! the state of each event, [`groups`] bisects a group that a target refuses, and [`suspect`] shrinks a
//! batch that fails again and again. [`parallel`] spreads the encoding of a batch over the cores.
//!
//! A worker knows only its own sink, so a slow or dead target delays no other sink. Retries have no limit,
//! except for an event that fails while the target takes others (`retry.give_up`). An event that the target
//! refuses for good becomes a dead letter, and the cursor moves on. A failure that needs an operator
//! pauses the sink and keeps its events.

mod backoff;
mod batch;
mod config;
mod connection;
mod filter;
mod groups;
mod parallel;
pub(crate) mod replay;
mod running;
mod status;
mod suspect;
mod worker;

pub(crate) use backoff::Backoff;
pub(crate) use config::DEFAULT_NAME as DEFAULT_SINK;
pub(crate) use config::{FilterConfig, GiveUpConfig, RoutingConfig, SampleConfig, SinkConfig};
pub(crate) use filter::{FilterReason, filter_reason, routing_reason};
pub(crate) use running::RegisterError;
pub(crate) use running::{PreparedSinks, RunningSinks};
pub(crate) use status::{SinkState, SinkStatus, SinkTarget};
pub(crate) use worker::Worker;

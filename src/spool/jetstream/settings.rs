//! Settings of the JetStream engine.

use crate::nats;

/// Settings of the cluster and the streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JetStreamConfig {
    /// The servers and how to log in.
    pub nats: nats::NatsConfig,
    /// The stream's name, with which those of the quarantine and the leases of the sinks begin. Receivers of one
    /// name share everything.
    pub stream: String,
    /// Number of servers that keep each event.
    pub replicas: usize,
    /// Order of delivery.
    pub order: Order,
}

/// Sharing of a sink among receivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// One of them delivers, in order; another takes over when it is gone.
    Ordered,
    /// All of them deliver, each a part, without order.
    Parallel,
}

/// The names of everything that the engine keeps in NATS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StreamNames {
    /// The stream of events.
    pub(super) events: String,
    /// The stream of what was refused.
    pub(super) quarantine: String,
    /// The bucket of the leases of the sinks.
    pub(super) leases: String,
}

impl StreamNames {
    pub(super) fn new(stream: &str) -> StreamNames {
        StreamNames {
            events: stream.to_owned(),
            quarantine: format!("{stream}-quarantine"),
            leases: format!("{stream}-sinks"),
        }
    }
}

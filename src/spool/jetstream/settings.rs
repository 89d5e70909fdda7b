//! What the engine is told about the cluster.

use crate::nats;

/// How the engine reaches NATS, and what it keeps there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JetStreamConfig {
    /// The servers and how to log in.
    pub nats: nats::NatsConfig,
    /// The stream's name, with which those of the quarantine and the sinks' places begin. Receivers of one
    /// name share everything.
    pub stream: String,
    /// How many servers keep each event.
    pub replicas: usize,
    /// Who delivers.
    pub order: Order,
}

/// How receivers share a sink.
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
    /// The bucket of the sinks' places.
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

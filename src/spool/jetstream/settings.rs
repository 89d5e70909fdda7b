//! Names of the streams and the bucket of the engine in NATS.

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

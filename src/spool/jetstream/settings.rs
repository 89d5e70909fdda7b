//! Names of the streams and the bucket of the engine in NATS.

/// Names of the streams and the bucket of the engine in NATS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    /// The stream of events.
    pub(super) events: String,
    /// The stream of what was refused.
    pub(super) quarantine: String,
    /// The bucket of the sinks' places.
    pub(super) places: String,
}

impl Names {
    pub(super) fn new(stream: &str) -> Names {
        Names {
            events: stream.to_owned(),
            quarantine: format!("{stream}-quarantine"),
            places: format!("{stream}-sinks"),
        }
    }
}

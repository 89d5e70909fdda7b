//! Series of metrics that exist from the start.

use crate::config::Config;
use crate::metrics::Metrics;
use crate::spool::Disposition;

/// Creates every series with configured labels: Prometheus `increase()` needs an initial 0 sample.
pub(super) fn create(config: &Config, metrics: &Metrics) {
    let sources = [Disposition::Accepted, Disposition::Duplicate, Disposition::Quarantined]
        .map(Disposition::as_str);
    for source in &config.sources {
        for disposition in sources.into_iter().chain(["refused"]) {
            metrics.events.with_label_values(&[source.name.as_str(), disposition]);
        }
        metrics.empty_bodies.with_label_values(&[source.name.as_str()]);
    }
    for action in ["pause", "resume", "replay", "fetched", "retry", "purge"] {
        metrics.operator_actions.with_label_values(&[action, "ok"]);
    }
    for sink in &config.sinks {
        for disposition in Disposition::OF_SINKS {
            metrics.sink_events.with_label_values(&[sink.name.as_str(), disposition.as_str()]);
        }
        for attempt in ["first", "repeated"] {
            metrics.sink_attempts.with_label_values(&[sink.name.as_str(), attempt]);
        }
        metrics.damaged.with_label_values(&[sink.name.as_str()]);
        metrics.sink_bytes.with_label_values(&[sink.name.as_str()]);
        metrics.sink_delivery.with_label_values(&[sink.name.as_str()]);
    }
}

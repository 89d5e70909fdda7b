//! Series of metrics that exist from the start.

use crate::config::Config;
use crate::metrics::Metrics;
use crate::spool::Disposition;

/// Creates the series of sources and of operators' actions: Prometheus `increase()` needs an initial 0 sample.
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
}

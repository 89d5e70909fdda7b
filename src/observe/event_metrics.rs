//! Metrics of accepted events.

use super::kind::Kind;
use super::minutes::{Counts, OUTCOMES};
use super::summaries::{EventSummary, UsageKind};
use crate::metrics::Metrics;

/// Creates every series with fixed labels, so that Prometheus sees an initial 0.
pub(super) fn prepare(metrics: &Metrics) {
    for kind in Kind::ALL {
        for outcome in OUTCOMES {
            metrics.flow_events.with_label_values(&[kind.as_str(), outcome.as_str()]);
        }
        if kind.is_deprecated() {
            metrics.deprecated_events.with_label_values(&[kind.as_str()]);
        }
    }
    for usage in ["counted", "other"] {
        metrics.usage_transactions.with_label_values(&[usage]);
    }
}

/// Counts the new events of a batch.
pub(super) fn count(metrics: &Metrics, counts: &Counts) {
    for (kind, outcome, events) in counts.iter() {
        let (kind, outcome) = (kind.as_str(), outcome.as_str());
        metrics.flow_events.with_label_values(&[kind, outcome]).inc_by(events.into());
    }
    for (kind, events) in deprecated(counts) {
        metrics.deprecated_events.with_label_values(&[kind.as_str()]).inc_by(events);
    }
}

/// Returns the number of events per deprecated type.
pub(super) fn deprecated(counts: &Counts) -> impl Iterator<Item = (Kind, u64)> {
    let deprecated = counts.iter().filter(|(kind, ..)| kind.is_deprecated());
    deprecated.map(|(kind, _, events)| (kind, events.into()))
}

/// Counts usage transactions and observes the delay of events. A sender's clock that is ahead counts as no delay.
pub(super) fn measure<'a>(
    metrics: &Metrics,
    source: &str,
    received_at: i64,
    events: impl Iterator<Item = &'a EventSummary>,
) {
    let recorded = metrics.recorded_lag.with_label_values(&[source]).local();
    let packet = metrics.packet_lag.with_label_values(&[source]).local();
    let seconds = |since: i64| received_at.saturating_sub(since).max(0) as f64 / 1000.0;
    let (mut counted, mut other) = (0, 0);
    for event in events {
        event.recorded_at.into_iter().for_each(|since| recorded.observe(seconds(since)));
        event.completed_at.into_iter().for_each(|since| packet.observe(seconds(since)));
        counted += u64::from(event.usage == UsageKind::Counted);
        other += u64::from(event.usage == UsageKind::Other);
    }
    recorded.flush();
    packet.flush();
    for (usage, events) in [("counted", counted), ("other", other)] {
        if events > 0 {
            metrics.usage_transactions.with_label_values(&[usage]).inc_by(events);
        }
    }
}

//! Metrics in the domain's words. Made once, handed down; nothing global.
//!
//! Labels are configured names and fixed words only, so that no sender can create a new series.
//! The spool stores the totals by disposition: counters continue after a restart.

use std::sync::Arc;

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder, exponential_buckets,
};

use crate::event::FindingKind;

/// From what is usual to the seven days for which PingOne keeps what it cannot deliver.
const LAG_BUCKETS: [f64; 14] = [
    0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0, 604_800.0,
];

/// Every instrument of the service.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    /// Unix time at which the service started.
    pub started: IntGauge,
    /// Events by source and result.
    pub events: IntCounterVec,
    /// Requests by source and HTTP status.
    pub requests: IntCounterVec,
    /// Seconds from a request's head to its answer, by source; acknowledged requests only.
    pub ack_seconds: HistogramVec,
    /// Elements per acknowledged request.
    pub batch_events: Histogram,
    /// Quarantined elements and bodies by reason.
    pub quarantined: IntCounterVec,
    /// Findings by kind.
    pub findings: IntCounterVec,
    /// Events that are new in the spool, by type and outcome.
    pub flow_events: IntCounterVec,
    /// New events that say what transaction they are, by `usageTransactionType`.
    pub usage_transactions: IntCounterVec,
    /// New events of types that PingOne will stop sending, by type.
    pub deprecated_events: IntCounterVec,
    /// Seconds from `recordedAt` to receiving, by source; new events only.
    pub recorded_lag: HistogramVec,
    /// Seconds from `tsEms` to receiving, by source; new events only.
    pub packet_lag: HistogramVec,
    /// PingOne's connection tests, by source.
    pub delivery_tests: IntCounterVec,
    /// Requests answered 400 because their body was empty, by source.
    pub empty_bodies: IntCounterVec,
    /// Unix time of the last acknowledged request, by source.
    pub last_received: IntGaugeVec,
    /// Open connections by listener.
    pub connections: IntGaugeVec,
    /// Ended connections by listener and reason.
    pub connection_ends: IntCounterVec,
    /// Unix time at which the first certificate of a file expires, by the file's key.
    pub certificate_expires: IntGaugeVec,
    /// Configurations, certificates and credentials that were read again, by result.
    pub reloads: IntCounterVec,
    /// Events by sink and result.
    pub sink_events: IntCounterVec,
    /// Attempts that were not successful, by sink and kind of verdict.
    pub sink_failures: IntCounterVec,
    /// Times that something was sent to a sink's target, by sink and whether it was sent before.
    pub sink_attempts: IntCounterVec,
    /// What sinks count besides: resent messages, failure stores, truncations.
    pub sink_findings: IntCounterVec,
    /// Events that were stored once and could not be read back, by sink.
    pub damaged: IntCounterVec,
    /// Spans of `[traces]`, by result.
    pub spans: IntCounterVec,
}

impl Metrics {
    /// Registers everything.
    pub fn new() -> Result<Metrics, prometheus::Error> {
        let registry = Registry::new_custom(Some("davinci_siem".to_owned()), None)?;
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            let gauge = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let histogram = |name: &str, help: &str, buckets: Vec<f64>| {
            let options = HistogramOpts::new(name, help).buckets(buckets);
            let histogram = HistogramVec::new(options, &["source"])?;
            registry.register(Box::new(histogram.clone()))?;
            Ok::<_, prometheus::Error>(histogram)
        };
        // 0.25 ms to 8 s: a sync takes 0.2 ms on a good disk and tens on a bad one.
        let ack_buckets = exponential_buckets(0.000_25, 2.0, 16)?;
        let ack_seconds =
            histogram("ack_seconds", "Seconds from a request's head to its 200", ack_buckets)?;
        let batch_events = Histogram::with_opts(
            HistogramOpts::new("batch_events", "Elements per acknowledged request")
                .buckets(vec![1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0]),
        )?;
        registry.register(Box::new(batch_events.clone()))?;
        let started =
            IntGauge::new("start_timestamp_seconds", "Time at which the service started")?;
        registry.register(Box::new(started.clone()))?;
        let metrics = Metrics {
            started,
            events: counter("events_total", "Events by source and result", &["source", "result"])?,
            requests: counter(
                "requests_total",
                "Requests by source and status",
                &["source", "status"],
            )?,
            ack_seconds,
            batch_events,
            quarantined: counter(
                "quarantined_total",
                "Elements and bodies put into quarantine",
                &["reason"],
            )?,
            flow_events: counter(
                "flow_events_total",
                "Events that are new in the spool, by type and outcome",
                &["type", "outcome"],
            )?,
            usage_transactions: counter(
                "usage_transactions_total",
                "New events with a usageTransactionType",
                &["type"],
            )?,
            deprecated_events: counter(
                "deprecated_events_total",
                "New events of types that PingOne will stop sending",
                &["type"],
            )?,
            recorded_lag: histogram(
                "recorded_lag_seconds",
                "Seconds from recordedAt to receiving",
                LAG_BUCKETS.to_vec(),
            )?,
            packet_lag: histogram(
                "packet_lag_seconds",
                "Seconds from tsEms to receiving",
                LAG_BUCKETS.to_vec(),
            )?,
            findings: counter("findings_total", "Deviations that were accepted", &["kind"])?,
            empty_bodies: counter(
                "empty_bodies_total",
                "Requests answered 400 because their body was empty",
                &["source"],
            )?,
            delivery_tests: counter(
                "delivery_tests_total",
                "PingOne connection tests",
                &["source"],
            )?,
            last_received: gauge(
                "last_received_timestamp_seconds",
                "Time of the last acknowledged request",
                &["source"],
            )?,
            connections: gauge("connections", "Open connections", &["listener"])?,
            connection_ends: counter(
                "connection_ends_total",
                "Connections that have ended, by reason",
                &["listener", "reason"],
            )?,
            certificate_expires: gauge(
                "certificate_expires_timestamp_seconds",
                "Time at which the first certificate of a file expires",
                &["certificate"],
            )?,
            reloads: counter(
                "reloads_total",
                "Times that configuration, certificates and credentials were read again",
                &["result"],
            )?,
            sink_events: counter(
                "sink_events_total",
                "Events by sink and result",
                &["sink", "result"],
            )?,
            sink_failures: counter(
                "sink_failures_total",
                "Items that an attempt did not deliver, by verdict",
                &["sink", "verdict"],
            )?,
            sink_attempts: counter(
                "sink_attempts_total",
                "Times that something was sent to a target, for the first time or again",
                &["sink", "attempt"],
            )?,
            sink_findings: counter(
                "sink_findings_total",
                "Items that a sink delivered in an unusual way",
                &["sink", "kind"],
            )?,
            damaged: counter(
                "damaged_events_total",
                "Stored events that could not be read back",
                &["sink"],
            )?,
            spans: counter("spans_total", "Spans of traces, by result", &["result"])?,
            registry: registry.clone(),
        };
        let build = gauge("build_info", "The running version", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        for kind in FindingKind::ALL {
            metrics.findings.with_label_values(&[kind.as_str()]);
        }
        Ok(metrics)
    }

    /// Everything registered, and then `extra`, in Prometheus' text format 0.0.4.
    pub fn render(&self, extra: &Registry) -> Result<String, prometheus::Error> {
        let mut families = self.registry.gather();
        families.extend(extra.gather());
        let mut text = String::new();
        TextEncoder::new().encode_utf8(&families, &mut text)?;
        Ok(text)
    }
}

/// How the service hands its metrics around.
pub type SharedMetrics = Arc<Metrics>;

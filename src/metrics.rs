//! Metrics of the service, created once and passed down; no globals.
//!
//! Labels are configured names and fixed words only, so that no sender can create a new series. The
//! spool stores the totals by disposition, so that counters continue after a restart.

use std::sync::Arc;

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder, exponential_buckets,
};

use crate::event::FindingKind;

/// Buckets from the usual lag to seven days, for which PingOne keeps undelivered events.
const LAG_BUCKETS: [f64; 14] = [
    0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0, 604_800.0,
];

/// Buckets from a file sink without a wait for its batch to the backlog of a day.
const DELIVERY_BUCKETS: [f64; 15] =
    [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 86_400.0];

/// Buckets from an API call to a sign-on that waits for an e-mail.
const RUN_BUCKETS: [f64; 12] =
    [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0];

/// All metrics of the service.
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
    /// New events in the spool, by type and outcome.
    pub flow_events: IntCounterVec,
    /// New events with a `usageTransactionType`, by its value.
    pub usage_transactions: IntCounterVec,
    /// New events of types that PingOne will stop sending, by type.
    pub deprecated_events: IntCounterVec,
    /// Seconds from `recordedAt` to receipt, by source; new events only.
    pub recorded_lag: HistogramVec,
    /// Seconds from `tsEms` to receipt, by source; new events only.
    pub packet_lag: HistogramVec,
    /// PingOne's connection tests, by source.
    pub delivery_tests: IntCounterVec,
    /// Requests answered 400 because their body was empty, by source.
    pub empty_bodies: IntCounterVec,
    /// Unix time of the last acknowledged request, by source.
    pub last_received: IntGaugeVec,
    /// Open connections by listener.
    pub connections: IntGaugeVec,
    /// Closed connections by listener and reason.
    pub connection_ends: IntCounterVec,
    /// Unix time of the earliest certificate expiry in a file, by the file's key.
    pub certificate_expires: IntGaugeVec,
    /// Reloads of configuration, certificates and credentials, by result.
    pub reloads: IntCounterVec,
    /// Operators' actions, by action and result.
    pub operator_actions: IntCounterVec,
    /// Records of the audit log that could not be stored, and failed rotations.
    pub audit_failures: IntCounter,
    /// Refused requests on the admin listener, by reason.
    pub admin_refused: IntCounterVec,
    /// Messages of `[alerts]`, by result.
    pub alerts: IntCounterVec,
    /// Events by sink and result.
    pub sink_events: IntCounterVec,
    /// Seconds from the receipt of an event to the commit that follows its delivery, by sink.
    pub sink_delivery: HistogramVec,
    /// Bytes of delivered events as the target got them, before compression; by sink.
    pub sink_bytes: IntCounterVec,
    /// Items of failed delivery attempts, by sink and verdict.
    pub sink_failures: IntCounterVec,
    /// Delivery attempts by sink: first or repeated.
    pub sink_attempts: IntCounterVec,
    /// Findings of sinks: resent messages, failure stores, truncations.
    pub sink_findings: IntCounterVec,
    /// Stored events that could not be read back, by sink.
    pub damaged: IntCounterVec,
    /// Records of PingOne that were not received, by source and family, in the last scheduled comparison.
    pub reconcile_missing: IntGaugeVec,
    /// Records of PingOne that are neither received nor missing for certain, by source, in the last scheduled comparison.
    pub reconcile_not_judged: IntGaugeVec,
    /// Unix time until which the last scheduled comparison is complete, by source.
    pub reconcile_checked: IntGaugeVec,
    /// Missing events that were fetched from PingOne and accepted, by source.
    pub reconcile_fetched: IntCounterVec,
    /// Summaries of flow runs, by reason and outcome.
    pub interactions: IntCounterVec,
    /// Flow runs without a summary.
    pub open_interactions: IntGauge,
    /// Seconds from the first to the last event of a flow run with an outcome.
    pub interaction_seconds: Histogram,
    /// Spans of `[traces]`, by result.
    pub spans: IntCounterVec,
}

impl Metrics {
    /// Creates and registers all metrics.
    ///
    /// # Errors
    ///
    /// Two metrics have the same name; a bug.
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
        let histogram = |name: &str, help: &str, label: &str, buckets: Vec<f64>| {
            let options = HistogramOpts::new(name, help).buckets(buckets);
            let histogram = HistogramVec::new(options, &[label])?;
            registry.register(Box::new(histogram.clone()))?;
            Ok::<_, prometheus::Error>(histogram)
        };
        // 0.25 ms to 8 s: an fsync takes 0.2 ms on a fast disk and tens of milliseconds on a slow
        // one.
        let ack_buckets = exponential_buckets(0.000_25, 2.0, 16)?;
        let ack_seconds = histogram(
            "ack_seconds",
            "Seconds from the head of a request to its 200",
            "source",
            ack_buckets,
        )?;
        let batch_events = Histogram::with_opts(
            HistogramOpts::new("batch_events", "Elements per acknowledged request")
                .buckets(vec![1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0]),
        )?;
        registry.register(Box::new(batch_events.clone()))?;
        let started =
            IntGauge::new("start_timestamp_seconds", "Unix time of the start of the service")?;
        registry.register(Box::new(started.clone()))?;
        let audit_failures = IntCounter::new(
            "audit_failures_total",
            "Records of the audit log that could not be stored, and failed rotations",
        )?;
        registry.register(Box::new(audit_failures.clone()))?;
        let open_interactions = IntGauge::new("open_interactions", "Flow runs without a summary")?;
        registry.register(Box::new(open_interactions.clone()))?;
        let interaction_seconds = Histogram::with_opts(
            HistogramOpts::new(
                "interaction_seconds",
                "Seconds from the first to the last event of a flow run with an outcome",
            )
            .buckets(RUN_BUCKETS.to_vec()),
        )?;
        registry.register(Box::new(interaction_seconds.clone()))?;
        let metrics = Metrics {
            interactions: counter(
                "interactions_total",
                "Summaries of flow runs, by reason and outcome",
                &["ended_by", "outcome"],
            )?,
            open_interactions,
            interaction_seconds,
            started,
            events: counter("events_total", "Events by source and result", &["source", "result"])?,
            requests: counter(
                "requests_total",
                "Requests by source and HTTP status",
                &["source", "status"],
            )?,
            ack_seconds,
            batch_events,
            quarantined: counter(
                "quarantined_total",
                "Quarantined elements and bodies, by reason",
                &["reason"],
            )?,
            flow_events: counter(
                "flow_events_total",
                "New events in the spool, by type and outcome",
                &["type", "outcome"],
            )?,
            usage_transactions: counter(
                "usage_transactions_total",
                "New events with a usageTransactionType, by its value",
                &["type"],
            )?,
            deprecated_events: counter(
                "deprecated_events_total",
                "New events of types that PingOne will stop sending",
                &["type"],
            )?,
            recorded_lag: histogram(
                "recorded_lag_seconds",
                "Seconds from recordedAt to receipt, new events only",
                "source",
                LAG_BUCKETS.to_vec(),
            )?,
            packet_lag: histogram(
                "packet_lag_seconds",
                "Seconds from tsEms to receipt, new events only",
                "source",
                LAG_BUCKETS.to_vec(),
            )?,
            findings: counter(
                "findings_total",
                "Findings (accepted deviations from the documented events), by kind",
                &["kind"],
            )?,
            empty_bodies: counter(
                "empty_bodies_total",
                "Requests with an empty body (answered 400), by source",
                &["source"],
            )?,
            delivery_tests: counter(
                "delivery_tests_total",
                "PingOne connection tests, by source",
                &["source"],
            )?,
            last_received: gauge(
                "last_received_timestamp_seconds",
                "Unix time of the last acknowledged request, by source",
                &["source"],
            )?,
            connections: gauge("connections", "Open connections, by listener", &["listener"])?,
            connection_ends: counter(
                "connection_ends_total",
                "Closed connections, by listener and reason",
                &["listener", "reason"],
            )?,
            certificate_expires: gauge(
                "certificate_expires_timestamp_seconds",
                "Unix time of the earliest certificate expiry in a file",
                &["certificate"],
            )?,
            reloads: counter(
                "reloads_total",
                "Reloads of configuration, certificates and credentials, by result",
                &["result"],
            )?,
            operator_actions: counter(
                "operator_actions_total",
                "Actions of operators, by action and result",
                &["action", "result"],
            )?,
            audit_failures,
            admin_refused: counter(
                "admin_refused_total",
                "Refused requests on the admin listener, by reason",
                &["reason"],
            )?,
            alerts: counter(
                "alerts_total",
                "Attempts to send a message of [alerts], by result",
                &["result"],
            )?,
            sink_events: counter(
                "sink_events_total",
                "Events by sink and result",
                &["sink", "result"],
            )?,
            sink_delivery: histogram(
                "sink_delivery_seconds",
                "Seconds from the receipt of an event to the commit after its delivery",
                "sink",
                DELIVERY_BUCKETS.to_vec(),
            )?,
            sink_bytes: counter(
                "sink_bytes_total",
                "Bytes of delivered events before compression, by sink",
                &["sink"],
            )?,
            sink_failures: counter(
                "sink_failures_total",
                "Items of failed delivery attempts, by sink and verdict",
                &["sink", "verdict"],
            )?,
            sink_attempts: counter(
                "sink_attempts_total",
                "Delivery attempts, by sink: first or repeated",
                &["sink", "attempt"],
            )?,
            sink_findings: counter(
                "sink_findings_total",
                "Findings of sinks (resent, truncated, failure store, ...), by kind",
                &["sink", "kind"],
            )?,
            damaged: counter(
                "damaged_events_total",
                "Corrupt stored events that were skipped, by sink",
                &["sink"],
            )?,
            reconcile_missing: gauge(
                "reconcile_missing",
                "Records of PingOne that were not received, by source and family",
                &["source", "family"],
            )?,
            reconcile_not_judged: gauge(
                "reconcile_not_judged",
                "Records of PingOne that are neither received nor missing for certain, by source",
                &["source"],
            )?,
            reconcile_checked: gauge(
                "reconcile_checked_timestamp_seconds",
                "Unix time until which the last comparison with PingOne is complete",
                &["source"],
            )?,
            reconcile_fetched: counter(
                "reconcile_fetched_total",
                "Events fetched from PingOne and accepted, by source",
                &["source"],
            )?,
            spans: counter("spans_total", "Exported and dropped spans, by result", &["result"])?,
            registry: registry.clone(),
        };
        let build = gauge("build_info", "Version of the running service", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        for kind in FindingKind::ALL {
            metrics.findings.with_label_values(&[kind.as_str()]);
        }
        Ok(metrics)
    }

    /// Returns all metrics, followed by those of `others`, in the Prometheus text format 0.0.4.
    ///
    /// # Errors
    ///
    /// A metric cannot be encoded.
    pub fn render(&self, others: &[Registry]) -> Result<String, prometheus::Error> {
        let mut families = self.registry.gather();
        families.extend(others.iter().flat_map(Registry::gather));
        let mut text = String::new();
        TextEncoder::new().encode_utf8(&families, &mut text)?;
        Ok(text)
    }
}

/// Shared handle of the metrics.
pub type SharedMetrics = Arc<Metrics>;

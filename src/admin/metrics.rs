//! `/metrics`: counters, and gauges that are computed on each scrape.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus::{Gauge, GaugeVec, Opts, Registry};

use super::{Admin, process};
use crate::deliver::SinkState;
use crate::disk_space::disk_space;
use crate::spool::{Disposition, Loss, SpoolStats};

pub(super) async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    let stats = admin.stats().await.ok();
    let disk = match admin.disk.clone() {
        Some(directory) => disk_space(directory).await,
        None => None,
    };
    let gauges = Registry::new_custom(Some("davinci_siem".to_owned()), None).and_then(|registry| {
        let set = |name: &str, help: &str, value: f64| {
            let gauge = Gauge::new(name, help)?;
            gauge.set(value);
            registry.register(Box::new(gauge))
        };
        let flag = |name: &str, help: &str, is_set| set(name, help, f64::from(u8::from(is_set)));
        flag(
            "spool_damaged",
            "1 while a corrupt page of the spool waits for repair",
            admin.spool.health().is_damaged,
        )?;
        flag(
            "spool_failing",
            "1 while the spool cannot store events",
            admin.spool.health().failing.is_some(),
        )?;
        flag("spool_shared", "1 if other receivers may share the spool", admin.spool.is_shared())?;
        flag("spool_full", "1 while the spool refuses batches", admin.spool.is_full())?;
        flag(
            "quarantine_full",
            "1 while the quarantine refuses entries",
            admin.spool.is_quarantine_full(),
        )?;
        set(
            "dedup_max_ids",
            "Maximum number of ids remembered for deduplication",
            admin.dedup_max_ids as f64,
        )?;
        // Unknown values are omitted: 0 would be wrong.
        if let Some((free, all)) = disk {
            set("spool_disk_free_bytes", "Bytes that the service may still write", free as f64)?;
            set("spool_disk_bytes", "Size of the spool's file system in bytes", all as f64)?;
        }
        if let Some(stats) = &stats {
            count_retired(&admin, stats);
            set("spool_bytes", "Size of the spool in bytes", stats.size as f64)?;
            set("spool_max_bytes", "Maximum size of the spool in bytes", stats.max_size as f64)?;
            set("spool_events", "Events in the spool", stats.events as f64)?;
            let lost = stats.lost.iter().map(Loss::events).sum::<u64>();
            set("spool_lost_events", "Acknowledged events known to be lost", lost as f64)?;
            set(
                "spool_oldest_event_age_seconds",
                "Age in seconds of the oldest event in the spool",
                age(&admin, stats.oldest_at),
            )?;
            set("dedup_ids", "Ids remembered for deduplication", stats.dedup_ids as f64)?;
            set("quarantine_entries", "Entries in quarantine", stats.quarantined as f64)?;
            set(
                "quarantine_bytes",
                "Size of the quarantine in bytes",
                stats.quarantine_size as f64,
            )?;
            set(
                "quarantine_max_bytes",
                "Maximum size of the quarantine in bytes",
                stats.quarantine_max_size as f64,
            )?;
        }
        let labelled = |name: &str, help: &str, label: &[&str]| {
            let gauge = GaugeVec::new(Opts::new(name, help), label)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let silent = labelled(
            "silent_seconds",
            "Seconds since the last request of a source, or since the start",
            &["source"],
        )?;
        let blocked = labelled(
            "blocked_seconds",
            "Seconds since the first refused batch without a later 200",
            &["source"],
        )?;
        for source in admin.observer.sources((admin.clock)()) {
            let seconds = source.silent_millis as f64 / 1000.0;
            silent.with_label_values(&[&source.source]).set(seconds);
            blocked.with_label_values(&[&source.source]).set(age(&admin, source.blocked_since));
        }
        let lag = labelled("sink_lag_events", "Events above the cursor of a sink", &["sink"])?;
        let lag_seconds = labelled(
            "sink_lag_seconds",
            "Age in seconds of the oldest event above the cursor of a sink",
            &["sink"],
        )?;
        let state =
            labelled("sink_state", "1 for the current state of a sink", &["sink", "state"])?;
        for sink in admin.sinks.all() {
            if let Some(stats) = &stats {
                lag.with_label_values(&[&*sink.name])
                    .set(stats.head.saturating_sub(sink.cursor()) as f64);
            }
            lag_seconds.with_label_values(&[&*sink.name]).set(age(&admin, sink.waiting_since()));
            let current = sink.state();
            for name in SinkState::NAMES {
                let is_current = f64::from(u8::from(current.as_str() == name));
                state.with_label_values(&[&*sink.name, name]).set(is_current);
            }
        }
        Ok(registry)
    });
    let own = process::registry(admin.metrics.started.get());
    let all = gauges.and_then(|gauges| admin.metrics.render(&[gauges, own?]));
    match all {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => failed(&error),
    }
}

/// Counts events that the spool removed before a sink had passed them, or that precede a sink's start. No worker
/// counts these.
fn count_retired(admin: &Admin, stats: &SpoolStats) {
    let dispositions = [Disposition::Retired, Disposition::BeforeStart];
    for (sink, disposition, total) in
        stats.totals.iter().filter(|(_, disposition, _)| dispositions.contains(disposition))
    {
        let counter = admin.metrics.sink_events.with_label_values(&[&**sink, disposition.as_str()]);
        counter.inc_by(total.saturating_sub(counter.get()));
    }
}

/// Returns the seconds since `since`, in ms since the Unix epoch; 0 for `None`.
fn age(admin: &Admin, since: Option<i64>) -> f64 {
    since.map_or(0.0, |since| ((admin.clock)() - since).max(0) as f64 / 1000.0)
}

fn failed(error: &dyn std::error::Error) -> Response {
    tracing::warn!(%error, "cannot gather metrics");
    (StatusCode::INTERNAL_SERVER_ERROR, "cannot gather metrics; see the log\n").into_response()
}

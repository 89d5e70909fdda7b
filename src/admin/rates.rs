//! Rates of the last minute, from the counters of the metrics.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use prometheus::IntCounterVec;
use prometheus::core::Collector;
use tokio::time::Instant;

use super::Admin;
use crate::metrics::Metrics;
use crate::spool::Disposition;

/// Interval between two samples.
const INTERVAL: Duration = Duration::from_secs(5);

/// Number of samples, which cover a minute.
const MAX_SAMPLES: usize = 13;

/// Time that a rate covers at least.
const MIN_SPAN: Duration = Duration::from_secs(1);

/// Totals by source or sink, and by disposition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Totals(HashMap<(String, String), u64>);

/// Samples of the totals.
#[derive(Debug, Default)]
pub(super) struct Rates(Mutex<VecDeque<(Instant, Totals)>>);

/// Current totals, and the rates of the last minute.
#[derive(Debug, Default)]
pub(super) struct Flow {
    now: Totals,
    before: Option<(Duration, Totals)>,
}

impl Totals {
    pub(super) fn read(metrics: &Metrics) -> Totals {
        let mut totals = HashMap::new();
        add(&metrics.events, "source", &mut totals);
        add(&metrics.sink_events, "sink", &mut totals);
        Totals(totals)
    }

    fn of(&self, name: &str, disposition: &str) -> u64 {
        // A sink and a source may have the same name; no disposition is of both.
        self.0.get(&(name.to_owned(), disposition.to_owned())).copied().unwrap_or(0)
    }

    /// Returns the number of events that the spool has taken: what every sink has to pass.
    fn spooled(&self) -> u64 {
        let is_spooled = |disposition: &str| {
            [Disposition::Accepted, Disposition::Released, Disposition::Replayed]
                .into_iter()
                .any(|spooled| spooled.as_str() == disposition)
        };
        let spooled = self.0.iter().filter(|((_, disposition), _)| is_spooled(disposition));
        spooled.map(|(_, count)| count).sum()
    }
}

fn add(counters: &IntCounterVec, label: &str, totals: &mut HashMap<(String, String), u64>) {
    for family in counters.collect() {
        for series in family.get_metric() {
            let (mut name, mut disposition) = (String::new(), String::new());
            for pair in series.get_label() {
                let into = if pair.name() == label { &mut name } else { &mut disposition };
                *into = pair.value().to_owned();
            }
            totals.insert((name, disposition), series.get_counter().get_value() as u64);
        }
    }
}

impl Rates {
    fn sample(&self, now: Instant, totals: Totals) {
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if samples.len() == MAX_SAMPLES {
            samples.pop_front();
        }
        samples.push_back((now, totals));
    }

    /// Returns the flow between the oldest sample and `totals`.
    pub(super) fn flow(&self, now: Instant, totals: Totals) -> Flow {
        let samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = samples.front().map(|(at, totals)| (now - *at, totals.clone()));
        Flow { now: totals, before: oldest.filter(|(span, _)| *span >= MIN_SPAN) }
    }
}

impl Flow {
    /// Returns the total of a source or sink.
    pub(super) fn total(&self, name: &str, disposition: &str) -> u64 {
        self.now.of(name, disposition)
    }

    /// Returns the events per second of a source or sink; `None` right after the start.
    pub(super) fn rate(&self, name: &str, disposition: &str) -> Option<f64> {
        let (span, before) = self.before.as_ref()?;
        Some(per_second(before.of(name, disposition), self.now.of(name, disposition), *span))
    }

    /// Returns the events per second that the spool takes; `None` right after the start.
    pub(super) fn rate_in(&self) -> Option<f64> {
        let (span, before) = self.before.as_ref()?;
        Some(per_second(before.spooled(), self.now.spooled(), *span))
    }
}

fn per_second(before: u64, now: u64, span: Duration) -> f64 {
    now.saturating_sub(before) as f64 / span.as_secs_f64()
}

/// Samples until the service ends.
pub(super) async fn sample_periodically(admin: Weak<Admin>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    loop {
        let now = ticks.tick().await;
        let Some(admin) = admin.upgrade() else { return };
        admin.console.rates.sample(now, Totals::read(&admin.metrics));
    }
}

/// Returns the flow at this moment.
pub(super) fn flow(admin: &Arc<Admin>) -> Flow {
    admin.console.rates.flow(Instant::now(), Totals::read(&admin.metrics))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_that_of_the_last_minute() {
        let metrics = Metrics::new().expect("metrics");
        let (rates, start) = (Rates::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let flow = rates.flow(start, Totals::read(&metrics));
        assert_eq!((flow.rate("siem", "delivered"), flow.rate_in()), (None, None), "no sample yet");
        for second in 0..20 {
            rates.sample(at(second * 5), Totals::read(&metrics));
            metrics.sink_events.with_label_values(&["siem", "delivered"]).inc_by(50);
            metrics.events.with_label_values(&["pingone", "accepted"]).inc_by(100);
            metrics.events.with_label_values(&["pingone", "duplicate"]).inc_by(7);
        }
        let flow = rates.flow(at(100), Totals::read(&metrics));
        let rate = flow.rate("siem", "delivered").expect("a rate");
        assert!((rate - 10.0).abs() < 0.01, "{rate}");
        let rate = flow.rate_in().expect("a rate");
        assert!((rate - 20.0).abs() < 0.01, "{rate}");
        assert_eq!(flow.total("siem", "delivered"), 1000);
        assert_eq!(flow.total("pingone", "quarantined"), 0);
    }
}

//! Comparisons by the running service: the last `window`, every `every`, as metrics and log lines.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};

use super::{
    Comparison, Network, ReconcileConfig, ReconcileError, ReconcileReport, TakenIn, compare,
    time_text,
};
use crate::metrics::SharedMetrics;
use crate::pingone::PingOneConfig;
use crate::shutdown::Shutdown;
use crate::spool::{Clock, Millis, SpoolConfig};

/// Stores a document with missing events.
pub(crate) type StoreFetched = Arc<dyn Fn(Vec<u8>) -> Result<TakenIn, String> + Send + Sync>;

/// Settings and dependencies of the scheduled comparisons.
#[derive(Clone)]
pub(crate) struct Schedule {
    pub(crate) config: ReconcileConfig,
    pub(crate) pingone: PingOneConfig,
    /// Name of the source, and path of its webhook.
    pub(crate) source: String,
    pub(crate) path: String,
    pub(crate) spool: SpoolConfig,
    pub(crate) metrics: SharedMetrics,
    pub(crate) clock: Clock,
    /// Called outside of asynchronous code.
    pub(crate) store: StoreFetched,
}

/// Compares until the shutdown begins.
pub(crate) async fn run(schedule: Schedule, mut shutdown: Shutdown) {
    loop {
        let next = Instant::now() + schedule.config.every;
        let (own, runtime, ending) = (schedule.clone(), Handle::current(), shutdown.clone());
        let comparing = tokio::task::spawn_blocking(move || own.once(runtime, ending));
        match comparing.await {
            Ok(Ok(report)) => schedule.publish(&report),
            Ok(Err(ReconcileError::Interrupted)) => return,
            Ok(Err(error)) => tracing::warn!(
                source = schedule.source, %error,
                "the comparison with PingOne failed; the next one covers the same time"
            ),
            Err(_) => tracing::error!("the comparison with PingOne panicked, which is a bug"),
        }
        tokio::select! {
            () = sleep_until(next) => {}
            () = shutdown.begun() => return,
        }
    }
}

impl Schedule {
    fn once(&self, runtime: Handle, shutdown: Shutdown) -> Result<ReconcileReport, ReconcileError> {
        let mut network = Network::new(&self.pingone, runtime, shutdown)?;
        let now = (self.clock)();
        let to = now.saturating_sub(millis(self.pingone.settle));
        let comparison = Comparison {
            source: &self.source,
            path: &self.path,
            range: to.saturating_sub(millis(self.config.window))..to,
            spool: &self.spool,
            pingone: &self.pingone,
            resume: None,
        };
        let mut store = |body| (self.store)(body);
        let take_in = self.config.takes_in.then_some(&mut store as &mut super::TakeIn<'_>);
        compare(&comparison, &mut network, take_in, &mut |_| {})
    }

    fn publish(&self, report: &ReconcileReport) {
        let missing = &self.metrics.reconcile_missing;
        let set = |family: &str, count: u64| {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            missing.with_label_values(&[&*self.source, family]).set(count);
        };
        let events = &report.events;
        set("event", events.missing.saturating_sub(events.fetched));
        match &report.runs {
            Some(runs) => set("run", runs.missing),
            // The number of an earlier comparison would pass for the present one.
            None => drop(missing.remove_label_values(&[&*self.source, "run"])),
        }
        let not_judged = &self.metrics.reconcile_not_judged;
        let count = i64::try_from(report.not_judged()).unwrap_or(i64::MAX);
        not_judged.with_label_values(&[&*self.source]).set(count);
        let checked = &self.metrics.reconcile_checked;
        checked.with_label_values(&[&*self.source]).set(report.to / 1000);
        let (from, to) = (time_text(report.from), time_text(report.to));
        let runs = report.runs.as_ref().map(|runs| runs.missing);
        if report.still_missing() > 0 {
            tracing::warn!(
                source = self.source,
                from,
                to,
                events = events.missing,
                runs,
                fetched = events.fetched,
                "PingOne has records that were not received; davinci-siem reconcile lists them"
            );
        } else if report.not_judged() > 0 || runs.is_none() {
            tracing::warn!(
                source = self.source,
                from,
                to,
                received = events.received,
                fetched = events.fetched,
                not_judged = report.not_judged(),
                are_runs_compared = runs.is_some(),
                "no record of PingOne is known to be missing, but not all could be judged; see docs/reconcile.md"
            );
        } else {
            tracing::info!(
                source = self.source,
                from,
                to,
                received = events.received,
                fetched = events.fetched,
                "every record of PingOne is accounted for"
            );
        }
        for note in &report.notes {
            tracing::info!(source = self.source, note, "limit of the comparison with PingOne");
        }
    }
}

fn millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}

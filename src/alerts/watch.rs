//! The task of the alerts: looks at the service, and posts what is due.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::AlertsConfig;
use super::conditions::{Growth, Snapshot, conditions};
use super::post::post;
use super::state_file::{self, AlertState};
use super::tracker::{AlertStatus, millis};
use crate::deliver::{RunningSinks, SinkState, SinkStatus};
use crate::disk_space::disk_space;
use crate::metrics::SharedMetrics;
use crate::observe::Observer;
use crate::receive::SharedPolicy;
use crate::spool::{Clock, Disposition, Spool};

/// Timeout of a query to a spool on other machines.
const STATS_TIMEOUT: Duration = Duration::from_secs(3);

/// Wait after the first failed message; doubled after each further one.
const MIN_BACKOFF: Duration = Duration::from_secs(1);

/// Maximum wait after a failed message.
const MAX_BACKOFF: Duration = Duration::from_mins(10);

/// Parts of the service that the alerts read.
pub(crate) struct AlertInputs {
    pub(crate) spool: Arc<Spool>,
    pub(crate) sinks: Arc<RunningSinks>,
    pub(crate) observer: Arc<Observer>,
    pub(crate) policy: Arc<SharedPolicy>,
    pub(crate) metrics: SharedMetrics,
    /// Directory of the spool, and of the file of open alerts.
    pub(crate) directory: PathBuf,
    pub(crate) clock: Clock,
}

/// Watches until aborted.
pub(crate) async fn run(config: AlertsConfig, inputs: AlertInputs) {
    for result in ["sent", "failed"] {
        inputs.metrics.alerts.with_label_values(&[result]);
    }
    let AlertState { tracker, dead_letters } =
        state_file::load(&inputs.directory).unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot read alerts.json; open alerts are sent again");
            AlertState::default()
        });
    let mut growth = Growth::restored(&dead_letters);
    let mut state = AlertState { tracker: tracker.restored((inputs.clock)()), dead_letters };
    let mut backoff = PostBackoff::default();
    loop {
        sleep(config.interval).await;
        let snapshot = snapshot(&config, &inputs).await;
        state.tracker.observe(snapshot.now, &conditions(&snapshot, &mut growth));
        if growth.totals() != state.dead_letters {
            state.dead_letters = growth.totals();
            save(&inputs, &state).await;
        }
        while !backoff.is_waiting()
            && let Some((status, alert)) = state.tracker.due((inputs.clock)(), &config)
        {
            let (kind, subject) = (alert.kind.as_str(), &alert.subject);
            match post(&config, status, &alert).await {
                Ok(()) => {
                    backoff = PostBackoff::default();
                    state.tracker.sent((inputs.clock)(), status, &alert);
                    inputs.metrics.alerts.with_label_values(&["sent"]).inc();
                    let resolved = status == AlertStatus::Resolved;
                    tracing::info!(kind, subject, resolved, "alert sent");
                    save(&inputs, &state).await;
                }
                Err(failure) => {
                    let wait = backoff.failed(failure.retry_after);
                    inputs.metrics.alerts.with_label_values(&["failed"]).inc();
                    let reason = failure.reason;
                    let seconds = wait.as_secs();
                    tracing::warn!(
                        kind,
                        subject,
                        reason,
                        retry_in_seconds = seconds,
                        "alert not sent"
                    );
                }
            }
        }
    }
}

/// Wait between failed messages.
#[derive(Debug, Default)]
struct PostBackoff {
    wait: Duration,
    until: Option<Instant>,
}

impl PostBackoff {
    fn is_waiting(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() < until)
    }

    /// Returns the wait after a failure: at least what the receiver requests, within the bounds.
    fn failed(&mut self, retry_after: Option<Duration>) -> Duration {
        self.wait = (self.wait * 2).clamp(MIN_BACKOFF, MAX_BACKOFF);
        let wait = self.wait.max(retry_after.unwrap_or_default()).min(MAX_BACKOFF);
        self.until = Some(Instant::now() + wait);
        wait
    }
}

async fn save(inputs: &AlertInputs, state: &AlertState) {
    let (directory, text) = (inputs.directory.clone(), state.clone());
    let saving = tokio::task::spawn_blocking(move || state_file::save(&directory, &text));
    if let Ok(Err(error)) = saving.await {
        tracing::warn!(%error, "cannot write alerts.json; after a restart, open alerts are sent again");
    }
}

async fn snapshot(config: &AlertsConfig, inputs: &AlertInputs) -> Snapshot {
    let AlertInputs { spool, sinks, observer, policy, metrics, directory, clock } = inputs;
    let now = clock();
    let sinks = sinks.all();
    let sources = observer.sources(now);
    let stats = timeout(STATS_TIMEOUT, spool.stats()).await.ok().and_then(Result::ok);
    let is_embedded = matches!(**spool, Spool::Embedded(_));
    let silent_after = millis(config.silent_after);
    // A source may be silent here because another receiver of the same spool gets its requests.
    let silent = sources.iter().filter(|source| {
        !spool.is_shared() && source.last_heard.is_some() && source.silent_millis >= silent_after
    });
    let blocked = sources.iter().filter_map(|it| Some((it.source.clone(), it.blocked_since?)));
    let paused = sinks.iter().filter_map(|sink| match sink.state() {
        SinkState::Paused { reason } => Some((sink.name.to_string(), reason)),
        _ => None,
    });
    let dead_letters = |sink: &Arc<SinkStatus>| {
        let labels = [&*sink.name, Disposition::DeadLettered.as_str()];
        (sink.name.to_string(), metrics.sink_events.with_label_values(&labels).get())
    };
    let policy = policy.current();
    let expiries = policy.tls().map(|tls| tls.expiries.clone()).unwrap_or_default();
    let certificates =
        expiries.into_iter().map(|(key, seconds)| (format!("listen.tls.{key}"), seconds * 1000));
    Snapshot {
        now,
        failing: spool.health().failing,
        is_spool_full: spool.is_full(),
        is_quarantine_full: spool.is_quarantine_full(),
        spool: stats.map(|stats| (stats.size, stats.max_size)),
        disk: if is_embedded { disk_space(directory.clone()).await } else { None },
        blocked: blocked.collect(),
        silent: silent.map(|source| (source.source.clone(), source.silent_millis)).collect(),
        paused: paused.collect(),
        dead_letters: sinks.iter().map(dead_letters).collect(),
        certificates: certificates.collect(),
    }
}

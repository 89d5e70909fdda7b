//! The task of the alerts: looks at the service, and posts what is due.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::AlertsConfig;
use super::conditions::{Snapshot, conditions};
use super::post::{PostFailure, post};
use super::state_file::{self, AlertState};
use super::tracker::{AlertStatus, OpenAlert, millis};
use crate::deliver::{RunningSinks, SinkState, SinkStatus};
use crate::disk_space::disk_space;
use crate::metrics::SharedMetrics;
use crate::observe::Observer;
use crate::receive::SharedPolicy;
use crate::shutdown::Shutdown;
use crate::spool::{Clock, Disposition, Spool};

/// Timeout of a query to a spool on other machines.
const STATS_TIMEOUT: Duration = Duration::from_secs(3);

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
    pub(crate) shutdown: Shutdown,
    /// Time for the message that is being sent at shutdown.
    pub(crate) grace: Duration,
}

/// Watches until shutdown. A message that is being sent then is awaited for the grace period, so that a restart does not
/// repeat it.
pub(crate) async fn run(config: AlertsConfig, inputs: AlertInputs) {
    for result in ["sent", "failed"] {
        inputs.metrics.alerts.with_label_values(&[result]);
    }
    let mut state = state_file::load(&inputs.directory).unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot read alerts.json; open alerts are sent again");
        AlertState::default()
    });
    let mut shutdown = inputs.shutdown.clone();
    let mut last = Snapshot::default();
    let mut saved = Vec::new();
    let mut wait = config.interval;
    loop {
        tokio::select! {
            biased;
            () = shutdown.begun() => return,
            () = sleep(wait) => {}
        }
        last = snapshot(&config, &inputs).await.completed(&last);
        let found = conditions(&last, &mut state.dead_letters);
        state.tracker.observe(last.now, &found, config.after);
        save(&inputs, &state, &mut saved).await;
        wait = config.interval;
        // One message per look: after a slow receiver, the next message is about the state of then.
        let Some((status, alert)) = state.tracker.due(last.now, &config) else { continue };
        let sending = post(&config, status, &alert);
        let sent = tokio::select! {
            biased;
            sent = sending => sent,
            () = grace_over(&inputs) => {
                tracing::warn!("an alert was not sent within limits.shutdown_grace; it is sent after the next start");
                return;
            }
        };
        if note(&inputs, &mut state, status, &alert, &sent) {
            wait = Duration::ZERO;
        }
        save(&inputs, &state, &mut saved).await;
    }
}

/// Waits for the end of the grace period.
async fn grace_over(inputs: &AlertInputs) {
    inputs.shutdown.clone().begun().await;
    sleep(inputs.grace).await;
}

/// Notes the result of a message. Returns true if it was sent.
fn note(
    inputs: &AlertInputs,
    state: &mut AlertState,
    status: AlertStatus,
    alert: &OpenAlert,
    sent: &Result<(), PostFailure>,
) -> bool {
    let now = (inputs.clock)();
    let (kind, subject) = (alert.kind.as_str(), &alert.subject);
    let result = match &sent {
        Ok(()) => {
            state.tracker.sent(now, status, alert);
            let resolved = status == AlertStatus::Resolved;
            tracing::info!(kind, subject, resolved, "alert sent");
            "sent"
        }
        Err(PostFailure { reason, retry_after }) => {
            let wait = state.tracker.failed(now, alert, *retry_after);
            let seconds = wait.as_secs();
            tracing::warn!(kind, subject, reason, retry_in_seconds = seconds, "alert not sent");
            "failed"
        }
    };
    inputs.metrics.alerts.with_label_values(&[result]).inc();
    sent.is_ok()
}

/// Saves the state if it differs from the saved one: also alerts without a message, so that a service that restarts
/// again and again sends them, too. A failed write is repeated after the next look.
async fn save(inputs: &AlertInputs, state: &AlertState, saved: &mut Vec<u8>) {
    let Ok(text) = serde_json::to_vec(state) else { return };
    if text == *saved {
        return;
    }
    let (directory, bytes) = (inputs.directory.clone(), text.clone());
    let saving = tokio::task::spawn_blocking(move || state_file::save(&directory, &bytes));
    match saving.await {
        Ok(Ok(())) => *saved = text,
        Ok(Err(error)) => {
            tracing::warn!(%error, "cannot write alerts.json; after a restart, open alerts are sent again");
        }
        // The runtime is shutting down.
        Err(_) => {}
    }
}

async fn snapshot(config: &AlertsConfig, inputs: &AlertInputs) -> Snapshot {
    let AlertInputs { spool, sinks, observer, policy, metrics, directory, clock, .. } = inputs;
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

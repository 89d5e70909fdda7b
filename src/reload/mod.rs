//! Reload: on SIGHUP, and when the configuration file or a file of a certificate or credential changes, also through
//! a symbolic link as in Kubernetes.
//!
//! A reload is one transaction. The whole configuration is read and validated as at start, then compared with the
//! running one and with what is bound ([`plan`]). Either every change applies in one step, or none does and the log
//! has the reasons. Connections stay open. A reload never weakens access control: that needs a restart.

mod plan;
pub(crate) mod preview;
mod watch;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::time::sleep;

use crate::admin::access::Access;
use crate::audit::{AuditLog, AuditRecord};
use crate::config::{self, Config};
use crate::deliver::{PreparedSinks, RunningSinks};
use crate::file_fingerprint::file_fingerprint;
use crate::listener::tls::{self, LoadedTls};
use crate::metrics::{Metrics, SharedMetrics};
use crate::receive::{Policy, SharedPolicy};
use crate::settings::{Problems, keys};
use crate::spool::Clock;
use plan::{PreparedReload, RunningConfig};
use watch::{FileWatch, ReloadCause, SETTLE_INTERVAL, WatchState, files_of};

/// Remaining validity of a certificate below which the log warns: 14 days, in seconds.
const EXPIRY_WARNING_SECONDS: i64 = 14 * 24 * 3600;

/// Source of the configuration, and trigger of reloads.
pub struct Reload {
    /// Requests an immediate reload.
    pub now: Arc<Notify>,
    /// Configuration file, if there is one; it is watched, too.
    pub file: Option<PathBuf>,
    /// Text of the file at start.
    pub text: String,
    /// Environment of the process, which is constant.
    pub environment: Vec<(OsString, OsString)>,
}

/// Parts of the service that a reload changes.
#[derive(Debug)]
pub struct Targets {
    /// Policy of the webhook listener: access and TLS.
    pub policy: Arc<SharedPolicy>,
    /// Access to the admin listener.
    pub access: Arc<Access>,
    /// Sinks, which read their own files again, take up their settings, and become more.
    pub(crate) sinks: Arc<RunningSinks>,
    /// Log of operators' actions.
    pub(crate) audit: Arc<AuditLog>,
}

impl std::fmt::Debug for Reload {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Reload").field("file", &self.file).finish_non_exhaustive()
    }
}

/// Reloads until aborted. `config` is the configuration at start.
pub async fn run(
    reload: Reload,
    config: Config,
    targets: Targets,
    clock: Clock,
    metrics: SharedMetrics,
) {
    let mut running = RunningConfig::new(&reload, config);
    let mut watched = files_of(&reload, &running.config);
    if let Some(loaded) = targets.policy.current().tls() {
        note_expiry(loaded, clock(), &metrics);
    }
    let (mut watch, mut cause) = (FileWatch::default(), ReloadCause::Start);
    let mut refused: Option<(u64, Vec<String>)> = None;
    loop {
        let fingerprint = file_fingerprint(watched.clone()).await;
        let mut state = watch.observe(fingerprint, cause);
        if state == WatchState::Due {
            let prepared = prepare(&reload, &running, &targets.policy.current(), clock() / 1000);
            let files =
                prepared.as_ref().map(|prepared| files_of(&reload, &prepared.running.config));
            let mut unwatched = files.unwrap_or_default();
            unwatched.retain(|file| !watched.contains(file));
            let is_consistent = file_fingerprint(watched.clone()).await == fingerprint;
            if !is_consistent || (cause == ReloadCause::Time && !unwatched.is_empty()) {
                // Files changed while they were read, or new files have been seen only once.
                watched.extend(unwatched);
                state = WatchState::Settling;
            } else {
                watch.reloaded(fingerprint, prepared.is_err());
                match registered(prepared, &targets.sinks).await {
                    Ok((prepared, added)) => {
                        refused = None;
                        let (changed, ignored) =
                            (prepared.changed.clone(), prepared.ignored.clone());
                        let is_action = is_action(&prepared, &running, cause);
                        running =
                            apply(prepared, added, &running, &targets, cause, &clock, &metrics);
                        watched = files_of(&reload, &running.config);
                        if is_action {
                            let keys = (changed, ignored);
                            note(&targets.audit, cause, "ok", keys, clock()).await;
                        }
                    }
                    Err(problems) => {
                        // Unchanged files are read again and again, and refused again.
                        let refusal = Some((fingerprint, problems.clone()));
                        if cause != ReloadCause::Time || refusal != refused {
                            report_refusal(&problems, &metrics);
                            let keys = (Vec::new(), Vec::new());
                            note(&targets.audit, cause, "refused", keys, clock()).await;
                        }
                        refused = refusal;
                    }
                }
            }
        }
        let interval = running.config.listen.reload;
        // A requested reload of files that are still changing stays requested.
        let (interval, next_cause) = match state {
            WatchState::Settling => (interval.min(SETTLE_INTERVAL), cause),
            WatchState::Due | WatchState::Unchanged => (interval, ReloadCause::Time),
        };
        cause = tokio::select! {
            () = reload.now.notified() => ReloadCause::Signal,
            () = sleep(interval) => next_cause,
        };
    }
}

/// Reads and validates everything, and changes nothing. `now` is in seconds since the Unix epoch.
fn prepare(
    reload: &Reload,
    running: &RunningConfig,
    policy: &Policy,
    now: i64,
) -> Result<PreparedReload, Vec<String>> {
    let file = reload.file.as_deref();
    let messages =
        |problems: Problems| problems.0.iter().map(ToString::to_string).collect::<Vec<_>>();
    let text = config::text_of(file).map_err(messages)?;
    let environment = || reload.environment.iter().cloned();
    let keys = keys(&text, environment());
    let missing = running.missing_in(&text, &keys);
    if !missing.is_empty() {
        return Err(missing);
    }
    let config = config::parse(&text, file, environment()).map_err(messages)?;
    let refusals = running.refusals(&keys, &config);
    if !refusals.is_empty() {
        return Err(refusals);
    }
    let loaded = load_tls(&config, policy.tls(), now)?;
    Ok(running.prepare(text, keys, config, loaded, policy.tls()))
}

/// Loads the files of `[listen.tls]`. Refuses an expired certificate, unless it is the one in use: that must not block
/// the reload of other secrets. `now` is in seconds since the Unix epoch.
fn load_tls(
    config: &Config,
    before: Option<&LoadedTls>,
    now: i64,
) -> Result<Option<LoadedTls>, Vec<String>> {
    let settings = config.listen.tls.as_ref();
    let loaded = settings.map(tls::load).transpose().map_err(|error| vec![error.to_string()])?;
    if let (Some(loaded), Some(before)) = (&loaded, before)
        && loaded.own.expires <= now
        && loaded.own != before.own
    {
        return Err(vec!["listen.tls.certificate: has expired; replace the file".to_owned()]);
    }
    Ok(loaded)
}

/// Registers the sinks that a prepared configuration adds: the only step that can fail beside reading.
async fn registered(
    prepared: Result<PreparedReload, Vec<String>>,
    sinks: &RunningSinks,
) -> Result<(PreparedReload, PreparedSinks), Vec<String>> {
    let prepared = prepared?;
    match sinks.prepare(&prepared.running.config.sinks).await {
        Ok(added) => Ok((prepared, added)),
        Err(error) => Err(vec![error.to_string()]),
    }
}

/// Returns true for a reload that somebody has requested, by a signal or by another text or file.
fn is_action(prepared: &PreparedReload, before: &RunningConfig, cause: ReloadCause) -> bool {
    cause == ReloadCause::Signal
        || !prepared.changed.is_empty()
        || prepared.running.text != before.text
}

/// Applies a prepared configuration and logs the changes. Cannot fail.
fn apply(
    prepared: PreparedReload,
    added: PreparedSinks,
    before: &RunningConfig,
    targets: &Targets,
    cause: ReloadCause,
    clock: &Clock,
    metrics: &Metrics,
) -> RunningConfig {
    let is_reported = is_action(&prepared, before, cause);
    let PreparedReload { running, policy, changed, changed_sinks, ignored } = prepared;
    if let Some(loaded) = policy.tls() {
        note_expiry(loaded, clock(), metrics);
    }
    // Each request sees either the old or the new policy.
    targets.policy.replace(policy);
    targets.access.replace(&running.config.admin);
    targets.sinks.apply(&running.config.sinks, &changed_sinks, added);
    if cause == ReloadCause::Signal {
        targets.sinks.all().iter().for_each(|sink| sink.reload());
        tracing::info!("SIGHUP: every sink reads its credentials and certificates again");
    }
    if is_reported {
        let changed = if changed.is_empty() { "nothing".to_owned() } else { changed.join(", ") };
        tracing::info!(changed, "reload applied");
        metrics.reloads.with_label_values(&["applied"]).inc();
        if !ignored.is_empty() {
            let keys = ignored.join(", ");
            tracing::warn!(keys, "changes of these keys were ignored: they need a restart");
        }
    }
    running
}

/// Records a reload in the audit log. `now` is in ms since the Unix epoch.
async fn note(
    audit: &Arc<AuditLog>,
    cause: ReloadCause,
    result: &str,
    (changed, ignored): (Vec<String>, Vec<String>),
    now: i64,
) {
    let actor = match cause {
        ReloadCause::Signal => "signal",
        // The file was changed while the service started.
        ReloadCause::Start | ReloadCause::Time => "file",
    };
    let record = AuditRecord::new(now, actor, "reload", "", result);
    audit.note(AuditRecord { changed, ignored, ..record }).await;
}

fn report_refusal(problems: &[String], metrics: &Metrics) {
    for problem in problems {
        tracing::error!(problem, "reload refused; nothing was changed");
    }
    metrics.reloads.with_label_values(&["refused"]).inc();
}

/// Publishes the expiry of certificates as metrics, and logs it within 14 days. `now` is in ms since the Unix epoch.
fn note_expiry(loaded: &LoadedTls, now: i64, metrics: &Metrics) {
    for (key, expires) in &loaded.expiries {
        metrics
            .certificate_expires
            .with_label_values(&[&format!("listen.tls.{key}")])
            .set(*expires);
        match expires - now / 1000 {
            left if left <= 0 => tracing::error!("listen.tls.{key} has expired: replace it"),
            left if left < EXPIRY_WARNING_SECONDS => {
                tracing::warn!("listen.tls.{key} expires in {} days: replace it", left / 86_400);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;

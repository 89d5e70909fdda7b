//! Reloading: on SIGHUP, and when the configuration file or a file that it names for certificates and
//! credentials changes, also through a symbolic link, as Kubernetes replaces them.
//!
//! A reload is one transaction. The whole configuration is read and checked as `serve` does it, then
//! judged against what runs and what is bound ([`plan`]). Either everything that can change changes, in
//! one step, or nothing does and the log says why. No connection is dropped. A process that runs never
//! becomes more open than it was: that takes a restart.

mod plan;
mod watch;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::time::sleep;

use crate::admin::access::Access;
use crate::config::{self, Config, Problems};
use crate::deliver::SinkStatus;
use crate::file_fingerprint::file_fingerprint;
use crate::listener::tls::{self, LoadedTls};
use crate::metrics::{Metrics, SharedMetrics};
use crate::receive::{Policy, SharedPolicy};
use crate::spool::Clock;
use plan::{Prepared, Running};
use watch::{Cause, Look, Looks, SETTLE, files_of};

/// Seconds before the end of a certificate from which on it is worth a warning.
const SOON: i64 = 14 * 24 * 3600;

/// Where the configuration comes from, and when it is read again.
pub struct Reload {
    /// At once.
    pub now: Arc<Notify>,
    /// The configuration's file, if there is one: a change of it counts, too.
    pub file: Option<PathBuf>,
    /// The file's text that the service began with.
    pub text: String,
    /// The process's variables, which never change.
    pub environment: Vec<(OsString, OsString)>,
}

/// The parts of the service that take up changes.
#[derive(Debug)]
pub struct Targets {
    /// Who may send events, and the listener's TLS.
    pub policy: Arc<SharedPolicy>,
    /// Who may operate.
    pub access: Arc<Access>,
    /// The sinks, which read their own files again.
    pub sinks: Vec<Arc<SinkStatus>>,
}

impl std::fmt::Debug for Reload {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Reload").field("file", &self.file).finish_non_exhaustive()
    }
}

/// Reloads until it is aborted. `config` is what the service began with.
pub async fn run(
    reload: Reload,
    config: Config,
    targets: Targets,
    clock: Clock,
    metrics: SharedMetrics,
) {
    let mut running = Running::new(&reload, config);
    let mut watched = files_of(&reload, &running.config);
    if let Some(loaded) = targets.policy.current().tls() {
        note_expiry(loaded, clock(), &metrics);
    }
    let (mut looks, mut cause) = (Looks::default(), Cause::Start);
    let mut refused: Vec<String> = Vec::new();
    loop {
        let found = file_fingerprint(watched.clone()).await;
        let mut look = looks.look(found, cause);
        if look == Look::Due {
            let read = prepare(&reload, &running, &targets.policy.current(), clock() / 1000);
            let named = read.as_ref().map(|read| files_of(&reload, &read.running.config));
            let mut unseen = named.unwrap_or_default();
            unseen.retain(|file| !watched.contains(file));
            let is_whole = file_fingerprint(watched.clone()).await == found;
            if !is_whole || (cause == Cause::Time && !unseen.is_empty()) {
                // Written while they were read, or not looked at twice.
                watched.extend(unseen);
                look = Look::Settling;
            } else {
                looks.tried(found, read.is_err());
                match read {
                    Ok(read) => {
                        refused.clear();
                        running = apply(read, &running, &targets, cause, &clock, &metrics);
                        watched = files_of(&reload, &running.config);
                    }
                    Err(problems) => {
                        if cause != Cause::Time || problems != refused {
                            complain(&problems, &metrics);
                        }
                        refused = problems;
                    }
                }
            }
        }
        let interval = running.config.listen.reload;
        // What was asked for and could not be read in one piece is still asked for.
        let (interval, repeated) = match look {
            Look::Settling => (interval.min(SETTLE), cause),
            Look::Due | Look::Same => (interval, Cause::Time),
        };
        cause = tokio::select! {
            () = reload.now.notified() => Cause::Signal,
            () = sleep(interval) => repeated,
        };
    }
}

/// Reads and checks everything, and changes nothing. `now` is in seconds since the epoch.
fn prepare(
    reload: &Reload,
    running: &Running,
    policy: &Policy,
    now: i64,
) -> Result<Prepared, Vec<String>> {
    let file = reload.file.as_deref();
    let told = |problems: Problems| problems.0.iter().map(ToString::to_string).collect::<Vec<_>>();
    let text = config::text_of(file).map_err(told)?;
    let environment = || reload.environment.iter().cloned();
    let keys = config::keys(&text, environment());
    let cut = running.missing_in(&text, &keys);
    if !cut.is_empty() {
        return Err(cut);
    }
    let config = config::parse(&text, file, environment()).map_err(told)?;
    let refusals = running.refusals(&keys, &config);
    if !refusals.is_empty() {
        return Err(refusals);
    }
    let settings = config.listen.tls.as_ref();
    let loaded = settings.map(tls::load).transpose().map_err(|error| vec![error.to_string()])?;
    if let (Some(loaded), Some(before)) = (&loaded, policy.tls()) {
        // One that is in use already is no reason to keep other secrets of before.
        if loaded.own.expires <= now && loaded.own != before.own {
            return Err(vec!["listen.tls.certificate: has expired; replace the file".to_owned()]);
        }
    }
    Ok(running.prepare(text, keys, config, loaded, policy.tls()))
}

/// Takes everything up, and says what. Nothing in here can fail.
fn apply(
    read: Prepared,
    before: &Running,
    targets: &Targets,
    cause: Cause,
    clock: &Clock,
    metrics: &Metrics,
) -> Running {
    let Prepared { running, policy, changed, ignored } = read;
    if let Some(loaded) = policy.tls() {
        note_expiry(loaded, clock(), metrics);
    }
    // A request is judged by one of the two, and never by both.
    targets.policy.replace(policy);
    targets.access.replace(&running.config.admin);
    if cause == Cause::Signal {
        targets.sinks.iter().for_each(|sink| sink.reload());
        tracing::info!("SIGHUP: every sink reads its credentials and certificates again");
    }
    if cause == Cause::Signal || !changed.is_empty() || running.text != before.text {
        let changed = if changed.is_empty() { "nothing".to_owned() } else { changed.join(", ") };
        tracing::info!(changed, "reload applied");
        metrics.reloads.with_label_values(&["applied"]).inc();
        if !ignored.is_empty() {
            let keys = ignored.join(", ");
            tracing::warn!(keys, "changes of these keys were ignored: they take a restart");
        }
    }
    running
}

fn complain(problems: &[String], metrics: &Metrics) {
    for problem in problems {
        tracing::error!(problem, "reload refused; nothing was changed");
    }
    metrics.reloads.with_label_values(&["refused"]).inc();
}

/// Says when certificates expire: in metrics always, in the log when it is soon. `now` is in
/// milliseconds since the epoch.
fn note_expiry(loaded: &LoadedTls, now: i64, metrics: &Metrics) {
    for (key, expires) in &loaded.expiries {
        metrics
            .certificate_expires
            .with_label_values(&[&format!("listen.tls.{key}")])
            .set(*expires);
        match expires - now / 1000 {
            left if left <= 0 => tracing::error!("listen.tls.{key} has expired: replace it"),
            left if left < SOON => {
                tracing::warn!("listen.tls.{key} expires in {} days: replace it", left / 86_400);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;

//! Certificates and credentials that change while the service runs: on SIGHUP, and when one of their
//! files does, also through a symbolic link, as Kubernetes replaces them.
//!
//! The configuration is read again as a whole. What it says about `listen.tls` and about who may post
//! to a source takes effect for new connections and new requests; no connection is dropped. With
//! anything wrong in it, everything stays as it is, and says so.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::time::sleep;

use crate::admin::access::Access;
use crate::config::{Config, Credential, Problems};
use crate::deliver::SinkStatus;
use crate::files;
use crate::metrics::{Metrics, SharedMetrics};
use crate::receive::Sources;
use crate::receive::listener::tls::{self, Loaded, Tls};
use crate::spool::Clock;

/// Seconds before the end of a certificate from which on it is worth a warning.
const SOON: i64 = 14 * 24 * 3600;

/// How the configuration is read again, and when.
pub struct Reload {
    /// At once.
    pub now: Arc<Notify>,
    /// The configuration's file, if there is one: a change of it counts, too.
    pub file: Option<PathBuf>,
    /// Reads the configuration.
    pub read: Box<dyn Fn() -> Result<Config, Problems> + Send + Sync>,
}

/// What takes the changes.
#[derive(Debug)]
pub struct Reloaded {
    /// The listener's TLS.
    pub tls: Option<Arc<Tls>>,
    /// Who may post.
    pub sources: Sources,
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
    targets: Reloaded,
    clock: Clock,
    metrics: SharedMetrics,
) {
    let mut watched = watched(&reload, &config);
    let mut seen = files::fingerprint(watched.clone()).await;
    // What was replaced since the service read it for its start has to count as well.
    match apply(&reload, &config, &targets, &clock, &metrics) {
        Ok(applied) => watched = self::watched(&reload, &applied),
        Err(problems) => complain(&problems, &metrics),
    }
    loop {
        let is_asked = tokio::select! {
            () = reload.now.notified() => true,
            () = sleep(config.listen.reload) => false,
        };
        let found = files::fingerprint(watched.clone()).await;
        if !is_asked && found == seen {
            continue;
        }
        // Whatever changes while they are read, and which files they are, is noticed the next time.
        seen = found;
        if is_asked {
            targets.sinks.iter().for_each(|sink| sink.reload());
            tracing::info!("SIGHUP: every sink reads its credentials and certificates again");
        }
        match apply(&reload, &config, &targets, &clock, &metrics) {
            Ok(applied) => {
                watched = self::watched(&reload, &applied);
                tracing::info!("read certificates and credentials again");
                metrics.reloads.with_label_values(&["applied"]).inc();
            }
            Err(problems) => complain(&problems, &metrics),
        }
    }
}

fn complain(problems: &[String], metrics: &Metrics) {
    for problem in problems {
        tracing::error!(problem, "kept the certificates and credentials of before");
    }
    metrics.reloads.with_label_values(&["refused"]).inc();
}

/// All or nothing: everything is read before anything is replaced.
fn apply(
    reload: &Reload,
    begun_with: &Config,
    targets: &Reloaded,
    clock: &Clock,
    metrics: &Metrics,
) -> Result<Config, Vec<String>> {
    let config = (reload.read)()
        .map_err(|problems| problems.0.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let settings = config.listen.tls.as_ref();
    let loaded = settings.map(tls::load).transpose().map_err(|error| vec![error.to_string()])?;
    if let (Some(tls), Some(loaded)) = (&targets.tls, loaded) {
        // One that is in use already is no reason to keep other secrets of before.
        if loaded.own.expires <= clock() / 1000 && !tls.shows(&loaded) {
            return Err(vec!["listen.tls.certificate: has expired".to_owned()]);
        }
        note_expiry(&loaded, clock(), metrics);
        tls.replace(loaded);
    } else if begun_with.listen.tls != config.listen.tls {
        tracing::warn!("listen.tls was added or removed: that takes a restart");
    }
    for name in targets.sources.replace_access(&config.sources) {
        tracing::warn!("sources.{name} was added or removed: that takes a restart");
    }
    targets.access.replace(&config.admin);
    Ok(config)
}

/// The configuration, and every file that its certificates and credentials are in.
fn watched(reload: &Reload, config: &Config) -> Vec<PathBuf> {
    let tls = config.listen.tls.iter().flat_map(|tls| tls.files());
    let credentials = config.sources.iter().flat_map(|source| &source.credentials);
    let secrets = credentials.filter_map(|credential| match credential {
        Credential::Basic { password: secret, .. } | Credential::Header { value: secret, .. } => {
            secret.file().map(PathBuf::from)
        }
        Credential::Certificate(_) => None,
    });
    let password = config.admin.password.iter().filter_map(|secret| secret.file());
    let password = password.map(PathBuf::from);
    reload.file.iter().cloned().chain(tls).chain(secrets).chain(password).collect()
}

/// Says when certificates expire: in metrics always, in the log when it is soon. `now` is in
/// milliseconds since the epoch.
fn note_expiry(loaded: &Loaded, now: i64, metrics: &Metrics) {
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

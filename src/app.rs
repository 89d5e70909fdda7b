//! The service as one value: [`App::build`] opens and binds, [`App::run`] works until shutdown.
//!
//! Start: open the spool, register the sinks, bind, ready. Stop: accept nothing more, answer what is
//! in flight, let the sinks finish up to a deadline, close the spool.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::admin::access::Access;
use crate::admin::{self, Admin};
use crate::config::Config;
use crate::deliver::{SinkStatus, Worker};
use crate::listener::tls::{self, TlsError};
use crate::listener::{self, Listener, Timeouts};
use crate::metrics::{Metrics, SharedMetrics};
use crate::observe::{Observer, file as drift};
use crate::receive::retry::RetryRules;
use crate::receive::{self, Policy, Receiver, SharedPolicy};
use crate::reload::{self, Reload, Targets};
use crate::rlimit::{self, DescriptorLimitError};
use crate::shutdown::{self, Shutdown};
use crate::spool::{
    Clock, CommitError, Disposition, OpenError, ReadError, Registered, Spool, Start,
};

/// Connections to the admin listener: a kubelet, a Prometheus or two, operators.
const ADMIN_CONNECTIONS: usize = 64;

/// Why the service could not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// Too few file descriptors.
    #[error(transparent)]
    Descriptors(#[from] DescriptorLimitError),
    /// The spool could not be opened.
    #[error(transparent)]
    Spool(#[from] OpenError),
    /// The spool was opened and could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The sinks' cursors could not be set up.
    #[error("the sinks' cursors cannot be set up: {0}")]
    Register(#[from] CommitError),
    /// A certificate cannot be used.
    #[error("{0}. Correct the file, or the key")]
    Tls(#[from] TlsError),
    /// An address could not be bound.
    #[error("{key} = \"{address}\" cannot be bound: {source}. {}", bind_advice(*.address, .source))]
    Bind {
        /// The key that names the address.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
}

fn bind_advice(address: SocketAddr, error: &std::io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::AddrInUse => "Stop what uses the port, or choose another",
        ErrorKind::AddrNotAvailable => {
            "This machine has no such address; 0.0.0.0 and [::] are all that it has"
        }
        ErrorKind::PermissionDenied if address.port() < 1024 => {
            "Ports below 1024 take the capability CAP_NET_BIND_SERVICE; choose one from 1024 on"
        }
        ErrorKind::PermissionDenied => {
            "Something keeps this process from listening there: a sandbox, seccomp, SELinux"
        }
        _ => "Choose another",
    }
}

/// Something failed in a way that only a new process recovers from.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct Fatal(pub String);

/// A service that is bound and has not begun.
pub struct App {
    config: Config,
    spool: Arc<Spool>,
    listener: TcpListener,
    admin: TcpListener,
    policy: Arc<SharedPolicy>,
    workers: Vec<Worker>,
    statuses: Vec<Arc<SinkStatus>>,
    metrics: SharedMetrics,
    observer: Arc<Observer>,
    clock: Clock,
}

impl std::fmt::Debug for App {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("App").field("config", &self.config).finish_non_exhaustive()
    }
}

/// The wall clock in milliseconds since the epoch.
pub fn system_clock() -> Clock {
    Arc::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

impl App {
    /// Opens the spool and binds both listeners. Nothing is served yet.
    pub async fn build(config: Config, metrics: SharedMetrics) -> Result<App, StartError> {
        rlimit::provide(config.limits.connections + ADMIN_CONNECTIONS)?;
        let clock = system_clock();
        let spool = Arc::new(Spool::start(&config.spool, Arc::clone(&clock)).await?);
        if let Some(largest) = spool.largest().filter(|most| (*most as u64) < config.limits.body) {
            tracing::warn!(
                largest,
                "limits.body allows events, and bodies that are no JSON, for which the NATS servers' max_payload \
                 has no room: they would be answered with 503 for ever. Raise it there, or lower limits.body"
            );
        }
        metrics.started.set((clock)() / 1000);
        begin_with_zero(&config, &metrics);
        let names = config.sources.iter().map(|source| source.name.as_str());
        let observer = Arc::new(Observer::new(names, Arc::clone(&metrics), (clock)()));
        restore_totals(&spool, &metrics).await?;
        drift::remember(&observer, &config.spool.directory, (clock)());
        let starts: Vec<(Arc<str>, Start)> =
            config.sinks.iter().map(|sink| (sink.name.as_str().into(), sink.start)).collect();
        let registered = spool.register(&starts).await?;
        let mut workers = Vec::with_capacity(starts.len());
        let mut statuses = Vec::with_capacity(starts.len());
        for ((sink, (name, _)), Registered { cursor, is_paused }) in
            config.sinks.iter().zip(starts).zip(registered)
        {
            let reader = spool.reader(&name)?;
            let status = Arc::new(SinkStatus::new(name, cursor, is_paused, sink.concurrency));
            statuses.push(Arc::clone(&status));
            workers.push(Worker::new(
                sink.clone(),
                Arc::clone(&spool),
                reader,
                status,
                Arc::clone(&metrics),
            ));
        }
        let loaded = config.listen.tls.as_ref().map(tls::load).transpose()?;
        let policy = Policy::new(&config.listen, &config.sources, loaded);
        let policy = Arc::new(SharedPolicy::new(policy));
        let listener = bind("listen.address", config.listen.address).await?;
        let admin = bind("admin.address", config.admin.address).await?;
        Ok(App {
            config,
            spool,
            listener,
            admin,
            policy,
            workers,
            statuses,
            metrics,
            observer,
            clock,
        })
    }

    /// Where the webhooks are served; the port is known even if 0 was configured.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }

    /// Where the admin listener is.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.local_addr().ok()
    }

    /// Works until shutdown begins and everything has ended. Certificates and credentials are read
    /// again as `reload` says. Fails if the process should end at once and be started again.
    pub async fn run(self, reload: Reload, shutdown: Shutdown) -> Result<(), Fatal> {
        let App {
            config,
            spool,
            listener,
            admin,
            policy,
            workers,
            statuses,
            metrics,
            observer,
            clock,
        } = self;
        let grace = config.limits.shutdown_grace;
        let timeouts = Timeouts {
            handshake: config.limits.handshake_timeout,
            header: config.limits.header_timeout,
            grace,
        };
        let access = Arc::new(Access::new(&config.admin, config.limits.failed_logins));
        let reloading = tokio::spawn(reload::run(
            reload,
            config.clone(),
            Targets {
                policy: Arc::clone(&policy),
                access: Arc::clone(&access),
                sinks: statuses.clone(),
            },
            Arc::clone(&clock),
            Arc::clone(&metrics),
        ));
        let receiver = Receiver::new(
            Arc::clone(&spool),
            &config,
            Arc::clone(&policy),
            Arc::clone(&metrics),
            Arc::clone(&observer),
            Arc::clone(&clock),
            shutdown.clone(),
        );
        let directory = config.spool.directory.clone();
        let keeping = tokio::spawn(drift::keep(Arc::clone(&observer), directory.clone()));
        let webhooks = Listener {
            name: "webhooks",
            router: receive::router(receiver, &config.sources),
            policy: Some(policy.clone()),
            is_proxied: config.listen.proxy_protocol,
            connections: config.limits.connections,
            timeouts,
            metrics: Arc::clone(&metrics),
        };
        let operations = Listener {
            name: "admin",
            router: admin::router(Admin {
                spool: Arc::clone(&spool),
                access,
                sinks: statuses,
                rules: RetryRules::with_policy(&config, policy),
                metrics: Arc::clone(&metrics),
                observer: Arc::clone(&observer),
                dedup_max_ids: config.spool.dedup_max_ids,
                clock,
                shutdown: shutdown.clone(),
            }),
            policy: None,
            is_proxied: false,
            connections: ADMIN_CONNECTIONS,
            timeouts,
            metrics,
        };
        // Health and metrics stay until everything else has ended; nobody waits for their answers.
        let (_admin_ends_last, admin_shutdown) = shutdown::channel();
        let admin_task = tokio::spawn(listener::serve(operations, admin, admin_shutdown));
        // Sinks stop after the requests in flight, so that what those bring is delivered as well.
        let (end_workers, workers_shutdown) = shutdown::channel();
        let runs = workers.into_iter().map(|worker| worker.run(workers_shutdown.clone()));
        let mut workers: JoinSet<()> = runs.collect();
        // Workers end after shutdown only; one that ends before has panicked.
        let delivering = async {
            while let Some(ended) = workers.join_next().await {
                ended.map_err(|error| {
                    Fatal(format!("a sink's worker failed, which is a bug: {error}"))
                })?;
            }
            Ok(())
        };
        tokio::pin!(delivering);
        let mut begun = shutdown.clone();
        let receiving = async {
            let ending = async {
                begun.begun().await;
                tracing::info!("shutting down");
                Instant::now() + grace
            };
            let serving = listener::serve(webhooks, listener, shutdown);
            tokio::join!(ending, serving).0
        };
        let working = async {
            let deadline = tokio::select! {
                deadline = receiving => deadline,
                ended = &mut delivering => return ended,
            };
            end_workers.begin();
            timeout_at(deadline, delivering).await.unwrap_or_else(|_| {
                tracing::warn!(
                    "the grace period is over; what was not delivered is delivered after the next start"
                );
                Ok(())
            })
        };
        tokio::select! {
            ended = working => ended?,
            message = spool.failed() => return Err(Fatal(message)),
        }
        admin_task.abort();
        reloading.abort();
        keeping.abort();
        drift::keep_once(&observer, &directory).await;
        let closing = tokio::task::spawn_blocking(move || spool.close());
        if closing.await.is_err() {
            tracing::error!("the spool did not close cleanly; nothing is lost");
        }
        Ok(())
    }
}

async fn bind(key: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Bind { key, address, source })
}

/// Has every series of configured names there from the start: an increase from nothing is none to whoever
/// watches for one.
fn begin_with_zero(config: &Config, metrics: &Metrics) {
    let sources = [Disposition::Accepted, Disposition::Duplicate, Disposition::Quarantined]
        .map(Disposition::as_str);
    for source in &config.sources {
        for disposition in sources.into_iter().chain(["refused"]) {
            metrics.events.with_label_values(&[source.name.as_str(), disposition]);
        }
        metrics.empty_bodies.with_label_values(&[source.name.as_str()]);
    }
    for sink in &config.sinks {
        for disposition in Disposition::OF_SINKS {
            metrics.sink_events.with_label_values(&[sink.name.as_str(), disposition.as_str()]);
        }
        for attempt in ["first", "repeated"] {
            metrics.sink_attempts.with_label_values(&[sink.name.as_str(), attempt]);
        }
        metrics.damaged.with_label_values(&[sink.name.as_str()]);
    }
}

/// Lets the dispositions' counters go on where they were.
async fn restore_totals(spool: &Spool, metrics: &Metrics) -> Result<(), ReadError> {
    // Where receivers share a spool, each counts what it does itself.
    if !matches!(spool, Spool::Embedded(_)) {
        return Ok(());
    }
    for (name, disposition, count) in spool.stats().await?.totals {
        let is_of_sink = Disposition::OF_SINKS.contains(&disposition);
        let counter = if is_of_sink { &metrics.sink_events } else { &metrics.events };
        counter.with_label_values(&[name.as_str(), disposition.as_str()]).inc_by(count);
    }
    Ok(())
}

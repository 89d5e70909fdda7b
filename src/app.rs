//! The service as one value: [`App::build`] opens the spool and binds, [`App::run`] serves until shutdown.
//!
//! Start: open the spool, register the sinks, bind. Stop: accept no new connections, answer requests in flight, let
//! the sinks deliver until the grace period ends, close the spool.

mod scheduled;
mod series;
mod watching;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout_at};

use crate::admin::access::Access;
use crate::admin::{self, Admin, ConsoleState, Tracer};

use crate::audit::AuditLog;
use crate::config::Config;
use crate::deliver::{RegisterError, RunningSinks, Worker};
use crate::interactions::{self, FlowAnalytics, Summariser};
use crate::listener::tls::{self, TlsError};
use crate::listener::{self, Listener, Timeouts};
use crate::metrics::{Metrics, SharedMetrics};
use crate::observe::{Observer, file as drift};
use crate::receive::{self, Policy, Receiver, SharedPolicy};
use crate::reload::{self, Reload, Targets};
use crate::rlimit::{self, DescriptorLimitError};
use crate::shutdown::{self, Shutdown};
use crate::spool::{Clock, Disposition, OpenError, ReadError, Registered, Spool, Start};

/// Maximum number of connections to the admin listener: kubelet, Prometheus, operators.
const ADMIN_CONNECTIONS: usize = 64;

/// Reason why the service cannot start.
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
    /// The sinks could not be set up.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// A certificate cannot be used.
    #[error("{0}. Correct the file, or the key")]
    Tls(#[from] TlsError),
    /// An address could not be bound.
    #[error("{key} = \"{address}\" cannot be bound: {source}. {}", bind_advice(*.address, .source))]
    Bind {
        /// Key of the address.
        key: &'static str,
        /// Address that cannot be bound.
        address: SocketAddr,
        /// Error of the operating system.
        source: std::io::Error,
    },
}

fn bind_advice(address: SocketAddr, error: &std::io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::AddrInUse => "Stop what uses the port, or choose another",
        ErrorKind::AddrNotAvailable => {
            "This machine does not have this address; 0.0.0.0 and [::] stand for all addresses"
        }
        ErrorKind::PermissionDenied if address.port() < 1024 => {
            "Ports below 1024 need the capability CAP_NET_BIND_SERVICE; choose a port from 1024 on"
        }
        ErrorKind::PermissionDenied => {
            "The system forbids this process to listen there: check sandbox, seccomp, SELinux"
        }
        _ => "Choose another address",
    }
}

/// Failure that needs a new process.
#[derive(Debug, Error)]
pub enum RunError {
    /// A sink's worker panicked.
    #[error("a sink's worker failed, which is a bug: {0}")]
    Worker(#[from] JoinError),
    /// The spool cannot continue.
    #[error("{0}")]
    Spool(String),
}

/// A service that is bound and does not serve yet.
pub struct App {
    config: Config,
    spool: Arc<Spool>,
    listener: TcpListener,
    admin: TcpListener,
    policy: Arc<SharedPolicy>,
    sinks: Arc<RunningSinks>,
    /// Workers to run: those of the start, and those of sinks that a reload adds.
    workers: mpsc::UnboundedReceiver<Worker>,
    summariser: Option<Summariser>,
    analytics: Arc<FlowAnalytics>,
    metrics: SharedMetrics,
    observer: Arc<Observer>,
    clock: Clock,
    tracer: Option<Tracer>,
}

impl std::fmt::Debug for App {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("App").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Returns the wall clock, in ms since the Unix epoch.
pub fn system_clock() -> Clock {
    Arc::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

impl App {
    /// Opens the spool and binds both listeners.
    ///
    /// # Errors
    ///
    /// [`StartError`] names the resource that is not available.
    pub async fn build(config: Config, metrics: SharedMetrics) -> Result<App, StartError> {
        rlimit::provide(config.limits.connections + ADMIN_CONNECTIONS)?;
        let clock = system_clock();
        let spool = Arc::new(Spool::start(&config.spool, Arc::clone(&clock)).await?);
        if let Some(largest) = spool.largest().filter(|most| (*most as u64) < config.limits.body) {
            tracing::warn!(
                largest,
                "limits.body allows batches above the max_payload of the NATS servers: one that is larger, also \
                 compressed, is answered with 503 until it fits. Raise max_payload, or lower limits.body"
            );
        }
        metrics.started.set((clock)() / 1000);
        series::create(&config, &metrics);
        let names = config.sources.iter().map(|source| source.name.as_str());
        let observer = Arc::new(Observer::new(names, Arc::clone(&metrics), (clock)()));
        restore_totals(&spool, &metrics).await?;
        drift::remember(&observer, &config.spool.directory, (clock)());
        if !spool.is_shared() {
            observer.restore_sources(&config.spool.directory, (clock)());
        }
        let others = match config.interactions.enabled {
            true => vec![(interactions::CURSOR_NAME.into(), Start::Oldest)],
            false => Vec::new(),
        };
        let (sinks, registered, workers) =
            RunningSinks::start(&config.sinks, others, &spool, &metrics, &clock).await?;
        let analytics = Arc::new(FlowAnalytics::new((clock)()));
        let summariser = match registered.first() {
            Some(Registered { cursor, .. }) => {
                let summariser = Summariser::new(
                    config.interactions.clone(),
                    Arc::clone(&config.outcomes),
                    Arc::clone(&spool),
                    *cursor,
                    Arc::clone(&analytics),
                    Arc::clone(&metrics),
                    Arc::clone(&clock),
                )?;
                Some(summariser.with_sinks(sinks.names()))
            }
            None => None,
        };
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
            sinks,
            workers,
            summariser,
            analytics,
            metrics,
            observer,
            clock,
            tracer: None,
        })
    }

    /// Adds the search of the console for one event.
    #[must_use]
    pub(crate) fn with_tracer(self, tracer: Tracer) -> App {
        App { tracer: Some(tracer), ..self }
    }

    /// Returns the address of the webhook listener, with the actual port if 0 was configured.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }

    /// Returns the address of the admin listener.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.local_addr().ok()
    }

    /// Serves until shutdown, with reloads by `reload`.
    ///
    /// # Errors
    ///
    /// [`RunError`] if the process has to be restarted.
    pub async fn run(self, reload: Reload, shutdown: Shutdown) -> Result<(), RunError> {
        let App {
            config,
            spool,
            listener,
            admin,
            policy,
            sinks,
            workers,
            summariser,
            analytics,
            metrics,
            observer,
            clock,
            tracer,
        } = self;
        let grace = config.limits.shutdown_grace;
        let timeouts = Timeouts {
            handshake: config.limits.handshake_timeout,
            header: config.limits.header_timeout,
            grace,
        };
        let access = Arc::new(Access::new(&config.admin, config.limits.failed_logins));
        let audit = AuditLog::new(config.spool.directory.clone());
        let audit = Arc::new(audit.counting(metrics.audit_failures.clone()));
        let reloading = tokio::spawn(reload::run(
            reload,
            config.clone(),
            Targets {
                policy: Arc::clone(&policy),
                access: Arc::clone(&access),
                sinks: Arc::clone(&sinks),
                audit: Arc::clone(&audit),
            },
            Arc::clone(&clock),
            Arc::clone(&metrics),
        ));
        let receiver = Receiver::new(
            Arc::clone(&spool),
            config.receiver(),
            Arc::clone(&policy),
            Arc::clone(&metrics),
            Arc::clone(&observer),
            Arc::clone(&clock),
            shutdown.clone(),
        );
        let times = (&clock, &shutdown);
        let watching =
            watching::start(&config, &spool, &sinks, &observer, &policy, &metrics, times);
        let fetched = scheduled::intake(&config, &spool, &metrics, &observer, &clock);
        scheduled::start(&config, &fetched, &metrics, &clock, &shutdown);
        let directory = config.spool.directory.clone();
        let saving =
            tokio::spawn(drift::save_periodically(Arc::clone(&observer), directory.clone()));
        let webhooks = Listener {
            name: "webhooks",
            router: receive::router(receiver, &config.sources),
            policy: Some(Arc::<SharedPolicy>::clone(&policy)),
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
                audit,
                sinks,
                rules: config.retry_rules_with(policy),
                fetched,
                metrics: Arc::clone(&metrics),
                observer: Arc::clone(&observer),
                analytics: config.interactions.enabled.then_some(analytics),
                dedup_max_ids: config.spool.dedup_max_ids,
                console: ConsoleState::new(tracer),
                disk: Some(directory.clone()).filter(|_| matches!(*spool, Spool::Embedded(_))),
                clock,
                shutdown: shutdown.clone(),
            }),
            policy: None,
            is_proxied: false,
            connections: ADMIN_CONNECTIONS,
            timeouts,
            metrics,
        };
        // Health and metrics are served until everything else has ended, and are then aborted.
        let (_admin_ends_last, admin_shutdown) = shutdown::channel();
        let admin_task = tokio::spawn(listener::serve(operations, admin, admin_shutdown));
        // Sinks stop after the requests in flight, so that events of these requests are delivered, too.
        let (end_workers, workers_shutdown) = shutdown::channel();
        let mut running = JoinSet::new();
        if let Some(summariser) = summariser {
            running.spawn(summariser.run(workers_shutdown.clone()));
        }
        let delivering = deliver(workers, running, workers_shutdown);
        tokio::pin!(delivering);
        let mut requested = shutdown.clone();
        let receiving = async {
            let ending = async {
                requested.begun().await;
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
                    "the grace period is over; the remaining events are delivered after the next start"
                );
                Ok(())
            })
        };
        tokio::select! {
            ended = working => ended?,
            message = spool.failed() => return Err(RunError::Spool(message)),
        }
        admin_task.abort();
        reloading.abort();
        if let Some(watching) = watching {
            drop(watching.await);
        }
        saving.abort();
        drift::save_now(&observer, &directory).await;
        let closing = tokio::task::spawn_blocking(move || spool.close());
        if closing.await.is_err() {
            tracing::error!("the spool did not close cleanly; nothing is lost");
        }
        Ok(())
    }
}

/// Runs the workers of the start, and those that are added, until shutdown.
async fn deliver(
    mut workers: mpsc::UnboundedReceiver<Worker>,
    mut running: JoinSet<()>,
    shutdown: Shutdown,
) -> Result<(), RunError> {
    let mut ended = shutdown.clone();
    loop {
        tokio::select! {
            biased;
            Some(worker) = workers.recv() => {
                running.spawn(worker.run(shutdown.clone()));
            }
            // A worker ends only at shutdown, or by a panic.
            Some(ended) = running.join_next(), if !running.is_empty() => ended?,
            () = ended.begun(), if running.is_empty() => return Ok(()),
        }
    }
}

async fn bind(key: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Bind { key, address, source })
}

/// Restores the counters of events from the totals in the spool.
async fn restore_totals(spool: &Spool, metrics: &Metrics) -> Result<(), ReadError> {
    // With a shared spool, each receiver counts its own events.
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

//! Admin listener: health, metrics, and operations on the quarantine and the sinks.
//!
//! | path | access | answer |
//! | --- | --- | --- |
//! | `GET /livez` | anyone | 200 while the process runs |
//! | `GET /readyz` | anyone | 200 while batches are accepted; state of each sink |
//! | `GET /metrics` | anyone | Prometheus' text format |
//! | `GET /console` | operators | the console |
//! | `GET /api/status` | operators | content of the spool, cursor and state of each sink |
//! | `GET /api/observed` | operators | events by minute, flows, failing connectors, sources |
//! | `GET /api/flows?since=` | operators | statistics of flows by version, from summaries |
//! | `GET /api/drift` | operators | differences between the events and PingOne's documentation |
//! | `GET /api/tail` | operators | the last events and new ones, one JSON object per line |
//! | `POST /api/sinks/{name}/pause`, `…/resume` | operators | pauses or resumes a sink |
//! | `GET /api/sinks/{name}/replay?from=&to=` | operators | number of events that a replay would deliver |
//! | `POST /api/sinks/{name}/replay` | operators | one step of a replay |
//! | `POST /api/sources/{name}/fetched` | operators | takes in events that were fetched from PingOne |
//! | `POST /api/quarantine/{id}/retry` | operators | retries one entry, with the request body as replacement if not empty |
//! | `POST /api/quarantine/retry` | operators | retries several entries |
//! | `POST /api/quarantine/purge` | operators | removes entries permanently |
//! | `GET /api/quarantine/groups/{key}` | operators | numbers of the entries of a group |
//! | `GET /api/quarantine/groups/{key}/export` | operators | the entries of a group, one JSON object per line |
//!
//! [`access`] defines operators.

pub(crate) mod access;
mod audited;
mod config;
mod console;
pub(crate) mod fetched;
mod flows;
mod health;
mod metrics;
mod observed;
pub(crate) mod operations;
mod process;
pub(crate) mod quarantine;
mod rates;
pub(crate) mod sinks;

pub(crate) use config::AdminConfig;
pub(crate) use console::{ConsoleState, Tracer};

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{get, post};
use thiserror::Error;

use access::Access;

use crate::audit::AuditLog;
use crate::deliver::RunningSinks;
use crate::interactions::FlowAnalytics;
use crate::metrics::SharedMetrics;
use crate::observe::Observer;
use crate::receive::FetchedIntake;
use crate::receive::retry::RetryRules;
use crate::shutdown::Shutdown;
use crate::spool::{Clock, ReadError, Spool, SpoolStats};

/// Header that operations must carry, with any value: a page of another site cannot send it.
pub(crate) const OPERATION_HEADER: &str = "x-davinci-siem-operation";

/// Timeout of a query to a spool on other machines, below the usual scrape timeout of 10 s.
const STATS_TIMEOUT: Duration = Duration::from_secs(3);

/// Reason why the content of the spool is unknown.
#[derive(Debug, Error)]
enum StatsError {
    #[error("no answer within {} s", STATS_TIMEOUT.as_secs())]
    Timeout,
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// State and dependencies of the admin listener.
pub(crate) struct Admin {
    pub spool: Arc<Spool>,
    pub access: Arc<Access>,
    /// Log of operators' actions.
    pub audit: Arc<AuditLog>,
    /// State of every sink.
    pub sinks: Arc<RunningSinks>,
    /// Rules of a retry from quarantine.
    pub rules: RetryRules,
    /// Intake of events that were fetched from PingOne.
    pub fetched: Arc<FetchedIntake>,
    /// The service's metrics.
    pub metrics: SharedMetrics,
    /// Statistics of accepted events.
    pub observer: Arc<Observer>,
    /// Statistics of flows, if summaries are made.
    pub analytics: Option<Arc<FlowAnalytics>>,
    /// Maximum number of ids remembered for deduplication.
    pub dedup_max_ids: u64,
    /// Directory of the spool, if the engine stores events on this machine.
    pub disk: Option<PathBuf>,
    /// Data that the console keeps between two requests.
    pub console: ConsoleState,
    /// Clock, in ms since the Unix epoch.
    pub clock: Clock,
    pub shutdown: Shutdown,
}

impl Admin {
    /// Reads the spool's statistics. Health, status and metrics have to answer also if the spool does not.
    async fn stats(&self) -> Result<SpoolStats, StatsError> {
        let stats = tokio::time::timeout(STATS_TIMEOUT, self.spool.stats()).await;
        let stats = stats.map_or(Err(StatsError::Timeout), |read| Ok(read?));
        stats.inspect_err(|error| tracing::warn!(%error, "cannot read the statistics of the spool"))
    }
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Admin").field("sinks", &self.sinks).finish_non_exhaustive()
    }
}

/// Returns the routes of the table above.
pub(crate) fn router(admin: Admin) -> Router {
    let limit = usize::try_from(admin.rules.body_limit).unwrap_or(usize::MAX);
    let admin = Arc::new(admin);
    drop(tokio::spawn(rates::sample_periodically(Arc::downgrade(&admin))));
    let operations = Router::new()
        .route("/api/status", get(operations::status))
        .route("/api/observed", get(observed::observed))
        .route("/api/flows", get(flows::flows))
        .route("/api/drift", get(observed::drift))
        .route("/api/tail", get(observed::tail))
        .route("/api/quarantine/{id}/retry", post(operations::retry))
        .route("/api/sinks/{name}/pause", post(sinks::pause))
        .route("/api/sinks/{name}/resume", post(sinks::resume))
        .route("/api/sinks/{name}/replay", get(sinks::count_replay).post(sinks::replay))
        .route("/api/sources/{name}/fetched", post(fetched::take_in))
        .route("/api/quarantine/purge", post(operations::purge))
        .route("/api/quarantine/retry", post(quarantine::retry))
        .route("/api/quarantine/groups/{key}", get(quarantine::ids))
        .route("/api/quarantine/groups/{key}/export", get(quarantine::export))
        .merge(console::router())
        .route_layer(middleware::from_fn_with_state(Arc::clone(&admin), audited::record))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&admin), access::guard))
        .layer(middleware::map_response(console::with_policy))
        .layer(DefaultBodyLimit::max(limit));
    Router::new()
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::metrics))
        .merge(operations)
        .with_state(admin)
}

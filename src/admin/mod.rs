//! The admin listener: health, metrics, and operations on the quarantine and the sinks.
//!
//! | path | who | what |
//! | --- | --- | --- |
//! | `GET /livez` | anyone | 200 while the process works |
//! | `GET /readyz` | anyone | 200 while batches are taken; says how each sink is doing |
//! | `GET /metrics` | anyone | Prometheus' text format |
//! | `GET /console` | operators | the console |
//! | `GET /api/status` | operators | what the spool holds, each sink's place and state |
//! | `GET /api/observed` | operators | events by minute, flows, failing connectors, sources |
//! | `GET /api/drift` | operators | how events differ from what PingOne documents |
//! | `GET /api/tail` | operators | the last events and those that come, one JSON object per line |
//! | `POST /api/sinks/{name}/pause`, `…/resume` | operators | holds one sink, lets it go on |
//! | `POST /api/sinks/{name}/replay` | operators | one step of a replay |
//! | `POST /api/quarantine/{id}/retry` | operators | retries one entry, with the body in its place if there is one |
//! | `POST /api/quarantine/purge` | operators | removes entries for good |
//!
//! Who an operator is, [`access`] says.

pub mod access;
mod console;
mod health;
mod metrics;
mod observed;
pub mod operations;
pub mod sinks;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{get, post};

use access::Access;

use crate::deliver::SinkStatus;
use crate::metrics::SharedMetrics;
use crate::observe::Observer;
use crate::receive::retry::RetryRules;
use crate::shutdown::Shutdown;
use crate::spool::{Clock, Spool, SpoolStats};

/// The header that operations have to carry, with any value: a page of another site cannot send it.
pub const OPERATION_HEADER: &str = "x-davinci-siem-operation";

/// How long a spool on other machines has to say what it holds: whoever scrapes waits ten seconds as a rule.
const PATIENCE: Duration = Duration::from_secs(3);

/// What the admin listener shows and works on.
pub struct Admin {
    /// The spool.
    pub spool: Arc<Spool>,
    /// Who may see events and operate.
    pub access: Arc<Access>,
    /// Every sink's state.
    pub sinks: Vec<Arc<SinkStatus>>,
    /// What a retry goes by.
    pub rules: RetryRules,
    /// The service's metrics.
    pub metrics: SharedMetrics,
    /// What is seen of the events.
    pub observer: Arc<Observer>,
    /// Ids that are remembered for deduplication at most.
    pub dedup_max_ids: u64,
    /// The time.
    pub clock: Clock,
    /// Whether the service is ending.
    pub shutdown: Shutdown,
}

impl Admin {
    /// What is stored; why that cannot be told, where it cannot. Then above all, everything else has to be told.
    async fn stats(&self) -> Result<SpoolStats, String> {
        let stats = tokio::time::timeout(PATIENCE, self.spool.stats()).await;
        let stats = stats.map_or_else(
            |_| Err(format!("no answer within {} s", PATIENCE.as_secs())),
            |read| read.map_err(|error| error.to_string()),
        );
        stats.inspect_err(|error| tracing::warn!(error, "cannot read what the spool holds"))
    }
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Admin").field("sinks", &self.sinks).finish_non_exhaustive()
    }
}

/// The routes of the table above.
pub fn router(admin: Admin) -> Router {
    let limit = usize::try_from(admin.rules.body_limit).unwrap_or(usize::MAX);
    let admin = Arc::new(admin);
    let operations = Router::new()
        .route("/api/status", get(operations::status))
        .route("/api/observed", get(observed::observed))
        .route("/api/drift", get(observed::drift))
        .route("/api/tail", get(observed::tail))
        .route("/api/quarantine/{id}/retry", post(operations::retry))
        .route("/api/sinks/{name}/pause", post(sinks::pause))
        .route("/api/sinks/{name}/resume", post(sinks::resume))
        .route("/api/sinks/{name}/replay", post(sinks::replay))
        .route("/api/quarantine/purge", post(operations::purge))
        .merge(console::router())
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

//! Wiring of `[alerts]`.

use std::sync::Arc;

use tokio::task::JoinHandle;

use crate::alerts::{self, AlertInputs};
use crate::config::Config;
use crate::deliver::RunningSinks;
use crate::metrics::SharedMetrics;
use crate::observe::Observer;
use crate::receive::SharedPolicy;
use crate::shutdown::Shutdown;
use crate::spool::{Clock, Spool};

/// Starts the messages about problems, if they are configured. The task ends at shutdown, within the grace period.
pub(super) fn start(
    config: &Config,
    spool: &Arc<Spool>,
    sinks: &Arc<RunningSinks>,
    observer: &Arc<Observer>,
    policy: &Arc<SharedPolicy>,
    metrics: &SharedMetrics,
    (clock, shutdown): (&Clock, &Shutdown),
) -> Option<JoinHandle<()>> {
    let alerts = config.alerts.clone()?;
    let inputs = AlertInputs {
        spool: Arc::clone(spool),
        sinks: Arc::clone(sinks),
        observer: Arc::clone(observer),
        policy: Arc::clone(policy),
        metrics: Arc::clone(metrics),
        directory: config.spool.directory.clone(),
        clock: Arc::clone(clock),
        shutdown: shutdown.clone(),
        grace: config.limits.shutdown_grace,
    };
    Some(tokio::spawn(alerts::run(alerts, inputs)))
}

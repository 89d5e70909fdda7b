//! Wiring of the scheduled comparisons with PingOne, and of the intake of missing events.

use std::sync::Arc;

use tokio::runtime::Handle;

use crate::config::Config;
use crate::metrics::SharedMetrics;
use crate::observe::Observer;
use crate::receive::{FetchedIntake, SourceConfig};
use crate::reconcile::TakenIn;
use crate::reconcile::schedule::{self, Schedule, StoreFetched};
use crate::shutdown::Shutdown;
use crate::spool::{Clock, Receipt, Spool};

/// Creates the intake of events that were fetched from PingOne.
pub(super) fn intake(
    config: &Config,
    spool: &Arc<Spool>,
    metrics: &SharedMetrics,
    observer: &Arc<Observer>,
    clock: &Clock,
) -> Arc<FetchedIntake> {
    Arc::new(FetchedIntake::new(
        Arc::clone(spool),
        config.sources.iter().map(|source| source.name.clone()).collect(),
        config.receiver(),
        Arc::clone(metrics),
        Arc::clone(observer),
        Arc::clone(clock),
    ))
}

/// Starts the scheduled comparisons, if they are configured. They end at shutdown.
pub(super) fn start(
    config: &Config,
    fetched: &Arc<FetchedIntake>,
    metrics: &SharedMetrics,
    clock: &Clock,
    shutdown: &Shutdown,
) {
    if let Some(schedule) = schedule_of(config, fetched, metrics, clock) {
        drop(tokio::spawn(schedule::run(schedule, shutdown.clone())));
    }
}

fn schedule_of(
    config: &Config,
    fetched: &Arc<FetchedIntake>,
    metrics: &SharedMetrics,
    clock: &Clock,
) -> Option<Schedule> {
    let (reconcile, pingone) = (config.reconcile.clone()?, config.pingone.clone()?);
    let is_its =
        |source: &&SourceConfig| pingone.source.as_ref().is_none_or(|it| *it == source.name);
    let source = config.sources.iter().find(is_its)?;
    let (name, intake) = (source.name.clone(), Arc::clone(fetched));
    let runtime = Handle::current();
    let store: StoreFetched = Arc::new(move |body: Vec<u8>| {
        let stored = runtime.block_on(intake.take_in(&name, &body));
        let Receipt { accepted, duplicates, quarantined, .. } =
            stored.map_err(|error| error.to_string())?;
        Ok(TakenIn { accepted, duplicates, quarantined })
    });
    Some(Schedule {
        config: reconcile,
        pingone,
        source: source.name.clone(),
        path: source.path.clone(),
        spool: config.spool.clone(),
        metrics: Arc::clone(metrics),
        clock: Arc::clone(clock),
        store,
    })
}

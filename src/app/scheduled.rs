//! Wiring of the scheduled comparisons with PingOne.

use std::sync::Arc;

use tokio::runtime::Handle;

use crate::config::Config;
use crate::metrics::SharedMetrics;
use crate::receive::{FetchedIntake, SourceConfig};
use crate::reconcile::TakenIn;
use crate::reconcile::schedule::{Schedule, StoreFetched};
use crate::spool::{Clock, Receipt};

/// Returns the scheduled comparison with PingOne, if one is configured.
pub(super) fn comparisons(
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

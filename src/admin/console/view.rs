//! Data of the overview.

use std::sync::Arc;

use super::bins::ChartRange;
use super::health;
use crate::admin::operations::moment;
use crate::admin::quarantine::{Groups, groups};
use crate::admin::rates::{self, Flow};
use crate::admin::{Admin, StatsError};
use crate::deliver::{SinkState, SinkStatus, SinkTarget};
use crate::interactions::FlowReport;
use crate::observe::{DriftReport, Observed};
use crate::spool::SpoolStats;

/// Data of the overview.
pub(super) struct View {
    pub(super) now: i64,
    pub(super) range: ChartRange,
    /// Reason why batches are refused.
    pub(super) unready: Option<String>,
    pub(super) is_damaged: bool,
    pub(super) is_quarantine_full: bool,
    /// True if other receivers share the spool.
    pub(super) is_shared: bool,
    pub(super) offers_operations: bool,
    /// Content of the spool, or the reason why it cannot be read.
    pub(super) stored: Result<StoredView, StatsError>,
    pub(super) sinks: Vec<SinkView>,
    /// Rates and totals of sources and sinks.
    pub(super) flow: Flow,
    pub(super) observed: Observed,
    /// Statistics from summaries, if they are made.
    pub(super) runs: Option<FlowReport>,
    pub(super) drifted: DriftReport,
}

/// Content of the spool.
pub(super) struct StoredView {
    pub(super) stats: SpoolStats,
    /// Groups of the newest quarantine entries.
    pub(super) groups: Arc<Groups>,
}

/// State of one sink. Times are in ms since the Unix epoch.
pub(super) struct SinkView {
    pub(super) name: Arc<str>,
    pub(super) state: SinkState,
    pub(super) is_paused_by_operator: bool,
    pub(super) target: SinkTarget,
    /// `None` if the spool cannot be read.
    pub(super) lag: Option<u64>,
    /// Receive time of the oldest uncommitted event.
    pub(super) waiting_since: Option<i64>,
    pub(super) next_attempt_at: Option<i64>,
    /// Reason and time of the last failure.
    pub(super) last_error: Option<(String, i64)>,
    /// Dead letters among the grouped quarantine entries.
    pub(super) dead_letters: u64,
}

/// Collects the data of the overview.
pub(super) async fn view(admin: &Arc<Admin>, range: ChartRange) -> View {
    let now = (admin.clock)();
    let stored = stored(admin).await;
    let sinks = admin.sinks.all();
    let sinks = sinks.iter().map(|sink| SinkView::new(sink, stored.as_ref().ok(), now));
    View {
        now,
        range,
        unready: health::unready(admin),
        is_damaged: admin.spool.health().is_damaged,
        is_quarantine_full: admin.spool.is_quarantine_full(),
        is_shared: admin.spool.is_shared(),
        offers_operations: admin.access.offers_operations(),
        sinks: sinks.collect(),
        flow: rates::flow(admin),
        observed: admin.observer.observed(now),
        runs: admin.analytics.as_ref().map(|analytics| analytics.report(0)),
        drifted: admin.observer.drifted(),
        stored,
    }
}

async fn stored(admin: &Admin) -> Result<StoredView, StatsError> {
    let stats = admin.stats().await?;
    let groups = groups(&admin.spool, &admin.console.groups, &stats).await?;
    Ok(StoredView { stats, groups })
}

impl SinkView {
    fn new(sink: &SinkStatus, stored: Option<&StoredView>, now: i64) -> SinkView {
        let letters = stored.and_then(|stored| stored.groups.dead_letters.get(&*sink.name));
        SinkView {
            name: Arc::clone(&sink.name),
            state: sink.state(),
            is_paused_by_operator: sink.is_paused_by_operator(),
            target: sink.target(),
            lag: stored.map(|stored| stored.stats.head.saturating_sub(sink.cursor())),
            waiting_since: sink.waiting_since(),
            next_attempt_at: sink.next_attempt().map(|at| moment(at, now)),
            last_error: sink.last_error().map(|error| (error.reason, moment(error.at, now))),
            dead_letters: letters.copied().unwrap_or(0),
        }
    }
}

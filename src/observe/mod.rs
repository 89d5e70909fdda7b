//! What the service sees of the events that it accepts, in memory and since it started.
//!
//! | file | what |
//! | --- | --- |
//! | [`kind`] | the types that are told apart |
//! | [`summary`] | what is kept of an event until it is known to be stored |
//! | [`minutes`] | events by minute, type and outcome, for a day |
//! | [`file`](mod@file) | drift, from one start to the next |
//! | [`flows`] | starts, outcomes and errors of each flow |
//! | [`connectors`] | errors by connector and capability |
//! | [`drift`], [`shape`] | what differs from what PingOne documents |
//! | [`sources`] | when each source was last heard from, since when it is held back |
//! | [`tail`] | the last events themselves |
//! | [`counted`] | the same as metrics |
//! | [`table`] | bounded tables |
//!
//! Counted is what a batch added to the spool: repetitions are not, nor what went to quarantine, nor what a
//! retry takes out of it later. Whatever a sender can vary has its bound; what is beyond it is added up.
//! Everything is made of the bytes that are stored, so what `[redact]` takes is nowhere in it.

mod connectors;
mod counted;
mod drift;
pub mod file;
mod flows;
mod kind;
mod minutes;
mod shape;
mod sources;
mod summary;
mod table;
mod tail;

use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

pub use connectors::ConnectorLine;
pub use drift::DriftLine;
pub use flows::FlowLine;
pub use kind::Kind;
pub use minutes::{Count, Minute};
pub use shape::Shape;
pub use sources::SourceLine;
pub use summary::Summary;
pub use tail::{News, Seen, Watcher};

use connectors::Connectors;
use drift::Drift;
use flows::Flows;
use minutes::{Counts, Minutes};
use sources::Sources;
use tail::Tail;

use crate::metrics::SharedMetrics;

/// Everything that is seen.
#[derive(Debug)]
pub struct Observer {
    started: i64,
    metrics: SharedMetrics,
    sources: Sources,
    sums: Mutex<Sums>,
    tail: Tail,
}

#[derive(Debug)]
struct Sums {
    minutes: Minutes,
    flows: Flows,
    connectors: Connectors,
    drift: Drift,
    /// When noting drift began, maybe before this start.
    drift_since: i64,
}

/// What is seen, but for drift and the events themselves. Times are milliseconds since the epoch.
#[derive(Debug, Clone, Serialize)]
pub struct Observed {
    /// When counting began.
    pub since: i64,
    /// When this was made.
    pub now: i64,
    /// The minutes of the last day in which something came, in order.
    pub minutes: Vec<Minute>,
    /// Flows, those with the most starts first.
    pub flows: Vec<FlowLine>,
    /// Connectors, those with the most errors first.
    pub connectors: Vec<ConnectorLine>,
    /// The configured sources.
    pub sources: Vec<SourceLine>,
}

/// How what is sent differs from what is documented.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drifted {
    /// When counting began.
    pub since: i64,
    /// Every deviation, the newest first.
    pub drift: Vec<DriftLine>,
    /// How often something deviated for which there was no row left.
    pub other: u64,
}

impl Observer {
    /// One that has seen nothing.
    pub fn new<'a>(
        sources: impl Iterator<Item = &'a str>,
        metrics: SharedMetrics,
        now: i64,
    ) -> Observer {
        counted::prepare(&metrics);
        let sums = Sums {
            minutes: Minutes::new(),
            flows: Flows::new(),
            connectors: Connectors::new(),
            drift: Drift::new(),
            drift_since: now,
        };
        Observer {
            started: now,
            metrics,
            sources: Sources::new(sources.map(Arc::from)),
            sums: Mutex::new(sums),
            tail: Tail::new(),
        }
    }

    /// A batch is on disk. `summaries` are those of its events in their order, and `repeated` says which of
    /// them had been there before, in ascending order.
    pub fn stored(&self, source: &str, received_at: i64, summaries: &[Summary], repeated: &[u32]) {
        let count = summaries.len().saturating_sub(repeated.len());
        if count == 0 {
            return;
        }
        let fresh = || fresh(summaries, repeated);
        let mut counts = Counts::default();
        fresh().for_each(|event| counts.add(event.kind, event.outcome));
        counted::count(&self.metrics, &counts);
        counted::measure(&self.metrics, source, received_at, fresh());
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        sums.minutes.add(received_at, &counts);
        for event in fresh() {
            sums.flows.add(event, received_at);
            sums.connectors.add(event, received_at);
            sums.drift.add(event, received_at);
        }
        for (kind, events) in counted::deprecated(&counts) {
            sums.drift.add_deprecated(kind, events, received_at);
        }
        drop(sums);
        self.tail.push(source, received_at, fresh(), count);
    }

    /// A source's request was answered with 200.
    pub fn acknowledged(&self, source: &str, now: i64) {
        self.sources.acknowledged(source, now);
    }

    /// A source's request had valid credentials and was not answered with 200, so it will be repeated.
    pub fn refused(&self, source: &str, now: i64) {
        self.sources.refused(source, now);
    }

    /// What is seen now.
    pub fn observed(&self, now: i64) -> Observed {
        let sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        Observed {
            since: self.started,
            now,
            minutes: sums.minutes.last_day(now),
            flows: sums.flows.lines(),
            connectors: sums.connectors.lines(),
            sources: self.sources(now),
        }
    }

    /// How each source is doing.
    pub fn sources(&self, now: i64) -> Vec<SourceLine> {
        self.sources.lines(self.started, now)
    }

    /// Goes on with the drift that was known before, but for what has not been seen for long.
    pub fn remember(&self, known: Drifted, now: i64) {
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        sums.drift_since = known.since;
        sums.drift.remember(known.drift, known.other, now);
    }

    /// How what is sent differs from what is documented.
    pub fn drifted(&self) -> Drifted {
        let sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        Drifted { since: sums.drift_since, drift: sums.drift.lines(), other: sums.drift.others() }
    }

    /// One who looks on, from the oldest event that is there; `None` if too many do.
    pub fn watch(&self) -> Option<Watcher> {
        self.tail.watch()
    }

    /// What came after what the watcher has read.
    pub fn read(&self, watcher: &mut Watcher) -> News {
        self.tail.read(watcher)
    }
}

/// The events that are not among the repeated.
fn fresh<'a>(summaries: &'a [Summary], repeated: &'a [u32]) -> impl Iterator<Item = &'a Summary> {
    let mut repeated = repeated.iter().peekable();
    summaries
        .iter()
        .zip(0_u32..)
        .filter(move |(_, index)| repeated.next_if_eq(&index).is_none())
        .map(|(summary, _)| summary)
}

#[cfg(test)]
mod tests;

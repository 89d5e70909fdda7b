//! What the service sees of the events that it accepts, in memory and since it started.
//!
//! | file | what |
//! | --- | --- |
//! | [`kind`] | the types that are told apart |
//! | [`summaries`], [`interner`] | what is kept of a batch until it is known to be stored |
//! | [`aggregate`] | what of it is new, added up |
//! | [`minutes`] | events by minute, type and outcome, for a day |
//! | [`file`](mod@file) | drift, from one start to the next |
//! | [`flows`] | starts, outcomes and errors of each flow |
//! | [`connectors`] | errors by connector and capability |
//! | [`drift`], [`shape`] | what differs from what PingOne documents |
//! | [`sources`], [`source_file`] | time of each source's last request, and since when it is blocked |
//! | [`tail`] | the last events themselves |
//! | [`event_metrics`] | the same as metrics |
//! | [`table`] | bounded tables |
//!
//! Counted is what a batch added to the spool: repetitions are not, nor what went to quarantine, nor what a
//! retry takes out of it later. Whatever a sender can vary has its bound; what is beyond it is added up.
//! Everything is made of the bytes that are stored, so what `[redact]` takes is nowhere in it.

mod aggregate;
mod connectors;
mod drift;
mod event_metrics;
pub mod file;
mod flows;
mod interner;
mod kind;
mod minutes;
mod shape;
mod source_file;
mod sources;
mod summaries;
mod table;
mod tail;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

pub use connectors::ConnectorLine;
pub use drift::DriftLine;
pub use flows::FlowLine;
pub use kind::Kind;
pub use minutes::{Count, Minute};
pub use shape::Shape;
pub use sources::SourceLine;
pub use summaries::Summaries;
pub use tail::{Kept, News, Seen, Watcher};

use aggregate::{Added, FindingTotal, OfFlow};
use connectors::Connectors;
use drift::Drift;
use flows::Flows;
use minutes::Minutes;
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
        event_metrics::prepare(&metrics);
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

    /// A batch is on disk. `repeated` says which of its events had been there before, in ascending order.
    pub fn stored(&self, source: &str, received_at: i64, batch: &Summaries, repeated: &[u32]) {
        let count = batch.notes.len().saturating_sub(repeated.len());
        if count == 0 {
            return;
        }
        let notes = || aggregate::notes(batch, repeated).map(|(_, note)| note);
        let added = aggregate::add(batch, repeated);
        event_metrics::count(&self.metrics, &added.counts);
        event_metrics::measure(&self.metrics, source, received_at, notes());
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        sums.add(batch, &added, received_at);
        drop(sums);
        self.tail.push(source, received_at, notes(), count);
    }

    /// A source's request was answered with 200.
    pub fn acknowledged(&self, source: &str, now: i64) {
        self.sources.acknowledged(source, now);
    }

    /// A source's request had valid credentials and was not answered with 200, so it will be repeated.
    pub fn refused(&self, source: &str, now: i64) {
        self.sources.refused(source, now);
    }

    /// Continues with the times of the sources that the last process kept in `directory`, and keeps them there.
    pub fn restore_sources(&self, directory: &Path, now: i64) {
        self.sources.restore(directory, now);
    }

    /// Writes the times of the sources to disk, where they are kept there.
    pub fn save_sources(&self) {
        self.sources.save();
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

impl Sums {
    fn add(&mut self, batch: &Summaries, added: &Added, now: i64) {
        self.minutes.add(now, &added.counts);
        for &OfFlow { kind, number, count, .. } in &added.flows {
            let [id, name, first, second] = batch.flows.texts(number);
            self.flows.add(kind, [id, name, first], count, now);
            if kind == Kind::SendErrorResponse {
                self.connectors.add(first, second, count, now);
            }
        }
        for &FindingTotal { kind, number, count, first } in &added.findings {
            let [action, path, ..] = batch.oddities.texts(number);
            let bytes = batch.notes.get(first).map_or(&b""[..], |note| &note.bytes);
            self.drift.add((action, kind, path), bytes, count, now);
        }
        self.drift.add_others(added.others);
        for (kind, events) in event_metrics::deprecated(&added.counts) {
            self.drift.add_deprecated(kind, events, now);
        }
    }
}

#[cfg(test)]
mod tests;

//! Statistics of accepted events, in memory and since the start.
//!
//! | file | content |
//! | --- | --- |
//! | [`kind`] | event types that statistics distinguish |
//! | [`summaries`], [`interner`] | summaries of a batch until it is stored |
//! | [`aggregate`] | totals of the new events of a batch |
//! | [`minutes`] | events by minute, type and outcome, for a day |
//! | [`file`](mod@file) | persistence of schema drift |
//! | [`flows`] | starts, outcomes and errors of each flow |
//! | [`connectors`] | errors by connector and capability |
//! | [`drift`], [`shape`] | differences from PingOne's documentation |
//! | [`sources`], [`source_file`] | last request and blocked time of each source |
//! | [`tail`] | ring of the last events |
//! | [`event_metrics`] | metrics of events |
//! | [`table`] | bounded tables |
//!
//! Counts cover the events that a batch added to the spool, without duplicates, quarantined elements and events
//! released from quarantine later. Every value that a sender controls is bounded; the rest is summed up. Statistics
//! are computed from the stored bytes, after `[redact]`.

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
pub use shape::ValueShape;
pub use sources::SourceLine;
pub use summaries::Summaries;
pub use tail::{ShownEvent, TailEvent, TailReader, TailUpdate};

use aggregate::{BatchTotals, FindingTotal, FlowTotal};
use connectors::Connectors;
use drift::Drift;
use flows::Flows;
use minutes::Minutes;
use sources::Sources;
use tail::EventTail;

use crate::metrics::SharedMetrics;

/// Statistics of accepted events.
#[derive(Debug)]
pub struct Observer {
    started: i64,
    metrics: SharedMetrics,
    sources: Sources,
    sums: Mutex<Sums>,
    tail: EventTail,
}

#[derive(Debug)]
struct Sums {
    minutes: Minutes,
    flows: Flows,
    connectors: Connectors,
    drift: Drift,
    /// Start of counting drift, maybe in an earlier process.
    drift_since: i64,
}

/// Statistics without drift and events. Times are in ms since the Unix epoch.
#[derive(Debug, Clone, Serialize)]
pub struct Observed {
    /// Start of counting.
    pub since: i64,
    /// Time of this document.
    pub now: i64,
    /// Minutes of the last day with events, in order.
    pub minutes: Vec<Minute>,
    /// Flows, those with the most starts first.
    pub flows: Vec<FlowLine>,
    /// Connectors, those with the most errors first.
    pub connectors: Vec<ConnectorLine>,
    /// The configured sources.
    pub sources: Vec<SourceLine>,
}

/// Schema drift.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriftReport {
    /// Start of counting, in ms since the Unix epoch.
    pub since: i64,
    /// Every difference, the newest first.
    pub drift: Vec<DriftLine>,
    /// Number of findings beyond the bound of rows.
    pub other: u64,
}

impl Observer {
    /// Creates empty statistics of `sources`. `now` is in ms since the Unix epoch.
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
            tail: EventTail::new(),
        }
    }

    /// Counts a stored batch. `repeated` lists the indexes of its duplicates, in ascending order.
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

    /// Notes that a request of a source was answered with 200.
    pub fn acknowledged(&self, source: &str, now: i64) {
        self.sources.acknowledged(source, now);
    }

    /// Notes that a request with valid credentials was not answered with 200; PingOne will retry it.
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

    /// Returns the statistics at `now`.
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

    /// Returns the state of each source at `now`.
    pub fn sources(&self, now: i64) -> Vec<SourceLine> {
        self.sources.lines(self.started, now)
    }

    /// Restores the drift of the previous process, without rows that have expired.
    pub fn remember(&self, known: DriftReport, now: i64) {
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        sums.drift_since = known.since;
        sums.drift.remember(known.drift, known.other, now);
    }

    /// Returns the schema drift.
    pub fn drifted(&self) -> DriftReport {
        let sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        DriftReport {
            since: sums.drift_since,
            drift: sums.drift.lines(),
            other: sums.drift.others(),
        }
    }

    /// Registers a reader that starts at the oldest event in the ring; `None` if there are too many.
    pub fn watch(&self) -> Option<TailReader> {
        self.tail.watch()
    }

    /// Returns the events that the reader has not read yet.
    pub fn read(&self, watcher: &mut TailReader) -> TailUpdate {
        self.tail.read(watcher)
    }
}

impl Sums {
    fn add(&mut self, batch: &Summaries, added: &BatchTotals, now: i64) {
        self.minutes.add(now, &added.counts);
        for &FlowTotal { kind, number, count, .. } in &added.flows {
            let [id, name, first, second] = batch.flows.texts(number);
            self.flows.add(kind, [id, name, first], count, now);
            if kind == Kind::SendErrorResponse {
                self.connectors.add(first, second, count, now);
            }
        }
        for &FindingTotal { kind, number, count, first } in &added.findings {
            let [action, path, ..] = batch.finding_texts.texts(number);
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

//! Statistics of flows by version, from summaries, in hours of receipt. In memory, since the start of the service.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::document::{duration, outcome};
use super::steps::{self, ERROR};
use super::table::{EndReason, EndedInteraction};
use crate::event::Outcome;
use crate::spool::Millis;

const HOUR: Millis = 3_600_000;

/// Number of hours that are kept.
const MAX_HOURS: Millis = 48;

/// Maximum number of flows and versions per hour; a row with empty names sums up the rest.
const MAX_FLOWS: usize = 256;

/// Maximum number of distinct outcomes, and of failing steps, per row and hour.
const MAX_OUTCOMES: usize = 16;
const MAX_FAILING_STEPS: usize = 16;

/// Name that sums up the outcomes or steps beyond the maximum.
const OTHERS: &str = "other";

/// Number of buckets of durations per doubling: the error of a percentile is at most 9 %.
const BUCKETS_PER_DOUBLING: f64 = 4.0;

/// Statistics of flows.
#[derive(Debug)]
pub struct FlowAnalytics {
    started: Millis,
    hours: Mutex<VecDeque<FlowHour>>,
}

/// Statistics of flows since a time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FlowReport {
    /// Start of the first hour that is counted, in ms since the Unix epoch; not before the start of the service.
    pub since: Millis,
    /// True if summaries are made.
    pub enabled: bool,
    /// Flows by version, those with the most interactions first.
    pub flows: Vec<FlowStatistics>,
}

/// Statistics of one version of a flow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FlowStatistics {
    /// `flowId`; empty for the sum of all others, and for events without a flow.
    pub flow_id: String,
    /// Last `flowName`; empty if none was sent.
    pub name: String,
    /// `flowVersionId`, if known.
    pub version: Option<i64>,
    /// Number of summaries.
    pub interactions: u64,
    /// Number of summaries with a `START_INTERACTION`.
    pub starts: u64,
    /// Number of summaries by `outcomeType` and `outcomeStatus`, as `type=status`.
    pub outcomes: BTreeMap<String, u64>,
    /// Number of summaries with a successful and with a failed outcome.
    pub successes: u64,
    /// See `successes`.
    pub failures: u64,
    /// Number of starts that fell silent without an outcome and without an error; subflows do not count.
    pub abandoned: u64,
    /// Successes per success or failure, from 0 to 1.
    pub success_rate: Option<f64>,
    /// Abandoned starts per start, from 0 to 1. `None` without any outcome: the flow may report none.
    pub abandonment_rate: Option<f64>,
    /// Median of the durations in ms, of summaries with an outcome.
    pub p50_ms: Option<u64>,
    /// 95th percentile of the durations in ms, of summaries with an outcome.
    pub p95_ms: Option<u64>,
    /// Connectors that failed, those with the most errors first.
    pub failing_steps: Vec<FailingStep>,
}

/// Errors of one connector's capability in a flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailingStep {
    /// `connectorId`; `other` for the sum of all others.
    pub connector: String,
    /// Capability of the connector.
    pub capability: String,
    /// Number of errors.
    pub errors: u64,
}

/// Statistics of one hour.
#[derive(Debug)]
struct FlowHour {
    start: Millis,
    rows: HashMap<FlowKey, FlowCounts>,
}

/// Flow id and version.
type FlowKey = (Box<str>, Option<i64>);

#[derive(Debug, Default, Clone)]
struct FlowCounts {
    name: Box<str>,
    interactions: u64,
    starts: u64,
    successes: u64,
    failures: u64,
    abandoned: u64,
    outcomes: BTreeMap<Box<str>, u64>,
    /// Number of durations by bucket.
    durations: BTreeMap<u16, u64>,
    failing: BTreeMap<(Box<str>, Box<str>), u64>,
}

impl FlowAnalytics {
    /// Creates empty statistics. `now` is in ms since the Unix epoch.
    pub fn new(now: Millis) -> FlowAnalytics {
        FlowAnalytics { started: now, hours: Mutex::new(VecDeque::new()) }
    }

    /// Counts an interaction whose summary is stored.
    pub(super) fn count(&self, ended: &EndedInteraction, now: Millis) {
        let start = now.div_euclid(HOUR) * HOUR;
        let mut hours = self.hours.lock().unwrap_or_else(PoisonError::into_inner);
        // Hours of a clock that was set back are in the future now.
        let kept = oldest_hour(start)..=start + HOUR;
        hours.retain(|hour| kept.contains(&hour.start));
        if hours.back().is_none_or(|hour| hour.start < start) {
            hours.push_back(FlowHour { start, rows: HashMap::new() });
        }
        // A clock that was set back by less than an hour counts in the newest hour.
        let Some(hour) = hours.back_mut() else { return };
        let run = &ended.run;
        let id: Box<str> =
            run.flow_id.as_ref().map_or("".into(), |id| id.value.replace('-', "").into());
        let key = (id, run.version.as_ref().map(|version| version.value));
        let is_full = hour.rows.len() >= MAX_FLOWS && !hour.rows.contains_key(&key);
        let key = if is_full { ("".into(), None) } else { key };
        hour.rows.entry(key).or_default().count(ended);
    }

    /// Returns the statistics of the hours from `since` on, in ms since the Unix epoch.
    pub fn report(&self, since: Millis) -> FlowReport {
        let first = since.max(0).div_euclid(HOUR) * HOUR;
        let mut rows: BTreeMap<FlowKey, FlowCounts> = BTreeMap::new();
        let hours = self.hours.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = hours.back().map_or(self.started, |hour| oldest_hour(hour.start));
        let oldest = oldest.max(self.started);
        for hour in hours.iter().filter(|hour| hour.start >= first) {
            for (key, counts) in &hour.rows {
                rows.entry(key.clone()).or_default().merge(counts);
            }
        }
        drop(hours);
        let mut flows: Vec<FlowStatistics> =
            rows.into_iter().map(|(key, counts)| counts.statistics(key)).collect();
        flows.sort_by_key(|flow| std::cmp::Reverse(flow.interactions));
        FlowReport { since: first.max(oldest), enabled: true, flows }
    }
}

impl FlowCounts {
    fn count(&mut self, ended: &EndedInteraction) {
        let run = &ended.run;
        if let Some(name) = &run.flow_name {
            self.name.clone_from(&name.value);
        }
        self.interactions += 1;
        self.starts += u64::from(run.start_seen());
        match outcome(run) {
            Outcome::Success => self.successes += 1,
            Outcome::Failure => self.failures += 1,
            Outcome::Unknown => {}
        }
        // The outcome of a subflow is reported by its parent.
        let is_silent =
            ended.ended_by == EndReason::Timeout && run.errors() == 0 && run.parent.is_none();
        self.abandoned += u64::from(is_silent && run.start_seen());
        if let Some(outcome) = &run.outcome {
            let name = format!("{}={}", outcome.value.kind.trim(), outcome.value.status.trim());
            *bounded(
                &mut self.outcomes,
                name.to_lowercase().into(),
                OTHERS.into(),
                MAX_OUTCOMES,
            ) += 1;
            *self.durations.entry(bucket(duration(run))).or_default() += 1;
        }
        for step in steps::path(&run.steps).iter().filter(|step| step.result == ERROR) {
            let key = (step.connector_id.into(), step.capability_name.into());
            let others = (OTHERS.into(), "".into());
            *bounded(&mut self.failing, key, others, MAX_FAILING_STEPS) += 1;
        }
    }

    fn merge(&mut self, other: &FlowCounts) {
        if !other.name.is_empty() {
            self.name.clone_from(&other.name);
        }
        self.interactions += other.interactions;
        self.starts += other.starts;
        self.successes += other.successes;
        self.failures += other.failures;
        self.abandoned += other.abandoned;
        for (name, count) in &other.outcomes {
            *bounded(&mut self.outcomes, name.clone(), OTHERS.into(), MAX_OUTCOMES) += count;
        }
        for (bucket, count) in &other.durations {
            *self.durations.entry(*bucket).or_default() += count;
        }
        for (key, count) in &other.failing {
            let others = (OTHERS.into(), "".into());
            *bounded(&mut self.failing, key.clone(), others, MAX_FAILING_STEPS) += count;
        }
    }

    fn statistics(self, (flow_id, version): FlowKey) -> FlowStatistics {
        let rate = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        let mut failing_steps: Vec<FailingStep> = self
            .failing
            .into_iter()
            .map(|((connector, capability), errors)| FailingStep {
                connector: connector.into(),
                capability: capability.into(),
                errors,
            })
            .collect();
        failing_steps.sort_by_key(|step| std::cmp::Reverse(step.errors));
        let starts = if self.outcomes.is_empty() { 0 } else { self.starts };
        let outcomes = self.outcomes.into_iter().map(|(name, count)| (name.into(), count));
        FlowStatistics {
            flow_id: flow_id.into(),
            name: self.name.into(),
            version,
            interactions: self.interactions,
            starts: self.starts,
            outcomes: outcomes.collect(),
            successes: self.successes,
            failures: self.failures,
            abandoned: self.abandoned,
            success_rate: rate(self.successes, self.successes + self.failures),
            abandonment_rate: rate(self.abandoned, starts),
            p50_ms: percentile(&self.durations, 50),
            p95_ms: percentile(&self.durations, 95),
            failing_steps,
        }
    }
}

/// Returns the start of the oldest hour that is kept beside an hour.
fn oldest_hour(start: Millis) -> Millis {
    start - (MAX_HOURS - 1) * HOUR
}

/// Returns the count of a key, or that of `others` if the table is full.
fn bounded<K: Ord>(table: &mut BTreeMap<K, u64>, key: K, others: K, most: usize) -> &mut u64 {
    let is_full = table.len() >= most && !table.contains_key(&key);
    table.entry(if is_full { others } else { key }).or_default()
}

/// Returns the bucket of a duration in ms.
fn bucket(duration: Millis) -> u16 {
    let doublings = (duration.max(0) as f64 + 1.0).log2();
    (doublings * BUCKETS_PER_DOUBLING).round() as u16
}

/// Returns the duration in the middle of a bucket, in ms.
fn middle(bucket: u16) -> u64 {
    ((f64::from(bucket) / BUCKETS_PER_DOUBLING).exp2() - 1.0).round() as u64
}

/// Returns a percentile by the nearest rank; `None` without durations.
fn percentile(durations: &BTreeMap<u16, u64>, percent: u64) -> Option<u64> {
    let total: u64 = durations.values().sum();
    let rank = (total * percent).div_ceil(100);
    let mut sum = 0;
    let found = durations.iter().find(|(_, count)| {
        sum += *count;
        sum >= rank
    });
    found.map(|(bucket, _)| middle(*bucket))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_their_error() {
        let mut durations = BTreeMap::new();
        assert_eq!(percentile(&durations, 50), None);
        for duration in 1..=10_000 {
            *durations.entry(bucket(duration)).or_default() += 1;
        }
        for (percent, exact) in [(1, 100.0), (50, 5000.0), (95, 9500.0), (100, 10_000.0)] {
            let found = percentile(&durations, percent).expect("a duration") as f64;
            assert!((found / exact - 1.0).abs() <= 0.09, "{percent}: {found} for {exact}");
        }
        assert_eq!((bucket(0), middle(0)), (0, 0));
        assert_eq!(bucket(-5), 0);
        assert!(middle(bucket(i64::MAX)) > 1 << 62);
    }

    #[test]
    fn a_full_table_sums_up_the_rest() {
        let mut table = BTreeMap::new();
        for name in ["a", "b", "a", "c", "d", "b"] {
            *bounded(&mut table, name, "other", 2) += 1;
        }
        assert_eq!(table.into_iter().collect::<Vec<_>>(), [("a", 2), ("b", 2), ("other", 2)]);
    }

    fn ended(hour: Millis, version: i64, analytics: &FlowAnalytics) {
        let raw = format!(
            r#"{{"id":"1","recordedAt":"2026-01-01T00:00:00Z",
            "action":{{"type":"DAVINCI_INTERACTION.START_INTERACTION"}},"_embedded":{{
            "flowInteractionEvent":{{"interactionId":"1","flowId":"f","flowVersionId":{version}}}}}}}"#
        );
        let event = crate::decode::event(raw.as_bytes()).expect("an event").event;
        let crate::event::Event::Interaction(found) = &event else { panic!("a run") };
        let mut run = Box::new(super::super::open::OpenInteraction::new(&"s".into(), "1", 1, 0));
        run.add(1, 0, &event, found);
        analytics.count(&EndedInteraction { run, ended_by: EndReason::Timeout }, hour * HOUR + 1);
    }

    #[test]
    fn hours_are_kept_for_two_days_and_rows_are_bounded() {
        let analytics = FlowAnalytics::new(5);
        assert_eq!(analytics.report(0), FlowReport { since: 5, enabled: true, flows: Vec::new() });
        for hour in 0..50 {
            ended(hour, 1, &analytics);
        }
        let all = analytics.report(0);
        assert_eq!((all.since, all.flows[0].interactions), (2 * HOUR, 48));
        // The flow has reported no outcome, and may never report one.
        assert_eq!((all.flows[0].abandoned, all.flows[0].abandonment_rate), (48, None));
        let late = analytics.report(48 * HOUR + 17);
        assert_eq!((late.since, late.flows[0].interactions), (48 * HOUR, 2));
        assert_eq!(analytics.report(Millis::MAX).flows, []);
        // A clock that was set back by an hour counts in the newest hour.
        ended(48, 1, &analytics);
        assert_eq!(analytics.report(49 * HOUR).flows[0].interactions, 2);
        for version in 0..1000 {
            ended(49, version, &analytics);
        }
        let bounded = analytics.report(49 * HOUR).flows;
        assert_eq!(bounded.len(), MAX_FLOWS + 1);
        assert_eq!(bounded.iter().map(|flow| flow.interactions).sum::<u64>(), 1002);
        assert_eq!((&*bounded[0].flow_id, bounded[0].interactions), ("", 1000 - MAX_FLOWS as u64));
        // After a clock that was far ahead, and after a long silence, other hours are forgotten.
        ended(9_000, 1, &analytics);
        ended(50, 1, &analytics);
        let report = analytics.report(0);
        assert_eq!((report.since, report.flows[0].interactions), (3 * HOUR, 1));
    }
}

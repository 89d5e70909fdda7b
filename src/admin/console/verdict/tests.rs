use std::sync::Arc;

use super::super::bins::ChartRange;
use super::super::view::{SinkView, StoredView, View};
use super::*;
use crate::admin::StatsError;
use crate::admin::quarantine::Groups;
use crate::admin::rates::Flow;
use crate::deliver::SinkTarget;
use crate::observe::{DriftReport, Observed, SourceLine};
use crate::spool::SpoolStats;

const NOW: i64 = 1_700_000_000_000;
const HOUR: i64 = 3_600_000;

fn source() -> SourceLine {
    SourceLine {
        source: "pingone".to_owned(),
        last_heard: Some(NOW - 5000),
        last_acknowledged: Some(NOW - 5000),
        blocked_since: None,
        loses_events_at: None,
        refusals: 0,
        silent_millis: 5000,
    }
}

fn sink(name: &str) -> SinkView {
    SinkView {
        name: name.into(),
        state: SinkState::Running,
        is_paused_by_operator: false,
        target: SinkTarget::default(),
        lag: Some(0),
        waiting_since: None,
        next_attempt_at: None,
        last_error: None,
        dead_letters: 0,
    }
}

fn view() -> View {
    let observed = Observed {
        since: NOW - HOUR,
        now: NOW,
        minutes: Vec::new(),
        flows: Vec::new(),
        connectors: Vec::new(),
        sources: vec![source()],
    };
    View {
        now: NOW,
        range: ChartRange::Hour,
        unready: None,
        is_damaged: false,
        is_quarantine_full: false,
        is_shared: false,
        offers_operations: true,
        stored: Ok(StoredView {
            stats: SpoolStats::default(),
            groups: Arc::new(Groups::default()),
        }),
        sinks: vec![sink("siem")],
        flow: Flow::default(),
        observed,
        runs: None,
        drifted: DriftReport { since: NOW, drift: Vec::new(), other: 0 },
    }
}

/// Checks the first finding.
#[track_caller]
fn says(view: &View, level: Level, words: &str) {
    let findings = verdict(view);
    let first = &findings[0];
    assert_eq!((first.level, first.sentence.contains(words)), (level, true), "{findings:?}");
}

/// Checks a finding and its link.
#[track_caller]
fn links(view: &View, words: &str, address: Option<&str>) {
    let findings = verdict(view);
    let found = findings.iter().find(|finding| finding.sentence.contains(words));
    let found = found.unwrap_or_else(|| panic!("{words}: {findings:?}"));
    assert_eq!(found.link.as_ref().map(|(address, _)| &**address), address);
}

#[test]
fn the_most_severe_finding_comes_first() {
    let mut view = view();
    says(&view, Level::Good, "last request from PingOne 5 s ago, 1 sink up to date");
    view.sinks[0].lag = Some(1200);
    says(&view, Level::Good, "the slowest sink is 1,200 events behind");
    view.observed.sources[0].silent_millis = HOUR;
    says(&view, Level::Warning, "pingone has been silent for 1 h");
    view.sinks[0].state = SinkState::Retrying { attempts: 2, reason: "busy".to_owned() };
    says(&view, Level::Warning, "Sink siem is retrying: busy");
    view.sinks[0].dead_letters = 73;
    says(&view, Level::Warning, "sink siem refuses events: 73 dead letters in quarantine. Check");
    view.stored = Err(StatsError::Timeout);
    says(&view, Level::Warning, "The spool cannot be read: no answer within 3 s.");
    view.is_damaged = true;
    says(&view, Level::Warning, "corrupt");
    view.is_quarantine_full = true;
    says(&view, Level::Warning, "quarantine is full");
    view.sinks[0].state = SinkState::Paused { reason: "token".to_owned() };
    says(&view, Level::Warning, "Sink siem is paused: token");
    view.observed.sources[0].blocked_since = Some(NOW - HOUR);
    view.observed.sources[0].loses_events_at = Some(NOW + 167 * HOUR);
    says(&view, Level::Bad, "blocked for 1 h. PingOne will lose events in 6 d 23 h.");
    view.unready = Some("the spool is full".to_owned());
    says(&view, Level::Bad, "the spool is full. PingOne will lose events in 6 d 23 h");
    assert_eq!(verdict(&view).len(), 8, "nothing is left out: {:?}", verdict(&view));
}

#[test]
fn each_problem_is_named_with_a_link_to_its_row() {
    let mut view = view();
    view.sinks.extend([sink("lake"), sink("archive")]);
    view.sinks[0].dead_letters = 2;
    view.sinks[1].dead_letters = 5;
    view.sinks[1].state = SinkState::Retrying { attempts: 1, reason: "busy".to_owned() };
    view.sinks[2].state = SinkState::Paused { reason: "x".to_owned() };
    view.sinks[2].is_paused_by_operator = true;
    links(&view, "Sink lake is retrying", Some("#sink-lake"));
    links(&view, "Sink archive is paused by an operator.", Some("#sink-archive"));
    links(&view, "sink siem refuses events: 2 dead letters", Some("#quarantine-title"));
    links(&view, "sink lake refuses events: 5 dead letters", Some("#quarantine-title"));
    let levels: Vec<Level> = verdict(&view).iter().map(|finding| finding.level).collect();
    assert_eq!(levels, [Level::Warning; 4], "amber while a target refuses events");
    view.observed.sources[0].blocked_since = Some(NOW - HOUR);
    links(&view, "Source pingone has been blocked", Some("#source-pingone"));
    assert_eq!(verdict(&view)[0].level, Level::Bad);
}

#[test]
fn of_several_sources_the_most_affected_is_first() {
    let mut view = view();
    let mut other = source();
    other.source = "customers".to_owned();
    other.silent_millis = 3 * HOUR;
    other.last_heard = None;
    view.observed.sources.push(other);
    says(&view, Level::Warning, "customers has been silent for 3 h");
    view.is_shared = true;
    says(&view, Level::Good, "Events flow");
    for (index, days) in [(0, 1), (1, 8)] {
        let since = NOW - days * 24 * HOUR;
        view.observed.sources[index].blocked_since = Some(since);
        view.observed.sources[index].loses_events_at = Some(since + 7 * 24 * HOUR);
    }
    says(&view, Level::Bad, "customers has been blocked for 8 d by this receiver; another");
    says(&view, Level::Bad, "PingOne has been losing events for 1 d.");
    view.unready = Some("the disk".to_owned());
    says(&view, Level::Bad, "the disk. PingOne has been losing events for 1 d.");
    assert_eq!(verdict(&view).len(), 3);
}

#[test]
fn before_the_first_request_it_waits() {
    let mut view = view();
    view.observed.sources[0].last_heard = None;
    says(&view, Level::Waiting, "No request from PingOne");
}

//! Verdict: one sentence about the state of the service, with the action it needs.

use super::words::{count, span};
use super::{MAX_COUNTED_DEAD_LETTERS, View};
use crate::deliver::SinkState;
use crate::observe::SourceLine;

/// Silence of a source after which the verdict warns, in ms; the same as in the alert.
const SILENT_AFTER_MS: i64 = 3_600_000;

/// Severity of the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Good,
    /// No request has arrived yet.
    Waiting,
    /// An operator should check.
    Warning,
    /// An operator has to act.
    Bad,
}

impl Level {
    /// Returns the CSS class of the level.
    pub(super) fn class(self) -> &'static str {
        match self {
            Level::Good => "good",
            Level::Waiting => "waiting",
            Level::Warning => "warning",
            Level::Bad => "bad",
        }
    }

    /// Returns the word that stands for the level.
    pub(super) fn word(self) -> &'static str {
        match self {
            Level::Good => "Healthy",
            Level::Waiting => "Waiting",
            Level::Warning => "Warning",
            Level::Bad => "Critical",
        }
    }
}

/// Returns the section of the page that a sentence is about.
pub(super) fn section(view: &View, sentence: &str) -> Option<&'static str> {
    refused(view).filter(|refused| refused == sentence).map(|_| "#quarantine")
}

/// Returns the most severe finding.
pub(super) fn verdict(view: &View) -> (Level, String) {
    bad(view)
        .map(|sentence| (Level::Bad, sentence))
        .or_else(|| warning(view).map(|sentence| (Level::Warning, sentence)))
        .unwrap_or_else(|| good(view))
}

fn bad(view: &View) -> Option<String> {
    let sources = &view.observed.sources;
    let blocked = sources.iter().filter(|source| source.blocked_since.is_some());
    let blocked = blocked.min_by_key(|source| source.blocked_since);
    if let Some(reason) = &view.unready {
        let loss =
            blocked.map_or_else(String::new, |blocked| format!(". {}", loss(blocked, view.now)));
        return Some(format!("No events are accepted: {reason}{loss}."));
    }
    let blocked = blocked?;
    let since = span(view.now - blocked.blocked_since?);
    let elsewhere = match view.is_shared {
        true => " by this receiver; another may have accepted the batch since",
        false => "",
    };
    let loss = loss(blocked, view.now);
    Some(format!("{} has been blocked for {since}{elsewhere}. {loss}.", blocked.source))
}

/// Describes when PingOne loses events of a blocked source.
fn loss(blocked: &SourceLine, now: i64) -> String {
    match blocked.loses_events_at {
        Some(at) if at > now => format!("PingOne will lose events in {}", span(at - now)),
        Some(at) => format!("PingOne has been losing events for {}", span(now - at)),
        None => "PingOne keeps events for seven days".to_owned(),
    }
}

fn warning(view: &View) -> Option<String> {
    for sink in &view.sinks {
        if let SinkState::Paused { reason } = &sink.state {
            return Some(format!("Sink {} is paused: {reason}. Its events are kept.", sink.name));
        }
    }
    if view.is_quarantine_full {
        return Some(
            "The quarantine is full: batches with refused elements are blocked.".to_owned(),
        );
    }
    if view.is_damaged {
        return Some(
            "A page of the spool is corrupt: restart the service to repair it.".to_owned(),
        );
    }
    if let Err(error) = &view.stored {
        return Some(format!("The spool cannot be read: {error}."));
    }
    if let Some(sentence) = refused(view) {
        return Some(sentence);
    }
    for sink in &view.sinks {
        if let SinkState::Retrying { reason, .. } = &sink.state {
            return Some(format!("Sink {} is retrying: {reason}. Its events are kept.", sink.name));
        }
    }
    silent(view)
}

/// Describes the dead letters, naming the sink with the most.
fn refused(view: &View) -> Option<String> {
    let sink = view.sinks.iter().max_by_key(|sink| sink.dead_letters)?;
    let letters = Some(sink.dead_letters).filter(|letters| *letters > 0)?;
    let or_more = if letters >= MAX_COUNTED_DEAD_LETTERS as usize { " or more" } else { "" };
    let others = view.sinks.iter().filter(|sink| sink.dead_letters > 0).count() - 1;
    let others = match others {
        0 => String::new(),
        others => format!(", and so do the targets of {}", count(others as u64, "other sink")),
    };
    Some(format!(
        "The target of sink {} refuses events: {}{or_more} in quarantine{others}. Check the reasons, then \
         retry or purge the entries.",
        sink.name,
        count(letters as u64, "dead letter")
    ))
}

/// Describes the source that has been silent the longest. Before the first request, [`good`] reports that the service
/// waits. A receiver that shares its spool may be silent because another receives the requests.
fn silent(view: &View) -> Option<String> {
    if view.is_shared {
        return None;
    }
    let sources = &view.observed.sources;
    sources.iter().find(|source| source.last_heard.is_some())?;
    let silent = sources.iter().max_by_key(|source| source.silent_millis)?;
    let since = Some(silent.silent_millis).filter(|millis| *millis >= SILENT_AFTER_MS)?;
    Some(format!(
        "{} has been silent for {}. If users were active, check that PingOne's webhook is enabled, reaches \
         this service, and has the right credentials.",
        silent.source,
        span(since)
    ))
}

fn good(view: &View) -> (Level, String) {
    let heard = view.observed.sources.iter().filter_map(|source| source.last_heard).max();
    let Some(heard) = heard else {
        let sentence = "Ready. No request from PingOne since the start.";
        return (Level::Waiting, sentence.to_owned());
    };
    let behind: u64 = view.sinks.iter().filter_map(|sink| sink.lag).sum();
    let sinks = match behind {
        0 => format!("{} up to date", count(view.sinks.len() as u64, "sink")),
        _ => format!("{} not delivered yet", count(behind, "event")),
    };
    let sentence =
        format!("Events flow: last request from PingOne {} ago, {sinks}.", span(view.now - heard));
    (Level::Good, sentence)
}

#[cfg(test)]
mod tests {
    use super::super::{SinkView, StoredView, View};
    use super::*;
    use crate::admin::StatsError;
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

    fn view() -> View {
        let sink = SinkView {
            name: "siem".into(),
            state: SinkState::Running,
            lag: Some(0),
            waiting_since: None,
            last_error: None,
            dead_letters: 0,
        };
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
            unready: None,
            is_damaged: false,
            is_quarantine_full: false,
            is_shared: false,
            offers_operations: true,
            stored: Ok(StoredView { stats: SpoolStats::default(), entries: Vec::new() }),
            sinks: vec![sink],
            observed,
            runs: None,
            drifted: DriftReport { since: NOW, drift: Vec::new(), other: 0 },
        }
    }

    #[track_caller]
    fn says(view: &View, level: Level, words: &str) {
        let (found, sentence) = verdict(view);
        assert_eq!((found, sentence.contains(words)), (level, true), "{sentence}");
    }

    #[test]
    fn the_most_severe_finding_comes_first() {
        let mut view = view();
        says(&view, Level::Good, "last request from PingOne 5 s ago, 1 sink up to date");
        view.sinks[0].lag = Some(1200);
        says(&view, Level::Good, "1,200 events not delivered yet");
        view.observed.sources[0].silent_millis = HOUR;
        says(&view, Level::Warning, "pingone has been silent for 1 h");
        view.sinks[0].state = SinkState::Retrying { attempts: 2, reason: "busy".to_owned() };
        says(&view, Level::Warning, "Sink siem is retrying: busy");
        assert_eq!(section(&view, &verdict(&view).1), None);
        view.sinks[0].dead_letters = 73;
        says(
            &view,
            Level::Warning,
            "sink siem refuses events: 73 dead letters in quarantine. Check",
        );
        assert_eq!(section(&view, &verdict(&view).1), Some("#quarantine"));
        view.sinks[0].dead_letters = MAX_COUNTED_DEAD_LETTERS as usize;
        says(&view, Level::Warning, "1,000 dead letters or more in quarantine");
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
    }

    #[test]
    fn of_several_sources_the_most_affected_is_named() {
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
    }

    #[test]
    fn before_the_first_request_it_waits() {
        let mut view = view();
        view.observed.sources[0].last_heard = None;
        says(&view, Level::Waiting, "No request from PingOne");
    }
}

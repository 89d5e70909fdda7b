//! The one sentence at the top: do events flow, and if not, what has to be done?

use super::View;
use super::words::{count, span};
use crate::deliver::SinkState;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Good,
    /// Nothing has come yet.
    Waiting,
    /// Somebody should look.
    Warning,
    /// Somebody has to act.
    Bad,
}

impl Level {
    /// The class that colours it.
    pub(super) fn class(self) -> &'static str {
        match self {
            Level::Good => "good",
            Level::Waiting => "waiting",
            Level::Warning => "warning",
            Level::Bad => "bad",
        }
    }

    /// The same for whoever sees no colours.
    pub(super) fn word(self) -> &'static str {
        match self {
            Level::Good => "Healthy",
            Level::Waiting => "Waiting",
            Level::Warning => "Look at this",
            Level::Bad => "Act",
        }
    }
}

/// The worst that is true.
pub(super) fn verdict(view: &View) -> (Level, String) {
    bad(view)
        .map(|sentence| (Level::Bad, sentence))
        .or_else(|| warning(view).map(|sentence| (Level::Warning, sentence)))
        .unwrap_or_else(|| good(view))
}

fn bad(view: &View) -> Option<String> {
    let loses = view.observed.sources.iter().filter_map(|source| source.loses_events_at).min();
    if let Some(reason) = &view.unready {
        let until = loses.map_or_else(String::new, |at| {
            format!(". PingOne begins to lose events in {}", span(at - view.now))
        });
        return Some(format!("Nothing is taken: {reason}{until}."));
    }
    let held = view.observed.sources.iter().find(|source| source.held_back_since.is_some())?;
    let since = view.now - held.held_back_since?;
    let left = held.loses_events_at.map_or_else(String::new, |at| {
        format!("; in {} PingOne begins to lose events", span(at - view.now))
    });
    Some(format!("{} has been held back for {}{left}.", held.source, span(since)))
}

fn warning(view: &View) -> Option<String> {
    for sink in &view.sinks {
        if let SinkState::Paused { reason } = &sink.state {
            return Some(format!("Sink {} is paused: {reason}. Its events are kept.", sink.name));
        }
    }
    if view.stats.quarantine_full {
        return Some(
            "The quarantine is full: batches with events that would go there are held back."
                .to_owned(),
        );
    }
    if view.is_damaged {
        return Some("A page of the spool is broken: restart the service to repair it.".to_owned());
    }
    for sink in &view.sinks {
        if let SinkState::Retrying { reason, .. } = &sink.state {
            return Some(format!("Sink {} is retrying: {reason}. Its events are kept.", sink.name));
        }
    }
    None
}

fn good(view: &View) -> (Level, String) {
    let heard = view.observed.sources.iter().filter_map(|source| source.last_heard).max();
    let Some(heard) = heard else {
        let sentence = "Ready. Nothing has come from PingOne since the start.";
        return (Level::Waiting, sentence.to_owned());
    };
    let behind: u64 = view.sinks.iter().map(|sink| sink.lag).sum();
    let sinks = match behind {
        0 => format!("{} up to date", count(view.sinks.len() as u64, "sink")),
        _ => format!("{} still on their way", count(behind, "event")),
    };
    let sentence =
        format!("Events flow: PingOne was heard {} ago, {sinks}.", span(view.now - heard));
    (Level::Good, sentence)
}

#[cfg(test)]
mod tests {
    use super::super::{SinkView, View};
    use super::*;
    use crate::observe::{Drifted, Observed, SourceLine};
    use crate::spool::SpoolStats;

    const NOW: i64 = 1_700_000_000_000;
    const HOUR: i64 = 3_600_000;

    fn source() -> SourceLine {
        SourceLine {
            source: "pingone".to_owned(),
            last_heard: Some(NOW - 5000),
            last_acknowledged: Some(NOW - 5000),
            held_back_since: None,
            loses_events_at: None,
            refusals: 0,
            silent_millis: 5000,
        }
    }

    fn view() -> View {
        let sink = SinkView {
            name: "siem".into(),
            state: SinkState::Running,
            lag: 0,
            waiting_since: None,
            last_error: None,
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
            offers_operations: true,
            stats: SpoolStats::default(),
            sinks: vec![sink],
            observed,
            drifted: Drifted { since: NOW, drift: Vec::new(), other: 0 },
            entries: Vec::new(),
        }
    }

    #[track_caller]
    fn says(view: &View, level: Level, words: &str) {
        let (found, sentence) = verdict(view);
        assert_eq!((found, sentence.contains(words)), (level, true), "{sentence}");
    }

    #[test]
    fn the_worst_is_said_first() {
        let mut view = view();
        says(&view, Level::Good, "PingOne was heard 5 s ago, 1 sink up to date");
        view.sinks[0].lag = 1200;
        says(&view, Level::Good, "1,200 events still on their way");
        view.sinks[0].state = SinkState::Retrying { attempts: 2, reason: "busy".to_owned() };
        says(&view, Level::Warning, "Sink siem is retrying: busy");
        view.is_damaged = true;
        says(&view, Level::Warning, "broken");
        view.stats.quarantine_full = true;
        says(&view, Level::Warning, "quarantine is full");
        view.sinks[0].state = SinkState::Paused { reason: "token".to_owned() };
        says(&view, Level::Warning, "Sink siem is paused: token");
        view.observed.sources[0].held_back_since = Some(NOW - HOUR);
        view.observed.sources[0].loses_events_at = Some(NOW + 167 * HOUR);
        says(&view, Level::Bad, "held back for 1 h; in 6 d 23 h PingOne begins to lose events");
        view.unready = Some("the spool is full".to_owned());
        says(&view, Level::Bad, "the spool is full. PingOne begins to lose events in 6 d 23 h");
    }

    #[test]
    fn before_the_first_request_it_waits() {
        let mut view = view();
        view.observed.sources[0].last_heard = None;
        says(&view, Level::Waiting, "Nothing has come from PingOne");
    }
}

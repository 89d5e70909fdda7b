//! Verdict: everything that is wrong, the worst first, each with a link to its row.

use super::view::{SinkView, View};
use super::words::{count, number, span};
use crate::deliver::SinkState;
use crate::observe::SourceLine;

/// Silence of a source after which the verdict warns, in ms; the same as in the alert.
const SILENT_AFTER_MS: i64 = 3_600_000;

/// Severity of a finding, in ascending order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Good,
    /// No request has arrived yet.
    Waiting,
    /// An operator should check.
    Warning,
    /// An operator has to act.
    Bad,
}

/// One sentence of the verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) level: Level,
    pub(super) sentence: String,
    /// Address of the row, and text of the link.
    pub(super) link: Option<(String, String)>,
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

impl Finding {
    fn new(level: Level, sentence: String, link: Option<(String, String)>) -> Finding {
        Finding { level, sentence, link }
    }

    fn to_sink(sentence: String, sink: &SinkView) -> Finding {
        let link = (format!("#sink-{}", sink.name), format!("Go to sink {}", sink.name));
        Finding::new(Level::Warning, sentence, Some(link))
    }

    fn to_section(sentence: String, section: &str) -> Finding {
        let link = (format!("#{section}-title"), format!("Go to the {section}"));
        Finding::new(Level::Warning, sentence, Some(link))
    }
}

fn to_source(source: &SourceLine) -> Option<(String, String)> {
    Some((format!("#source-{}", source.source), format!("Go to source {}", source.source)))
}

/// Returns all findings, the worst first; at least one.
pub(super) fn verdict(view: &View) -> Vec<Finding> {
    let mut findings = bad(view);
    findings.extend(warnings(view));
    if findings.is_empty() {
        findings.push(good(view));
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    findings
}

fn bad(view: &View) -> Vec<Finding> {
    let sources = view.observed.sources.iter();
    let mut blocked: Vec<&SourceLine> =
        sources.filter(|source| source.blocked_since.is_some()).collect();
    blocked.sort_by_key(|source| source.blocked_since);
    let mut findings = Vec::new();
    if let Some(reason) = &view.unready {
        let loss = blocked.first().map(|blocked| format!(". {}", loss(blocked, view.now)));
        let sentence = format!("No events are accepted: {reason}{}.", loss.unwrap_or_default());
        let link = ("#sinks-title".to_owned(), "Go to the sinks".to_owned());
        findings.push(Finding::new(Level::Bad, sentence, Some(link)));
    }
    let elsewhere = match view.is_shared {
        true => " by this receiver; another may have accepted the batch since",
        false => "",
    };
    for source in blocked {
        let since = span(view.now - source.blocked_since.unwrap_or(view.now));
        let loss = loss(source, view.now);
        let sentence =
            format!("Source {} has been blocked for {since}{elsewhere}. {loss}.", source.source);
        findings.push(Finding::new(Level::Bad, sentence, to_source(source)));
    }
    findings
}

/// Describes when PingOne loses events of a blocked source.
fn loss(blocked: &SourceLine, now: i64) -> String {
    match blocked.loses_events_at {
        Some(at) if at > now => format!("PingOne will lose events in {}", span(at - now)),
        Some(at) => format!("PingOne has been losing events for {}", span(now - at)),
        None => "PingOne keeps events for seven days".to_owned(),
    }
}

fn warnings(view: &View) -> Vec<Finding> {
    let mut findings = Vec::new();
    for sink in &view.sinks {
        if let SinkState::Paused { reason } = &sink.state {
            let by = if sink.is_paused_by_operator { "by an operator" } else { reason };
            let colon = if sink.is_paused_by_operator { " " } else { ": " };
            let sentence = format!("Sink {} is paused{colon}{by}. Its events are kept.", sink.name);
            findings.push(Finding::to_sink(sentence, sink));
        }
    }
    if view.is_quarantine_full {
        let sentence = "The quarantine is full: batches with refused elements are blocked.";
        findings.push(Finding::to_section(sentence.to_owned(), "quarantine"));
    }
    if view.is_damaged {
        let sentence = "A page of the spool is corrupt: restart the service to repair it.";
        findings.push(Finding::new(Level::Warning, sentence.to_owned(), None));
    }
    if let Err(error) = &view.stored {
        let sentence = format!("The spool cannot be read: {error}.");
        findings.push(Finding::new(Level::Warning, sentence, None));
    }
    let mut refusing: Vec<&SinkView> =
        view.sinks.iter().filter(|sink| sink.dead_letters > 0).collect();
    refusing.sort_by_key(|sink| std::cmp::Reverse(sink.dead_letters));
    findings.extend(refusing.into_iter().map(|sink| refused(sink, view)));
    for sink in &view.sinks {
        if let SinkState::Retrying { reason, .. } = &sink.state {
            let sentence =
                format!("Sink {} is retrying: {reason}. Its events are kept.", sink.name);
            findings.push(Finding::to_sink(sentence, sink));
        }
    }
    findings.extend(silent(view));
    findings
}

fn refused(sink: &SinkView, view: &View) -> Finding {
    let is_partial =
        view.stored.as_ref().is_ok_and(|stored| stored.groups.counted < stored.stats.quarantined);
    let or_more = if is_partial { " or more" } else { "" };
    let sentence = format!(
        "The target of sink {} refuses events: {}{or_more} in quarantine. Check the reasons, then retry or purge \
         the entries.",
        sink.name,
        count(sink.dead_letters, "dead letter")
    );
    Finding::to_section(sentence, "quarantine")
}

/// Describes silent sources. Before the first request, [`good`] reports that the service waits. A receiver that shares
/// its spool may be silent because another receives the requests.
fn silent(view: &View) -> Vec<Finding> {
    let sources = &view.observed.sources;
    if view.is_shared || sources.iter().all(|source| source.last_heard.is_none()) {
        return Vec::new();
    }
    let mut silent: Vec<&SourceLine> =
        sources.iter().filter(|source| source.silent_millis >= SILENT_AFTER_MS).collect();
    silent.sort_by_key(|source| std::cmp::Reverse(source.silent_millis));
    let finding = |source: &SourceLine| {
        let sentence = format!(
            "Source {} has been silent for {}. If users were active, check that PingOne's webhook is enabled, \
             reaches this service, and has the right credentials.",
            source.source,
            span(source.silent_millis)
        );
        Finding::new(Level::Warning, sentence, to_source(source))
    };
    silent.into_iter().map(finding).collect()
}

fn good(view: &View) -> Finding {
    let heard = view.observed.sources.iter().filter_map(|source| source.last_heard).max();
    let Some(heard) = heard else {
        let sentence = "Ready. No request from PingOne since the start.";
        return Finding::new(Level::Waiting, sentence.to_owned(), None);
    };
    let behind = view.sinks.iter().filter_map(|sink| sink.lag).max().unwrap_or(0);
    let sinks = match behind {
        0 => format!("{} up to date", count(view.sinks.len() as u64, "sink")),
        _ => format!("the slowest sink is {} events behind", number(behind)),
    };
    let sentence =
        format!("Events flow: last request from PingOne {} ago, {sinks}.", span(view.now - heard));
    Finding::new(Level::Good, sentence, None)
}

#[cfg(test)]
mod tests;

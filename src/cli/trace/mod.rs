//! `trace`: result of one event. Reads the spool offline, also while the service runs.

mod fate;
mod matching;
mod recorded;
mod report;
mod stored_copy;

use chrono::{DateTime, Utc};
use clap::Args;
use indicatif::ProgressBar;
use serde_json::Value;

use super::output::{json, progress};
use super::{CommandFailure, output};
use crate::config::Config;
use crate::decode;
use crate::spool::inspect::{self, Inspection};
use crate::spool::{DedupKey, Query};
use fate::TracedDeadLetter;
use matching::{IdMatcher, Match};
use report::{Location, QuarantineMatch, RememberedId, TraceReport};
use stored_copy::StoredCopy;

/// Maximum number of listed copies and of listed entries; the rest is counted.
const MAX_LISTED: usize = 100;

/// Entries per query.
const PAGE_ENTRIES: u32 = 1000;

#[derive(Debug, Args)]
pub(super) struct TraceArguments {
    /// Id of the event
    #[arg(value_name = "EVENT_ID")]
    id: String,
    /// `recordedAt` of the event; with it, trace checks if the id of an event that is no longer stored is
    /// remembered, which proves that the event was accepted
    #[arg(long, value_name = "TIME", value_parser = recorded_at)]
    recorded_at: Option<DateTime<Utc>>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn recorded_at(text: &str) -> Result<DateTime<Utc>, String> {
    DateTime::parse_from_rfc3339(text)
        .map(|time| time.to_utc())
        .map_err(|_| "give the time as in the event, such as 2026-03-01T12:00:00.123Z".to_owned())
}

/// Searches the event for the console. Returns the report as JSON, with a `text` for people per sink.
pub(super) fn for_console(id: &str, config: &Config) -> Result<Value, String> {
    let arguments = TraceArguments { id: id.to_owned(), recorded_at: None, json: true };
    let spool = inspect::open(&config.spool).map_err(|error| error.to_string())?;
    // The service's standard error belongs to the log.
    let bars = [ProgressBar::hidden(), ProgressBar::hidden()];
    let report = trace(&spool, &arguments, config, bars).map_err(|failure| {
        failure.message().unwrap_or_else(|| "the search has failed".to_owned())
    })?;
    let mut document = serde_json::to_value(&report).map_err(|error| error.to_string())?;
    for (index, location) in report.stored.iter().enumerate() {
        for (sink, fate) in location.sinks.iter().enumerate() {
            document["stored"][index]["sinks"][sink]["text"] = fate.describe().into();
        }
    }
    Ok(document)
}

/// Prints the report. Returns `Err` if there is no trace of the event.
pub(super) fn run(arguments: &TraceArguments, config: &Config) -> Result<(), CommandFailure> {
    let spool = inspect::open(&config.spool)?;
    let bars = [progress(0, "events"), progress(0, "entries")];
    let report = trace(&spool, arguments, config, bars)?;
    if arguments.json {
        json(&report)?;
    } else {
        report.print(config.spool.retention)?;
    }
    if report.has_trace() {
        return Ok(());
    }
    Err(CommandFailure::Answered(format!("no trace of event {}", output::safe(&arguments.id))))
}

fn trace(
    spool: &Inspection,
    arguments: &TraceArguments,
    config: &Config,
    [bar, entries]: [ProgressBar; 2],
) -> Result<TraceReport, CommandFailure> {
    let matcher = IdMatcher::new(&arguments.id);
    let (mut copies, mut unlisted, mut events) = (Vec::new(), 0_u64, 0_u64);
    let unread = spool.each_event(
        |stored| {
            events += 1;
            match StoredCopy::of(stored, &matcher, config) {
                Some(_) if copies.len() == MAX_LISTED => unlisted += 1,
                Some(found) => copies.push(found),
                None => {}
            }
        },
        |done, total| {
            bar.set_length(total);
            bar.set_position(done);
        },
    )?;
    bar.finish_and_clear();
    // Read after the events: an event delivered in between shows as passed.
    let stats = spool.stats()?;
    let positions: Vec<u64> = copies.iter().map(|copy| copy.position).collect();
    let recorded = spool.dispositions(&positions)?;
    let mut report = TraceReport::new(&arguments.id, &stats, recorded.is_some());
    let recorded = recorded.unwrap_or_default();
    let dead_letters = search_quarantine(spool, &matcher, &mut report, &entries)?;
    let keys: Vec<DedupKey> =
        copies.iter().filter_map(|copy| Some(copy.recorded.as_ref()?.1)).collect();
    let queried: Vec<(&str, DedupKey)> = queried_keys(arguments, config);
    let all: Vec<DedupKey> =
        keys.iter().copied().chain(queried.iter().map(|(_, key)| *key)).collect();
    let mut remembered = spool.remembers(&all)?.into_iter();
    report.stored = copies
        .iter()
        .map(|copy| Location {
            position: copy.position,
            source: copy.source.to_string(),
            received_at: copy.received_at,
            recorded_at: copy.recorded.as_ref().map(|(text, _)| text.clone()),
            only_sink: copy.only_sink.as_deref().map(str::to_owned),
            remembered: copy.recorded.as_ref().and_then(|_| remembered.next()),
            sinks: fate::of(copy, &copies, &stats, &dead_letters, &recorded, config),
        })
        .collect();
    report.unlisted += unlisted;
    report.remembered = queried
        .into_iter()
        .zip(remembered)
        .map(|((source, _), remembered)| RememberedId { source: source.to_owned(), remembered })
        .collect();
    report.searched_events = events;
    report.unread_positions = unread;
    Ok(report)
}

/// Returns the dedup key of the event in each source, if `--recorded-at` is given.
fn queried_keys<'a>(arguments: &TraceArguments, config: &'a Config) -> Vec<(&'a str, DedupKey)> {
    let Some(time) = arguments.recorded_at else { return Vec::new() };
    let instant = (time.timestamp(), time.timestamp_subsec_nanos());
    let key = |name: &str| DedupKey::new(name, &arguments.id, instant);
    config.sources.iter().map(|source| (source.name.as_str(), key(&source.name))).collect()
}

/// Searches every quarantine entry, one at a time. Returns the dead letters that hold the event.
fn search_quarantine(
    spool: &Inspection,
    matcher: &IdMatcher<'_>,
    report: &mut TraceReport,
    bar: &ProgressBar,
) -> Result<Vec<TracedDeadLetter>, CommandFailure> {
    let (mut dead_letters, mut after) = (Vec::new(), 0);
    bar.set_length(report.quarantined);
    loop {
        let page = spool.quarantine(&Query { after, limit: PAGE_ENTRIES, ..Query::default() })?;
        let Some(last) = page.last() else { break };
        after = last.id;
        for summary in page {
            bar.inc(1);
            // An entry that was retried or purged meanwhile is absent.
            let Some(entry) = spool.entry(summary.id)? else { continue };
            report.searched_entries += 1;
            let Some(matched) = matcher.search(&entry) else {
                report.unread_entries.push(summary.id);
                continue;
            };
            let Some(matched) = matched else { continue };
            if let Some(sink) = summary.sink.as_ref().filter(|_| matched == Match::Id) {
                let typed = decode::event(&entry.bytes).ok();
                dead_letters.push(TracedDeadLetter {
                    entry: summary.id,
                    at: summary.at,
                    sink: sink.clone(),
                    key: typed
                        .map(|typed| stored_copy::key(&summary.source, typed.event.envelope())),
                });
            }
            if report.quarantine.len() < MAX_LISTED {
                report.quarantine.push(QuarantineMatch { matched, summary });
            } else {
                report.unlisted += 1;
            }
        }
    }
    bar.finish_and_clear();
    Ok(dead_letters)
}

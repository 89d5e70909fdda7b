//! `trace`: what became of one event. Reads the spool offline, also while the service runs, and says no more
//! than is recorded there.

mod fate;
mod found;
mod matching;
mod report;

use chrono::{DateTime, Utc};
use clap::Args;

use super::output::{json, progress};
use super::{Failure, output};
use crate::config::Config;
use crate::decode;
use crate::spool::inspect::{self, Inspection};
use crate::spool::{DedupKey, Query};
use fate::Letter;
use found::Found;
use matching::{Match, Wanted};
use report::{InQuarantine, Location, Remembered, Report};

/// Places and entries that are listed; the rest is counted.
const LISTED: usize = 100;

/// Entries asked for at a time.
const PAGE: u32 = 1000;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The event's id
    #[arg(value_name = "EVENT_ID")]
    id: String,
    /// When the event was recorded, as it says itself: tells whether an event that is no longer stored is
    /// remembered, which proves that it was accepted
    #[arg(long, value_name = "TIME", value_parser = moment)]
    recorded_at: Option<DateTime<Utc>>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn moment(text: &str) -> Result<DateTime<Utc>, String> {
    DateTime::parse_from_rfc3339(text)
        .map(|time| time.to_utc())
        .map_err(|_| "write it as the event does, such as 2026-03-01T12:00:00.123Z".to_owned())
}

/// Fails if nothing is found.
pub(super) fn run(arguments: &Arguments, config: &Config) -> Result<(), Failure> {
    if arguments.recorded_at.is_some() && !config.spool.engine.tells_ids() {
        return Err(Failure::Usage(
            "davinci-siem: --recorded-at needs the embedded engine: JetStream does not tell which ids it \
             remembers"
                .to_owned(),
        ));
    }
    let spool = inspect::open(&config.spool)?;
    let report = trace(&spool, arguments, config)?;
    if arguments.json {
        json(&report)?;
    } else {
        report.print(config.spool.retention, config.spool.engine.tells_ids());
    }
    if report.is_anything_found() {
        return Ok(());
    }
    Err(Failure::Failed(format!("no trace of event {}", output::safe(&arguments.id))))
}

fn trace(spool: &Inspection, arguments: &Arguments, config: &Config) -> Result<Report, Failure> {
    let wanted = Wanted::new(&arguments.id);
    let (mut copies, mut unlisted, mut events) = (Vec::new(), 0_u64, 0_u64);
    let bar = progress(0, "events");
    let unread = spool.each_event(
        |stored| {
            events += 1;
            match Found::of(stored, &wanted, config) {
                Some(_) if copies.len() == LISTED => unlisted += 1,
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
    // After the events: a sink that has passed one meanwhile is seen to have.
    let stats = spool.stats()?;
    let mut report = Report::new(&arguments.id, &stats);
    let letters = search_quarantine(spool, &wanted, &mut report)?;
    let keys: Vec<DedupKey> =
        copies.iter().filter_map(|copy| Some(copy.recorded.as_ref()?.1)).collect();
    let asked: Vec<(&str, DedupKey)> = asked(arguments, config);
    let all: Vec<DedupKey> =
        keys.iter().copied().chain(asked.iter().map(|(_, key)| *key)).collect();
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
            sinks: fate::of(copy, &copies, &stats, &letters, config),
        })
        .collect();
    report.unlisted += unlisted;
    report.remembered = asked
        .into_iter()
        .zip(remembered)
        .map(|((source, _), remembered)| Remembered { source: source.to_owned(), remembered })
        .collect();
    report.searched_events = events;
    report.unread_positions = unread;
    Ok(report)
}

/// The keys that the event has, if it was recorded at the time given, for each source.
fn asked<'a>(arguments: &Arguments, config: &'a Config) -> Vec<(&'a str, DedupKey)> {
    let Some(time) = arguments.recorded_at else { return Vec::new() };
    let instant = (time.timestamp(), time.timestamp_subsec_nanos());
    let key = |name: &str| DedupKey::new(name, &arguments.id, instant);
    config.sources.iter().map(|source| (source.name.as_str(), key(&source.name))).collect()
}

/// Reads every entry, one at a time; returns the dead letters that hold the event.
fn search_quarantine(
    spool: &Inspection,
    wanted: &Wanted<'_>,
    report: &mut Report,
) -> Result<Vec<Letter>, Failure> {
    let (mut letters, mut after) = (Vec::new(), 0);
    let bar = progress(report.quarantined, "entries");
    loop {
        let page = spool.quarantine(&Query { after, limit: PAGE, ..Query::default() })?;
        let Some(last) = page.last() else { break };
        after = last.id;
        for summary in page {
            bar.inc(1);
            // Gone meanwhile, it was retried or purged.
            let Some(entry) = spool.entry(summary.id)? else { continue };
            report.searched_entries += 1;
            let Some(matched) = wanted.look_into(&entry) else {
                report.unread_entries.push(summary.id);
                continue;
            };
            let Some(matched) = matched else { continue };
            if let Some(sink) = summary.sink.as_ref().filter(|_| matched == Match::Id) {
                let typed = decode::event(&entry.bytes).ok();
                letters.push(Letter {
                    entry: summary.id,
                    at: summary.at,
                    sink: sink.clone(),
                    key: typed.map(|typed| found::key(&summary.source, typed.event.envelope())),
                });
            }
            if report.quarantine.len() < LISTED {
                report.quarantine.push(InQuarantine { matched, summary });
            } else {
                report.unlisted += 1;
            }
        }
    }
    bar.finish_and_clear();
    Ok(letters)
}

//! `volume`: events and bytes by sink, type, flow, connector or source, and the part that a filter would save. Reads the
//! stored events offline, also while the service runs.

mod tally;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::CommandFailure;
use super::output::{count, json, progress, safe, size, table, time};
use crate::config::Config;
use crate::deliver::RoutingConfig;
use crate::settings::{self, Secrets};
use crate::spool::inspect;
use tally::{VolumeCounts, VolumeTally};

#[derive(Debug, Args)]
pub(super) struct VolumeArguments {
    /// Properties by which events are grouped
    #[arg(long, value_enum, value_delimiter = ',', default_value = "sink")]
    by: Vec<GroupBy>,
    /// Filter or sample, as in a sink's configuration, whose savings are computed:
    /// `exclude = { types = ["SEND_RESPONSE"] }`, `sample = { keep_one_in = 10 }`
    #[arg(long, value_name = "FILTER", value_parser = routing)]
    what_if: Option<RoutingConfig>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Property by which events are grouped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum GroupBy {
    /// Sink: the events that its filter lets through, in its format
    Sink,
    /// `action.type`
    Type,
    /// Name of the flow, else its id
    Flow,
    /// Connector
    Connector,
    /// Source
    Source,
}

/// Result of the command, as JSON.
#[derive(Serialize)]
struct VolumeReport {
    by: Vec<GroupBy>,
    /// Stored events.
    events: u64,
    /// Receive times of the first and the last one, in ms since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    received: Option<(i64, i64)>,
    rows: Vec<VolumeRow>,
    /// Reason why the filter of `--what-if` saves nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    finding: Option<&'static str>,
}

/// One group.
#[derive(Serialize)]
struct VolumeRow {
    /// Values of the properties, in the order of `by`.
    group: Vec<String>,
    #[serde(flatten)]
    counts: VolumeCounts,
}

const NOTHING_MATCHES: &str = "the filter of --what-if saves nothing: it leaves out none of the stored events; compare \
     its values with those of volume --by type,flow,connector,source";
const ALREADY_FILTERED: &str = "the filter of --what-if saves nothing: no sink gets the events that it leaves out; see \
     include and exclude of the sinks";

/// Parses a filter in the syntax of a sink.
fn routing(text: &str) -> Result<RoutingConfig, String> {
    let parsed = settings::read(text, None, std::iter::empty(), Secrets::None, RoutingConfig::read);
    let routing = parsed.map_err(|problems| problems.to_string().trim_end().to_owned())?;
    match routing == RoutingConfig::default() {
        true => Err("write for example 'exclude = { types = [\"SEND_RESPONSE\"] }'".to_owned()),
        false => Ok(routing),
    }
}

/// Prints events and bytes of each group, the largest first.
pub(super) fn run(arguments: &VolumeArguments, config: &Config) -> Result<(), CommandFailure> {
    let spool = inspect::open(&config.spool)?;
    let mut tally = VolumeTally::new(&arguments.by, arguments.what_if.as_ref(), config);
    let bar = progress(0, "events");
    let unread = spool.each_event(
        |stored| tally.add(&stored),
        |done, total| {
            bar.set_length(total);
            bar.set_position(done);
        },
    )?;
    bar.finish_and_clear();
    for (first, last) in unread {
        eprintln!("events {first} to {last} cannot be read; see davinci-siem spool verify");
    }
    let mut rows: Vec<VolumeRow> =
        tally.groups.into_iter().map(|(group, counts)| VolumeRow { group, counts }).collect();
    rows.sort_by(|one, other| {
        other.counts.bytes.cmp(&one.counts.bytes).then_with(|| one.group.cmp(&other.group))
    });
    let (events, received) = (tally.events, tally.received);
    let saved: u64 = rows.iter().map(|row| row.counts.saved_events).sum();
    let is_useless = arguments.what_if.is_some() && events > 0 && saved == 0;
    let finding = is_useless.then_some(match tally.matched {
        0 => NOTHING_MATCHES,
        _ => ALREADY_FILTERED,
    });
    let report = VolumeReport { by: arguments.by.clone(), events, received, rows, finding };
    if arguments.json {
        return json(&report);
    }
    print(&report, arguments.what_if.is_some())?;
    if let Some(finding) = finding {
        eprintln!("{finding}");
    }
    Ok(())
}

fn print(report: &VolumeReport, has_filter: bool) -> Result<(), CommandFailure> {
    let Some((first, last)) = report.received else {
        eprintln!("the spool holds no events; see spool.retention");
        return Ok(());
    };
    print_line!(
        "{}, received {} to {}\n",
        count(report.events, "stored event"),
        time(first),
        time(last)
    )?;
    let mut heading: Vec<String> =
        report.by.iter().map(|by| format!("{by:?}").to_uppercase()).collect();
    let numbers: &[&str] = match has_filter {
        true => &["EVENTS", "BYTES", "SAVED EVENTS", "SAVED BYTES"],
        false => &["EVENTS", "BYTES"],
    };
    heading.extend(numbers.iter().map(|&name| name.to_owned()));
    let rows: Vec<Vec<String>> = report.rows.iter().map(|row| cells(row, has_filter)).collect();
    table(&heading.iter().map(String::as_str).collect::<Vec<_>>(), &rows)
}

fn cells(row: &VolumeRow, has_filter: bool) -> Vec<String> {
    let VolumeCounts { events, bytes, saved_events, saved_bytes } = row.counts;
    let share = |part: u64, whole: u64| part.saturating_mul(100) / whole.max(1);
    let mut cells: Vec<String> = row.group.iter().map(|value| safe(value)).collect();
    cells.extend([events.to_string(), size(bytes)]);
    if has_filter {
        cells.push(format!("{saved_events} ({} %)", share(saved_events, events)));
        cells.push(format!("{} ({} %)", size(saved_bytes), share(saved_bytes, bytes)));
    }
    cells
}

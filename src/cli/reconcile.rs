//! `reconcile`: compares PingOne's own records with the events that were received.

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Args;
use indicatif::ProgressBar;

use super::admin_client::AdminClient;
use super::loader::Loader;
use super::output::{count, json, progress, safe, table, time};
use super::{CommandFailure, known, replay};
use crate::admin::fetched::FetchedResponse;
use crate::config::Config;
use crate::pingone::PingOneConfig;
use crate::reconcile::{
    self, Comparison, ListedRecord, Network, Progress, ReconcileReport, RecordCounts, TakeIn,
    TakenIn,
};
use crate::settings::Secrets;
use crate::shutdown;

/// Records of a list that are shown to people.
const MAX_SHOWN: usize = 20;

#[derive(Debug, Args)]
pub(super) struct ReconcileArguments {
    /// Start of the range, by `recordedAt`: 2026-03-01, 2026-03-01T12:00:00Z, or 6h for six hours ago
    #[arg(long, value_name = "TIME", value_parser = replay::time)]
    from: DateTime<Utc>,
    /// End of the range, by `recordedAt`; default: the latest time at which PingOne's lists are complete
    /// (`pingone.settle` ago)
    #[arg(long, value_name = "TIME", value_parser = replay::time)]
    to: Option<DateTime<Utc>>,
    /// Source to compare; default: `pingone.source`
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Have the running service take the missing audit events in and deliver them
    #[arg(long)]
    fetch: bool,
    /// File that a comparison that ends early leaves, and from which the same command continues, with the time range
    /// of the first one
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints the report. Returns `Err` if a record is missing.
pub(super) fn run(
    arguments: &ReconcileArguments,
    loader: Loader<'_>,
) -> Result<(), CommandFailure> {
    let pingone = loader.pingone()?.ok_or_else(|| {
        let message = "reconcile reads PingOne's API: write [pingone] with environment, region, client_id and \
                       client_secret_file into the configuration (docs/reconcile.md)";
        CommandFailure::Usage(format!("davinci-siem: {message}"))
    })?;
    let config = loader.config_without(Secrets::None)?;
    let (source, path) = source_of(arguments, &pingone, &config)?;
    let stored = arguments.resume.as_deref().map(reconcile::stored_range).transpose()?.flatten();
    let range = match stored {
        Some(range) => {
            eprintln!("continues the comparison of {} to {}", time(range.start), time(range.end));
            range
        }
        None => range_of(arguments, pingone.settle)?,
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let (_never, shutdown) = shutdown::channel();
    let mut network = Network::new(&pingone, runtime.handle().clone(), shutdown)?;
    let admin = arguments.fetch.then(|| AdminClient::new(&loader.admin()?)).transpose()?;
    let mut pass = |body: Vec<u8>| match &admin {
        Some(admin) => runtime.block_on(post(admin, &source, body)),
        None => Err("there is no connection to the service".to_owned()),
    };
    let take_in = arguments.fetch.then_some(&mut pass as &mut TakeIn<'_>);
    let comparison = Comparison {
        source: &source,
        path: &path,
        range,
        spool: &config.spool,
        pingone: &pingone,
        resume: arguments.resume.clone(),
    };
    let bar = progress(0, "");
    let compared =
        reconcile::compare(&comparison, &mut network, take_in, &mut |step| show(&bar, step));
    bar.finish_and_clear();
    let report = compared.map_err(|error| failure(&error.to_string(), arguments))?;
    if arguments.json {
        json(&report)?;
    } else {
        print(&report)?;
    }
    verdict(&report)
}

/// Returns name and path of the compared source.
fn source_of(
    arguments: &ReconcileArguments,
    pingone: &PingOneConfig,
    config: &Config,
) -> Result<(String, String), CommandFailure> {
    let names = config.sources.iter().map(|source| source.name.clone()).collect();
    let name = match (&arguments.source, &pingone.source) {
        (Some(name), _) => {
            known::check("--source", name, &names)?;
            name.clone()
        }
        (None, Some(name)) => name.clone(),
        // The configuration names one if there are several.
        (None, None) => names.into_iter().next().unwrap_or_default(),
    };
    let source = config.sources.iter().find(|source| source.name == name);
    let path = source.map(|source| source.path.clone()).unwrap_or_default();
    Ok((name, path))
}

/// Returns the time range in ms since the Unix epoch.
fn range_of(
    arguments: &ReconcileArguments,
    settle: Duration,
) -> Result<std::ops::Range<i64>, CommandFailure> {
    let settle = i64::try_from(settle.as_millis()).unwrap_or(i64::MAX);
    let latest = Utc::now().timestamp_millis().saturating_sub(settle);
    let from = arguments.from.timestamp_millis();
    let to = arguments.to.map_or(latest, |to| to.timestamp_millis());
    let usage = |message: String| Err(CommandFailure::Usage(format!("davinci-siem: {message}")));
    if to > latest {
        return usage(format!(
            "--to is after {}: PingOne's lists are not complete yet. Leave --to out, or lower pingone.settle",
            time(latest)
        ));
    }
    if from >= to {
        return usage(format!("--from {} is not before --to {}", time(from), time(to)));
    }
    Ok(from..to)
}

/// Has the running service store fetched events.
async fn post(admin: &AdminClient, source: &str, body: Vec<u8>) -> Result<TakenIn, String> {
    let request = admin.post(&format!("/api/sources/{source}/fetched"));
    let request = request.header(http::header::CONTENT_TYPE, "application/json").body(body);
    match admin.request::<FetchedResponse>(request).await {
        Ok(FetchedResponse { accepted, duplicates, quarantined }) => {
            Ok(TakenIn { accepted, duplicates, quarantined })
        }
        Err(failure) => {
            Err(failure.message().unwrap_or_else(|| "the connection was closed".to_owned()))
        }
    }
}

fn show(bar: &ProgressBar, step: Progress) {
    match step {
        Progress::Spool(done, total) => {
            bar.set_message("events read");
            bar.set_length(total);
            bar.set_position(done);
        }
        Progress::Records(count) => {
            bar.set_message("records of PingOne compared");
            bar.set_length(count);
            bar.set_position(count);
        }
    }
}

fn failure(message: &str, arguments: &ReconcileArguments) -> CommandFailure {
    let next = match arguments.resume.is_some() {
        true => ". Run the same command again to continue",
        false => "",
    };
    CommandFailure::Failed(format!("{}{next}", safe(message)))
}

fn print(report: &ReconcileReport) -> Result<(), CommandFailure> {
    print_line!(
        "source {}, environment {}, {} to {}",
        report.source,
        report.environment,
        time(report.from),
        time(report.to)
    )?;
    print_line!("")?;
    let mut rows = vec![row("audit events", &report.events)];
    rows.extend(report.runs.as_ref().map(|runs| row("flow runs", runs)));
    let heading = [
        "RECORDS",
        "RECEIVED",
        "QUARANTINED",
        "MISSING",
        "FETCHED",
        "ONLY HERE",
        "NOT SUBSCRIBED",
        "UNKNOWN",
    ];
    table(&heading, &rows)?;
    list("missing audit events", report.events.missing, &report.missing_events)?;
    let runs = report.runs.as_ref().map_or(0, |runs| runs.missing);
    list("missing flow runs, by flow", runs, &report.missing_runs)?;
    list(
        "audit events that PingOne does not list",
        report.events.only_here,
        &report.only_here_events,
    )?;
    if !report.not_subscribed_types.is_empty() {
        print_line!("\nnot subscribed:")?;
        for (kind, number) in &report.not_subscribed_types {
            print_line!("{}: {}", safe(kind), count(*number, "event"))?;
        }
    }
    for (number, meaning) in [
        (report.events.time_differs, "received with another recordedAt than PingOne's"),
        (
            report.events.unknown + report.runs.as_ref().map_or(0, |runs| runs.unknown),
            "not found, and so old that they may have been received and forgotten: neither received nor missing",
        ),
        (report.unreadable, "listed by PingOne without id, time or type, and not compared"),
        (report.unsearched_entries, "in quarantine as bytes that cannot be searched"),
    ] {
        if number > 0 {
            eprintln!("note: {} {meaning}", count(number, "record"));
        }
    }
    for note in &report.notes {
        eprintln!("note: {}", safe(note));
    }
    Ok(())
}

fn row(name: &str, counts: &RecordCounts) -> Vec<String> {
    let RecordCounts {
        received,
        quarantined,
        missing,
        fetched,
        only_here,
        not_subscribed,
        unknown,
        ..
    } = counts;
    let numbers = [received, quarantined, missing, fetched, only_here, not_subscribed, unknown];
    std::iter::once(name.to_owned()).chain(numbers.map(ToString::to_string)).collect()
}

fn list(name: &str, total: u64, records: &[ListedRecord]) -> Result<(), CommandFailure> {
    if records.is_empty() {
        return Ok(());
    }
    print_line!("\n{name}:")?;
    let shown = records.iter().take(MAX_SHOWN);
    let rows: Vec<Vec<String>> =
        shown.map(|record| vec![time(record.at), safe(&record.kind), safe(&record.id)]).collect();
    table(&["TIME", "TYPE", "ID"], &rows)?;
    let rest = total.saturating_sub(rows.len() as u64);
    if rest > 0 {
        print_line!("and {}; --json lists up to 10,000", count(rest, "other"))?;
    }
    Ok(())
}

/// Returns the failure that exit code 1 stands for.
fn verdict(report: &ReconcileReport) -> Result<(), CommandFailure> {
    if report.still_missing() == 0 {
        return Ok(());
    }
    let events = report.events.missing.saturating_sub(report.events.fetched);
    let runs = report.runs.as_ref().map_or(0, |runs| runs.missing);
    let advice = if events > 0 { ". --fetch takes missing events in" } else { "" };
    Err(CommandFailure::Answered(format!(
        "missing: {}, {}{advice}",
        count(events, "audit event"),
        count(runs, "flow run")
    )))
}

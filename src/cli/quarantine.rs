//! `quarantine …`: looks at refused events offline; changes go through the running service, or
//! straight to the spool when none is running.

mod change;
mod held;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::loader::Loader;
use super::output::{count, count_beside_output, json, safe, table, time};
use super::{Failure, known};
use crate::error_chain::io_message;
use crate::spool::{Entry, EntrySummary, Query, inspect};
use held::Held;

/// Entries asked for at a time.
const PAGE: u32 = 1000;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List entries, oldest first
    List {
        #[command(flatten)]
        filter: Filter,
        /// At most this many
        #[arg(long, default_value_t = 100)]
        limit: u32,
        /// Print JSON, one entry per line
        #[arg(long)]
        json: bool,
    },
    /// Show one entry: why it is here, and its exact bytes
    Show {
        /// Number of the entry
        id: i64,
        /// Print JSON, the bytes in base64
        #[arg(long)]
        json: bool,
    },
    /// Try entries again; those that are accepted now are delivered and leave the quarantine
    Retry {
        /// Numbers of the entries
        #[arg(required_unless_present = "all")]
        ids: Vec<i64>,
        /// Try every entry that the filter lets through
        #[arg(long, conflicts_with = "ids")]
        all: bool,
        #[command(flatten)]
        filter: Filter,
        /// Take this file's bytes instead of the stored ones: the corrected event
        #[arg(long, value_name = "FILE", conflicts_with = "all")]
        replace: Option<PathBuf>,
        /// Print JSON, one entry per line
        #[arg(long)]
        json: bool,
    },
    /// Write entries as JSON lines, the bytes in base64
    Export {
        #[command(flatten)]
        filter: Filter,
    },
    /// Remove entries for good
    Purge {
        /// Numbers of the entries
        #[arg(required_unless_present = "all")]
        ids: Vec<i64>,
        /// Remove every entry that the filter lets through
        #[arg(long, conflicts_with = "ids")]
        all: bool,
        #[command(flatten)]
        filter: Filter,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct Filter {
    /// Only entries with this reason
    #[arg(long)]
    reason: Option<String>,
    /// Only entries of this source
    #[arg(long)]
    source: Option<String>,
    /// Only dead letters of this sink
    #[arg(long)]
    sink: Option<String>,
}

/// An entry as JSON: the summary's members and the bytes.
#[derive(Serialize)]
struct Exported<'a> {
    #[serde(flatten)]
    summary: &'a EntrySummary,
    bytes_base64: String,
}

impl<'a> From<&'a Entry> for Exported<'a> {
    fn from(entry: &'a Entry) -> Exported<'a> {
        Exported { summary: &entry.summary, bytes_base64: STANDARD.encode(&entry.bytes) }
    }
}

/// A listed entry, and which event it holds.
#[derive(Serialize)]
struct Listed<'a> {
    #[serde(flatten)]
    summary: &'a EntrySummary,
    #[serde(flatten)]
    event: Held,
}

/// Needs no secret: what only looks needs the spool's settings, and what changes something goes through the running
/// service.
pub(super) fn run(command: Command, loader: Loader<'_>) -> Result<(), Failure> {
    let settings = loader.spool()?;
    let open = || inspect::open(&settings);
    match command {
        Command::List { filter, limit, json } => {
            let spool = open()?;
            filter.check(&spool, loader)?;
            list(&spool, &filter, limit, json)
        }
        Command::Show { id, json } => show(&open()?, id, json),
        Command::Export { filter } => {
            let spool = open()?;
            filter.check(&spool, loader)?;
            let bar = count_beside_output("entries");
            each(&spool, &filter, |summary| {
                bar.inc(1);
                json(&Exported::from(&entry(&spool, summary.id)?))
            })?;
            bar.finish_and_clear();
            Ok(())
        }
        Command::Retry { ids, all, filter, replace, json } => {
            filter.only_with(all)?;
            let spool = open()?;
            filter.check(&spool, loader)?;
            let ids = if all { matching(&spool, &filter)? } else { ids };
            let replacement = match replace {
                Some(_) if ids.len() != 1 => {
                    return Err(Failure::Usage(
                        "davinci-siem: --replace takes exactly one entry".to_owned(),
                    ));
                }
                Some(path) => Some(Bytes::from(read_file(&path)?)),
                None => None,
            };
            // Whoever only looks shares the store read-only with the rest of the process.
            drop(spool);
            change::retry(loader, &settings, &ids, replacement.as_ref(), json)
        }
        Command::Purge { ids, all, filter, json } => {
            filter.only_with(all)?;
            let spool = open()?;
            filter.check(&spool, loader)?;
            let ids = if all { matching(&spool, &filter)? } else { ids };
            if all && !ids.is_empty() && !is_confirmed(ids.len() as u64)? {
                return Err(Failure::Failed("nothing was removed".to_owned()));
            }
            drop(spool);
            change::purge(loader, &settings, &ids, json)
        }
    }
}

/// Asks on a terminal whether so many entries are to be removed for good. A script is not asked.
fn is_confirmed(entries: u64) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Ok(true);
    }
    eprint!("Remove {} for good? [y/N] ", count(entries, "entry"));
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn list(
    spool: &inspect::Inspection,
    filter: &Filter,
    limit: u32,
    as_json: bool,
) -> Result<(), Failure> {
    let found = spool.quarantine(&filter.query(0, limit))?;
    let mut rows = Vec::new();
    for summary in &found {
        let event = held(spool, summary)?;
        if as_json {
            json(&Listed { summary, event })?;
            continue;
        }
        let from = summary
            .sink
            .as_ref()
            .map_or_else(|| summary.source.clone(), |sink| format!("sink {sink}"));
        let unknown = || "-".to_owned();
        let cells = [
            from,
            event.event_id.unwrap_or_else(unknown),
            event.event_type.unwrap_or_else(unknown),
            summary.reason.clone(),
            summary.path.clone(),
            summary.detail.clone(),
        ];
        let mut row = vec![summary.id.to_string(), time(summary.at)];
        row.extend(cells.iter().map(|cell| safe(cell)));
        rows.push(row);
    }
    if !as_json {
        table(&["ID", "AT", "FROM", "EVENT", "TYPE", "REASON", "PATH", "DETAIL"], &rows);
    }
    Ok(())
}

/// Reads which event an entry holds, from its bytes.
fn held(spool: &inspect::Inspection, summary: &EntrySummary) -> Result<Held, Failure> {
    if !Held::may_be_told(summary) {
        return Ok(Held::default());
    }
    // Gone meanwhile, it was retried or purged.
    Ok(spool.entry(summary.id)?.map_or_else(Held::default, |entry| Held::of(&entry.bytes)))
}

fn show(spool: &inspect::Inspection, id: i64, as_json: bool) -> Result<(), Failure> {
    let entry = entry(spool, id)?;
    if as_json {
        return json(&Exported::from(&entry));
    }
    let EntrySummary {
        at,
        source,
        origin,
        reason,
        detail,
        path,
        index,
        request_id,
        encoding,
        sink,
        target,
        size,
        ..
    } = &entry.summary;
    println!("entry       {id}");
    println!("stored      {}", time(*at));
    println!("source      {}", safe(source));
    println!("origin      {}", origin.as_str());
    if let Some(sink) = sink {
        println!("sink        {}", safe(sink));
    }
    println!("reason      {}: {}", safe(reason), safe(detail));
    if let Some(target) = target {
        let status = target.status.map_or("none".to_owned(), |status| status.to_string());
        let code = safe(target.code.as_deref().unwrap_or("none"));
        println!("target      {} attempts, status {status}, code {code}", target.attempts);
        println!("answer      {}", safe(&target.text));
    }
    println!("path        {} (element {index})", safe(path));
    println!("request     {}", safe(request_id));
    if !encoding.is_empty() {
        println!("encoding    {}", safe(encoding));
    }
    println!("bytes       {size}\n");
    let mut out = std::io::stdout().lock();
    if out.is_terminal() {
        // A terminal would obey the control characters that a stranger sent.
        let text = String::from_utf8_lossy(&entry.bytes);
        text.lines().try_for_each(|line| writeln!(out, "{}", safe(line)))?;
        return Ok(());
    }
    // Exactly as received, for pipes and files.
    out.write_all(&entry.bytes)?;
    out.write_all(b"\n")?;
    Ok(())
}

fn entry(spool: &inspect::Inspection, id: i64) -> Result<Entry, Failure> {
    spool.entry(id)?.ok_or_else(|| Failure::Failed(format!("there is no quarantine entry {id}")))
}

fn matching(spool: &inspect::Inspection, filter: &Filter) -> Result<Vec<i64>, Failure> {
    let mut ids = Vec::new();
    each(spool, filter, |summary| {
        ids.push(summary.id);
        Ok(())
    })?;
    Ok(ids)
}

/// Calls `visit` for every entry that the filter lets through, page by page.
fn each(
    spool: &inspect::Inspection,
    filter: &Filter,
    mut visit: impl FnMut(&EntrySummary) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut after = 0;
    loop {
        let page = spool.quarantine(&filter.query(after, PAGE))?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.id;
        page.iter().try_for_each(&mut visit)?;
    }
}

impl Filter {
    /// Entries that are named are taken whatever they are: a filter would say otherwise.
    fn only_with(&self, all: bool) -> Result<(), Failure> {
        let is_set = self.reason.is_some() || self.source.is_some() || self.sink.is_some();
        if all || !is_set {
            return Ok(());
        }
        Err(Failure::Usage(
            "davinci-siem: --reason, --source and --sink go with --all, not with numbers of entries"
                .to_owned(),
        ))
    }

    /// Refuses a value that neither an entry nor the configuration nor the spool knows.
    fn check(&self, spool: &inspect::Inspection, loader: Loader<'_>) -> Result<(), Failure> {
        let is_used = |query: Query| -> Result<bool, Failure> {
            Ok(!spool.quarantine(&Query { limit: 1, ..query })?.is_empty())
        };
        if let Some(reason) = &self.reason
            && !is_used(Query { reason: Some(reason.clone()), ..Query::default() })?
        {
            known::check("--reason", reason, &known::reasons())?;
        }
        if let Some(source) = &self.source
            && !is_used(Query { source: Some(source.clone()), ..Query::default() })?
        {
            known::check("--source", source, &loader.names()?.0)?;
        }
        if let Some(sink) = &self.sink
            && !is_used(Query { sink: Some(sink.clone()), ..Query::default() })?
        {
            let mut sinks = loader.names()?.1;
            sinks.extend(spool.stats()?.sinks.into_iter().map(|sink| sink.sink));
            known::check("--sink", sink, &sinks)?;
        }
        Ok(())
    }

    fn query(&self, after: i64, limit: u32) -> Query {
        Query {
            after,
            newest_first: false,
            limit,
            reason: self.reason.clone(),
            source: self.source.clone(),
            sink: self.sink.clone(),
        }
    }
}

fn read_file(path: &std::path::Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path)
        .map_err(|error| format!("{} cannot be read: {}", path.display(), io_message(&error)))
        .map_err(Failure::Failed)
}

//! `quarantine …`: inspects entries offline; changes go through the running service, or directly to the
//! spool if no service runs.

mod change;
mod entry_event;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use bytes::Bytes;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::confirm::{Unattended, confirm};
use super::loader::Loader;
use super::output::{count, count_beside_output, json, safe, table, time};
use super::{CommandFailure, known};
use crate::admin::quarantine::ExportedEntry;
use crate::error_chain::io_message;
use crate::spool::{Entry, EntrySummary, Query, inspect};
use entry_event::EntryEvent;

/// Entries per query.
const PAGE_ENTRIES: u32 = 1000;

#[derive(Debug, Subcommand)]
pub(super) enum QuarantineCommand {
    /// List entries, oldest first
    List {
        #[command(flatten)]
        filter: EntryFilter,
        /// Maximum number of entries
        #[arg(long, default_value_t = 100)]
        limit: u32,
        /// Print JSON, one entry per line
        #[arg(long)]
        json: bool,
    },
    /// Show one entry: reason, origin and exact bytes
    Show {
        /// Number of the entry
        id: i64,
        /// Print JSON, with the bytes in base64
        #[arg(long)]
        json: bool,
    },
    /// Retry entries; accepted events are delivered and leave the quarantine
    Retry {
        /// Numbers of the entries
        #[arg(required_unless_present = "all")]
        ids: Vec<i64>,
        /// Retry every entry that matches the filter
        #[arg(long, conflicts_with = "ids")]
        all: bool,
        #[command(flatten)]
        filter: EntryFilter,
        /// Use the bytes of this file, the corrected event, instead of the stored bytes
        #[arg(long, value_name = "FILE", conflicts_with = "all")]
        replace: Option<PathBuf>,
        /// Print JSON, one entry per line
        #[arg(long)]
        json: bool,
    },
    /// Print entries as JSON lines, with the bytes in base64
    Export {
        #[command(flatten)]
        filter: EntryFilter,
    },
    /// Remove entries permanently
    Purge {
        /// Numbers of the entries
        #[arg(required_unless_present = "all")]
        ids: Vec<i64>,
        /// Remove every entry that matches the filter; asks first, and needs --yes without a terminal
        #[arg(long, conflicts_with = "ids")]
        all: bool,
        /// Remove without a question
        #[arg(short, long)]
        yes: bool,
        #[command(flatten)]
        filter: EntryFilter,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct EntryFilter {
    /// Select entries with this reason
    #[arg(long)]
    reason: Option<String>,
    /// Select entries of this source
    #[arg(long)]
    source: Option<String>,
    /// Select dead letters of this sink
    #[arg(long)]
    sink: Option<String>,
}

/// A listed entry and the event it holds.
#[derive(Serialize)]
struct ListedEntry<'a> {
    #[serde(flatten)]
    summary: &'a EntrySummary,
    #[serde(flatten)]
    event: EntryEvent,
}

/// Runs a subcommand. Needs no secret of a sink: reading needs `[spool]`, and changes go through the running
/// service.
pub(super) fn run(command: QuarantineCommand, loader: Loader<'_>) -> Result<(), CommandFailure> {
    let settings = loader.spool()?;
    let open = || inspect::open(&settings);
    match command {
        QuarantineCommand::List { filter, limit, json } => {
            let spool = open()?;
            filter.check(&spool, loader)?;
            list(&spool, &filter, limit, json)
        }
        QuarantineCommand::Show { id, json } => show(&open()?, id, json),
        QuarantineCommand::Export { filter } => {
            let spool = open()?;
            filter.check(&spool, loader)?;
            let bar = count_beside_output("entries");
            each(&spool, &filter, |summary| {
                bar.inc(1);
                json(&ExportedEntry::from(&entry(&spool, summary.id)?))
            })?;
            bar.finish_and_clear();
            Ok(())
        }
        QuarantineCommand::Retry { ids, all, filter, replace, json } => {
            filter.only_with(all)?;
            let spool = open()?;
            filter.check(&spool, loader)?;
            let ids = if all { matching_ids(&spool, &filter)? } else { ids };
            let replacement = match replace {
                Some(_) if ids.len() != 1 => {
                    return Err(CommandFailure::Usage(
                        "davinci-siem: --replace takes exactly one entry".to_owned(),
                    ));
                }
                Some(path) => Some(Bytes::from(read_file(&path)?)),
                None => None,
            };
            // Closes the read-only inspection before the spool is opened for writing.
            drop(spool);
            change::retry(loader, &settings, &ids, replacement.as_ref(), json)
        }
        QuarantineCommand::Purge { ids, all, yes, filter, json } => {
            filter.only_with(all)?;
            let spool = open()?;
            filter.check(&spool, loader)?;
            let mut ids = if all { matching_ids(&spool, &filter)? } else { ids };
            ids.sort_unstable();
            ids.dedup();
            if all && !ids.is_empty() {
                let question = format!("Remove {} permanently?", count(ids.len() as u64, "entry"));
                confirm(&question, "nothing was removed", yes, Unattended::Refuse)?;
            }
            drop(spool);
            // Another command may have removed one of all matching entries meanwhile.
            change::purge(loader, &settings, &ids, !all, json)
        }
    }
}

fn list(
    spool: &inspect::Inspection,
    filter: &EntryFilter,
    limit: u32,
    as_json: bool,
) -> Result<(), CommandFailure> {
    let found = spool.quarantine(&filter.query(0, limit))?;
    let mut rows = Vec::new();
    for summary in &found {
        let event = entry_event(spool, summary)?;
        if as_json {
            json(&ListedEntry { summary, event })?;
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
        table(&["ID", "AT", "FROM", "EVENT", "TYPE", "REASON", "PATH", "DETAIL"], &rows)?;
    }
    Ok(())
}

/// Reads id and type of the event that an entry holds.
fn entry_event(
    spool: &inspect::Inspection,
    summary: &EntrySummary,
) -> Result<EntryEvent, CommandFailure> {
    if !EntryEvent::can_be_read(summary) {
        return Ok(EntryEvent::default());
    }
    // An entry that was retried or purged meanwhile is absent.
    Ok(spool
        .entry(summary.id)?
        .map_or_else(EntryEvent::default, |entry| EntryEvent::of(&entry.bytes)))
}

fn show(spool: &inspect::Inspection, id: i64, as_json: bool) -> Result<(), CommandFailure> {
    let entry = entry(spool, id)?;
    if as_json {
        return json(&ExportedEntry::from(&entry));
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
    print_line!("entry       {id}")?;
    print_line!("stored      {}", time(*at))?;
    print_line!("source      {}", safe(source))?;
    print_line!("origin      {}", origin.as_str())?;
    if let Some(sink) = sink {
        print_line!("sink        {}", safe(sink))?;
    }
    print_line!("reason      {}: {}", safe(reason), safe(detail))?;
    if let Some(target) = target {
        let status = target.status.map_or("none".to_owned(), |status| status.to_string());
        let code = safe(target.code.as_deref().unwrap_or("none"));
        print_line!("target      {} attempts, status {status}, code {code}", target.attempts)?;
        print_line!("answer      {}", safe(&target.text))?;
    }
    print_line!("path        {} (element {index})", safe(path))?;
    print_line!("request     {}", safe(request_id))?;
    if !encoding.is_empty() {
        print_line!("encoding    {}", safe(encoding))?;
    }
    print_line!("bytes       {size}\n")?;
    let mut out = std::io::stdout().lock();
    if out.is_terminal() {
        // Control characters in foreign bytes are escaped for the terminal.
        let text = String::from_utf8_lossy(&entry.bytes);
        text.lines().try_for_each(|line| writeln!(out, "{}", safe(line)))?;
        return Ok(());
    }
    // Exact bytes for pipes and files.
    out.write_all(&entry.bytes)?;
    out.write_all(b"\n")?;
    Ok(())
}

fn entry(spool: &inspect::Inspection, id: i64) -> Result<Entry, CommandFailure> {
    spool
        .entry(id)?
        .ok_or_else(|| CommandFailure::Failed(format!("quarantine entry {id} does not exist")))
}

fn matching_ids(
    spool: &inspect::Inspection,
    filter: &EntryFilter,
) -> Result<Vec<i64>, CommandFailure> {
    let mut ids = Vec::new();
    each(spool, filter, |summary| {
        ids.push(summary.id);
        Ok(())
    })?;
    Ok(ids)
}

/// Calls `visit` for every entry that matches the filter, page by page.
fn each(
    spool: &inspect::Inspection,
    filter: &EntryFilter,
    mut visit: impl FnMut(&EntrySummary) -> Result<(), CommandFailure>,
) -> Result<(), CommandFailure> {
    let mut after = 0;
    loop {
        let page = spool.quarantine(&filter.query(after, PAGE_ENTRIES))?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.id;
        page.iter().try_for_each(&mut visit)?;
    }
}

impl EntryFilter {
    /// Refuses a filter together with entry numbers.
    fn only_with(&self, all: bool) -> Result<(), CommandFailure> {
        let is_set = self.reason.is_some() || self.source.is_some() || self.sink.is_some();
        if all || !is_set {
            return Ok(());
        }
        Err(CommandFailure::Usage(
            "davinci-siem: --reason, --source and --sink go with --all, not with numbers of entries"
                .to_owned(),
        ))
    }

    /// Refuses a value that occurs in no entry, the configuration or the spool.
    fn check(&self, spool: &inspect::Inspection, loader: Loader<'_>) -> Result<(), CommandFailure> {
        let is_used = |query: Query| -> Result<bool, CommandFailure> {
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

fn read_file(path: &std::path::Path) -> Result<Vec<u8>, CommandFailure> {
    std::fs::read(path)
        .map_err(|error| format!("{} cannot be read: {}", path.display(), io_message(&error)))
        .map_err(CommandFailure::Failed)
}

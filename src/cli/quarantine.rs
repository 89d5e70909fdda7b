//! `quarantine …`: looks at refused events offline; changes go through the running service, or
//! straight to the spool when none is running.

mod change;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::Failure;
use super::output::{count_beside_output, json, safe, table, time};
use crate::config::Config;
use crate::spool::{Entry, Query, Settings, Summary, inspect};

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
    summary: &'a Summary,
    bytes_base64: String,
}

impl<'a> From<&'a Entry> for Exported<'a> {
    fn from(entry: &'a Entry) -> Exported<'a> {
        Exported { summary: &entry.summary, bytes_base64: STANDARD.encode(&entry.bytes) }
    }
}

/// What only looks needs the spool's settings, and no secret of the configuration.
pub(super) fn run(
    command: Command,
    load: impl FnOnce() -> Result<Config, Failure>,
    load_spool: impl FnOnce() -> Result<Settings, Failure>,
) -> Result<(), Failure> {
    let open = |settings: &Settings| inspect::open(settings);
    match command {
        Command::List { filter, limit, json } => list(&open(&load_spool()?)?, &filter, limit, json),
        Command::Show { id, json } => show(&open(&load_spool()?)?, id, json),
        Command::Export { filter } => {
            let spool = open(&load_spool()?)?;
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
            let config = load()?;
            let spool = open(&config.spool)?;
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
            change::retry(&config, &ids, replacement.as_ref(), json)
        }
        Command::Purge { ids, all, filter, json } => {
            filter.only_with(all)?;
            let config = load()?;
            let spool = open(&config.spool)?;
            let ids = if all { matching(&spool, &filter)? } else { ids };
            change::purge(&config, &ids, json)
        }
    }
}

fn list(
    spool: &inspect::Inspection,
    filter: &Filter,
    limit: u32,
    as_json: bool,
) -> Result<(), Failure> {
    let found = spool.quarantine(&filter.query(0, limit))?;
    if as_json {
        return found.iter().try_for_each(json);
    }
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|entry| {
            let from = entry
                .sink
                .as_ref()
                .map_or_else(|| entry.source.clone(), |sink| format!("sink {sink}"));
            let cells = [from, entry.reason.clone(), entry.path.clone(), entry.detail.clone()];
            let mut row = vec![entry.id.to_string(), time(entry.at)];
            row.extend(cells.iter().map(|cell| safe(cell)));
            row
        })
        .collect();
    table(&["ID", "AT", "FROM", "REASON", "PATH", "DETAIL"], &rows);
    Ok(())
}

fn show(spool: &inspect::Inspection, id: i64, as_json: bool) -> Result<(), Failure> {
    let entry = entry(spool, id)?;
    if as_json {
        return json(&Exported::from(&entry));
    }
    let Summary {
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
    mut visit: impl FnMut(&Summary) -> Result<(), Failure>,
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
        .map_err(|error| Failure::Failed(format!("{} cannot be read: {error}", path.display())))
}

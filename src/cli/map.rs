//! `map`: what a format makes of events, or a sink of the configuration, without a service.

use std::borrow::Cow;
use std::io::{IsTerminal, Read, Write};
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};

use super::{Failure, known, output};
use crate::app::system_clock;
use crate::config::{self, Config, Formatting, OcsfVersion};
use crate::decode;
use crate::format::{self, Explanation, Received};
use crate::redact::Redaction;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The format, as in a sink's configuration
    #[arg(long, value_enum, default_value_t = Format::Native)]
    format: Format,
    /// The version of the schema, for --format ocsf
    #[arg(long, value_parser = PossibleValuesParser::new(OcsfVersion::ALL.map(|(name, _)| name)))]
    ocsf_version: Option<String>,
    /// Do what this sink of the configuration does, redaction included
    #[arg(long, value_name = "NAME", conflicts_with_all = ["format", "ocsf_version"])]
    sink: Option<String>,
    /// Show which member became which field, instead of the events
    #[arg(long)]
    explain: bool,
    /// Files with events in any shape that a webhook may send; standard input, if there is none
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// The original JSON on one line
    Native,
    /// The Elastic Common Schema
    Ecs,
    /// The Open Cybersecurity Schema Framework
    Ocsf,
    /// ArcSight's Common Event Format
    Cef,
    /// QRadar's Log Event Extended Format 2.0
    Leef,
}

impl From<Format> for config::Format {
    fn from(format: Format) -> config::Format {
        match format {
            Format::Native => config::Format::Native,
            Format::Ecs => config::Format::Ecs,
            Format::Ocsf => config::Format::Ocsf,
            Format::Cef => config::Format::Cef,
            Format::Leef => config::Format::Leef,
        }
    }
}

/// What is done with each event.
struct Mapping {
    /// First what `[redact]` says, then what the sink's own table says.
    redactions: Vec<Redaction>,
    formatting: Formatting,
    is_explained: bool,
}

/// Prints one line per event; says on standard error what is none, and fails then.
pub(super) fn run(
    arguments: &Arguments,
    load: impl FnOnce() -> Result<Config, Failure>,
) -> Result<(), Failure> {
    let mapping = match &arguments.sink {
        Some(name) => of_sink(name, &load()?, arguments.explain)?,
        None => of_format(arguments)?,
    };
    let map = |body: &[u8], name: &str| map(body, name, &mapping);
    let mut refused = 0;
    for file in &arguments.files {
        let unreadable =
            |error| Failure::Usage(format!("{} cannot be read: {error}", file.display()));
        let body = std::fs::read(file).map_err(unreadable)?;
        refused += map(&body, &file.display().to_string())?;
    }
    if arguments.files.is_empty() {
        if std::io::stdin().is_terminal() {
            return Err(Failure::Usage("name a FILE, or send events to standard input".to_owned()));
        }
        let mut body = Vec::new();
        std::io::stdin().read_to_end(&mut body)?;
        refused += map(&body, "standard input")?;
    }
    match refused {
        0 => Ok(()),
        count => Err(Failure::Failed(format!("{count} would be quarantined, and were left out"))),
    }
}

fn of_format(arguments: &Arguments) -> Result<Mapping, Failure> {
    let mut formatting = Formatting::of(arguments.format.into());
    if let Some(name) = &arguments.ocsf_version {
        if formatting.format != config::Format::Ocsf {
            let message = "--ocsf-version is for --format ocsf; leave it out".to_owned();
            return Err(Failure::Usage(message));
        }
        let known = OcsfVersion::ALL.iter().find(|(known, _)| known == name);
        known.into_iter().for_each(|(_, version)| formatting.ocsf_version = *version);
    }
    Ok(Mapping { redactions: Vec::new(), formatting, is_explained: arguments.explain })
}

fn of_sink(name: &str, config: &Config, is_explained: bool) -> Result<Mapping, Failure> {
    let Some(sink) = config.sinks.iter().find(|sink| sink.name == name) else {
        let names = config.sinks.iter().map(|sink| sink.name.clone()).collect();
        return Err(known::unknown("--sink", name, &names));
    };
    let tables = [&config.redact, &sink.redact];
    let redactions = tables.into_iter().flatten().map(Redaction::new).collect();
    Ok(Mapping { redactions, formatting: sink.formatting.clone(), is_explained })
}

/// Returns how many elements are no events.
fn map(body: &[u8], name: &str, mapping: &Mapping) -> Result<u64, Failure> {
    let elements = match decode::body(body, false) {
        Ok(elements) => elements,
        Err(refusal) => {
            eprintln!("{name}: {}: {}", output::safe(&refusal.path), output::safe(&refusal.detail));
            return Ok(1);
        }
    };
    let received_at = system_clock()();
    let mut out = std::io::stdout().lock();
    let mut refused = 0;
    for element in &elements {
        match &element.verdict {
            Ok(_) => one(element.raw, received_at, mapping, &mut out)?,
            Err(refusal) => {
                refused += 1;
                let (path, detail) = (output::safe(&refusal.path), output::safe(&refusal.detail));
                eprintln!("{name}: {path}: {detail}");
            }
        }
    }
    out.flush()?;
    Ok(refused)
}

/// Prints an event, or what became of its members.
fn one(
    raw: &[u8],
    received_at: i64,
    mapping: &Mapping,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let mut bytes = Cow::Borrowed(raw);
    for redaction in &mapping.redactions {
        bytes = Cow::Owned(redaction.event(&bytes).into_owned());
    }
    let typed = decode::event(&bytes).map_err(|refusal| Failure::Failed(refusal.detail))?;
    let event = &typed.event;
    let received = Received { event, raw: &bytes, received_at, source: "map" };
    if mapping.is_explained {
        let (id, kind) = (&event.envelope().id, &event.envelope().action.kind);
        writeln!(out, "{} {}", output::safe(id), output::safe(kind))?;
        print(&format::explain(&mapping.formatting, received), out)?;
        return Ok(());
    }
    let mut line = format::render(&mapping.formatting, received).bytes;
    line.push(b'\n');
    out.write_all(&line)?;
    Ok(())
}

/// One line for each field: the member, an arrow, the field.
fn print(explanation: &Explanation, out: &mut impl Write) -> std::io::Result<()> {
    let taken = explanation.taken.iter().map(|taken| (taken.path(), taken.field, "->"));
    let decided = explanation.decided.iter().map(|(field, member)| {
        let member = if member.is_empty() { "(no member)" } else { *member };
        (member.to_owned(), *field, "=>")
    });
    let rows: Vec<_> = taken.chain(decided).collect();
    let width = rows.iter().map(|(member, _, _)| member.chars().count()).max().unwrap_or(0).min(60);
    for (member, field, arrow) in rows {
        writeln!(out, "  {:width$} {arrow} {field}", output::safe(&member))?;
    }
    Ok(())
}

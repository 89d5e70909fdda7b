//! `map`: prints events in a format, or as a configured sink would send them. Needs no service.

use std::borrow::Cow;
use std::io::{IsTerminal, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};

use super::records::InputEnd;
use super::{CommandFailure, input, known, output, records};
use crate::app::system_clock;
use crate::config::Config;
use crate::decode::{self, Refusal};
use crate::event::{Finding, OutcomeWords};
use crate::format::{self, Explanation, Received};
use crate::format::{Format, FormatConfig, OcsfVersion};
use crate::redact::Redaction;

#[derive(Debug, Args)]
pub(super) struct MapArguments {
    /// Format, as in a sink's configuration
    #[arg(long, value_enum, default_value_t = FormatName::Native)]
    format: FormatName,
    /// Version of the OCSF schema, for --format ocsf
    #[arg(long, value_parser = PossibleValuesParser::new(OcsfVersion::ALL.map(|(name, _)| name)))]
    ocsf_version: Option<String>,
    /// Use the settings of this configured sink, redaction included
    #[arg(long, value_name = "NAME", conflicts_with_all = ["format", "ocsf_version"])]
    sink: Option<String>,
    /// Print the source of each output field instead of the events
    #[arg(long)]
    explain: bool,
    /// Files with events in any shape that a webhook may send, also compressed with gzip or zstd; default: standard
    /// input
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum FormatName {
    /// Original JSON on one line
    Native,
    /// Elastic Common Schema
    Ecs,
    /// Open Cybersecurity Schema Framework
    Ocsf,
    /// ArcSight's Common Event Format
    Cef,
    /// QRadar's Log Event Extended Format 2.0
    Leef,
}

impl From<FormatName> for Format {
    fn from(format: FormatName) -> Format {
        match format {
            FormatName::Native => Format::Native,
            FormatName::Ecs => Format::Ecs,
            FormatName::Ocsf => Format::Ocsf,
            FormatName::Cef => Format::Cef,
            FormatName::Leef => Format::Leef,
        }
    }
}

/// Steps applied to each event.
struct Mapping {
    /// Rules of `[redact]`, then those of the sink.
    redactions: Vec<Redaction>,
    formatting: FormatConfig,
    /// `[outcomes]`; no words without a configured sink.
    outcomes: Arc<OutcomeWords>,
    is_explained: bool,
    /// True if standard output is a terminal, which would execute control characters.
    is_on_terminal: bool,
}

impl Mapping {
    fn new(redactions: Vec<Redaction>, formatting: FormatConfig, is_explained: bool) -> Mapping {
        let is_on_terminal = std::io::stdout().is_terminal();
        let outcomes = Arc::default();
        Mapping { redactions, formatting, outcomes, is_explained, is_on_terminal }
    }
}

/// Prints one line per event. Reports refused elements on standard error, and then returns `Err`.
pub(super) fn run(
    arguments: &MapArguments,
    load: impl FnOnce() -> Result<Config, CommandFailure>,
) -> Result<(), CommandFailure> {
    let mapping = match &arguments.sink {
        Some(name) => of_sink(name, &load()?, arguments.explain)?,
        None => of_format(arguments)?,
    };
    let mut refused = 0;
    for file in &arguments.files {
        refused += map(input::open(file)?, &file.display().to_string(), &mapping)?;
    }
    if arguments.files.is_empty() {
        if std::io::stdin().is_terminal() {
            return Err(CommandFailure::Usage(
                "give a FILE, or send events to standard input".to_owned(),
            ));
        }
        refused += map(input::decompressed(std::io::stdin())?, "standard input", &mapping)?;
    }
    match refused {
        0 => Ok(()),
        count => {
            Err(CommandFailure::Failed(format!("{count} would be quarantined and were skipped")))
        }
    }
}

fn of_format(arguments: &MapArguments) -> Result<Mapping, CommandFailure> {
    let mut formatting = FormatConfig::of(arguments.format.into());
    if let Some(name) = &arguments.ocsf_version {
        if formatting.format != Format::Ocsf {
            let message = "--ocsf-version is for --format ocsf; leave it out".to_owned();
            return Err(CommandFailure::Usage(message));
        }
        let known = OcsfVersion::ALL.iter().find(|(known, _)| known == name);
        known.into_iter().for_each(|(_, version)| formatting.ocsf_version = *version);
    }
    Ok(Mapping::new(Vec::new(), formatting, arguments.explain))
}

fn of_sink(name: &str, config: &Config, is_explained: bool) -> Result<Mapping, CommandFailure> {
    let Some(sink) = config.sinks.iter().find(|sink| sink.name == name) else {
        let names = config.sinks.iter().map(|sink| sink.name.clone()).collect();
        return Err(known::unknown("--sink", name, &names));
    };
    let tables = [&config.redact, &sink.redact];
    let redactions = tables.into_iter().flatten().map(Redaction::new).collect();
    let outcomes = Arc::clone(&sink.outcomes);
    Ok(Mapping { outcomes, ..Mapping::new(redactions, sink.formatting.clone(), is_explained) })
}

/// Maps each record of `input`. Returns the number of refused elements.
fn map(input: impl Read, name: &str, mapping: &Mapping) -> Result<u64, CommandFailure> {
    let received_at = system_clock()();
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut refused = 0;
    let end = records::each(input, name, |record| {
        let mut refuse = |path: &str, detail: &str| {
            refused += 1;
            eprintln!("{name}:{}: {}: {}", record.line, output::safe(path), output::safe(detail));
        };
        let root = record.index.map_or_else(|| "$".to_owned(), |index| format!("$[{index}]"));
        if record.is_too_large {
            refuse(&root, "the record is too large");
            return Ok(());
        }
        // Arrays nested in an array are not opened.
        if record.bytes.starts_with(b"[") {
            refuse(&root, "an event is a JSON object");
            return Ok(());
        }
        let path = |refusal: &Refusal| format!("{root}{}", &refusal.path[1..]);
        match decode::body(record.bytes, false) {
            Err(refusal) => refuse(&path(&refusal), &refusal.detail),
            Ok(elements) => {
                for element in &elements {
                    match &element.verdict {
                        Ok(_) => one(element.raw, received_at, mapping, &mut out)?,
                        Err(refusal) => refuse(&path(refusal), &refusal.detail),
                    }
                }
            }
        }
        Ok(())
    })?;
    out.flush()?;
    if let Some(line) = end.unclosed {
        eprintln!("{name}:{line}: {}", InputEnd::UNCLOSED);
        refused += 1;
    }
    if !end.has_any {
        eprintln!("{name}: no events");
        return Ok(1);
    }
    Ok(refused)
}

/// Prints an event, or the sources of its output fields.
fn one(
    raw: &[u8],
    received_at: i64,
    mapping: &Mapping,
    out: &mut impl Write,
) -> Result<(), CommandFailure> {
    let mut bytes = Cow::Borrowed(raw);
    for redaction in &mapping.redactions {
        bytes = Cow::Owned(redaction.event(&bytes).into_owned());
    }
    let mut typed =
        decode::event(&bytes).map_err(|refusal| CommandFailure::Failed(refusal.detail))?;
    typed.event.apply(&mapping.outcomes);
    let event = &typed.event;
    let received = Received { event, raw: &bytes, received_at, source: "map" };
    if mapping.is_explained {
        let (id, kind) = (&event.envelope().id, &event.envelope().action.kind);
        writeln!(out, "{} {}", output::safe(id), output::safe(kind))?;
        for Finding { kind, path } in &typed.findings {
            writeln!(out, "  finding: {} at {}", kind.as_str(), output::safe(path))?;
        }
        print(&format::explain(&mapping.formatting, received), out)?;
        return Ok(());
    }
    let mut line = format::render(&mapping.formatting, received).bytes;
    if mapping.is_on_terminal {
        line = output::safe(&String::from_utf8_lossy(&line)).into_bytes();
    }
    line.push(b'\n');
    out.write_all(&line)?;
    Ok(())
}

/// Prints one line per output field: the source field, an arrow, the output field.
fn print(explanation: &Explanation, out: &mut impl Write) -> std::io::Result<()> {
    let taken = explanation.mapped.iter().map(|taken| (taken.path(), taken.field, "->"));
    let decided = explanation.derived.iter().map(|(field, source)| {
        let source = if source.is_empty() { "(no field)" } else { *source };
        (source.to_owned(), *field, "=>")
    });
    let rows: Vec<_> = taken.chain(decided).collect();
    let width = rows.iter().map(|(source, _, _)| source.chars().count()).max().unwrap_or(0).min(60);
    for (source, field, arrow) in rows {
        writeln!(out, "  {:width$} {arrow} {field}", output::safe(&source))?;
    }
    Ok(())
}

//! `map`: what a format makes of events, without a service.

use std::io::{IsTerminal, Read, Write};
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};

use super::{Failure, output};
use crate::app::system_clock;
use crate::config::{self, Formatting, OcsfVersion};
use crate::decode;
use crate::format::{self, Explanation, Received};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The format, as in a sink's configuration
    #[arg(long, value_enum, default_value_t = Format::Native)]
    format: Format,
    /// The version of the schema, for --format ocsf
    #[arg(long, value_parser = PossibleValuesParser::new(OcsfVersion::ALL.map(|(name, _)| name)))]
    ocsf_version: Option<String>,
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

/// Prints one line per event; says on standard error what is none, and fails then.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut formatting = Formatting::of(arguments.format.into());
    if let Some(name) = &arguments.ocsf_version {
        if formatting.format != config::Format::Ocsf {
            let message = "--ocsf-version is for --format ocsf; leave it out".to_owned();
            return Err(Failure::Usage(message));
        }
        let known = OcsfVersion::ALL.iter().find(|(known, _)| known == name);
        known.into_iter().for_each(|(_, version)| formatting.ocsf_version = *version);
    }
    let map = |body: &[u8], name: &str| map(body, name, &formatting, arguments.explain);
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

/// Returns how many elements are no events.
fn map(
    body: &[u8],
    name: &str,
    formatting: &Formatting,
    is_explained: bool,
) -> Result<u64, Failure> {
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
            Ok(typed) => {
                let event = &typed.event;
                let received = Received { event, raw: element.raw, received_at, source: "map" };
                if is_explained {
                    let (id, kind) = (&event.envelope().id, &event.envelope().action.kind);
                    writeln!(out, "{} {}", output::safe(id), output::safe(kind))?;
                    print(&format::explain(formatting, received), &mut out)?;
                    continue;
                }
                let mut line = format::render(formatting, received).bytes;
                line.push(b'\n');
                out.write_all(&line)?;
            }
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

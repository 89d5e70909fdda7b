//! `map`: what a format makes of events, without a service.

use std::io::{IsTerminal, Read, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Failure, output};
use crate::app::system_clock;
use crate::config;
use crate::decode;
use crate::format::{self, Received};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The format, as in a sink's configuration
    #[arg(long, value_enum, default_value_t = Format::Native)]
    format: Format,
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
            Format::Cef => config::Format::Cef,
            Format::Leef => config::Format::Leef,
        }
    }
}

/// Prints one line per event; says on standard error what is none, and fails then.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut refused = 0;
    for file in &arguments.files {
        let unreadable =
            |error| Failure::Usage(format!("{} cannot be read: {error}", file.display()));
        let body = std::fs::read(file).map_err(unreadable)?;
        refused += map(&body, &file.display().to_string(), arguments.format.into())?;
    }
    if arguments.files.is_empty() {
        if std::io::stdin().is_terminal() {
            return Err(Failure::Usage("name a FILE, or send events to standard input".to_owned()));
        }
        let mut body = Vec::new();
        std::io::stdin().read_to_end(&mut body)?;
        refused += map(&body, "standard input", arguments.format.into())?;
    }
    match refused {
        0 => Ok(()),
        count => Err(Failure::Failed(format!("{count} would be quarantined, and were left out"))),
    }
}

/// Returns how many elements are no events.
fn map(body: &[u8], name: &str, format: config::Format) -> Result<u64, Failure> {
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
                let mut line = format::render(format, false, received).bytes;
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

//! Decodes a webhook body with the library and prints each event in the Elastic Common Schema and in OCSF.
//!
//! ```sh
//! cargo run --example map_events -- fixtures/documented_batch.json
//! ```

use std::io::{Read, Write};
use std::process::ExitCode;

use davinci_siem::decode;
use davinci_siem::format::{self, Received};
use davinci_siem::format::{Format, FormatConfig};

fn main() -> std::io::Result<ExitCode> {
    let body = match std::env::args_os().nth(1) {
        Some(path) => std::fs::read(path)?,
        None => {
            let mut bytes = Vec::new();
            std::io::stdin().read_to_end(&mut bytes)?;
            bytes
        }
    };
    let elements = match decode::body(&body, false) {
        Ok(elements) => elements,
        Err(refusal) => {
            eprintln!("{}: {}", refusal.path, refusal.detail);
            return Ok(ExitCode::FAILURE);
        }
    };
    let mut output = std::io::stdout().lock();
    let mut code = ExitCode::SUCCESS;
    for element in elements {
        let typed = match element.verdict {
            Ok(typed) => typed,
            Err(refusal) => {
                eprintln!("{}: {}", refusal.path, refusal.detail);
                code = ExitCode::FAILURE;
                continue;
            }
        };
        for finding in &typed.findings {
            eprintln!("{}: finding {finding:?}", element.path);
        }
        for schema in [Format::Ecs, Format::Ocsf] {
            let received = Received {
                event: &typed.event,
                raw: element.raw,
                received_at: 1_700_000_000_000,
                source: "example",
            };
            let line = format::render(&FormatConfig::of(schema), received);
            output.write_all(&line.bytes)?;
            output.write_all(b"\n")?;
        }
    }
    Ok(code)
}

//! `check`: a configuration that loads has been checked; says what it amounts to, and asks the
//! targets.

mod report;

use std::path::Path;

use clap::Args;

use super::Failure;
use super::block_on;
use super::output::json;
use crate::config::Config;
use crate::sinks::{Deliver, Sink};
use report::{Probe, Report};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Connect to every sink's target, too, and find out whether it would take events; sends none
    #[arg(long)]
    connect: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Everything that is wrong was reported by loading it; this prints what is right.
pub(super) fn run(
    arguments: &Arguments,
    config: &Config,
    file: Option<&Path>,
) -> Result<(), Failure> {
    let mut report = Report::of(config, file)?;
    if !arguments.json {
        report.print();
    }
    if let Some((key, day)) = report.listen.expired() {
        if arguments.json {
            json(&report)?;
        }
        return Err(Failure::Failed(format!("listen.tls.{key} expired on {day}: replace it")));
    }
    if arguments.connect {
        report.probes = Some(block_on(connect(config, arguments.json))?);
    }
    if arguments.json {
        json(&report)?;
    }
    let failed = report.probes.iter().flatten().filter(|probe| !probe.good);
    let failed: Vec<&str> = failed.map(|probe| probe.sink.as_str()).collect();
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::Failed(format!("not every sink would be delivered to: {}", failed.join(", "))))
}

/// Asks every target.
async fn connect(config: &Config, is_silent: bool) -> Result<Vec<Probe>, Failure> {
    let mut probes = Vec::new();
    for sink in &config.sinks {
        let probed = match Sink::open(&sink.kind) {
            Ok(mut opened) => opened.probe().await,
            Err(reason) => Err(reason),
        };
        let (good, said) = match probed {
            Ok(said) => (true, said.to_string()),
            Err(reason) => (false, reason.to_string()),
        };
        match good {
            _ if is_silent => {}
            true => println!("sink {}: good: {said}", sink.name),
            false => eprintln!("sink {}: {said}", sink.name),
        }
        probes.push(Probe { sink: sink.name.clone(), good, said });
    }
    Ok(probes)
}

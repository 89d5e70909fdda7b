//! `check`: a configuration that loads has been checked; says what it amounts to, and asks the
//! targets.

mod report;

use std::path::Path;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tokio::time::timeout;

use super::Failure;
use super::block_on;
use super::loader::Loader;
use super::output::{count, json};
use crate::config::Config;
use crate::error_chain::without_numbers;
use crate::paths;
use crate::settings::Problem;
use crate::sinks::Deliver;
use crate::spool::Engine;
#[cfg(feature = "nats")]
use crate::spool::jetstream;
use report::{Probe, Report};

/// Longest time that one target may take to answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Connect to every sink's target, too, and find out whether it would take events; sends none
    #[arg(long)]
    connect: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A configuration with mistakes, as JSON.
#[derive(Serialize)]
struct Mistakes {
    problems: Vec<Mistake>,
}

/// One mistake: where it is written, as far as that is known.
#[derive(Serialize)]
struct Mistake {
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    /// The environment variable that holds the value.
    #[serde(skip_serializing_if = "Option::is_none")]
    variable: Option<String>,
    key: String,
    message: String,
}

impl Mistake {
    fn of(problem: &Problem, file: Option<&Path>) -> Mistake {
        let Problem { place, key, message } = problem;
        let (before, line) = match place.rsplit_once(':').or_else(|| place.rsplit_once(' ')) {
            Some((before, line)) if line.parse::<u64>().is_ok() => (before, line.parse().ok()),
            _ => (place.as_str(), None),
        };
        let is_variable = before.starts_with("DAVINCI_SIEM__");
        Mistake {
            file: file.filter(|_| !is_variable).map(|file| file.display().to_string()),
            line,
            variable: is_variable.then(|| before.to_owned()),
            key: key.clone(),
            message: without_numbers(message),
        }
    }
}

/// Loads the configuration, which reports everything that is wrong; prints what it amounts to.
pub(super) fn run(arguments: &Arguments, loader: Loader<'_>) -> Result<(), Failure> {
    let file = loader.file;
    if !arguments.json {
        return report(arguments, &loader.config()?, file);
    }
    match loader.checked() {
        Ok(config) => report(arguments, &config, file),
        Err(problems) => {
            let problems: Vec<Mistake> =
                problems.0.iter().map(|problem| Mistake::of(problem, file)).collect();
            let mistakes = count(problems.len() as u64, "mistake");
            json(&Mistakes { problems })?;
            Err(Failure::Usage(format!("davinci-siem: {mistakes} in the configuration")))
        }
    }
}

fn report(arguments: &Arguments, config: &Config, file: Option<&Path>) -> Result<(), Failure> {
    if let Some(reason) = paths::obstacle(&config.spool.directory)
        && config.spool.engine == Engine::Embedded
    {
        let message = format!("spool.directory: cannot be made: {reason}. Write another path");
        if arguments.json {
            let (key, message) = ("spool.directory".to_owned(), message.clone());
            let file = file.map(|file| file.display().to_string());
            let mistake = Mistake { file, line: None, variable: None, key, message };
            json(&Mistakes { problems: vec![mistake] })?;
        }
        return Err(Failure::Usage(message));
    }
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
    let mut note = |name: &str, (good, said): (bool, String)| {
        match good {
            _ if is_silent => {}
            true => println!("{name}: good: {said}"),
            false => eprintln!("{name}: {said}"),
        }
        let sink = name.strip_prefix("sink ").unwrap_or(name).to_owned();
        probes.push(Probe { sink, good, said });
    };
    for sink in &config.sinks {
        let probe = async { sink.target.open()?.probe().await };
        let probed = match timeout(PROBE_TIMEOUT, probe).await {
            Ok(Ok(said)) => (true, said),
            Ok(Err(reason)) => (false, reason.to_string()),
            Err(_) => (false, no_answer()),
        };
        note(&format!("sink {}", sink.name), probed);
    }
    #[cfg(feature = "nats")]
    if let Engine::Jetstream(_) = &config.spool.engine {
        let sources: Vec<String> = config.sources.iter().map(|it| it.name.clone()).collect();
        let sinks: Vec<String> = config.sinks.iter().map(|it| it.name.clone()).collect();
        let check = jetstream::check(&config.spool, &sources, &sinks);
        note(
            "spool",
            match timeout(PROBE_TIMEOUT, Box::pin(check)).await {
                Ok(Ok(said)) => (true, said),
                Ok(Err(error)) => (false, error.to_string()),
                Err(_) => (false, no_answer()),
            },
        );
    }
    Ok(probes)
}

fn no_answer() -> String {
    format!("no answer within {} s", PROBE_TIMEOUT.as_secs())
}

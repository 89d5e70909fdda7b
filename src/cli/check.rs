//! `check`: loads the configuration, prints a summary, and with `--connect` probes the targets.

mod assertions;
mod diff;
mod report;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tokio::time::timeout;

use super::CommandFailure;
use super::block_on;
use super::loader::Loader;
use super::output::{count, json, safe};
use crate::config::Config;
use crate::error_chain::without_numbers;
use crate::paths;
use crate::settings::Problem;
use crate::sinks::Deliver;
use crate::spool::Engine;
#[cfg(feature = "nats")]
use crate::spool::jetstream;
use assertions::TestResult;
use report::{CheckReport, ProbeResult};

/// Timeout of one probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    /// Connect to every sink's target and check that it would take events; sends no event
    #[arg(long)]
    connect: bool,
    /// Run the tests of the configuration, its tables `tests`
    #[arg(long)]
    tests: bool,
    /// Print the effects of a reload: of this configuration, in a service that runs with OLD
    #[arg(long, value_name = "OLD", conflicts_with_all = ["connect", "tests"])]
    diff: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Mistakes of a configuration, as JSON.
#[derive(Serialize)]
struct ProblemList {
    problems: Vec<ProblemReport>,
}

/// One mistake and its location, if known.
#[derive(Serialize)]
struct ProblemReport {
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

impl ProblemReport {
    fn of(problem: &Problem, file: Option<&Path>) -> ProblemReport {
        let Problem { place: location, key, message } = problem;
        let (before, line) = match location.rsplit_once(':').or_else(|| location.rsplit_once(' ')) {
            Some((before, line)) if line.parse::<u64>().is_ok() => (before, line.parse().ok()),
            _ => (location.as_str(), None),
        };
        let is_variable = before.starts_with("DAVINCI_SIEM__");
        ProblemReport {
            file: file.filter(|_| !is_variable).map(|file| file.display().to_string()),
            line,
            variable: is_variable.then(|| before.to_owned()),
            key: key.clone(),
            message: without_numbers(message),
        }
    }
}

/// Loads the configuration and prints all mistakes, or a summary.
pub(super) fn run(arguments: &CheckArguments, loader: Loader<'_>) -> Result<(), CommandFailure> {
    let file = loader.file;
    if let Some(old) = &arguments.diff {
        return diff::run(old, loader, arguments.json);
    }
    if !arguments.json {
        return report(arguments, &loader.config()?, file);
    }
    match loader.checked() {
        Ok(config) => report(arguments, &config, file),
        Err(problems) => {
            let problems: Vec<ProblemReport> =
                problems.0.iter().map(|problem| ProblemReport::of(problem, file)).collect();
            let mistakes = count(problems.len() as u64, "mistake");
            json(&ProblemList { problems })?;
            Err(CommandFailure::Mistakes(format!("davinci-siem: {mistakes} in the configuration")))
        }
    }
}

fn report(
    arguments: &CheckArguments,
    config: &Config,
    file: Option<&Path>,
) -> Result<(), CommandFailure> {
    if let Some(reason) = paths::obstacle(&config.spool.directory)
        && config.spool.engine == Engine::Embedded
    {
        let message = format!("spool.directory: cannot be created: {reason}. Set another path");
        if arguments.json {
            let (key, message) = ("spool.directory".to_owned(), message.clone());
            let file = file.map(|file| file.display().to_string());
            let mistake = ProblemReport { file, line: None, variable: None, key, message };
            json(&ProblemList { problems: vec![mistake] })?;
        }
        return Err(CommandFailure::Mistakes(message));
    }
    let mut report = CheckReport::of(config, file)?;
    if !arguments.json {
        report.print()?;
    }
    if let Some((key, day)) = report.listen.expired() {
        if arguments.json {
            json(&report)?;
        }
        return Err(CommandFailure::Answered(format!(
            "listen.tls.{key} expired on {day}: replace it"
        )));
    }
    let mut failed_tests = 0;
    if arguments.tests {
        let results = assertions::run(config);
        failed_tests = results.iter().filter(|result| !result.ok).count() as u64;
        if !arguments.json {
            print_tests(&results)?;
        }
        report.tests = Some(results);
    }
    if arguments.connect {
        report.probes = Some(block_on(connect(config, arguments.json))?);
    }
    if arguments.json {
        json(&report)?;
    }
    let failed = report.probes.iter().flatten().filter(|probe| !probe.ok);
    let failed: Vec<&str> = failed.map(|probe| probe.sink.as_str()).collect();
    if failed_tests > 0 {
        let tests = count(failed_tests, "test");
        return Err(CommandFailure::Answered(format!("{tests} of the configuration failed")));
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(CommandFailure::Answered(format!(
        "these targets are not ready for events: {}",
        failed.join(", ")
    )))
}

fn print_tests(results: &[TestResult]) -> Result<(), CommandFailure> {
    if results.is_empty() {
        print_line!("no tests: the configuration has no [[tests]]")?;
    }
    for TestResult { name, ok, failures } in results {
        let name = safe(name);
        if *ok {
            print_line!("test {name}: ok")?;
        }
        for failure in failures {
            eprintln!("test {name}: {}", safe(failure));
        }
    }
    Ok(())
}

/// Probes every target.
async fn connect(config: &Config, is_silent: bool) -> Result<Vec<ProbeResult>, CommandFailure> {
    let mut probes = Vec::new();
    let mut note = |name: &str, (ok, message): (bool, String)| {
        match ok {
            _ if is_silent => {}
            true => print_line!("{name}: ok: {message}")?,
            false => eprintln!("{name}: {message}"),
        }
        let sink = name.strip_prefix("sink ").unwrap_or(name).to_owned();
        probes.push(ProbeResult { sink, ok, message });
        Ok::<(), CommandFailure>(())
    };
    for sink in &config.sinks {
        let probe = async { sink.target.open()?.probe().await };
        let result = match timeout(PROBE_TIMEOUT, probe).await {
            Ok(Ok(message)) => (true, message),
            Ok(Err(reason)) => (false, reason.to_string()),
            Err(_) => (false, no_answer()),
        };
        note(&format!("sink {}", sink.name), result)?;
    }
    #[cfg(feature = "nats")]
    if let Engine::Jetstream(_) = &config.spool.engine {
        let sources: Vec<String> = config.sources.iter().map(|it| it.name.clone()).collect();
        let sinks: Vec<String> = config.sinks.iter().map(|it| it.name.clone()).collect();
        let check = jetstream::check(&config.spool, &sources, &sinks);
        note(
            "spool",
            match timeout(PROBE_TIMEOUT, Box::pin(check)).await {
                Ok(Ok(message)) => (true, message),
                Ok(Err(error)) => (false, error.to_string()),
                Err(_) => (false, no_answer()),
            },
        )?;
    }
    Ok(probes)
}

fn no_answer() -> String {
    format!("no answer within {} s", PROBE_TIMEOUT.as_secs())
}

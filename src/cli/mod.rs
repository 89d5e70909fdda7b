//! Command line: one file per subcommand.
//!
//! Exit codes: 0 success, 1 failure, 64 wrong configuration or arguments (`EX_USAGE` of sysexits.h).
//! Results go to standard output, everything else to standard error.

/// Prints a formatted line to standard output. Returns `Err` if its reader has closed the pipe, where
/// `println!` panics.
macro_rules! print_line {
    ($($arguments:tt)*) => {
        $crate::cli::output::write_line(format_args!($($arguments)*))
    };
}

mod admin_client;
mod audit;
mod check;
mod config;
mod confirm;
mod doctor;
mod drift;
mod examples;
mod fields;
mod flows;
mod generate;
mod health;
mod init;
mod input;
mod known;
mod loader;
mod map;
mod output;
mod quarantine;
mod reconcile;
mod records;
mod replay;
mod send;
mod serve;
mod sink;
mod spool;
mod status;
mod tail;
mod top;
mod trace;
mod volume;

use std::ffi::OsString;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgMatches, Command, CommandFactory, FromArgMatches, Parser, Subcommand};
use url::Url;

use crate::error_chain::{error_chain, io_message, without_numbers};
use crate::http_client;
use crate::settings::Secrets;
use loader::Loader;

/// Exit code for wrong arguments and configurations.
const USAGE: u8 = 64;

const EXIT_CODES: &str = "Exit codes: 0 success, 1 failure, 64 wrong configuration or arguments.";

/// Receives PingOne DaVinci webhook events, spools them durably and delivers them to SIEMs.
///
/// Without a subcommand, serves. Without a configuration file, listens on 127.0.0.1:8080, path
/// /webhooks/pingone, keeps its spool in ./data and writes every event to standard output.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100, after_help = EXIT_CODES)]
struct CommandLine {
    /// Configuration file (TOML); environment variables such as `DAVINCI_SIEM__SPOOL__MAX_SIZE`
    /// override its keys
    #[arg(short, long, global = true, value_name = "FILE", env = "DAVINCI_SIEM_CONFIG")]
    config: Option<PathBuf>,
    /// URL of the admin listener of a running service, instead of `[admin]` of the configuration
    #[arg(long, global = true, value_name = "URL", value_parser = admin_url)]
    admin_url: Option<Url>,
    /// File with the admin password, for --admin-url
    #[arg(long, global = true, value_name = "FILE", requires = "admin_url")]
    admin_password_file: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<CliCommand>,
}

#[derive(Debug, Subcommand)]
enum CliCommand {
    /// Run the receiver (default)
    Serve,
    /// Write a configuration for a target, or list the targets
    ///
    /// The configuration is complete and commented. Secrets come from variables, or from files.
    Init(init::InitArguments),
    /// Check the configuration and report every mistake
    Check(check::CheckArguments),
    /// Print what a configuration file may contain
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Post events in batches as PingOne does, and retry each batch until the answer is 200
    Send(Box<send::SendArguments>),
    /// Print events in a sink's format, one line per event
    Map(map::MapArguments),
    /// Print the data dictionary of a format: each field with its type, source and an example
    Fields(fields::FieldsArguments),
    /// List, correct, retry and remove quarantined events
    #[command(subcommand)]
    Quarantine(quarantine::QuarantineCommand),
    /// Inspect and repair the spool, also while the service runs
    #[command(subcommand)]
    Spool(spool::SpoolCommand),
    /// Print the state of the running service
    ///
    /// Prints readiness, spool, quarantine, each sink, and totals by result. Exit code 1 if the service is
    /// not ready or a sink is paused.
    Status(status::StatusArguments),
    /// Show rates, backlog and state of each source and sink, live
    ///
    /// Updates the screen until it is interrupted. If standard output is no terminal, prints one snapshot.
    Top(top::TopArguments),
    /// List operators' actions: who, when, what, with which result
    ///
    /// Reads the audit log beside the spool, also while the service runs.
    Audit(audit::AuditArguments),
    /// Follow accepted events as they arrive
    ///
    /// Begins with the last events. Shows events as they are stored, after `[redact]`.
    Tail(tail::TailArguments),
    /// Trace one event through spool, sinks and quarantine
    ///
    /// Reads the spool and the quarantine, also while the service runs. Exit code 1 if there is no trace of
    /// the event.
    Trace(trace::TraceArguments),
    /// List sinks with their state; pause and resume a sink
    #[command(subcommand)]
    Sink(sink::SinkCommand),
    /// Print statistics of flows by version: starts, outcomes, durations, failing steps
    ///
    /// Counts summaries of flow runs since the start of the service, in hours; needs `interactions.enabled`.
    Flows(flows::FlowsArguments),
    /// List differences between the events and PingOne's documentation
    Drift(drift::DriftArguments),
    /// Deliver the events of a time range to one sink again
    Replay(replay::ReplayArguments),
    /// Compare PingOne's own records with the events that were received
    ///
    /// Asks PingOne for the audit events and flow runs of a time range and looks each of them up. Exit code 1
    /// if one is missing.
    Reconcile(reconcile::ReconcileArguments),
    /// Find what stands between PingOne and this service, with the remedy
    ///
    /// Examines the webhook in PingOne (with `[pingone]`) and this service, by requests as PingOne sends them.
    /// Sends no event. Exit code 1 if a check finds a problem.
    Doctor(doctor::DoctorArguments),
    /// Print events and bytes by sink, type, flow, connector or source
    ///
    /// Reads the stored events, also while the service runs. With --what-if, prints the part that a filter
    /// would save.
    Volume(volume::VolumeArguments),
    /// Query readiness of the running service; for container health checks
    Health(health::HealthArguments),
    /// Print a completion script for a shell
    Completions(generate::Completions),
    /// Print the manual page, or write one page per command into a directory
    Man(generate::Man),
}

/// Reason why a subcommand ends early.
enum CommandFailure {
    /// The command failed; exit code 1.
    Failed(String),
    /// The command has printed its result, and the answer is no; exit code 1.
    Answered(String),
    /// The configuration or an argument is wrong; exit code 64.
    Usage(String),
    /// The mistakes of the configuration are printed; exit code 64.
    Mistakes(String),
    /// Standard output was closed by its reader, as `head` does; exit code 0.
    OutputClosed,
}

impl CommandFailure {
    /// Returns the message; `None` if the output was closed.
    fn message(self) -> Option<String> {
        match self {
            CommandFailure::Failed(message)
            | CommandFailure::Answered(message)
            | CommandFailure::Usage(message)
            | CommandFailure::Mistakes(message) => Some(message),
            CommandFailure::OutputClosed => None,
        }
    }

    /// Returns the failure of a command that has printed its result already.
    fn after_result(self) -> CommandFailure {
        match self {
            CommandFailure::Failed(message) => CommandFailure::Answered(message),
            other => other,
        }
    }
}

impl<E: std::error::Error + 'static> From<E> for CommandFailure {
    fn from(error: E) -> CommandFailure {
        let output = (&error as &dyn std::error::Error).downcast_ref::<std::io::Error>();
        match output {
            Some(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                CommandFailure::OutputClosed
            }
            Some(error) => CommandFailure::Failed(io_message(error)),
            None => CommandFailure::Failed(error_chain(&error)),
        }
    }
}

/// Runs the command in `arguments` and returns the exit code of the process.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let parsed = command_line().try_get_matches_from(arguments).and_then(|found| {
        let as_json = wants_json(&found);
        CommandLine::from_arg_matches(&found).map(|arguments| (arguments, as_json))
    });
    let (arguments, as_json) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            let code = if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
            // A failure to print has no other channel.
            drop(error.print());
            return code;
        }
    };
    // One provider for every TLS client of the process; a second call finds it installed.
    drop(rustls::crypto::ring::default_provider().install_default());
    let loader = Loader {
        file: arguments.config.as_deref(),
        admin_url: arguments.admin_url.as_ref(),
        password_file: arguments.admin_password_file.as_deref(),
    };
    let command = arguments.command.unwrap_or(CliCommand::Serve);
    let failure = match run_command(command, loader) {
        Ok(()) | Err(CommandFailure::OutputClosed) => return ExitCode::SUCCESS,
        Err(failure) => failure,
    };
    let (message, code, is_printed) = match failure {
        CommandFailure::Answered(message) => {
            (format!("davinci-siem: {message}"), ExitCode::FAILURE, true)
        }
        CommandFailure::Failed(message) => {
            (format!("davinci-siem: {message}"), ExitCode::FAILURE, false)
        }
        CommandFailure::Mistakes(message) => (message, ExitCode::from(USAGE), true),
        CommandFailure::Usage(message) => (message, ExitCode::from(USAGE), false),
        CommandFailure::OutputClosed => return ExitCode::SUCCESS,
    };
    let message = without_numbers(&message);
    eprintln!("{message}");
    if as_json && !is_printed {
        let error = message.strip_prefix("davinci-siem: ").unwrap_or(&message);
        // The exit code tells the failure, too, if the reader of the output has gone.
        drop(output::json(&serde_json::json!({ "error": error })));
    }
    code
}

/// Returns true if the command has the flag `--json`.
fn wants_json(matches: &ArgMatches) -> bool {
    let is_set = matches!(matches.try_get_one::<bool>("json"), Ok(Some(true)));
    is_set || matches.subcommand().is_some_and(|(_, matches)| wants_json(matches))
}

/// Returns the definition of the command line, with examples in the help of each command.
fn command_line() -> Command {
    examples::with_examples(CommandLine::command())
}

/// Parses `--admin-url`.
fn admin_url(text: &str) -> Result<Url, String> {
    http_client::parse_url(text).map_err(|problem| format!("the URL {problem}"))
}

/// Returns true for a command that takes `--admin-url`: it needs the running service and nothing else.
fn takes_admin_url(command: &CliCommand) -> bool {
    use CliCommand::{Drift, Flows, Health, Replay, Sink, Status, Tail, Top};
    matches!(
        command,
        Status(_) | Top(_) | Tail(_) | Sink(_) | Flows(_) | Drift(_) | Replay(_) | Health(_)
    )
}

fn run_command(command: CliCommand, loader: Loader<'_>) -> Result<(), CommandFailure> {
    if loader.admin_url.is_some() && !takes_admin_url(&command) {
        let message =
            "davinci-siem: this command does not take --admin-url; give the configuration with -c";
        return Err(CommandFailure::Usage(message.to_owned()));
    }
    match command {
        CliCommand::Serve => {
            let (text, config) = loader.text_and_config()?;
            serve::run(config, text, loader.file.map(Path::to_owned))
        }
        CliCommand::Init(arguments) => init::run(&arguments),
        CliCommand::Check(check) => check::run(&check, loader),
        CliCommand::Config(command) => config::run(&command),
        CliCommand::Send(arguments) => send::run(&arguments),
        CliCommand::Map(arguments) => map::run(&arguments, || loader.config()),
        CliCommand::Fields(arguments) => fields::run(&arguments),
        CliCommand::Quarantine(command) => quarantine::run(command, loader),
        CliCommand::Spool(command) => spool::run(&command, &loader.spool()?),
        CliCommand::Status(status) => status::run(&status, &loader.admin()?),
        CliCommand::Top(arguments) => top::run(&arguments, &loader.admin()?),
        CliCommand::Audit(arguments) => audit::run(&arguments, &loader.spool()?),
        CliCommand::Tail(arguments) => tail::run(&arguments, &loader.admin()?),
        CliCommand::Trace(arguments) => {
            trace::run(&arguments, &loader.config_without(Secrets::None)?)
        }
        CliCommand::Sink(command) => sink::run(&command, &loader.admin()?),
        CliCommand::Flows(arguments) => flows::run(&arguments, &loader.admin()?),
        CliCommand::Drift(drift) => drift::run(&drift, &loader.admin()?),
        CliCommand::Replay(replay) => replay::run(&replay, &loader.admin()?),
        CliCommand::Reconcile(arguments) => reconcile::run(&arguments, loader),
        CliCommand::Doctor(arguments) => doctor::run(&arguments, loader),
        CliCommand::Volume(arguments) => {
            volume::run(&arguments, &loader.config_without(Secrets::None)?)
        }
        CliCommand::Health(health) => health::run(&health, &loader.public_admin()?),
        CliCommand::Completions(shell) => generate::completions(&shell, command_line()),
        CliCommand::Man(man) => generate::man(&man, command_line()),
    }
}

/// Runs `task` on a single-threaded runtime.
fn block_on<T>(task: impl Future<Output = Result<T, CommandFailure>>) -> Result<T, CommandFailure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(task);
    // Does not wait for blocking file operations.
    runtime.shutdown_background();
    done
}

#[cfg(test)]
mod tests;

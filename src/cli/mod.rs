//! The command line: one file per subcommand.
//!
//! Exit codes: 0 done, 1 it could not be done, 64 the configuration or the arguments are wrong
//! (`EX_USAGE` of sysexits.h). Results go to standard output, everything else to standard error.

mod admin_client;
mod check;
mod config;
mod drift;
mod generate;
mod health;
mod known;
mod loader;
mod map;
mod output;
mod quarantine;
mod records;
mod replay;
mod send;
mod serve;
mod sink;
mod spool;
mod status;
mod tail;
mod trace;

use std::ffi::OsString;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::error_chain::{error_chain, io_message, without_numbers};
use crate::settings::Secrets;
use loader::Loader;

/// The exit code for wrong arguments and configurations.
const USAGE: u8 = 64;

const EXIT_CODES: &str = "Exit codes: 0 done, 1 it could not be done, 64 the configuration or the \
                          arguments are wrong.";

/// Receives PingOne DaVinci webhook events and gets every one of them into a SIEM.
///
/// Without a subcommand it serves. Without a configuration file it listens on 127.0.0.1:8080, path
/// /webhooks/pingone, keeps its spool in ./data and writes every event to standard output.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100, after_help = EXIT_CODES)]
struct Arguments {
    /// Configuration file (TOML). Any key can be overridden by a variable such as
    /// `DAVINCI_SIEM__SPOOL__MAX_SIZE`
    #[arg(short, long, global = true, value_name = "FILE", env = "DAVINCI_SIEM_CONFIG")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the receiver (the default)
    Serve,
    /// Check the configuration and report everything that is wrong with it
    Check(check::Arguments),
    /// Print what a configuration file may hold
    #[command(subcommand)]
    Config(config::Command),
    /// Act as PingOne: post events in batches and repeat each until it is answered with 200
    Send(Box<send::Arguments>),
    /// Show what a format makes of events, one line for each
    Map(map::Arguments),
    /// Look at events that were refused, correct them, and take them in after all
    #[command(subcommand)]
    Quarantine(quarantine::Command),
    /// Look into the spool, also while the service runs
    #[command(subcommand)]
    Spool(spool::Command),
    /// Show on one screen how the running service is doing
    ///
    /// Whether it is ready and why not, the spool, the quarantine, each sink, and totals by disposition. Exit code 1
    /// if it is not ready or a sink is paused.
    Status(status::Arguments),
    /// Follow accepted events as they arrive
    ///
    /// Begins with the last ones. What is redacted before it is stored is redacted here.
    Tail(tail::Arguments),
    /// Find out what became of one event
    ///
    /// Reads the spool and the quarantine, also while the service runs. Exit code 1 if there is no trace of
    /// the event.
    Trace(trace::Arguments),
    /// See how each sink is doing; hold one back for a while
    #[command(subcommand)]
    Sink(sink::Command),
    /// Show how the events differ from what PingOne documents
    Drift(drift::Arguments),
    /// Deliver what was received in a time to one sink once more
    Replay(replay::Arguments),
    /// Ask a running service whether it takes events; for container health checks
    Health(health::Arguments),
    /// Print a script that completes commands and options in a shell
    Completions(generate::Completions),
    /// Print the manual page, or write one for every command into a directory
    Man(generate::Man),
}

/// Why a subcommand ended.
enum Failure {
    /// It could not be done; exit code 1.
    Failed(String),
    /// The configuration or an argument is wrong; exit code 64.
    Usage(String),
    /// Whoever reads the output has seen enough; exit code 0.
    Unread,
}

impl<E: std::error::Error + 'static> From<E> for Failure {
    fn from(error: E) -> Failure {
        let output = (&error as &dyn std::error::Error).downcast_ref::<std::io::Error>();
        match output {
            Some(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Failure::Unread,
            Some(error) => Failure::Failed(io_message(error)),
            None => Failure::Failed(error_chain(&error)),
        }
    }
}

/// Runs the command that the arguments name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            let code = if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
            // Nobody is left to tell if even this cannot be printed.
            drop(error.print());
            return code;
        }
    };
    // One provider for every TLS client of the process; a second call finds it installed.
    drop(rustls::crypto::ring::default_provider().install_default());
    let file = arguments.config.as_deref();
    let command = arguments.command.unwrap_or(Command::Serve);
    match output::while_read(|| run_command(command, file)) {
        Ok(()) | Err(Failure::Unread) => ExitCode::SUCCESS,
        Err(Failure::Failed(message)) => {
            eprintln!("davinci-siem: {}", without_numbers(&message));
            ExitCode::FAILURE
        }
        Err(Failure::Usage(message)) => {
            eprintln!("{}", without_numbers(&message));
            ExitCode::from(USAGE)
        }
    }
}

fn run_command(command: Command, file: Option<&Path>) -> Result<(), Failure> {
    let loader = Loader { file };
    match command {
        Command::Serve => {
            let (text, config) = loader.text_and_config()?;
            serve::run(config, text, file.map(Path::to_owned))
        }
        Command::Check(check) => check::run(&check, loader),
        Command::Config(command) => config::run(&command),
        Command::Send(arguments) => send::run(&arguments),
        Command::Map(arguments) => map::run(&arguments, || loader.config()),
        Command::Quarantine(command) => quarantine::run(command, loader),
        Command::Spool(command) => spool::run(&command, &loader.spool()?),
        Command::Status(status) => status::run(&status, &loader.admin()?),
        Command::Tail(arguments) => tail::run(&arguments, &loader.admin()?),
        Command::Trace(arguments) => trace::run(&arguments, &loader.config_without(Secrets::None)?),
        Command::Sink(command) => sink::run(&command, &loader.admin()?),
        Command::Drift(drift) => drift::run(&drift, &loader.admin()?),
        Command::Replay(replay) => replay::run(&replay, &loader.admin()?),
        Command::Health(health) => health::run(&health, loader.admin_address()?),
        Command::Completions(shell) => generate::completions(&shell, Arguments::command()),
        Command::Man(man) => generate::man(&man, Arguments::command()),
    }
}

/// A runtime for the subcommands that only wait for one thing.
fn block_on<T>(task: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(task);
    // A file system that does not answer must not hold up the end.
    runtime.shutdown_background();
    done
}

#[cfg(test)]
mod tests;

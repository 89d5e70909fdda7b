//! `completions` and `man`: generated from the definition of the command line.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Command};
use clap_complete::Shell;

use super::CommandFailure;

/// The program's name in completions and pages.
const NAME: &str = "davinci-siem";

#[derive(Debug, Args)]
pub(super) struct Completions {
    /// Shell to complete for
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, Args)]
pub(super) struct Man {
    /// Directory to write one page per command into; without it, prints the main page
    #[arg(value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

pub(super) fn completions(arguments: &Completions, command: Command) -> Result<(), CommandFailure> {
    std::io::stdout().write_all(&script(arguments.shell, command))?;
    Ok(())
}

/// Returns the completion script. Writing it is left to the caller, because clap panics on a closed pipe.
pub(super) fn script(shell: Shell, mut command: Command) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, NAME, &mut script);
    script
}

pub(super) fn man(arguments: &Man, command: Command) -> Result<(), CommandFailure> {
    let Some(directory) = &arguments.directory else {
        return Ok(clap_mangen::Man::new(command).render(&mut std::io::stdout())?);
    };
    let in_words = |error: std::io::Error| {
        CommandFailure::Failed(format!("{} cannot be written to: {error}", directory.display()))
    };
    std::fs::create_dir_all(directory).map_err(in_words)?;
    clap_mangen::generate_to(command, directory).map_err(in_words)
}

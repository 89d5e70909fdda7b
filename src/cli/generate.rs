//! `completions` and `man`: what a shell and `man` are told of the command line, made of the command line
//! itself.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Command};
use clap_complete::Shell;

use super::Failure;

/// The program's name in completions and pages.
const NAME: &str = "davinci-siem";

#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, Args)]
pub(super) struct Man {
    /// Where to write a page for every command; without it, the main page is printed
    #[arg(value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

pub(super) fn completions(arguments: &Completions, command: Command) -> Result<(), Failure> {
    std::io::stdout().write_all(&script(arguments.shell, command))?;
    Ok(())
}

/// Whole before it is printed: a pipe that closes early is an error then, and would be a panic.
pub(super) fn script(shell: Shell, mut command: Command) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, NAME, &mut script);
    script
}

pub(super) fn man(arguments: &Man, command: Command) -> Result<(), Failure> {
    let Some(directory) = &arguments.directory else {
        return Ok(clap_mangen::Man::new(command).render(&mut std::io::stdout())?);
    };
    let in_words = |error: std::io::Error| {
        Failure::Failed(format!("{} cannot be written to: {error}", directory.display()))
    };
    std::fs::create_dir_all(directory).map_err(in_words)?;
    clap_mangen::generate_to(command, directory).map_err(in_words)
}

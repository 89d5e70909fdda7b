//! `init`: writes a configuration for one target, or lists the targets. Needs no service and no configuration.

mod targets;

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use super::CommandFailure;
use super::known;
use super::output::{self, safe};
use crate::shown;
use targets::{InitTarget, TARGETS};

#[derive(Debug, Args)]
pub(super) struct InitArguments {
    /// Target, by the name that `davinci-siem init` lists
    target: Option<String>,
    /// Write to this file instead of standard output; an existing file is kept
    #[arg(long, value_name = "FILE", requires = "target")]
    output: Option<PathBuf>,
    /// Overwrite an existing file
    #[arg(long, requires = "output")]
    force: bool,
}

/// Prints the targets, or writes the configuration of one.
pub(super) fn run(arguments: &InitArguments) -> Result<(), CommandFailure> {
    let Some(name) = &arguments.target else { return list() };
    let Some(target) = TARGETS.iter().find(|target| target.name == name) else {
        let names: BTreeSet<String> = TARGETS.iter().map(|it| it.name.to_owned()).collect();
        return Err(known::unknown("target", name, &names));
    };
    match &arguments.output {
        None => Ok(std::io::stdout().write_all(target.text.as_bytes())?),
        Some(path) => {
            write(path, target.text, arguments.force)?;
            eprintln!("{}", next_step(target, path));
            Ok(())
        }
    }
}

fn list() -> Result<(), CommandFailure> {
    let row = |target: &InitTarget| {
        let InitTarget { name, product, sink, format, page, .. } = target;
        [name, product, sink, format, first_page(page)].map(|cell| cell.replace('`', ""))
    };
    let rows: Vec<Vec<String>> = TARGETS.iter().map(|target| row(target).to_vec()).collect();
    output::table(&["TARGET", "PRODUCT", "SINK", "FORMAT", "PAGE IN docs/sinks"], &rows)
}

/// Returns the file of the first link.
fn first_page(links: &str) -> &str {
    let link = links.split_once("](").and_then(|(_, rest)| rest.split_once(')'));
    link.map_or("", |(page, _)| page)
}

/// Writes a file. Without `is_forced`, keeps an existing one.
fn write(path: &Path, text: &str, is_forced: bool) -> Result<(), CommandFailure> {
    let mut options = OpenOptions::new();
    options.write(true);
    match is_forced {
        true => options.create(true).truncate(true),
        false => options.create_new(true),
    };
    let written = options.open(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| {
        let path = safe(&path.display().to_string());
        CommandFailure::Failed(match error.kind() {
            ErrorKind::AlreadyExists => {
                format!("{path} exists and is kept; --force overwrites it")
            }
            _ => format!(
                "{path} cannot be written: {}. Choose another --output",
                shown::reason(&error)
            ),
        })
    })
}

/// Returns the next step for operators: the secrets that the file names, and the command that checks it.
fn next_step(target: &InitTarget, path: &Path) -> String {
    let path = safe(&path.display().to_string());
    let variables = variables(target.text).join(", ");
    format!(
        "{path} is written. Correct the addresses in it and set {variables}; then: \
         davinci-siem check --connect -c {path}"
    )
}

/// Returns the variables that a configuration takes its secrets from, in order.
fn variables(text: &str) -> Vec<&str> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let names = lines.flat_map(|line| line.split("_env = \"").skip(1));
    names.filter_map(|rest| rest.split('"').next()).collect()
}

#[cfg(test)]
mod tests;

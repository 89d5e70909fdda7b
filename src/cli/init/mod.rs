//! `init`: writes a configuration for one target, or lists the targets. Needs no service and no configuration.

mod targets;

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

use clap::Args;
use uuid::Uuid;

use super::CommandFailure;
use super::known;
use super::output::{self, safe};
use crate::durable_dir;
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
        None => Ok(io::stdout().write_all(target.text.as_bytes())?),
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
    let fill = |file: &mut File| file.write_all(text.as_bytes());
    let written = match is_forced {
        true => replace(path, fill),
        false => create(path, fill),
    };
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

/// Creates a file with its content, or no file.
///
/// # Errors
/// The file exists already, or cannot be written.
fn create(path: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    let written = fill(&mut file).and_then(|()| file.sync_all());
    if written.is_err() {
        drop(fs::remove_file(path));
    }
    written
}

/// Replaces a file as a whole, or creates it. The file keeps its owner and its permissions, and a link stays a link.
///
/// # Errors
/// The new file cannot be written. The old one is unchanged.
fn replace(path: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let old = fs::metadata(&path).ok();
    if old.as_ref().is_some_and(|old| !old.is_file()) {
        // A terminal or a pipe cannot be replaced. A directory is an error here.
        return fill(&mut OpenOptions::new().write(true).open(&path)?);
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", Uuid::new_v4()));
    let new = path.with_file_name(name);
    create(&new, fill)?;
    let renamed = old.map_or(Ok(()), |old| {
        // Only root may give a file away. Without that, the new file belongs to the user of this command.
        drop(chown(&new, Some(old.uid()), Some(old.gid())));
        fs::set_permissions(&new, old.permissions())
    });
    let renamed = renamed.and_then(|()| fs::rename(&new, &path));
    if renamed.is_err() {
        drop(fs::remove_file(&new));
        return renamed;
    }
    match path.parent() {
        Some(directory) if directory.as_os_str().is_empty() => durable_dir::sync(Path::new(".")),
        Some(directory) => durable_dir::sync(directory),
        None => Ok(()),
    }
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

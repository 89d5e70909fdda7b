//! Reader of the configuration: one TOML file with environment variables over it.
//!
//! [`node`] turns the file and the environment into one tree that remembers the origin of each value. Each
//! component takes its own settings out of that tree through a [`Section`], and declares each key where it reads
//! the key: name, type, bounds, default and description. The same code makes the JSON Schema ([`mod@schema`]), so
//! the schema cannot differ from what is read. A section collects all mistakes, and a component's settings exist
//! only if there are none: reading returns `Option<T>`.

mod keys;
mod node;
mod pattern;
mod problem;
mod schema;
mod section;
pub(crate) mod strength;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

pub(crate) use keys::{Keys, keys};
pub(crate) use pattern::Pattern;
pub(crate) use problem::{Problem, Problems, Secrets};
pub(crate) use schema::schema;
pub(crate) use section::{Reading, Section, suggestion};

use problem::{Collector, Origin};

/// Returns the text of the file; empty without a file.
///
/// # Errors
/// Returns one problem if the file cannot be read.
pub fn text_of(file: Option<&Path>) -> Result<String, Problems> {
    let Some(path) = file else { return Ok(String::new()) };
    std::fs::read_to_string(path).map_err(|error| {
        let reason = crate::shown::reason(&error);
        Problems::one(file, format!("cannot be read: {reason}. Check -c"))
    })
}

/// Reads text and environment with `read`; `file` only names the file in problems.
///
/// # Errors
/// Returns every mistake.
pub(crate) fn read<T>(
    text: &str,
    file: Option<&Path>,
    environment: impl Iterator<Item = (OsString, OsString)>,
    secrets: Secrets,
    read: impl FnOnce(&mut Section<'_>) -> Option<T>,
) -> Result<T, Problems> {
    let (mut known, mut unreadable) = (Vec::new(), Vec::new());
    for (name, value) in environment {
        match (name.into_string(), value.into_string()) {
            (Ok(name), Ok(value)) => known.push((name, value)),
            (Ok(name), Err(_)) if name.starts_with(node::PREFIX) => unreadable.push(name),
            _ => {}
        }
    }
    let environment = known;
    let problems = Collector::new(file.map(PathBuf::from), environment.clone(), secrets);
    for name in unreadable {
        let origin = Origin::Variable(name);
        problems.report(Some(&origin), "", "its value is not UTF-8".to_owned());
    }
    let tree = node::read(text, &environment, &problems);
    let value = Section::root(tree, &problems).finish(read);
    problems.into_result(value)
}

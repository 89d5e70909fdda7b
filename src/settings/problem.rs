//! Problems of a configuration: collected all, then reported at once.

use std::cell::RefCell;
use std::fmt;
use std::path::{Path, PathBuf};

/// One mistake, its origin, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// File and line, or the environment variable; empty if unknown.
    pub place: String,
    /// The key, for example `spool.max_size`; empty for the file as a whole.
    pub key: String,
    /// The mistake, and what to do.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem { place, key, message } = self;
        match (place.is_empty(), key.is_empty()) {
            (true, true) => write!(out, "{message}"),
            (true, false) => write!(out, "{key}: {message}"),
            (false, true) => write!(out, "{place}: {message}"),
            (false, false) => write!(out, "{place}: {key}: {message}"),
        }
    }
}

/// All mistakes of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.0))]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    pub(super) fn one(file: Option<&Path>, message: String) -> Problems {
        let place = file.map(|file| file.display().to_string()).unwrap_or_default();
        Problems(vec![Problem { place, key: String::new(), message }])
    }

    /// Returns the problems of a text that was read as if it were the file `from`, as problems of the file `to`.
    pub(crate) fn moved(self, from: &Path, to: &Path) -> Problems {
        let (from, to) = (from.display().to_string(), to.display().to_string());
        let moved = |problem: Problem| match problem.place.strip_prefix(&from) {
            Some(rest) => Problem { place: format!("{to}{rest}"), ..problem },
            None => problem,
        };
        Problems(self.0.into_iter().map(moved).collect())
    }
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}

/// Escapes control characters, so that a problem is one line: a key or a path may hold line breaks.
fn one_line(text: String) -> String {
    if !text.contains(char::is_control) {
        return text;
    }
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}

/// Origin of a value.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    /// Line of the file, from 1.
    Line(usize),
    Variable(String),
}

/// Secrets that are read. A command that needs none works for an operator who may not read them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrets {
    All,
    /// Those of `[redact]`, which decide what is stored.
    OfRedact,
    /// No secret.
    None,
}

/// Collects problems while the sections are read.
pub(super) struct Collector {
    file: Option<PathBuf>,
    environment: Vec<(String, String)>,
    secrets: Secrets,
    found: RefCell<Vec<Problem>>,
}

impl Collector {
    pub(super) fn new(
        file: Option<PathBuf>,
        environment: Vec<(String, String)>,
        secrets: Secrets,
    ) -> Collector {
        Collector { file, environment, secrets, found: RefCell::default() }
    }

    /// Returns true if the secrets of a table are to be read.
    pub(super) fn reads_secrets_of(&self, table: &str) -> bool {
        match self.secrets {
            Secrets::All => true,
            Secrets::OfRedact => table == "redact",
            Secrets::None => false,
        }
    }

    /// Returns the path of the configuration file, if there is one.
    pub(super) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    pub(super) fn report(&self, origin: Option<&Origin>, key: &str, message: String) {
        let file = || self.file.as_ref().map(|file| file.display().to_string());
        let place = match origin {
            Some(Origin::Variable(name)) => name.clone(),
            Some(Origin::Line(line)) => match file() {
                Some(file) => format!("{file}:{line}"),
                None => format!("line {line}"),
            },
            None => file().unwrap_or_default(),
        };
        let (place, key, message) = (one_line(place), one_line(key.to_owned()), one_line(message));
        self.found.borrow_mut().push(Problem { place, key, message });
    }

    /// Returns the value of an environment variable, for secrets given by `…_env`.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Returns the value if there is no problem.
    pub(super) fn into_result<T>(self, value: Option<T>) -> Result<T, Problems> {
        let found = self.found.into_inner();
        match value {
            Some(value) if found.is_empty() => Ok(value),
            None if found.is_empty() => {
                let message = "cannot be read for no known reason; please report this";
                Err(Problems::one(self.file.as_deref(), message.to_owned()))
            }
            _ => Err(Problems(found)),
        }
    }
}

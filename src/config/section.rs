//! Takes typed values out of one table, collecting problems; what nobody took is an unknown key.
//!
//! A value that is wrong may be a secret in the wrong place: messages show it only where its looks
//! say that it is none.

mod files;

use std::net::SocketAddr;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use super::node::{Node, Table, Value};
use super::problem::{Collector, Origin};
use crate::shown;

/// Longest time span that can be configured, far below what overflows when it is added to a time.
const MAX_DURATION: Duration = Duration::from_hours(10 * 366 * 24);

/// One table of the configuration while it is being read.
pub(super) struct Section<'p> {
    path: String,
    table: Table,
    asked: Vec<String>,
    problems: &'p Collector,
}

impl<'p> Section<'p> {
    pub(super) fn root(table: Table, problems: &'p Collector) -> Section<'p> {
        Section { path: String::new(), table, asked: Vec::new(), problems }
    }

    /// The configuration file, if there is one.
    pub(super) fn file(&self) -> Option<&Path> {
        self.problems.file()
    }

    /// The table under `key`; an empty one if there is none.
    pub(super) fn table(&mut self, key: &str) -> Section<'p> {
        self.table_if_given(key).unwrap_or_else(|| self.child(key, Table::new()))
    }

    /// The table under `key`, if there is one.
    pub(super) fn table_if_given(&mut self, key: &str) -> Option<Section<'p>> {
        let node = self.take(key)?;
        match node.value {
            Value::Table(table) => Some(self.child(key, table)),
            other => self.wrong(key, &node.origin, "a table", &other),
        }
    }

    /// The tables of a list of tables.
    pub(super) fn tables(&mut self, key: &str) -> Vec<Section<'p>> {
        let Some(node) = self.take(key) else { return Vec::new() };
        let Value::List(items) = node.value else {
            self.wrong::<()>(key, &node.origin, "a list of tables", &node.value);
            return Vec::new();
        };
        let mut tables = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            let key = format!("{key}[{index}]");
            match item.value {
                Value::Table(table) => tables.push(self.child(&key, table)),
                other => {
                    self.wrong::<()>(&key, &item.origin, "a table", &other);
                }
            }
        }
        tables
    }

    /// One table, or a list of them.
    pub(super) fn table_or_tables(&mut self, key: &str) -> Vec<Section<'p>> {
        match self.table.get(key).map(|node| &node.value) {
            Some(Value::Table(_)) => self.table_if_given(key).into_iter().collect(),
            _ => self.tables(key),
        }
    }

    /// The tables below `key`, each with its name. Names label metrics and files, so they are plain.
    pub(super) fn named(&mut self, key: &str) -> Vec<(String, Section<'p>)> {
        let mut parent = self.table(key);
        let mut found = Vec::new();
        for name in parent.table.keys().cloned().collect::<Vec<_>>() {
            let plain =
                |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
            if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
                let advice = "names are 1 to 64 of a-z, 0-9, - and _; rename it";
                parent.report_at(&name, advice.to_owned());
            }
            if let Some(section) = parent.table_if_given(&name) {
                found.push((name, section));
            }
        }
        found
    }

    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        let node = self.take(key)?;
        match node.value {
            Value::Text(text) | Value::Variable(text) => Some(text),
            other => self.wrong(key, &node.origin, "a string", &other),
        }
    }

    /// Text that has to be there.
    pub(super) fn required_text(&mut self, key: &str, example: &str) -> Option<String> {
        if self.is_missing(key) {
            self.report(key, format!("is missing; write for example {key} = {example:?}"));
        }
        self.text(key)
    }

    /// Whether a required key is not there.
    pub(super) fn is_missing(&self, key: &str) -> bool {
        !self.table.contains_key(key)
    }

    /// Lets every remaining key pass: the key that would have given them a meaning is wrong.
    pub(super) fn ignore_rest(&mut self) {
        self.table.clear();
    }

    /// Text that another type is made of.
    pub(super) fn parsed<T: FromStr>(&mut self, key: &str, wanted: &str) -> Option<T> {
        let origin = self.origin(key)?;
        let text = self.text(key)?;
        text.trim().parse().ok().or_else(|| {
            self.problems.report(
                Some(&origin),
                &self.key(key),
                format!("{}is not {wanted}", shown::value(&text)),
            );
            None
        })
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&mut self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let origin = self.origin(key)?;
        let text = self.text(key)?;
        let chosen = choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if chosen.is_none() {
            let words: Vec<String> = choices.iter().map(|(word, _)| format!("{word:?}")).collect();
            let mut message = format!("{}is not one of {}", shown::value(&text), words.join(", "));
            if let Some(word) = closest(&text, choices.iter().map(|(word, _)| *word)) {
                message.push_str(&format!("; did you mean {word:?}?"));
            }
            self.problems.report(Some(&origin), &self.key(key), message);
        }
        chosen
    }

    pub(super) fn boolean(&mut self, key: &str) -> Option<bool> {
        let node = self.take(key)?;
        match &node.value {
            Value::Boolean(value) => Some(*value),
            Value::Variable(text) if text.trim().eq_ignore_ascii_case("true") => Some(true),
            Value::Variable(text) if text.trim().eq_ignore_ascii_case("false") => Some(false),
            other => self.wrong(key, &node.origin, "true or false", other),
        }
    }

    /// A whole number of at least `least`.
    pub(super) fn integer(&mut self, key: &str, least: u64) -> Option<u64> {
        let node = self.take(key)?;
        let number = match &node.value {
            Value::Integer(number) => u64::try_from(*number).ok(),
            Value::Variable(text) => text.trim().parse().ok(),
            _ => None,
        };
        match number {
            Some(number) if number >= least => Some(number),
            _ => self.wrong(
                key,
                &node.origin,
                &format!("a whole number from {least} on"),
                &node.value,
            ),
        }
    }

    /// A number from 0 to 1.
    pub(super) fn fraction(&mut self, key: &str) -> Option<f64> {
        let node = self.take(key)?;
        let number = match &node.value {
            Value::Float(number) => Some(*number),
            Value::Integer(number) => Some(*number as f64),
            Value::Variable(text) => text.trim().parse().ok(),
            _ => None,
        };
        match number {
            Some(number) if (0.0..=1.0).contains(&number) => Some(number),
            _ => self.wrong(key, &node.origin, "a number from 0 to 1", &node.value),
        }
    }

    /// A number of bytes, such as `"32 MiB"`, of at least `least`.
    pub(super) fn size(&mut self, key: &str, least: u64) -> Option<u64> {
        let origin = self.origin(key)?;
        let size = self.parsed::<bytesize::ByteSize>(key, "a size such as \"32 MiB\"")?.as_u64();
        if size < least {
            let least = bytesize::ByteSize(least).display().iec();
            self.problems.report(
                Some(&origin),
                &self.key(key),
                format!("must be at least {least}"),
            );
            return None;
        }
        Some(size)
    }

    /// A time span, such as `"14d"`, of at most [`MAX_DURATION`].
    pub(super) fn duration(&mut self, key: &str) -> Option<Duration> {
        self.duration_from(key, Duration::ZERO)
    }

    /// A time limit or an interval: raised to 1 ms, below which it would fail always, or spin.
    pub(super) fn timeout(&mut self, key: &str) -> Option<Duration> {
        self.duration_from(key, Duration::from_millis(1))
    }

    /// A time span, raised to `least`; 0 only where `least` is.
    pub(super) fn duration_from(&mut self, key: &str, least: Duration) -> Option<Duration> {
        let origin = self.origin(key)?;
        let wanted = "a time span such as \"30s\", \"15m\" or \"14d\"";
        let duration: Duration = self.parsed::<humantime::Duration>(key, wanted)?.into();
        let message = if duration.is_zero() && !least.is_zero() {
            "must be more than 0"
        } else if duration > MAX_DURATION {
            "must be at most 10 years (10y)"
        } else {
            return Some(duration.max(least));
        };
        self.problems.report(Some(&origin), &self.key(key), message.to_owned());
        None
    }

    pub(super) fn address(&mut self, key: &str) -> Option<SocketAddr> {
        self.parsed(key, "an address and port such as \"127.0.0.1:8080\" or \"[::1]:8080\"")
    }

    /// Texts, each of which another type is made of.
    pub(super) fn list<T: FromStr>(&mut self, key: &str, wanted: &str) -> Vec<T> {
        let Some(node) = self.take(key) else { return Vec::new() };
        let items: Vec<String> = match node.value {
            // From a variable, commas separate.
            Value::Variable(text) => text.split(',').map(|item| item.trim().to_owned()).collect(),
            Value::List(items) if items.iter().all(|item| matches!(item.value, Value::Text(_))) => {
                items
                    .into_iter()
                    .filter_map(|item| match item.value {
                        Value::Text(text) => Some(text),
                        _ => None,
                    })
                    .collect()
            }
            other => {
                self.wrong::<()>(key, &node.origin, "a list of strings", &other);
                return Vec::new();
            }
        };
        let mut parsed = Vec::with_capacity(items.len());
        for item in items {
            match item.parse() {
                Ok(value) => parsed.push(value),
                Err(_) => self.problems.report(
                    Some(&node.origin),
                    &self.key(key),
                    format!("{}is not {wanted}", shown::value(&item)),
                ),
            }
        }
        parsed
    }

    /// Whether nothing is written in it.
    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Reports a problem with one of this table's keys.
    pub(super) fn report(&self, key: &str, message: String) {
        self.problems.report(None, &self.key(key), message);
    }

    fn report_at(&self, key: &str, message: String) {
        let origin = self.table.get(key).map(|node| &node.origin);
        self.problems.report(origin, &self.key(key), message);
    }

    /// Reports what is left as unknown. Every section ends with this.
    pub(super) fn finish(self) {
        for (key, node) in &self.table {
            let asked = self.asked.iter().map(String::as_str);
            let message = match closest(key, asked) {
                Some(asked) => format!("is no key here; did you mean {asked:?}?"),
                None if self.asked.is_empty() => "is no key here; remove it".to_owned(),
                None => format!("is no key here; the keys are {}", self.asked.join(", ")),
            };
            self.problems.report(Some(&node.origin), &self.key(key), message);
        }
    }

    fn take(&mut self, key: &str) -> Option<Node> {
        self.ask(key);
        self.table.remove(key)
    }

    /// Where a key was written, if it was.
    fn origin(&mut self, key: &str) -> Option<Origin> {
        self.ask(key);
        self.table.get(key).map(|node| node.origin.clone())
    }

    fn ask(&mut self, key: &str) {
        if !self.asked.iter().any(|asked| asked == key) {
            self.asked.push(key.to_owned());
        }
    }

    fn child(&self, key: &str, table: Table) -> Section<'p> {
        Section { path: self.key(key), table, asked: Vec::new(), problems: self.problems }
    }

    fn key(&self, key: &str) -> String {
        // TOML knows a key of no letters. Others may be secrets in the wrong place.
        let key = match key {
            "" => "\"\"",
            key if shown::is_key(key) => key,
            _ => "(a name that is not shown)",
        };
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn wrong<T>(&self, key: &str, origin: &Origin, wanted: &str, value: &Value) -> Option<T> {
        let found = match value {
            // Not shown: it may be a secret in the wrong place.
            Value::Text(_) | Value::Variable(_) => "a string".to_owned(),
            Value::Integer(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
            Value::Boolean(value) => value.to_string(),
            Value::List(_) => "a list".to_owned(),
            Value::Table(_) => "a table".to_owned(),
            Value::Other(what) => (*what).to_owned(),
        };
        self.problems.report(
            Some(origin),
            &self.key(key),
            format!("must be {wanted}, not {found}"),
        );
        None
    }
}

/// The word that was probably meant.
fn closest<'w>(text: &str, mut words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    words.find(|word| strsim::jaro_winkler(text, word) > 0.8)
}

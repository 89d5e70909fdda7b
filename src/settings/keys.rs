//! Keys that a configuration sets, to compare two configurations.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;

use super::node::{self, Table, Value};
use super::problem::{Collector, Secrets};

/// The keys and tables of a configuration by their full names, `sinks.archive.path`.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Keys {
    /// Each value as it is written; a list is one value.
    pub values: BTreeMap<String, String>,
    /// The tables, also empty ones.
    pub tables: BTreeSet<String>,
}

/// Returns the keys of a file's text and of the environment over it, without checking them.
pub(crate) fn keys(text: &str, environment: impl Iterator<Item = (OsString, OsString)>) -> Keys {
    let pairs = environment
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let environment: Vec<(String, String)> = pairs.collect();
    // Loading the same text reports its problems.
    let problems = Collector::new(None, Vec::new(), Secrets::None);
    let mut keys = Keys::default();
    collect(&node::read(text, &environment, &problems), "", &mut keys);
    keys
}

fn collect(table: &Table, path: &str, keys: &mut Keys) {
    for (key, node) in table {
        let name = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match &node.value {
            Value::Table(inner) => {
                keys.tables.insert(name.clone());
                collect(inner, &name, keys);
            }
            value => {
                keys.values.insert(name, spelled(value));
            }
        }
    }
}

/// Returns a value as text, without its origin.
fn spelled(value: &Value) -> String {
    match value {
        Value::Text(text) | Value::Variable(text) => format!("{text:?}"),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(value) => value.to_string(),
        Value::List(items) => {
            let items: Vec<String> = items.iter().map(|item| spelled(&item.value)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Table(table) => {
            let entries =
                table.iter().map(|(key, node)| format!("{key} = {}", spelled(&node.value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        Value::Other(kind) => (*kind).to_owned(),
    }
}

/// Shows names only: a value may be a secret in the wrong place.
impl fmt::Debug for Keys {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_set().entries(self.values.keys()).finish()
    }
}

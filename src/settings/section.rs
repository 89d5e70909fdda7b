//! One table of the configuration: reads its keys and tables, and collects problems.
//!
//! Each method both reads a key and declares it for the schema. A reader therefore reads all of its keys before
//! it returns: a key that is skipped is missing in the schema, and its mistake in the report.
//! A wrong value may be a secret in the wrong place: messages show it only if it cannot be one.

mod choices;
mod files;
mod integers;
mod reading;

use std::path::Path;

use serde_json::{Value as Json, json};

use super::node::{Table, TomlNode, Value};
use super::problem::{Collector, Origin};
use super::schema::{NAME, TableSchema, describe};
use crate::shown;

pub(crate) use reading::Reading;

/// One table of the configuration while it is being read.
pub(crate) struct Section<'p> {
    path: String,
    table: Table,
    /// Keys that this table may have, in the order in which they are read.
    known: Vec<String>,
    /// True if a problem with this table or a table in it was reported.
    is_wrong: bool,
    /// Set while the schema is made.
    schema: Option<TableSchema>,
    problems: &'p Collector,
}

impl<'p> Section<'p> {
    /// Returns the section of the whole file.
    pub(super) fn root(table: Table, problems: &'p Collector) -> Section<'p> {
        let (path, known) = (String::new(), Vec::new());
        Section { path, table, known, is_wrong: false, schema: None, problems }
    }

    /// Returns a section that records declarations and reads nothing.
    pub(super) fn describing(problems: &'p Collector) -> Section<'p> {
        let schema = Some(TableSchema::default());
        Section { schema, ..Section::root(Table::new(), problems) }
    }

    /// Reads this table, and reports the keys that nothing has read. Returns `None` if it has a problem.
    pub(super) fn finish<T>(
        mut self,
        read: impl FnOnce(&mut Section<'p>) -> Option<T>,
    ) -> Option<T> {
        let value = read(&mut self);
        self.report_unknown();
        value.filter(|_| !self.is_wrong)
    }

    /// Returns the declarations that `read` makes.
    pub(super) fn described<T>(
        mut self,
        read: impl FnOnce(&mut Section<'p>) -> Option<T>,
    ) -> TableSchema {
        drop(read(&mut self));
        self.schema.unwrap_or_default()
    }

    /// Returns the path of the configuration file, if there is one.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.problems.file()
    }

    /// Reads the table under `key`; an empty one if there is none.
    pub(crate) fn table<T>(
        &mut self,
        key: &str,
        doc: &str,
        read: impl FnOnce(&mut Section<'p>) -> Option<T>,
    ) -> Option<T> {
        if self.schema.is_some() {
            let schema = self.child(key, Table::new()).described(read).into_value();
            self.declare(key, doc, schema);
            return None;
        }
        match self.take(key) {
            Some(node) => self.table_of(key, node, read),
            None => self.child_of(key, Table::new(), read),
        }
    }

    /// Reads the table under `key` if there is one; `Some(None)` if there is none.
    pub(crate) fn optional_table<T>(
        &mut self,
        key: &str,
        doc: &str,
        read: impl FnOnce(&mut Section<'p>) -> Option<T>,
    ) -> Option<Option<T>> {
        if self.schema.is_some() {
            return self.table(key, doc, read).map(Some);
        }
        match self.take(key) {
            Some(node) => self.table_of(key, node, read).map(Some),
            None => Some(None),
        }
    }

    /// Reads a list of tables; an empty list if there is none.
    pub(crate) fn tables<T>(
        &mut self,
        key: &str,
        doc: &str,
        mut read: impl FnMut(&mut Section<'p>) -> Option<T>,
    ) -> Option<Vec<T>> {
        if self.schema.is_some() {
            let item = self.child(key, Table::new()).described(read).into_value();
            self.declare(key, doc, json!({ "type": "array", "items": item, "default": [] }));
            return None;
        }
        let Some(node) = self.take(key) else { return Some(Vec::new()) };
        let Value::List(items) = node.value else {
            return self.wrong_type(key, &node, "a list of tables");
        };
        let items = items.into_iter().enumerate();
        let read = |(index, item)| self.table_of(&format!("{key}[{index}]"), item, &mut read);
        // All are read, so that all mistakes are reported.
        let values: Vec<Option<T>> = items.map(read).collect();
        values.into_iter().collect()
    }

    /// Reads one table, or a list of tables.
    pub(crate) fn table_or_tables<T>(
        &mut self,
        key: &str,
        doc: &str,
        read: impl FnMut(&mut Section<'p>) -> Option<T>,
    ) -> Option<Vec<T>> {
        if self.schema.is_some() {
            let item = self.child(key, Table::new()).described(read).into_value();
            let list = json!({ "type": "array", "items": item });
            self.declare(key, doc, json!({ "anyOf": [item, list], "default": [] }));
            return None;
        }
        match self.table.get(key).map(|node| &node.value) {
            Some(Value::Table(_)) => self.table(key, doc, read).map(|value| vec![value]),
            _ => self.tables(key, doc, read),
        }
    }

    /// Reads the tables below `key`, each with its name; without any, one with the name and the keys of `default`.
    /// Names label metrics and files, so only a few characters are allowed.
    pub(crate) fn named<T>(
        &mut self,
        key: &str,
        doc: &str,
        default: (&str, &[(&str, &str)]),
        mut read: impl FnMut(&str, &mut Section<'p>) -> Option<T>,
    ) -> Option<Vec<T>> {
        if self.schema.is_some() {
            let item = self.child(key, Table::new()).described(|section| read("", section));
            self.declare(
                key,
                doc,
                json!({
                    "type": "object",
                    "propertyNames": { "pattern": NAME },
                    "additionalProperties": item.into_value(),
                }),
            );
            return None;
        }
        let tables = match self.take(key) {
            None => Table::new(),
            Some(TomlNode { value: Value::Table(tables), .. }) => tables,
            Some(node) => return self.wrong_type(key, &node, "a table"),
        };
        if tables.is_empty() {
            let (name, keys) = default;
            let node = |text: &str| TomlNode {
                value: Value::Variable(text.to_owned()),
                origin: Origin::Line(0),
            };
            let table = keys.iter().map(|(key, text)| ((*key).to_owned(), node(text))).collect();
            let path = format!("{key}.{name}");
            return self.child_of(&path, table, |section| read(name, section)).map(|one| vec![one]);
        }
        let mut values = Vec::with_capacity(tables.len());
        for (name, node) in tables {
            let plain =
                |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
            let path = format!("{key}.{}", shown_key(&name));
            if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
                let advice = "names are 1 to 64 of a-z, 0-9, - and _; rename it";
                self.report_at(&node.origin, &path, advice.to_owned());
            }
            values.push(self.table_of(&path, node, |section| read(&name, section)));
        }
        values.into_iter().collect()
    }

    /// Returns the names of the tables below `key`, and reads nothing in them.
    pub(crate) fn names(&mut self, key: &str, default: &str) -> Vec<String> {
        match self.take(key).map(|node| node.value) {
            Some(Value::Table(tables)) if !tables.is_empty() => tables.into_keys().collect(),
            _ => vec![default.to_owned()],
        }
    }

    /// Reads a key that decides which other keys this table has, and then these.
    pub(crate) fn variants<C: Copy, T>(
        &mut self,
        key: &str,
        doc: &str,
        choices: &[(&'static str, C)],
        mut read: impl FnMut(C, &mut Section<'p>) -> Option<T>,
    ) -> Option<T> {
        if let Some(base) = &mut self.schema {
            let mut base = std::mem::take(base);
            for (word, choice) in choices {
                let mut variant = self.child(key, Table::new());
                variant.declare(key, doc, json!({ "const": word }));
                if let Some(schema) = &mut variant.schema {
                    schema.require(key);
                }
                base.add_variant(variant.described(|section| read(*choice, section)));
            }
            self.schema = Some(base);
            return None;
        }
        if !self.is_given(key) {
            let words: Vec<String> = choices.iter().map(|(word, _)| format!("{word:?}")).collect();
            self.report(key, format!("is missing; write {key} = one of {}", words.join(", ")));
        }
        match self.choice(key, choices, doc).optional().flatten() {
            Some(choice) => read(choice, self),
            None => {
                // The other keys cannot be judged without this one.
                self.ignore_rest();
                None
            }
        }
    }

    /// Returns true if the file or the environment sets `key`.
    pub(crate) fn is_given(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Returns true if the table holds no key.
    pub(crate) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Accepts every remaining key without looking at it.
    pub(crate) fn ignore_rest(&mut self) {
        self.table.clear();
    }

    /// Reports a problem with one of this table's keys; an empty key means the table.
    pub(crate) fn report(&mut self, key: &str, message: impl Into<String>) {
        self.is_wrong = true;
        self.problems.report(None, &self.key(key), message.into());
    }

    fn report_at(&mut self, origin: &Origin, key: &str, message: String) {
        self.is_wrong = true;
        self.problems.report(Some(origin), &self.key(key), message);
    }

    fn report_unknown(&mut self) {
        for (key, node) in std::mem::take(&mut self.table) {
            let known = self.known.iter().map(String::as_str);
            let message = match closest(&key, known) {
                Some(known) => format!("is no key here; did you mean {known:?}?"),
                None if self.known.is_empty() => "is no key here; remove it".to_owned(),
                None => format!("is no key here; the keys are {}", self.known.join(", ")),
            };
            self.report_at(&node.origin, shown_key(&key), message);
        }
    }

    fn wrong_type<T>(&mut self, key: &str, node: &TomlNode, wanted: &str) -> Option<T> {
        self.report_at(&node.origin, key, wrong_type(wanted, &node.value));
        None
    }

    fn take(&mut self, key: &str) -> Option<TomlNode> {
        self.know(key);
        self.table.remove(key)
    }

    fn know(&mut self, key: &str) {
        if !self.known.iter().any(|known| known == key) {
            self.known.push(key.to_owned());
        }
    }

    fn declare(&mut self, key: &str, doc: &str, mut declared: Json) {
        if let Some(schema) = &mut self.schema {
            describe(&mut declared, doc);
            schema.add(key, declared);
        }
    }

    fn table_of<T>(
        &mut self,
        key: &str,
        node: TomlNode,
        read: impl FnOnce(&mut Section<'p>) -> Option<T>,
    ) -> Option<T> {
        match node.value {
            Value::Table(table) => self.child_of(key, table, read),
            _ => self.wrong_type(key, &node, "a table"),
        }
    }

    fn child_of<T>(
        &mut self,
        key: &str,
        table: Table,
        read: impl FnOnce(&mut Section<'p>) -> Option<T>,
    ) -> Option<T> {
        let value = self.child(key, table).finish(read);
        self.is_wrong |= value.is_none();
        value
    }

    fn child(&self, key: &str, table: Table) -> Section<'p> {
        let schema = self.schema.is_some().then(TableSchema::default);
        let (path, known) = (self.key(key), Vec::new());
        Section { path, table, known, is_wrong: false, schema, problems: self.problems }
    }

    fn key(&self, key: &str) -> String {
        match (self.path.is_empty(), key.is_empty()) {
            (true, _) => key.to_owned(),
            (false, true) => self.path.clone(),
            (false, false) => format!("{}.{key}", self.path),
        }
    }
}

/// Returns a key of the file as messages show it: it may be a secret in the wrong place.
fn shown_key(key: &str) -> &str {
    match key {
        // TOML allows an empty key.
        "" => "\"\"",
        key if shown::is_key(key) => key,
        _ => "(a name that is not shown)",
    }
}

/// Returns the message about a value of the wrong type. Texts are not shown: one may be a secret.
fn wrong_type(wanted: &str, value: &Value) -> String {
    let found = match value {
        Value::Text(_) | Value::Variable(_) => "a string".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(value) => value.to_string(),
        Value::List(_) => "a list".to_owned(),
        Value::Table(_) => "a table".to_owned(),
        Value::Other(kind) => (*kind).to_owned(),
    };
    format!("must be {wanted}, not {found}")
}

/// Returns the word that was probably meant: the most similar one, if it is close.
fn closest<'w>(text: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let likeness = |word: &&str| strsim::jaro_winkler(text, word);
    let best = words.max_by(|one, other| likeness(one).total_cmp(&likeness(other)))?;
    (likeness(&best) > 0.8).then_some(best)
}

/// Returns the end of a message about a name that is not among `names`: the one that was probably meant, or nothing.
pub(crate) fn suggestion(text: &str, names: &[&str]) -> String {
    match closest(text, names.iter().copied()) {
        Some(name) => format!("; did you mean {name:?}?"),
        None => String::new(),
    }
}

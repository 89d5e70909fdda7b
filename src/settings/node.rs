//! The file and the environment as one tree; each value has its origin.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Collector, Origin};

/// Prefix of the variables that override keys: `DAVINCI_SIEM__SPOOL__MAX_SIZE`.
pub(super) const PREFIX: &str = "DAVINCI_SIEM__";

/// A value and its origin.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// A value whose type is not checked yet.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    List(Vec<Node>),
    Table(Table),
    /// Text of a variable, which is parsed as the type of the key.
    Variable(String),
    /// A TOML type that no key takes.
    Other(&'static str),
}

pub(super) type Table = BTreeMap<String, Node>;

/// Parses the file and applies the overriding variables.
pub(super) fn read(text: &str, environment: &[(String, String)], problems: &Collector) -> Table {
    let lines = Lines::of(text);
    let (parsed, errors) = DeTable::parse_recoverable(text);
    let is_broken = !errors.is_empty();
    for error in errors {
        let line = error.span().map(|span| Origin::Line(lines.at(span.start)));
        problems.report(line.as_ref(), "", format!("not valid TOML: {}", mistake(error.message())));
    }
    // The rest of a broken file would cause misleading problems.
    let mut tree = if is_broken { Table::new() } else { table(&lines, parsed.get_ref()) };
    let mut seen: BTreeMap<Vec<String>, &str> = BTreeMap::new();
    for (name, value) in environment {
        if let Some(path) = name.strip_prefix(PREFIX) {
            let keys: Vec<String> = path.split("__").map(str::to_lowercase).collect();
            if let Some(other) = seen.insert(keys.clone(), name) {
                let message = format!("and {other} are the same key; unset one of them");
                problems.report(Some(&Origin::Variable(name.clone())), &keys.join("."), message);
            }
            override_key(&mut tree, &keys, name, value, problems);
        }
    }
    tree
}

/// Returns the parser's message, unless it quotes more than a few characters of the file: they may be a secret.
fn mistake(message: &str) -> &str {
    let is_quote = |c: char| ['`', '"', '\''].contains(&c);
    let mut quoted = message.split(is_quote).skip(1).step_by(2);
    let is_long = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).count() > 3;
    match quoted.any(is_long) || message.contains('\n') {
        true => "this line cannot be read; a line is key = \"value\", [table] or # a comment",
        false => message,
    }
}

fn table(lines: &Lines, parsed: &DeTable<'_>) -> Table {
    parsed
        .iter()
        .map(|(key, value)| (key.get_ref().to_string(), node(lines, value, key.span().start)))
        .collect()
}

fn node(lines: &Lines, parsed: &Spanned<DeValue<'_>>, start: usize) -> Node {
    let value = match parsed.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Value::Other("an integer out of range"), Value::Integer),
        DeValue::Boolean(value) => Value::Boolean(*value),
        DeValue::Array(items) => {
            let items = items.iter().map(|item| node(lines, item, item.span().start));
            Value::List(items.collect())
        }
        DeValue::Table(inner) => Value::Table(table(lines, inner)),
        DeValue::Float(number) => {
            number.as_str().parse().map_or(Value::Other("a float"), Value::Float)
        }
        DeValue::Datetime(_) => Value::Other("a date"),
    };
    Node { value, origin: Origin::Line(lines.at(start)) }
}

fn override_key(tree: &mut Table, keys: &[String], name: &str, value: &str, problems: &Collector) {
    let Some((last, parents)) = keys.split_last() else { return };
    let origin = Origin::Variable(name.to_owned());
    let mut at = tree;
    for key in parents {
        let entry = at
            .entry(key.clone())
            .or_insert_with(|| Node { value: Value::Table(Table::new()), origin: origin.clone() });
        match &mut entry.value {
            Value::Table(table) => at = table,
            _ => {
                return problems.report(
                    Some(&origin),
                    &keys.join("."),
                    format!("{key} is no table"),
                );
            }
        }
    }
    at.insert(last.clone(), Node { value: Value::Variable(value.to_owned()), origin });
}

/// Offsets of the line ends, found once for all values.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Lines {
        Lines(memchr::memchr_iter(b'\n', text.as_bytes()).collect())
    }

    /// Returns the line, from 1, of the byte at `offset`.
    fn at(&self, offset: usize) -> usize {
        self.0.partition_point(|end| *end < offset) + 1
    }
}

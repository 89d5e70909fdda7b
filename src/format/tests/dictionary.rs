//! Generates the data dictionary from the fixtures, and compares it with the stored one.

use std::collections::BTreeSet;

use super::*;
use crate::event::registry;

/// Facts about one field, collected over all fixtures.
#[derive(Default)]
struct Collected {
    types: BTreeSet<String>,
    sources: BTreeSet<String>,
    kinds: BTreeSet<&'static str>,
    values: BTreeSet<String>,
    first: Option<String>,
}

/// Names of the fields that hold everything without a field of its own.
const EXTENSIONS: [&str; 4] =
    ["ping_one.davinci.extra", "ping_one.audit.embedded", "unmapped", "davinciExtra"];

const MAX_EXAMPLE_CHARS: usize = 60;

/// Collects name and value of each field of a document.
fn flatten(value: &Value, at: &str, found: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(fields) if !EXTENSIONS.contains(&at) => {
            for (name, field) in fields {
                let name = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                flatten(field, &name, found);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            items.iter().for_each(|item| flatten(item, &format!("{at}[]"), found));
        }
        other => found.push((at.to_owned(), other.clone())),
    }
}

/// Returns the fields of a line with their values.
fn fields_of(format: Format, line: &str) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    let (head, pairs) = match format {
        Format::Cef => decode_cef(line),
        Format::Leef => decode_leef(line),
        _ => {
            flatten(&serde_json::from_str(line).expect("JSON"), "", &mut found);
            return found;
        }
    };
    let names: &[(&str, usize)] = match format {
        Format::Cef => {
            &[("Device Product", 2), ("Device Event Class ID", 4), ("Name", 5), ("Severity", 6)]
        }
        _ => &[("Product", 2), ("EventID", 4)],
    };
    found.extend(names.iter().map(|(name, at)| ((*name).to_owned(), head[*at].clone().into())));
    for (key, value) in pairs.iter().filter(|(key, _)| !key.ends_with("Label")) {
        let label = pairs.get(&format!("{key}Label"));
        let name = label.map_or_else(|| key.clone(), |label| format!("{key} ({label})"));
        found.push((name, value.clone().into()));
    }
    found
}

fn type_of(value: &Value) -> String {
    match value {
        Value::String(_) => "string".to_owned(),
        Value::Number(number) if number.is_f64() => "number".to_owned(),
        Value::Number(_) => "integer".to_owned(),
        Value::Bool(_) => "boolean".to_owned(),
        Value::Object(_) => "object".to_owned(),
        Value::Array(items) => items
            .first()
            .map_or_else(|| "array".to_owned(), |item| format!("array of {}", type_of(item))),
        Value::Null => "null".to_owned(),
    }
}

/// Returns a JSON pointer with dots, and `[]` for an index.
fn path(pointer: &str) -> String {
    let mut path = String::new();
    for step in pointer.split('/').skip(1) {
        if step.parse::<usize>().is_ok() {
            path.push_str("[]");
        } else {
            path.push_str(if path.is_empty() { "" } else { "." });
            path.push_str(step);
        }
    }
    path
}

/// Returns the event fields that fill a field, as an explanation states them.
fn sources(name: &str, explanation: &Explanation) -> Vec<String> {
    let key = name.split(" (").next().unwrap_or(name);
    let mapped = explanation.mapped.iter().filter_map(|mapped| {
        let rest = key.strip_prefix(mapped.field)?;
        let is_part = rest.is_empty() || rest.starts_with(['.', '[']);
        is_part.then(|| path(&mapped.pointer) + rest)
    });
    let derived =
        explanation.derived.iter().filter(|(field, from)| *field == key && !from.is_empty());
    mapped.chain(derived.map(|(_, from)| (*from).to_owned())).collect()
}

fn collect(format: Format) -> (BTreeMap<String, Collected>, BTreeSet<&'static str>) {
    let (mut all, mut kinds) = (BTreeMap::<String, Collected>::new(), BTreeSet::new());
    for (_, raw) in fixtures() {
        let event = decode::event(&raw).expect("an event").event;
        let kind = registry::lookup(&event.envelope().action.kind).kind;
        kinds.insert(kind);
        let received = Received { event: &event, raw: &raw, received_at: 0, source: "pingone" };
        let explanation = explain(&FormatConfig::of(format), received);
        let line = String::from_utf8(explanation.line.bytes.clone()).expect("UTF-8");
        for (name, value) in fields_of(format, &line) {
            let entry = all.entry(name.clone()).or_default();
            entry.kinds.insert(kind);
            entry.types.insert(type_of(&value));
            entry.sources.extend(sources(&name, &explanation));
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            entry.values.insert(text.clone());
            entry.first.get_or_insert(text);
        }
    }
    (all, kinds)
}

fn joined<T: AsRef<str>>(texts: &BTreeSet<T>) -> String {
    texts.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ")
}

/// Returns the table of a format, and the page about it.
fn generated(name: &str, format: Format) -> (String, String) {
    let (all, kinds) = collect(format);
    let mut table = "field\ttype\tsource\tevents\texample\n".to_owned();
    let mut page = format!(
        "# Fields of format {name}\n\nGenerated from the fixtures; `davinci-siem fields --format {name}` prints the \
         same. `events` are kinds of the\n[registry](../formats.md#registry) of action types.\n\n\
         | field | type | source | events | example |\n| --- | --- | --- | --- | --- |\n"
    );
    for (field, entry) in all {
        let is_extension = EXTENSIONS.contains(&&*field);
        let source = match format {
            Format::Native => "as sent".to_owned(),
            _ if field == "ping_one.audit.embedded" => "_embedded".to_owned(),
            _ if is_extension => "all other fields".to_owned(),
            _ if !entry.sources.is_empty() => joined(&entry.sources),
            _ if entry.values.len() == 1 && entry.kinds == kinds => "constant".to_owned(),
            _ => "derived".to_owned(),
        };
        let missing: BTreeSet<&str> = kinds.difference(&entry.kinds).copied().collect();
        let events = match missing.len() {
            0 => "all".to_owned(),
            1..=8 => format!("all but {}", joined(&missing)),
            _ => joined(&entry.kinds),
        };
        let example = entry.first.filter(|_| !is_extension).unwrap_or_default();
        let example: String = example.chars().take(MAX_EXAMPLE_CHARS).collect();
        let example = example.replace(|c: char| c.is_control() || c == '|', " ");
        let row = [field, joined(&entry.types), source, events, example.trim().to_owned()];
        table.push_str(&row.join("\t"));
        table.push('\n');
        let code = |text: &String| {
            if text.is_empty() { String::new() } else { format!("`{text}`") }
        };
        let [field, value_type, source, events, example] = &row;
        page.push_str(&format!(
            "| {} | {value_type} | {source} | {events} | {} |\n",
            code(field),
            code(example)
        ));
    }
    (table, page)
}

/// Compares with the stored files. `INSTA_UPDATE=always cargo test --lib format` rewrites them.
#[test]
fn the_dictionary_has_every_field_of_the_fixtures() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let is_update = std::env::var("INSTA_UPDATE").is_ok_and(|value| value == "always");
    for (name, format) in Format::ALL {
        let (table, page) = generated(name, format);
        let lines = table.lines().count();
        let files = [
            (format!("src/format/fields/{name}.tsv"), table),
            (format!("docs/fields/{name}.md"), page),
        ];
        for (file, expected) in files {
            if is_update {
                std::fs::write(root.join(&file), &expected).expect("the file is written");
            }
            let stored = std::fs::read_to_string(root.join(&file)).unwrap_or_default();
            assert!(stored == expected, "{file} is stale: INSTA_UPDATE=always rewrites it");
        }
        assert!(
            is_update || dictionary(format).count() + 1 == lines,
            "every row of {name} is read"
        );
    }
}

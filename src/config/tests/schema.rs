//! The JSON Schema: it is the stored one, accepts every configuration file of this repository, and refuses mistakes.

use std::collections::BTreeSet;

use regex::Regex;
use serde_json::{Value, json};

use super::reference::{SINKS, examples, keys_of, keys_of_sink};
use super::*;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the mistakes that a schema finds in a value. Refuses a keyword that it does not know.
fn mistakes(schema: &Value, value: &Value, path: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut report = |message: String| found.push(format!("{path}: {message}"));
    let mut inner = Vec::new();
    for (keyword, argument) in schema.as_object().expect("a schema") {
        let is_good = match keyword.as_str() {
            "$schema" | "title" | "description" | "default" | "examples" => true,
            "type" => match argument.as_str().expect("a type") {
                "object" => value.is_object(),
                "array" => value.is_array(),
                "string" => value.is_string(),
                "boolean" => value.is_boolean(),
                "integer" => value.is_u64() || value.is_i64(),
                "number" => value.is_number(),
                other => panic!("{other}"),
            },
            "enum" => argument.as_array().expect("a list").contains(value),
            "const" => argument == value,
            "minimum" => value.as_f64().is_none_or(|number| Some(number) >= argument.as_f64()),
            "maximum" => value.as_f64().is_none_or(|number| Some(number) <= argument.as_f64()),
            "pattern" => value.as_str().is_none_or(|text| {
                Regex::new(argument.as_str().expect("a pattern")).expect("valid").is_match(text)
            }),
            "required" => value.as_object().is_none_or(|object| {
                let keys = argument.as_array().expect("a list");
                keys.iter().all(|key| object.contains_key(key.as_str().expect("a key")))
            }),
            "items" => {
                for item in value.as_array().into_iter().flatten() {
                    inner.extend(mistakes(argument, item, &format!("{path}[]")));
                }
                true
            }
            "oneOf" | "anyOf" => {
                let schemas = argument.as_array().expect("a list");
                let good = schemas.iter().filter(|one| mistakes(one, value, path).is_empty());
                let count = good.count();
                count == 1 || (count > 1 && keyword == "anyOf")
            }
            "properties" => {
                for (key, schema) in argument.as_object().expect("properties") {
                    if let Some(value) = value.get(key) {
                        inner.extend(mistakes(schema, value, &format!("{path}.{key}")));
                    }
                }
                true
            }
            "propertyNames" => {
                for key in value.as_object().into_iter().flatten().map(|(key, _)| key) {
                    inner.extend(mistakes(argument, &json!(key), &format!("{path}.{key}")));
                }
                true
            }
            "additionalProperties" => {
                let known = schema.get("properties").and_then(Value::as_object);
                for (key, value) in value.as_object().into_iter().flatten() {
                    if known.is_some_and(|known| known.contains_key(key)) {
                        continue;
                    }
                    match argument {
                        Value::Bool(_) => inner.push(format!("{path}.{key}: is no key here")),
                        schema => {
                            inner.extend(mistakes(schema, value, &format!("{path}.{key}")));
                        }
                    }
                }
                true
            }
            other => panic!("an unknown keyword: {other}"),
        };
        if !is_good {
            report(format!("{keyword} {argument}"));
        }
    }
    found.extend(inner);
    found
}

fn mistakes_of(text: &str) -> Vec<String> {
    let value: Value = toml::from_str(text).expect("TOML");
    mistakes(&schema(), &value, "")
}

/// Collects the TOML files below a directory, and the TOML in Kubernetes' files. Templates are no files yet: the check of
/// the chart renders them.
fn configurations(directory: &Path, found: &mut Vec<(String, String)>) {
    for entry in directory.read_dir().expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && path.ends_with("templates") {
            continue;
        }
        if path.is_dir() {
            configurations(&path, found);
            continue;
        }
        let name = path.display().to_string();
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        if name.ends_with(".toml") {
            found.push((name, text));
        } else if name.ends_with(".yaml")
            && let Some((_, block)) = text.split_once(".toml: |\n")
        {
            let lines =
                block.lines().take_while(|line| line.is_empty() || line.starts_with("    "));
            found.push((name, lines.collect::<Vec<_>>().join("\n")));
        }
    }
}

#[test]
fn every_configuration_file_is_valid() {
    let mut files = Vec::new();
    for directory in ["config", "deploy"] {
        configurations(&root().join(directory), &mut files);
    }
    assert!(files.len() >= 11, "{} files", files.len());
    for (name, text) in files {
        assert_eq!(mistakes_of(&text), Vec::<String>::new(), "{name}");
    }
    assert_eq!(mistakes_of(&examples()), Vec::<String>::new(), "the examples of the reference");
}

#[test]
fn mistakes_are_refused() {
    for (text, expected) in [
        ("[listen]\nadress = \"127.0.0.1:1\"", ".listen.adress: is no key here"),
        ("[limits]\nbody = 3", ".limits.body: type \"string\""),
        ("[limits]\nbody = \"32 MiB!\"", ".limits.body: pattern"),
        ("[limits]\nconnections = 0", ".limits.connections: minimum 1"),
        ("[limits]\nconnections = \"many\"", ".limits.connections: type \"integer\""),
        ("[limits]\nheader_timeout = \"soon\"", ".limits.header_timeout: pattern"),
        ("[spool.dedup]\nmax_ids = 5", ".spool.dedup.max_ids: minimum 1000"),
        ("[log]\nlevel = \"loud\"", ".log.level: enum"),
        ("[traces]\nratio = 0.5", ".traces: required"),
        ("[traces]\nendpoint = \"http://x\"\nratio = 1.5", ".traces.ratio: maximum 1"),
        ("[sinks.\"A b\"]\ntype = \"stdout\"", ".sinks.A b: pattern"),
        ("[sinks.a]\ntype = \"stdout\"\npath = \"/x\"", ".sinks.a: oneOf"),
        ("[sinks.a]\ntype = \"fiel\"\npath = \"/x\"", ".sinks.a: oneOf"),
        ("[sinks.a]\ntype = \"file\"\npath = \"/x\"\nconcurrency = 2", ".sinks.a: oneOf"),
        ("[sinks.a]\ntype = \"file\"", ".sinks.a: oneOf"),
        ("[sources.a]\nstrict = \"yes\"", ".sources.a.strict: type \"boolean\""),
        ("[sources.a]\nallow_from = [3]", ".sources.a.allow_from[]: type \"string\""),
    ] {
        let found = mistakes_of(text);
        assert!(found.iter().any(|found| found.starts_with(expected)), "{text}\n{found:#?}");
        assert!(parse_with(text, &[]).is_err(), "the reader refuses {text}");
    }
}

/// Returns a table's keys in the schema.
fn declared(schema: &Value, path: &[&str]) -> BTreeSet<String> {
    let table = path.iter().fold(schema, |schema, key| match schema["properties"].get(key) {
        Some(inner) => inner.get("anyOf").map_or(inner, |forms| &forms[0]),
        None => &schema["additionalProperties"],
    });
    table["properties"].as_object().expect("keys").keys().cloned().collect()
}

#[test]
fn the_schema_has_the_keys_that_are_read() {
    let schema = schema();
    for table in [
        "listen",
        "sources.a",
        "outcomes",
        "redact",
        "limits",
        "spool",
        "spool.dedup",
        "admin",
        "log",
        "traces",
    ] {
        let read: BTreeSet<String> = keys_of(table, "").into_iter().collect();
        let path: Vec<&str> = table.split('.').collect();
        assert_eq!(declared(&schema, &path), read, "{table}");
    }
    let types = schema["properties"]["sinks"]["additionalProperties"]["oneOf"].clone();
    for (kind, required, tables) in SINKS {
        let is_kind = |one: &&Value| one["properties"]["type"]["const"] == kind;
        let one = types.as_array().expect("types").iter().find(is_kind).expect("a type");
        let mut keys = declared(one, &[]);
        for table in tables {
            let inner = declared(one, &table.split('.').collect::<Vec<_>>());
            keys.extend(inner.into_iter().map(|key| format!("{table}.{key}")));
        }
        let read: BTreeSet<String> = keys_of_sink(kind, required, tables).into_iter().collect();
        assert_eq!(keys, read, "{kind}");
    }
}

#[test]
fn the_stored_schema_is_current() {
    let path = root().join("config/davinci-siem.schema.json");
    let text = serde_json::to_string_pretty(&schema()).expect("JSON") + "\n";
    if std::env::var("INSTA_UPDATE").is_ok_and(|value| value == "always") {
        std::fs::write(&path, &text).expect("the file is written");
    }
    let stored = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        stored == text,
        "config/davinci-siem.schema.json is stale: INSTA_UPDATE=always rewrites it, or write the output of \
         davinci-siem config schema to it"
    );
    assert!(REFERENCE.starts_with("#:schema davinci-siem.schema.json\n"));
}

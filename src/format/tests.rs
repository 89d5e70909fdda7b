//! Every fixture in every format, and properties of each format over arbitrary events.

mod arbitrary;
mod audit;
mod deploy;
mod dictionary;
mod ecs;
mod edges;
mod explanation;
mod ocsf;

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::decode;
use crate::format::OcsfVersion;
use crate::fuzzing::lines::{decode_cef, decode_leef};
use arbitrary::{damaged, json, pingone, text};

/// Renders an event as a line of text.
fn line(format: Format, raw: &[u8]) -> String {
    line_with(&FormatConfig::of(format), raw)
}

fn line_with(formatting: &FormatConfig, raw: &[u8]) -> String {
    let event = decode::event(raw).expect("an event").event;
    let received =
        Received { event: &event, raw, received_at: 1_700_000_000_123, source: "pingone" };
    let line = render(formatting, received);
    let mut tape = Tape::complete();
    let again = decode::event_on(raw, &mut tape).expect("an event").event;
    let read = Received { event: &again, ..received };
    assert_eq!(render_read(formatting, read, &tape), line, "the same from a tape");
    String::from_utf8(line.bytes).expect("UTF-8")
}

/// Returns every fixture with its name.
fn fixtures() -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for folder in ["events", "contradictions", "pingone"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(folder);
        for entry in folder.read_dir().expect("a folder") {
            let path = entry.expect("an entry").path();
            let raw = std::fs::read(&path).expect("a fixture");
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            found.push((name, raw.trim_ascii().to_vec()));
        }
    }
    assert!(found.len() >= 60, "the fixtures were found");
    found.sort();
    found
}

/// Returns a fixture with changed fields.
fn changed(name: &str, change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name);
    let mut event = serde_json::from_slice(&std::fs::read(path).expect("a fixture")).expect("JSON");
    change(&mut event);
    event.to_string().into_bytes()
}

/// Compares with the golden files. `INSTA_UPDATE=always cargo test --lib format` rewrites them.
#[test]
fn every_fixture_is_rendered_as_its_golden_file_says() {
    for (name, raw) in fixtures() {
        for (ending, format) in Format::ALL {
            if format == Format::Native {
                assert_eq!(line(format, &raw), String::from_utf8_lossy(&native::render(&raw)));
                continue;
            }
            // One pair per line, so that a diff is readable.
            let text = line(format, &raw);
            let text = match serde_json::from_str::<Value>(&text) {
                Ok(document) => serde_json::to_string_pretty(&document).expect("JSON"),
                Err(_) => text.replace('\t', "\n"),
            };
            insta::assert_snapshot!(format!("{name}.{ending}"), text);
        }
    }
}

#[test]
fn a_wrapped_event_says_when_and_from_where() {
    let raw = br#"{"id":"1","recordedAt":"2024-01-01T00:00:00Z","action":{"type":"X"}}"#;
    let event = decode::event(raw).expect("an event").event;
    let received = Received { event: &event, raw, received_at: 1_700_000_000_123, source: "a\"b" };
    let formatting = FormatConfig { wrap: true, ..FormatConfig::default() };
    let line = render(&formatting, received).bytes;
    let text = String::from_utf8(line).expect("UTF-8");
    assert!(
        text.starts_with(
            r#"{"received_at":"2023-11-14T22:13:20.123Z","source":"a\"b","event":{"id":"1","#
        ),
        "{text}"
    );
}

#[test]
fn the_documented_error_is_a_failure_and_an_unknown_version_is_no_number() {
    let raw = changed("contradictions/06_error_with_status_success.json", |event| {
        event["_embedded"]["flowInteractionEvent"]["flowVersionId"] = (-1).into();
    });
    for (format, failure, wrong) in [
        (Format::Cef, " outcome=failure ", " cn1="),
        (Format::Leef, "\toutcome=failure\t", "\tflowVersionId="),
        (Format::Ecs, r#""outcome":"failure""#, r#","version":"#),
        (Format::Ocsf, r#""status":"Failure","status_id":2"#, "status_code"),
    ] {
        let line = line(format, &raw);
        assert!(line.contains(failure), "{line}");
        assert!(!line.contains(wrong), "{line}");
        assert!(line.contains(r#""flowVersionId":"unknown""#), "{line}");
        let document: Value = serde_json::from_str(&line).unwrap_or_default();
        assert_eq!(document.pointer("/resources/0/version"), None, "{line}");
    }
}

#[test]
fn what_fields_cannot_say_goes_along_as_it_was_received() {
    for (format, field) in [
        (Format::Cef, "davinciOriginal="),
        (Format::Leef, "davinciOriginal="),
        (Format::Ecs, "\"original\":"),
        (Format::Ocsf, "\"raw_data\":"),
    ] {
        let head = r#"{"id":"1","recordedAt":"2024-01-01T00:00:00Z","action":{"type":"X"},"a":"#;
        for (rest, is_there) in
            [("1}", false), ("1,\"a\":2}", true), ("\"\\ud83d\"}", true), ("1e999}", false)]
        {
            let raw = format!("{head}{rest}");
            let line = line(format, raw.as_bytes());
            assert_eq!(line.contains(field), is_there, "{line}");
            assert!(
                !rest.contains("e999") || line.contains("1e+999") || line.contains("1e999"),
                "{line}"
            );
        }
    }
    let original = FormatConfig { original: true, ..FormatConfig::of(Format::Ecs) };
    let raw = changed("events/actors.json", |_| {});
    let document: Value = serde_json::from_str(&line_with(&original, &raw)).expect("JSON");
    let text = document["event"]["original"].as_str().expect("a text");
    assert_eq!(text.as_bytes(), raw);
}

#[test]
fn configured_words_mean_signing_on() {
    let raw = changed("events/actors.json", |event| {
        event["action"]["type"] = "DAVINCI_INTERACTION.CUSTOM_ANALYTICS".into();
        event["_embedded"]["flowInteractionEvent"]["outcomeType"] = "Anmeldung".into();
    });
    let own = |format| FormatConfig {
        sign_on_types: vec!["anmeld*".parse().expect("a pattern")],
        ..FormatConfig::of(format)
    };
    for (format, sign) in [
        (Format::Ecs, r#""category":["authentication"]"#),
        (Format::Ocsf, r#""class_uid":3002"#),
        (Format::Cef, " duid="),
    ] {
        assert!(line_with(&own(format), &raw).contains(sign));
        assert!(!line(format, &raw).contains(sign));
    }
}

/// Returns the table below a heading of the page.
fn section<'p>(page: &'p str, heading: &str) -> &'p str {
    let (_, rest) = page.split_once(&format!("\n## {heading}\n")).expect("a heading");
    rest.split("\n## ").next().expect("a section")
}

/// Returns a pointer as the documentation spells it.
fn documented(pointer: &str) -> String {
    let field = pointer.trim_start_matches(['~', '/']).replace("^/", "parent.").replace('/', ".");
    let field = field.replace("resources.0.", "resources.").replace("_embedded.", "");
    let field = field.replace("@user.", "actors.user.").replace("@client.", "actors.client.");
    field.replace("@target.", "target.").replace("@group.", "group.")
}

#[test]
fn the_page_of_the_formats_names_every_key_and_where_it_comes_from() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/formats.md");
    let page = std::fs::read_to_string(path).expect("a page");
    let cef = cef::FIELDS.iter().chain(&cef::FLOW_FIELDS).chain(&cef::AUDIT_FIELDS);
    let cef = cef.chain(&cef::TARGET).chain(&cef::CORRELATION);
    let cef = cef.map(|(key, _, _, from)| ("CEF", *key, from));
    let leef = leef::FIELDS.iter().chain(&leef::FLOW_FIELDS).chain(&leef::AUDIT_FIELDS);
    let leef = leef.map(|(key, from)| ("LEEF", *key, from));
    let ecs = super::ecs::FIELDS.iter().chain(&super::ecs::FLOW_FIELDS).map(|row| ("ECS", row));
    let ocsf = super::ocsf::ALL_FIELDS.into_iter().flatten().map(|row| ("OCSF", row));
    let documents = ecs
        .chain(ocsf)
        .flat_map(|(name, row)| row.names.iter().map(move |key| (name, *key, &row.from)));
    let mut missing = Vec::new();
    for (format, key, from) in cef.chain(leef).chain(documents) {
        let rows = section(&page, format).lines();
        let rows = rows.filter(|line| line.starts_with(&format!("| `{key}`")));
        let row: String = rows.filter_map(|line| line.split('|').nth(2)).collect();
        for pointer in from.pointers() {
            let field = documented(pointer);
            if !row.contains(&format!("`{field}`")) {
                missing.push(format!("{format} | `{key}` | `{field}` |"));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
    for (format, rules) in [
        ("CEF", &cef::RULES[..]),
        ("LEEF", &leef::RULES),
        ("ECS", &super::ecs::RULES),
        ("OCSF", &super::ocsf::RULES),
    ] {
        for (key, _) in rules {
            assert!(section(&page, format).contains(&format!("`{key}`")), "{format}: {key}");
        }
    }
}

/// Collects the leaves of a JSON value with their pointers.
fn leaves(value: &Value, at: &str, found: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (key, field) in fields {
                let key = key.replace('~', "~0").replace('/', "~1");
                leaves(field, &format!("{at}/{key}"), found);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                leaves(item, &format!("{at}/{index}"), found);
            }
        }
        leaf => drop(found.insert(at.to_owned(), leaf.clone())),
    }
}

/// Returns whether the extension holds a leaf at its original pointer. A version of -1 is written
/// as `unknown`.
fn stays(pointer: &str, leaf: &Value, extension: Option<&Value>) -> bool {
    let kept = extension.and_then(|extension| extension.pointer(pointer));
    let is_unknown = pointer.ends_with("/flowVersionId")
        && leaf.to_string().trim_matches('"') == "-1"
        && kept.is_some_and(|kept| kept == "unknown");
    is_unknown || kept == Some(leaf) || is_nothing(pointer, leaf)
}

/// Returns whether the extension leaves a value out: an empty object or array, or a null in an
/// array.
fn is_nothing(pointer: &str, leaf: &Value) -> bool {
    let is_entry = pointer.rsplit('/').next().is_some_and(|step| step.parse::<usize>().is_ok());
    leaf.is_object() || leaf.is_array() || (leaf.is_null() && is_entry)
}

/// Checks that every leaf of the event is the value of a pair, or is in the extension.
fn nothing_is_lost(raw: &[u8], pairs: &BTreeMap<String, String>, head: &[String]) {
    let event: Value = serde_json::from_slice(raw).expect("JSON");
    let extra =
        pairs.get("davinciExtra").map_or(Ok(Value::Null), |text| serde_json::from_str(text));
    let extra = extra.expect("the extension is JSON");
    let mut found = BTreeMap::new();
    leaves(&event, "", &mut found);
    for (pointer, leaf) in found {
        let text = leaf.as_str().map_or_else(|| leaf.to_string(), str::to_owned);
        let is_shown = pairs.values().chain(head).any(|value| *value == text);
        let stays = stays(&pointer, &leaf, Some(&extra));
        assert!(is_shown || stays, "{pointer} is lost: {leaf} in {pairs:?}");
    }
}

/// Checks that the document of each JSON format is valid by its schema and complete.
fn all_documents_are_valid(raw: &[u8]) {
    let document: Value = serde_json::from_str(&line(Format::Ecs, raw)).expect("JSON");
    ecs::is_valid(&document);
    documents_lose_nothing(raw, &document, "/ping_one/davinci/extra");
    for (_, ocsf_version) in OcsfVersion::ALL {
        let formatting = FormatConfig { ocsf_version, ..FormatConfig::of(Format::Ocsf) };
        let document: Value = serde_json::from_str(&line_with(&formatting, raw)).expect("JSON");
        ocsf::is_valid(&document);
        documents_lose_nothing(raw, &document, "/unmapped");
    }
}

/// Checks that every leaf is a value of the document, or is in the extension.
fn documents_lose_nothing(raw: &[u8], document: &Value, extension: &str) {
    let event: Value = serde_json::from_slice(raw).expect("JSON");
    let mut found = BTreeMap::new();
    leaves(&event, "", &mut found);
    let mut values = BTreeMap::new();
    leaves(document, "", &mut values);
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let values: Vec<String> = values.values().map(text).collect();
    for (pointer, leaf) in found {
        let stays = stays(&pointer, &leaf, document.pointer(extension));
        let is_user = pointer.ends_with("/type")
            && leaf == "USER"
            && ["/user/type_id", "/actor/user/type_id"]
                .iter()
                .any(|id| document.pointer(id).is_some_and(|id| *id == 1));
        let is_there = stays || is_user || values.contains(&text(&leaf));
        assert!(is_there, "{pointer} is lost: {leaf}\n{document:#}");
    }
}

proptest! {
    #[test]
    fn no_field_is_lost_whatever_stands_in_it(
        outer in proptest::collection::btree_map(text(), json(), 0..4),
        inner in proptest::collection::btree_map(text(), json(), 0..4),
        (id, name, reason, agent) in ("[^\\x00]{1,60}", text(), text(), text()),
        flow in prop_oneof![json(), text().prop_map(Into::into)],
    ) {
        let raw = changed("events/actors.json", |event| {
            let fields = event.as_object_mut().expect("an object");
            for (key, value) in outer {
                fields.entry(key).or_insert(value);
            }
            event["id"] = id.into();
            event["actors"]["user"]["name"] = name.into();
            event["source"] = serde_json::json!({ "ipAddress": reason, "userAgent": agent });
            event["result"]["description"] = reason.into();
            let payload = &mut event["_embedded"]["flowInteractionEvent"];
            payload["flowName"] = flow;
            let fields = payload.as_object_mut().expect("an object");
            for (key, value) in inner {
                fields.entry(key).or_insert(value);
            }
        });
        let cef = line(Format::Cef, &raw);
        prop_assert!(!cef.contains(char::is_control), "{cef:?}");
        let (head, pairs) = decode_cef(&cef);
        nothing_is_lost(&raw, &pairs, &head);
        for label in pairs.keys().filter_map(|key| key.strip_suffix("Label")) {
            prop_assert!(pairs.contains_key(label), "{label}Label without {label}");
        }
        let leef = line(Format::Leef, &raw);
        prop_assert!(!leef.contains(|c: char| c.is_control() && c != '\t'), "{leef:?}");
        let (head, pairs) = decode_leef(&leef);
        nothing_is_lost(&raw, &pairs, &head);
        all_documents_are_valid(&raw);
        explanation::is_true_in_every_format(&raw);
    }

    #[test]
    fn no_field_of_a_pingone_event_is_lost(raw in pingone()) {
        let raw = raw.as_bytes();
        let (head, pairs) = decode_cef(&line(Format::Cef, raw));
        nothing_is_lost(raw, &pairs, &head);
        let (head, pairs) = decode_leef(&line(Format::Leef, raw));
        nothing_is_lost(raw, &pairs, &head);
        all_documents_are_valid(raw);
        explanation::is_true_in_every_format(raw);
    }

    #[test]
    fn whatever_is_missing_or_of_another_type_makes_valid_documents(raw in damaged()) {
        all_documents_are_valid(raw.as_bytes());
        explanation::is_true_in_every_format(raw.as_bytes());
    }
}

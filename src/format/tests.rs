//! Every fixture in every format, and what each format promises of arbitrary events.

mod ecs;

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::decode;

/// An event in a format, as a line of text.
pub(super) fn line(format: Format, raw: &[u8]) -> String {
    let event = decode::event(raw).expect("an event").event;
    let received =
        Received { event: &event, raw, received_at: 1_700_000_000_123, source: "pingone" };
    String::from_utf8(render(format, false, received).bytes).expect("UTF-8")
}

/// A fixture with members added or replaced.
pub(super) fn changed(name: &str, change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name);
    let mut event = serde_json::from_slice(&std::fs::read(path).expect("a fixture")).expect("JSON");
    change(&mut event);
    event.to_string().into_bytes()
}

/// The golden files. `INSTA_UPDATE=always cargo test --lib format` writes them anew.
#[test]
fn every_fixture_is_rendered_as_its_golden_file_says() {
    for folder in ["events", "contradictions"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(folder);
        for entry in folder.read_dir().expect("a folder") {
            let path = entry.expect("an entry").path();
            let raw = std::fs::read(&path).expect("a fixture");
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            for (format, ending) in
                [(Format::Cef, "cef"), (Format::Leef, "leef"), (Format::Ecs, "ecs")]
            {
                // One pair to a line, so that a change is easy to see.
                let text = line(format, raw.trim_ascii());
                let text = match serde_json::from_str::<Value>(&text) {
                    Ok(document) => serde_json::to_string_pretty(&document).expect("JSON"),
                    Err(_) => text.replace('\t', "\n"),
                };
                insta::assert_snapshot!(format!("{name}.{ending}"), text);
            }
        }
    }
}

#[test]
fn a_wrapped_event_says_when_and_from_where() {
    let raw = br#"{"id":"1","recordedAt":"2024-01-01T00:00:00Z","action":{"type":"X"}}"#;
    let event = decode::event(raw).expect("an event").event;
    let received = Received { event: &event, raw, received_at: 1_700_000_000_123, source: "a\"b" };
    let line = render(Format::Native, true, received).bytes;
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
    for format in [Format::Cef, Format::Leef, Format::Ecs] {
        let line = line(format, &raw).replace("\":\"", "=");
        assert!(line.contains("outcome=failure"), "{line}");
        assert!(!line.contains("cn1=") && !line.contains("\tflowVersionId="), "{line}");
        assert!(!line.contains("\"version\":"), "{line}");
    }
}

#[test]
fn the_page_of_the_formats_names_every_key_and_where_it_comes_from() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/formats.md");
    let page = std::fs::read_to_string(path).expect("a page");
    let cef = cef::FIELDS.iter().chain(&cef::FLOW_FIELDS).map(|(key, _, _, from)| (key, from));
    let ecs = super::ecs::FIELDS.iter().chain(&super::ecs::FLOW_FIELDS);
    let ecs = ecs.flat_map(|(keys, from)| keys.iter().map(move |key| (key, from)));
    let leef = leef::FIELDS.iter().chain(&leef::FLOW_FIELDS).map(|(key, from)| (key, from));
    for (key, pointers) in cef.chain(leef).chain(ecs) {
        let row = page.lines().filter(|line| line.starts_with(&format!("| `{key}`")));
        let row = row.collect::<String>();
        for pointer in *pointers {
            let member = pointer.trim_start_matches(['~', '/']).replace('/', ".");
            let member = member.replace("resources.0.", "resources.");
            assert!(row.contains(&format!("`{member}`")), "{key}: {member}");
        }
    }
}

/// The leaves of a JSON value with their pointers.
fn leaves(value: &Value, at: &str, found: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (key, member) in members {
                let key = key.replace('~', "~0").replace('/', "~1");
                leaves(member, &format!("{at}/{key}"), found);
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

/// Every leaf of the event is the value of a pair, or stands in the extension where it stood.
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
        let stays = extra.pointer(&pointer) == Some(&leaf);
        assert!(is_shown || stays, "{pointer} is lost: {leaf} in {pairs:?}");
    }
}

/// CEF, read by its rules and not by our code.
fn decode_cef(line: &str) -> (Vec<String>, BTreeMap<String, String>) {
    let mut head = vec![String::new()];
    let mut chars = line.char_indices();
    let rest = loop {
        let (at, c) = chars.next().expect("seven bars");
        match c {
            '\\' => head.last_mut().expect("one").push(chars.next().expect("escaped").1),
            '|' if head.len() == 7 => break &line[at + 1..],
            '|' => head.push(String::new()),
            c => head.last_mut().expect("one").push(c),
        }
    };
    // A key is the word before an unescaped equals sign.
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut word = String::new();
    let mut chars = rest.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next().expect("escaped") {
                'n' => word.push('\n'),
                'r' => word.push('\r'),
                other => word.push(other),
            },
            '=' => {
                let (value, key) = word.rsplit_once(' ').unwrap_or(("", &word));
                let key = key.to_owned();
                assert!(key.chars().all(char::is_alphanumeric), "{key:?} in {rest}");
                if let Some(last) = pairs.last_mut() {
                    last.1 = value.to_owned();
                }
                pairs.push((key, String::new()));
                word.clear();
            }
            c => word.push(c),
        }
    }
    pairs.last_mut().expect("a pair").1 = word;
    (head, pairs.into_iter().collect())
}

/// LEEF, read by its rules.
fn decode_leef(line: &str) -> (Vec<String>, BTreeMap<String, String>) {
    let mut fields = line.splitn(7, '|');
    let head: Vec<String> = (0..6).map(|_| fields.next().expect("a field").to_owned()).collect();
    assert_eq!(head[5], "x09");
    let pairs = fields.next().expect("pairs").split('\t').map(|pair| {
        let (key, value) = pair.split_once('=').expect("a pair");
        (key.to_owned(), value.to_owned())
    });
    (head, pairs.collect())
}

/// Text with everything that has a meaning in one of the formats.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        proptest::collection::vec(
            prop_oneof![
                Just('\\'),
                Just('='),
                Just('|'),
                Just('\t'),
                Just('\r'),
                Just('\n'),
                Just('n'),
                Just(' '),
                Just('\u{7f}'),
                Just('\u{85}'),
                Just('\u{1f600}'),
                Just('"'),
                Just(']'),
            ],
            0..12
        )
        .prop_map(|chars| chars.into_iter().collect()),
    ]
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        text().prop_map(Into::into),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            proptest::collection::btree_map(text(), inner, 0..4)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn no_member_is_lost_whatever_stands_in_it(
        outer in proptest::collection::btree_map(text(), json(), 0..4),
        inner in proptest::collection::btree_map(text(), json(), 0..4),
        (id, name, reason, agent) in ("[^\\x00]{1,60}", text(), text(), text()),
        flow in prop_oneof![json(), text().prop_map(Into::into)],
    ) {
        let raw = changed("events/actors.json", |event| {
            let members = event.as_object_mut().expect("an object");
            for (key, value) in outer {
                members.entry(key).or_insert(value);
            }
            event["id"] = id.into();
            event["actors"]["user"]["name"] = name.into();
            event["source"] = serde_json::json!({ "ipAddress": reason, "userAgent": agent });
            event["result"]["description"] = reason.into();
            let payload = &mut event["_embedded"]["flowInteractionEvent"];
            payload["flowName"] = flow;
            let members = payload.as_object_mut().expect("an object");
            for (key, value) in inner {
                members.entry(key).or_insert(value);
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
        let document: Value = serde_json::from_str(&line(Format::Ecs, &raw)).expect("JSON");
        ecs::is_valid(&document);
        ecs::nothing_is_lost(&raw, &document);
    }
}

//! What is on the tape, and that the grammar is that of `serde_json`.

use proptest::prelude::*;
use serde::de::IgnoredAny;

use super::*;

/// The outermost members of a text that is one object.
fn members(text: &str) -> Option<Vec<(&str, &str)>> {
    let (mut tape, text) = (Tape::default(), text.trim_ascii());
    let extent = tape.read(text).filter(|extent| extent.end == text.len())?;
    assert!(extent.depth > 0);
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(node) = tape.nodes().get(at) {
        found.push((node.name.raw, node.value));
        at += 1 + node.inner as usize;
    }
    Some(found)
}

#[test]
fn members_are_found_as_they_are_written() {
    for (text, expected) in [
        ("{}", &[][..]),
        (" { } ", &[]),
        (r#"{"a":1}"#, &[("a", "1")]),
        (
            "\t{ \"a\" : {\"b\":[1, {}]} , \"c\\\"\" : [] }\n",
            &[("a", "{\"b\":[1, {}]}"), ("c\\\"", "[]")],
        ),
        (r#"{"":"","a":"}","a":-0.5e+3}"#, &[("", "\"\""), ("a", "\"}\""), ("a", "-0.5e+3")]),
        (r#"{"a":{},"b":[[]],"c":null}"#, &[("a", "{}"), ("b", "[[]]"), ("c", "null")]),
    ] {
        assert_eq!(members(text).as_deref(), Some(expected), "{text}");
    }
    for text in [
        "",
        "{",
        "[]",
        "1",
        "{]",
        "{}{}",
        "{},",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "{\"a\" 1}",
        "{a:1}",
        "{\"a\":01}",
        "{\"a\":1.}",
        "{\"a\":.5}",
        "{\"a\":1e}",
        "{\"a\":-}",
        "{\"a\":tru}",
        "{\"a\":\"\n\"}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12g4\"}",
        "{\"a\":[1 2]}",
        "{\"a\":[1,]}",
        "{\"a\":{\"b\":1]}",
        "{\"a\":1}x",
        "{\"a\":\"",
    ] {
        assert_eq!(members(text), None, "{text}");
    }
    let deep = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    assert!(members(&deep(127)).is_some() && members(&deep(128)).is_none());
}

/// Text that is nearly JSON.
fn nearly() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("{"),
        Just("}"),
        Just("["),
        Just("]"),
        Just(","),
        Just(":"),
        Just("\""),
        Just("\"a\""),
        Just("\"a\":"),
        Just("\\u00e9"),
        Just("\\"),
        Just("1"),
        Just("-"),
        Just("0"),
        Just("."),
        Just("e+5"),
        Just("true"),
        Just("null"),
        Just(" "),
        Just("\n"),
        Just("\u{1}"),
        Just("é"),
    ];
    proptest::collection::vec(piece, 0..16).prop_map(|pieces| format!("{{{}}}", pieces.concat()))
}

/// An object, and what is left of it when a byte is changed.
fn broken() -> impl Strategy<Value = String> {
    let sample = r#"{"a b":{"c":[1,-2.50e-3,true,false,null,"\u00e9\n\""],"d":{}},"e":[],"f":"x"}"#;
    (0..sample.len(), any::<u8>()).prop_map(|(at, byte)| {
        let mut bytes = sample.as_bytes().to_vec();
        bytes[at] = byte & 0x7f;
        String::from_utf8(bytes).expect("ASCII")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn the_grammar_is_that_of_serde_json(text in prop_oneof![nearly(), broken()]) {
        let is_object = text.trim_ascii_start().starts_with('{')
            && serde_json::from_str::<IgnoredAny>(&text).is_ok();
        prop_assert_eq!(members(&text).is_some(), is_object, "{}", text);
    }

    #[test]
    fn the_members_are_those_of_serde_json(text in prop_oneof![nearly(), broken()]) {
        if let Some(found) = members(&text) {
            let mut parsed = serde_json::Map::new();
            for (name, value) in found {
                let name = serde_json::from_str(&format!("\"{name}\"")).expect("a name");
                parsed.insert(name, serde_json::from_str(value).expect("a value"));
            }
            let whole: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            prop_assert_eq!(serde_json::Value::Object(parsed), whole);
        }
    }
}

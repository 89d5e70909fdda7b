//! The content of the tape, and a comparison of the grammar with `serde_json`.

use proptest::prelude::*;
use serde::de::IgnoredAny;

use super::*;

/// Returns the outermost fields of a text that is one object.
fn fields(text: &str) -> Option<Vec<(&str, &str)>> {
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
fn fields_are_found_as_they_are_written() {
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
        assert_eq!(fields(text).as_deref(), Some(expected), "{text}");
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
        assert_eq!(fields(text), None, "{text}");
    }
    let deep = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    assert!(fields(&deep(127)).is_some() && fields(&deep(128)).is_none());
}

/// Generates text that is almost JSON.
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

/// Generates an object, sometimes with one changed byte.
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
        prop_assert_eq!(fields(&text).is_some(), is_object, "{}", text);
    }

    #[test]
    fn the_fields_are_those_of_serde_json(text in prop_oneof![nearly(), broken()]) {
        if let Some(found) = fields(&text) {
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

/// Returns names and values on the tape, with the number of nodes in each.
fn written(text: &str) -> Vec<(String, u32, bool)> {
    let mut tape = Tape::default();
    tape.read(text).expect("well-formed");
    let name = |node: &TapeNode<'_>| format!("{}={}", node.name.text(), node.value);
    tape.nodes().iter().map(|node| (name(node), node.inner, node.is_opaque)).collect()
}

#[test]
fn inner_objects_follow_their_field() {
    let plain = |name: &str, inner| (name.to_owned(), inner, false);
    assert_eq!(
        written(r#"{"a":{"b":{"c\u0041":1},"d":[{"e":2}]},"l":[{"m":3},4]} and more"#),
        [
            plain(r#"a={"b":{"c\u0041":1},"d":[{"e":2}]}"#, 3),
            plain(r#"b={"c\u0041":1}"#, 1),
            plain("cA=1", 0),
            // Arrays below the outermost object have no nodes.
            plain(r#"d=[{"e":2}]"#, 0),
            plain(r#"l=[{"m":3},4]"#, 3),
            plain(r#"={"m":3}"#, 1),
            plain("m=3", 0),
            plain("=4", 0),
        ]
    );
}

#[test]
fn values_beyond_the_bounds_are_not_recorded() {
    let object = |fields: usize| {
        let fields: Vec<_> = (0..fields).map(|number| format!("\"{number}\":0")).collect();
        format!("{{{}}}", fields.join(","))
    };
    let mut tape = Tape::default();
    let fits = object(MAX_NODES);
    assert!(tape.read(&fits).is_some() && !tape.is_too_large());
    assert_eq!(tape.nodes().len(), MAX_NODES);
    let too_many = object(MAX_NODES + 1);
    assert!(tape.read(&too_many).is_some() && tape.is_too_large());
    // The larger of two inner objects is dropped, the other is kept.
    let nested = format!("{{\"a\":{},\"b\":{}}}", object(5000), object(3));
    let found = written(&nested);
    assert_eq!(
        found.iter().map(|(_, inner, lost)| (*inner, *lost)).collect::<Vec<_>>()[..3],
        [(0, true), (3, false), (0, false)]
    );
    // One entry above the maximum shows that there are more.
    let list = format!("{{\"l\":[{}1]}}", "{\"x\":1},".repeat(100));
    assert_eq!(written(&list)[0].1, 2 * MAX_ENTRIES as u32 + 1 + 1);
    // A new object replaces the nodes of the previous one.
    assert!(tape.read("{}").is_some() && tape.nodes().is_empty() && !tape.is_too_large());
}

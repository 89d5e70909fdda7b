//! The grammar of JSON (RFC 8259), checked in one pass over the text that also finds the members of the
//! outermost object. No recursion, and memory for one level only.

use super::scan::special;
use super::skip_space;

/// Nesting that fits into the checker's memory: one bit for each level.
const MAX_DEPTH: u32 = 128;

/// Checks that `text` is one JSON object and nothing else, and hands out its members in order.
///
/// A member is its name, as it is written between its quotes, and its value. False for anything else,
/// also for what nests deeper than 128 levels: then another parser has the last word.
pub fn object<'a>(text: &'a str, mut member: impl FnMut(&'a str, &'a str)) -> bool {
    let start = skip_space(text, 0);
    text.as_bytes().get(start) == Some(&b'{') && check(text, start, &mut member).is_some()
}

/// What a level is: a bit says whether an object.
struct Levels {
    depth: u32,
    objects: u128,
}

impl Levels {
    fn push(&mut self, is_object: bool) -> Option<()> {
        if self.depth == MAX_DEPTH {
            return None;
        }
        self.objects = self.objects << 1 | u128::from(is_object);
        self.depth += 1;
        Some(())
    }

    fn pop(&mut self) {
        self.objects >>= 1;
        self.depth -= 1;
    }

    fn in_object(&self) -> bool {
        self.objects & 1 == 1
    }
}

fn check<'a>(
    text: &'a str,
    mut at: usize,
    member: &mut impl FnMut(&'a str, &'a str),
) -> Option<()> {
    let bytes = text.as_bytes();
    let mut levels = Levels { depth: 0, objects: 0 };
    // Of the outermost object's current member: its name, and where its value begins.
    let (mut name, mut value) = ("", 0);
    loop {
        // A value begins here.
        if levels.depth == 1 {
            value = at;
        }
        let opened = match *bytes.get(at)? {
            byte @ (b'{' | b'[') => {
                levels.push(byte == b'{')?;
                at = skip_space(text, at + 1);
                let is_empty = *bytes.get(at)? == if byte == b'{' { b'}' } else { b']' };
                !is_empty
            }
            b'"' => {
                at = string(bytes, at)?;
                false
            }
            b't' => {
                at = word(bytes, at, b"true")?;
                false
            }
            b'f' => {
                at = word(bytes, at, b"false")?;
                false
            }
            b'n' => {
                at = word(bytes, at, b"null")?;
                false
            }
            _ => {
                at = number(bytes, at)?;
                false
            }
        };
        // Up through what ends here, until another value begins.
        if !opened {
            loop {
                if levels.depth == 0 {
                    return (skip_space(text, at) == bytes.len()).then_some(());
                }
                let end = at;
                at = skip_space(text, at);
                let closes = if levels.in_object() { b'}' } else { b']' };
                let byte = *bytes.get(at)?;
                if byte != closes && byte != b',' {
                    return None;
                }
                // Not so where an empty object or list has just been opened.
                if levels.depth == 1 && value > 0 && end > value {
                    member(name, text.get(value..end)?);
                    value = 0;
                }
                at += 1;
                if byte == b',' {
                    at = skip_space(text, at);
                    break;
                }
                levels.pop();
            }
        }
        if levels.in_object() {
            let end = string(bytes, at)?;
            if levels.depth == 1 {
                name = text.get(at + 1..end - 1)?;
            }
            at = skip_space(text, end);
            if *bytes.get(at)? != b':' {
                return None;
            }
            at = skip_space(text, at + 1);
        }
    }
}

/// The position after the string at `at`.
fn string(bytes: &[u8], at: usize) -> Option<usize> {
    if *bytes.get(at)? != b'"' {
        return None;
    }
    let mut at = at + 1;
    loop {
        at = special(bytes, at)?;
        match bytes[at] {
            b'"' => return Some(at + 1),
            b'\\' => {}
            _ => return None,
        }
        at += match bytes.get(at + 1)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
            b'u' if bytes.get(at + 2..at + 6)?.iter().all(u8::is_ascii_hexdigit) => 6,
            _ => return None,
        };
    }
}

fn word(bytes: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    bytes.get(at..)?.starts_with(word).then_some(at + word.len())
}

/// `-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?`
fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let digits = |at: usize| {
        let digits = bytes.get(at..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
        (digits > 0).then_some(at + digits)
    };
    let is = |at: usize, wanted: &[u8]| bytes.get(at).is_some_and(|byte| wanted.contains(byte));
    let at = at + usize::from(is(at, b"-"));
    let mut end = if is(at, b"0") { at + 1 } else { digits(at)? };
    if is(end, b".") {
        end = digits(end + 1)?;
    }
    if is(end, b"eE") {
        end += 1;
        end = digits(end + usize::from(is(end, b"+-")))?;
    }
    Some(end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::IgnoredAny;

    use super::*;

    fn members(text: &str) -> Option<Vec<(&str, &str)>> {
        let mut found = Vec::new();
        object(text, |name, value| found.push((name, value))).then_some(found)
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
        proptest::collection::vec(piece, 0..16)
            .prop_map(|pieces| format!("{{{}}}", pieces.concat()))
    }

    /// An object, and what is left of it when a byte is changed.
    fn broken() -> impl Strategy<Value = String> {
        let sample =
            r#"{"a b":{"c":[1,-2.50e-3,true,false,null,"\u00e9\n\""],"d":{}},"e":[],"f":"x"}"#;
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
}

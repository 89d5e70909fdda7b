//! Parses an event into a tree and reports whether the tree is lossless.
//!
//! A tree loses two things: all but the last occurrence of a repeated name, and half a surrogate
//! pair, for example of a truncated emoji. In both cases the formats also emit the original event.
//!
//! serde's own `Value` parser is not used: with `arbitrary_precision` and `raw_value`, it gives
//! some field names a special meaning, and a sender may use those names.

use serde_json::{Map, Number, Value};

use crate::json;

/// Maximum nesting; more than `decode` accepts.
const MAX_DEPTH: usize = 128;

/// Parses an event. Returns its tree and whether the tree is lossless. Malformed input yields an
/// empty tree.
pub(super) fn parse(raw: &[u8]) -> (Value, bool) {
    let mut parser =
        Parser { text: std::str::from_utf8(raw).unwrap_or_default(), at: 0, is_exact: true };
    match parser.value(0) {
        Some(value) => (value, parser.is_exact),
        None => (Value::Null, false),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    is_exact: bool,
}

impl Parser<'_> {
    fn value(&mut self, depth: usize) -> Option<Value> {
        self.at = json::skip_space(self.text, self.at);
        match self.text.as_bytes().get(self.at)? {
            b'{' if depth < MAX_DEPTH => self.object(depth + 1).map(Value::Object),
            b'[' if depth < MAX_DEPTH => self.list(depth + 1).map(Value::Array),
            b'{' | b'[' => None,
            b'"' => self.string().map(Value::String),
            _ => {
                let end = json::skip_value(self.text, self.at)?;
                let word = self.text.get(self.at..end)?;
                self.at = end;
                match word {
                    "null" => Some(Value::Null),
                    "true" => Some(true.into()),
                    "false" => Some(false.into()),
                    number => number.parse::<Number>().ok().map(Value::Number),
                }
            }
        }
    }

    fn object(&mut self, depth: usize) -> Option<Map<String, Value>> {
        let mut fields = Map::new();
        self.at += 1;
        while !self.ends(b'}')? {
            let name = self.string()?;
            self.at = json::skip_space(self.text, self.at) + 1;
            let value = self.value(depth)?;
            self.is_exact &= fields.insert(name, value).is_none();
        }
        Some(fields)
    }

    fn list(&mut self, depth: usize) -> Option<Vec<Value>> {
        let mut items = Vec::new();
        self.at += 1;
        while !self.ends(b']')? {
            items.push(self.value(depth)?);
        }
        Some(items)
    }

    /// Reads a comma or the closing bracket. Returns whether the bracket was read.
    fn ends(&mut self, bracket: u8) -> Option<bool> {
        self.at = json::skip_space(self.text, self.at);
        let byte = *self.text.as_bytes().get(self.at)?;
        self.at += usize::from(byte == b',' || byte == bracket);
        if byte == b',' {
            self.at = json::skip_space(self.text, self.at);
        }
        Some(byte == bracket)
    }

    fn string(&mut self) -> Option<String> {
        let end = json::string_end(self.text.as_bytes(), self.at)?;
        let raw = self.text.get(self.at + 1..end - 1)?;
        self.at = end;
        self.is_exact &= !json::has_lone_surrogate(raw);
        Some(json::decode(raw).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_is_noticed() {
        for (raw, value, is_exact) in [
            (
                r#" {"a":":","b" : {"c":[ {"d":1} ,2]}} "#,
                r#"{"a":":","b":{"c":[{"d":1},2]}}"#,
                true,
            ),
            (r#"{"a":1,"a":2}"#, r#"{"a":2}"#, false),
            (r#"{"a":{"b":1,"b":1}}"#, r#"{"a":{"b":1}}"#, false),
            (r#"{"a":"x\ud83d"}"#, "{\"a\":\"x\u{fffd}\"}", false),
            (r#"{"a":"\udc00\\ud800\ud83d\ude00"}"#, "{\"a\":\"\u{fffd}\\\\ud800😀\"}", false),
            (r#"{"a":"\ud83d\\ufffd"}"#, "{\"a\":\"\u{fffd}\\\\ufffd\"}", false),
            ("{\"a\":\"\u{fffd}\\ufFfd\"}", "{\"a\":\"\u{fffd}\u{fffd}\"}", true),
            (r#"{"a":1e+999,"b":1.10,"c":123456789012345678901234567890}"#, "", true),
            (r#"{"a":[true,false,null,{},[],""]}"#, "", true),
        ] {
            let (parsed, exact) = parse(raw.as_bytes());
            assert_eq!(exact, is_exact, "{raw}");
            let value = if value.is_empty() { raw } else { value };
            assert_eq!(parsed.to_string(), value, "every number as it was sent");
        }
    }

    #[test]
    fn names_that_mean_something_to_a_library_mean_nothing_here() {
        for raw in [
            r#"{"$serde_json::private::Number":"12","b":1}"#,
            r#"{"a":{"$serde_json::private::Number":"12"}}"#,
            r#"{"a":{"$serde_json::private::RawValue":"{\"x\":[1,2]}"}}"#,
            r#"{"a":{"$serde_json::private::RawValue":"no JSON"}}"#,
        ] {
            let (parsed, exact) = parse(raw.as_bytes());
            assert_eq!((parsed.to_string().as_str(), exact), (raw, true));
        }
    }

    #[test]
    fn depth_is_bounded() {
        let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(parse(deep(100_000).as_bytes()), (Value::Null, false));
        let (parsed, exact) = parse(deep(100).as_bytes());
        assert_eq!((parsed.to_string(), exact), (deep(100), true));
        for broken in ["", "{", "{\"a\"", "[1", "{\"a\":}", "\"", "x"] {
            assert_eq!(parse(broken.as_bytes()), (Value::Null, false), "{broken}");
        }
    }
}

//! Bytes to members, and whether the members say all that the bytes say.
//!
//! Three things are lost in a tree of members: of a name that stands twice in one object all but the
//! last, half a surrogate pair (as a cut emoji leaves), and what nests too deeply. Then the formats send
//! the original along.

use serde_json::Value;

/// The members of an event, and whether nothing was lost. Never fails: in the worst case there are none.
pub(super) fn parse(raw: &[u8]) -> (Value, bool) {
    match serde_json::from_slice(raw) {
        Ok(value) => {
            let is_exact = members(&value) == colons(raw);
            (value, is_exact)
        }
        Err(_) => (serde_json::from_slice(&paired(raw)).unwrap_or_default(), false),
    }
}

fn members(value: &Value) -> usize {
    match value {
        Value::Object(object) => object.len() + object.values().map(members).sum::<usize>(),
        Value::Array(items) => items.iter().map(members).sum(),
        _ => 0,
    }
}

/// Colons outside of strings: one for each member, whether its name is new or not.
fn colons(raw: &[u8]) -> usize {
    let (mut count, mut at) = (0, 0);
    while let Some(found) = raw.get(at..).and_then(|rest| memchr::memchr2(b':', b'"', rest)) {
        at += found;
        if raw[at] == b'"' {
            at += super::native::string_length(&raw[at..]);
        } else {
            count += 1;
            at += 1;
        }
    }
    count
}

/// The same JSON with U+FFFD in the place of each half of a surrogate pair.
fn paired(raw: &[u8]) -> Vec<u8> {
    let mut out = raw.to_vec();
    let mut at = 0;
    while let Some(found) = out.get(at..).and_then(|rest| memchr::memchr(b'\\', rest)) {
        at += found;
        match (surrogate(&out, at), surrogate(&out, at + 6)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => at += 12,
            (Some(0xd800..=0xdfff), _) => {
                out[at + 2..at + 6].copy_from_slice(b"fffd");
                at += 6;
            }
            _ => at += 2,
        }
    }
    out
}

/// The number of a Unicode escape (`\u` and four digits) at this place.
fn surrogate(text: &[u8], at: usize) -> Option<u16> {
    let digits = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_is_noticed() {
        for (raw, value, is_exact) in [
            (r#"{"a":":","b":{"c":[{"d":1}]}}"#, r#"{"a":":","b":{"c":[{"d":1}]}}"#, true),
            (r#"{"a":1,"a":2}"#, r#"{"a":2}"#, false),
            (r#"{"a":{"b":1,"b":1}}"#, r#"{"a":{"b":1}}"#, false),
            (r#"{"a":"x\ud83d"}"#, "{\"a\":\"x\u{fffd}\"}", false),
            (r#"{"a":"\udc00\\ud800\ud83d\ude00"}"#, "{\"a\":\"\u{fffd}\\\\ud800😀\"}", false),
            (r#"{"a":1e+999,"b":1.10,"c":123456789012345678901234567890}"#, "", true),
        ] {
            let (parsed, exact) = parse(raw.as_bytes());
            assert_eq!(exact, is_exact, "{raw}");
            let value = if value.is_empty() { raw } else { value };
            assert_eq!(parsed.to_string(), value, "every number as it was sent");
        }
        let deep = "[".repeat(200) + &"]".repeat(200);
        assert_eq!(parse(deep.as_bytes()), (Value::Null, false));
    }
}

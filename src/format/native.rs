//! `native`: the original JSON on one line, with every value spelt as it was sent.

use std::borrow::Cow;

use memchr::memchr2;

use crate::json;

/// Removes line breaks, with the indentation around them, outside of strings. A text without line
/// breaks is returned unchanged.
pub(super) fn render(raw: &[u8]) -> Cow<'_, [u8]> {
    if memchr2(b'\n', b'\r', raw).is_none() {
        return Cow::Borrowed(raw);
    }
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(&byte) = rest.first() {
        let string = || json::string_end(rest, 0).unwrap_or(rest.len());
        let length = if byte == b'"' { string() } else { 1 };
        let (token, after) = rest.split_at(length);
        if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            out.extend_from_slice(token);
        }
        rest = after;
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_spelling() {
        for (raw, line) in [
            ("{\"a\": 1}", "{\"a\": 1}"),
            ("{\n  \"a\" : 1.0,\r\n\t\"b\": [1e400, -0]\n}", r#"{"a":1.0,"b":[1e400,-0]}"#),
            ("{\n\"a b\\\" c\\\\\": \"\\n \\ud800  \"}", "{\"a b\\\" c\\\\\":\"\\n \\ud800  \"}"),
        ] {
            assert_eq!(String::from_utf8_lossy(&render(raw.as_bytes())), line, "{raw}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_pretty_printed_text_means_the_same_on_one_line(value in json()) {
            let pretty = serde_json::to_string_pretty(&value).expect("serializes");
            let line = render(pretty.as_bytes());
            proptest::prop_assert!(!line.contains(&b'\n'));
            let read: serde_json::Value = serde_json::from_slice(&line).expect("still JSON");
            proptest::prop_assert_eq!(read, value);
        }
    }

    fn json() -> impl proptest::strategy::Strategy<Value = serde_json::Value> {
        use proptest::prelude::*;
        let leaf = prop_oneof![
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<String>().prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                proptest::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|fields| fields.into_iter().collect()),
            ]
        })
    }
}

//! What a member looks like, without what it says: its type and how long it is.

use serde::{Deserialize, Serialize};

use crate::json;

/// A value's type and size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// `string`, `number`, `boolean`, `null`, `object`, `list`, or `absent` where there is no such member any
    /// more.
    #[serde(rename = "type")]
    pub kind: String,
    /// Characters of a string, members of an object, entries of a list.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub length: Option<usize>,
}

/// The shape of the member to which a finding's path leads.
pub(super) fn at(event: &[u8], path: &str) -> Shape {
    let text = std::str::from_utf8(event).unwrap_or_default().trim();
    let value = path.strip_prefix("$.").and_then(|path| find(text, path));
    value.map_or_else(|| shape("absent", None), of)
}

/// Names may hold dots: the longest that fits is taken.
fn find<'a>(object: &'a str, path: &str) -> Option<&'a str> {
    if let Some(value) = member(object, path) {
        return Some(value);
    }
    let ends = path.match_indices('.').map(|(end, _)| end);
    ends.rev().take(MOST_DOTS).find_map(|end| {
        let (name, rest) = (path.get(..end)?, path.get(end + 1..)?);
        find(member(object, name)?, rest)
    })
}

/// Dots of a path that are tried. Our own part of it has three.
const MOST_DOTS: usize = 8;

/// A member, the last of its name, or with `[n]` an entry of it that is an object.
fn member<'a>(object: &'a str, name: &str) -> Option<&'a str> {
    let named = |name: &str| {
        let found = json::fields(object).filter(|(raw, _)| json::decode(raw) == name);
        found.last().map(|(_, value)| value)
    };
    named(name).or_else(|| {
        let (name, index) = name.strip_suffix(']')?.rsplit_once('[')?;
        let list = named(name)?;
        if list.starts_with('{') {
            return Some(list);
        }
        json::entries(list).filter(|entry| entry.starts_with('{')).nth(index.parse().ok()?)
    })
}

fn of(value: &str) -> Shape {
    match value.as_bytes().first() {
        Some(b'"') => {
            let inner = value.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
            shape("string", inner.map(|inner| json::decode(inner).chars().count()))
        }
        Some(b'{') => shape("object", Some(json::fields(value).count())),
        Some(b'[') => shape("list", Some(json::entries(value).count())),
        Some(b't' | b'f') => shape("boolean", None),
        Some(b'n') => shape("null", None),
        _ => shape("number", None),
    }
}

fn shape(kind: &str, length: Option<usize>) -> Shape {
    Shape { kind: kind.to_owned(), length }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_described_and_not_shown() {
        let event = br#" {"a":"s\u00e9cret","b":{"c.d":[1,2],"e":{"f":null}},"r":[7,{"x":true}],"o":{"x":12}} "#;
        for (path, kind, length) in [
            ("$.a", "string", Some(6)),
            ("$.b", "object", Some(2)),
            ("$.b.c.d", "list", Some(2)),
            ("$.b.e.f", "null", None),
            ("$.r[0].x", "boolean", None),
            ("$.o[0].x", "number", None),
            ("$.b.nothing", "absent", None),
            ("$", "absent", None),
        ] {
            assert_eq!(at(event, path), shape(kind, length), "{path}");
        }
        assert_eq!(at(b"\xff{", "$.a"), shape("absent", None));
    }
}

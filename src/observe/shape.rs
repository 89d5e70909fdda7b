//! Shape of a JSON field: its type and length, without its value.

use serde::{Deserialize, Serialize};

use crate::json;

/// Type and length of a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValueShape {
    /// `string`, `number`, `boolean`, `null`, `object`, `list`, or `absent` if the event has no such field.
    #[serde(rename = "type")]
    pub kind: String,
    /// Number of characters of a string, fields of an object, or entries of a list.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub length: Option<usize>,
}

/// Returns the shape of the field at the path of a finding.
pub(super) fn at(event: &[u8], path: &str) -> ValueShape {
    let text = std::str::from_utf8(event).unwrap_or_default().trim();
    let value = path.strip_prefix("$.").and_then(|path| find(text, path));
    value.map_or_else(|| shape("absent", None), of)
}

/// Finds the value at a path. Names may contain dots: the longest matching name is taken.
fn find<'a>(object: &'a str, path: &str) -> Option<&'a str> {
    if let Some(value) = field(object, path) {
        return Some(value);
    }
    let ends = path.match_indices('.').map(|(end, _)| end);
    ends.rev().take(MAX_DOTS).find_map(|end| {
        let (name, rest) = (path.get(..end)?, path.get(end + 1..)?);
        find(field(object, name)?, rest)
    })
}

/// Maximum number of dots tried in one path. The documented part of a path has three.
const MAX_DOTS: usize = 8;

/// Returns the value of a field, the last one of that name; with `[n]`, the n-th object of a list.
fn field<'a>(object: &'a str, name: &str) -> Option<&'a str> {
    let last = |name: &str| {
        let found = json::fields(object).filter(|(raw, _)| json::decode(raw) == name);
        found.last().map(|(_, value)| value)
    };
    last(name).or_else(|| {
        let (name, index) = name.strip_suffix(']')?.rsplit_once('[')?;
        let list = last(name)?;
        if list.starts_with('{') {
            return Some(list);
        }
        json::entries(list).filter(|entry| entry.starts_with('{')).nth(index.parse().ok()?)
    })
}

fn of(value: &str) -> ValueShape {
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

fn shape(kind: &str, length: Option<usize>) -> ValueShape {
    ValueShape { kind: kind.to_owned(), length }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_described_and_not_shown() {
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

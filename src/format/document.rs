//! JSON documents with named fields, for the formats that emit JSON.

use serde_json::{Map, Value};

use super::leaves::{Leaves, MAX_TEXT_BYTES};

/// Document fields that take a text unchanged, and the event fields that may fill them (JSON
/// pointers; `~` stands for the flow's object, `^` for its parent's).
pub(super) type TextField = (&'static [&'static str], &'static [&'static str]);

/// A document under construction.
#[derive(Default)]
pub(super) struct Document(Map<String, Value>);

impl Document {
    /// Sets a field; dots in its name separate nested objects, and `[]` after a name makes an array
    /// of one. A text longer than [`MAX_TEXT_BYTES`] is cut, and its event field stays in the
    /// extension. An empty text is left out.
    pub(super) fn set(&mut self, name: &str, value: impl Into<Value>) {
        let value = match value.into() {
            Value::String(text) if text.trim().is_empty() => return,
            Value::String(text) if text.len() > MAX_TEXT_BYTES => {
                Value::from(&text[..text.floor_char_boundary(MAX_TEXT_BYTES)])
            }
            value => value,
        };
        self.set_whole(name, value);
    }

    /// Sets a field of any size.
    pub(super) fn set_whole(&mut self, name: &str, value: Value) {
        insert(&mut self.0, name, value);
    }

    /// Appends an entry to an array.
    pub(super) fn push(&mut self, name: &str, value: Value) {
        let list = self.0.entry(name).or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(items) = list {
            items.push(value);
        }
    }

    /// Fills each document field with the first of its event fields that is a text.
    pub(super) fn fill(&mut self, fields: &[TextField], leaves: &mut Leaves) {
        for (names, pointers) in fields {
            if let Some(text) = leaves.take_text(names, pointers) {
                names.iter().for_each(|name| self.set(name, text.as_str()));
            }
        }
    }

    /// Returns whether a top-level field is present.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Returns the document as JSON on one line.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        Value::Object(self.0).to_string().into_bytes()
    }
}

fn insert(object: &mut Map<String, Value>, name: &str, value: Value) {
    let Some((first, rest)) = name.split_once('.') else {
        object.insert(name.to_owned(), value);
        return;
    };
    let inner = match first.strip_suffix("[]") {
        None => object.entry(first).or_insert_with(|| Value::Object(Map::new())),
        Some(list) => {
            let list = object.entry(list).or_insert_with(|| Value::Array(Vec::new()));
            let Value::Array(items) = list else { return };
            if items.is_empty() {
                items.push(Value::Object(Map::new()));
            }
            &mut items[0]
        }
    };
    if let Value::Object(inner) = inner {
        insert(inner, rest, value);
    }
}

//! Fields of an event, taken out one by one. The rest goes into the format's extension, so that no
//! field is lost.

use serde_json::Value;

use super::people::People;
use super::{Received, exact};
use crate::event::Event;

/// Object with the fields of a DaVinci run-time event; `~` at the start of a pointer.
const FLOW: &str = "/_embedded/flowInteractionEvent";

/// Maximum length of a text in a document field. Elasticsearch refuses the whole document above it.
/// <https://www.elastic.co/docs/reference/elasticsearch/mapping-reference/ignore-above>
pub(super) const MAX_TEXT_BYTES: usize = 32_766;

/// An event field and the format field that shows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MappedField {
    /// JSON pointer (RFC 6901) of the event field.
    pub pointer: String,
    /// Name of the format field.
    pub field: &'static str,
}

/// The event fields that were not taken yet.
pub(super) struct Leaves {
    rest: Value,
    /// JSON pointer of the parent flow's object, if there is one; `^` at the start of a pointer.
    parent: Option<String>,
    /// Users and clients: `@user`, `@client`, `@target`, `@group` and `@membership` at the start of
    /// a pointer.
    people: People,
    /// True if the tree is lossless; see [`exact`].
    is_exact: bool,
    /// Fields taken so far, if they are recorded.
    trace: Option<Vec<MappedField>>,
}

impl Leaves {
    /// Returns all fields of an event.
    pub(super) fn of(received: Received<'_>) -> Leaves {
        let (rest, is_exact) = exact::parse(received.raw);
        let parent = match received.event {
            Event::Interaction(event) => event.flow.parent.as_ref().map(|parent| &parent.field),
            _ => None,
        };
        let parent = parent.map(|name| format!("{FLOW}/{}", escaped(name)));
        let people = People::of(&rest);
        let mut leaves = Leaves { rest, parent, people, is_exact, trace: None };
        // -1 is the sender's spelling of an unknown version.
        for version in ["~/flowVersionId", "^/flowVersionId"] {
            if leaves.text(version).is_some_and(|text| text == "-1")
                && let Some(pointer) = leaves.absolute(version)
                && let Some(value) = leaves.rest.pointer_mut(&pointer)
            {
                *value = "unknown".into();
            }
        }
        leaves
    }

    /// Does the same as [`Leaves::of`] and records which field is taken for what.
    pub(super) fn traced(received: Received<'_>) -> Leaves {
        Leaves { trace: Some(Vec::new()), ..Leaves::of(received) }
    }

    /// Returns the fields taken so far.
    pub(super) fn into_trace(self) -> Vec<MappedField> {
        self.trace.unwrap_or_default()
    }

    /// Returns whether the event has the fields of a flow run.
    pub(super) fn has_flow(&self) -> bool {
        self.rest.pointer(FLOW).is_some_and(Value::is_object)
    }

    /// Returns the received event on one line, if the tree is not lossless.
    pub(super) fn original(&self, received: Received<'_>) -> Option<String> {
        (!self.is_exact).then(|| one_line(received))
    }

    /// Returns whether a text is present that fits into a document field.
    pub(super) fn has_text(&self, pointer: &str) -> bool {
        self.text_at(pointer).is_some()
    }

    /// Returns a text that fits into a document field, without taking it.
    pub(super) fn text_at(&self, pointer: &str) -> Option<&str> {
        self.get(pointer).and_then(Value::as_str).filter(|text| is_field(text))
    }

    /// Takes the first of these fields (JSON pointers, RFC 6901) that is a text, a number or a
    /// boolean. The field also stays in the extension if `fits` returns false for its text.
    pub(super) fn take(
        &mut self,
        fields: &[&'static str],
        pointers: &[&str],
        fits: impl Fn(&str) -> bool,
    ) -> Option<String> {
        let (pointer, text) = pointers.iter().find_map(|pointer| {
            let text = self.text(pointer).filter(|text| !text.trim().is_empty())?;
            Some((self.absolute(pointer)?, text))
        })?;
        self.note(&pointer, fields);
        if fits(&text) {
            self.remove(&pointer);
            self.remove_repetitions(fields, pointers, &Value::from(text.as_str()));
        }
        Some(text)
    }

    /// Takes the first of these fields that is a text of at most [`MAX_TEXT_BYTES`]. A field of
    /// another type stays.
    pub(super) fn take_text(
        &mut self,
        fields: &[&'static str],
        pointers: &[&str],
    ) -> Option<String> {
        let pointer = pointers.iter().find(|pointer| self.has_text(pointer))?;
        match self.take_value(fields, pointer)? {
            Value::String(text) => {
                self.remove_repetitions(fields, pointers, &Value::from(text.as_str()));
                Some(text)
            }
            _ => None,
        }
    }

    /// Removes the other fields with the same value as the taken one.
    fn remove_repetitions(&mut self, fields: &[&'static str], pointers: &[&str], value: &Value) {
        for pointer in pointers {
            if self.get(pointer) == Some(value) {
                self.take_value(fields, pointer);
            }
        }
    }

    /// Takes a field of any type.
    pub(super) fn take_value(&mut self, fields: &[&'static str], pointer: &str) -> Option<Value> {
        let pointer = self.absolute(pointer)?;
        let value = self.rest.pointer_mut(&pointer)?.take();
        self.note(&pointer, fields);
        self.remove(&pointer);
        Some(value)
    }

    /// Returns a field without taking it.
    pub(super) fn get(&self, pointer: &str) -> Option<&Value> {
        if let Some(rest) = pointer.strip_prefix('~') {
            return find(find(&self.rest, FLOW)?, rest);
        }
        if let Some(rest) = pointer.strip_prefix('^') {
            return find(find(&self.rest, self.parent.as_deref()?)?, rest);
        }
        match self.person(pointer) {
            Some((base, rest)) => find(find(&self.rest, base?)?, rest),
            None => find(&self.rest, pointer),
        }
    }

    /// Splits a pointer that begins with a person into the person's pointer, if the event names one,
    /// and the rest.
    fn person<'p>(&self, pointer: &'p str) -> Option<(Option<&str>, &'p str)> {
        let pointer = pointer.strip_prefix('@')?;
        let (name, rest) = pointer.split_at(pointer.find('/').unwrap_or(pointer.len()));
        let People { user, client, target, group, membership } = &self.people;
        let person = match name {
            "user" => user,
            "client" => client,
            "target" => target,
            "membership" => membership,
            _ => group,
        };
        Some((person.as_deref(), rest))
    }

    /// Takes all remaining fields that are not empty; `None` if there are none.
    pub(super) fn take_rest(&mut self, field: &'static str) -> Option<Value> {
        let mut rest = self.rest.take();
        let is_nothing = rest.is_null() || is_empty(&mut rest);
        if let Some(trace) = &mut self.trace
            && !is_nothing
        {
            each_leaf(&rest, "", &mut |pointer| trace.push(MappedField { pointer, field }));
        }
        (!is_nothing).then_some(rest)
    }

    /// Takes all remaining fields as JSON on one line; `None` if there are none.
    pub(super) fn take_rest_line(&mut self, field: &'static str) -> Option<String> {
        self.take_rest(field).map(|rest| printable(&rest.to_string()))
    }

    /// Records that format fields show an event field without taking it.
    pub(super) fn copied(&mut self, fields: &[&'static str], pointer: &str) {
        if let Some(pointer) = self.absolute(pointer) {
            self.note(&pointer, fields);
        }
    }

    fn note(&mut self, pointer: &str, fields: &[&'static str]) {
        if let Some(trace) = &mut self.trace {
            let taken = |&field| MappedField { pointer: pointer.to_owned(), field };
            trace.extend(fields.iter().map(taken));
        }
    }

    /// Returns the text of a field that is a text, a number or a boolean.
    fn text(&self, pointer: &str) -> Option<String> {
        match self.get(pointer)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(value) => Some(value.to_string()),
            _ => None,
        }
    }

    fn absolute(&self, pointer: &str) -> Option<String> {
        if let Some(rest) = pointer.strip_prefix('~') {
            return Some(format!("{FLOW}{rest}"));
        }
        if let Some(rest) = pointer.strip_prefix('^') {
            return self.parent.as_ref().map(|parent| format!("{parent}{rest}"));
        }
        match self.person(pointer) {
            Some((base, rest)) => base.map(|base| format!("{base}{rest}")),
            None => Some(pointer.to_owned()),
        }
    }

    /// Removes a field, and the objects that are empty afterwards.
    fn remove(&mut self, pointer: &str) {
        let Some((parent, key)) = pointer.rsplit_once('/') else { return };
        let is_empty = match self.rest.pointer_mut(parent) {
            Some(Value::Object(fields)) => {
                fields.remove(&key.replace("~1", "/").replace("~0", "~"));
                fields.is_empty()
            }
            Some(Value::Array(items)) => {
                // A null keeps the indices of the other entries.
                if let Some(item) = key.parse().ok().and_then(|index: usize| items.get_mut(index)) {
                    *item = Value::Null;
                }
                items.len() == 1
            }
            _ => false,
        };
        if is_empty {
            self.remove(parent);
        }
    }
}

/// Removes empty objects and arrays below a value. Returns whether the value is empty itself: an
/// object or array without values, apart from nulls in an array. Array entries keep their index.
pub(super) fn is_empty(value: &mut Value) -> bool {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !is_empty(field));
            fields.is_empty()
        }
        Value::Array(items) => {
            let mut are_empty = true;
            for item in items {
                if is_empty(item) {
                    *item = Value::Null;
                }
                are_empty &= item.is_null();
            }
            are_empty
        }
        _ => false,
    }
}

/// Does the same as [`Value::pointer`], without allocating a string for each step.
fn find<'v>(mut value: &'v Value, pointer: &str) -> Option<&'v Value> {
    for step in pointer.split('/').skip(1) {
        value = match value {
            Value::Object(fields) if step.contains('~') => {
                fields.get(&step.replace("~1", "/").replace("~0", "~"))?
            }
            Value::Object(fields) => fields.get(step)?,
            Value::Array(items) => items.get(step.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    Some(value)
}

/// Returns the received event on one line.
pub(super) fn one_line(received: Received<'_>) -> String {
    String::from_utf8_lossy(&super::native::render(received.raw)).into_owned()
}

fn is_field(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= MAX_TEXT_BYTES
}

fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Maximum number of entries that are recorded one by one. Of a larger array or object, only its
/// pointer is.
const MAX_TRACED_LEAVES: usize = 200;

/// Calls `tell` with the pointer of every value that is not a non-empty object or array.
fn each_leaf(value: &Value, at: &str, tell: &mut impl FnMut(String)) {
    match value {
        Value::Object(fields) if !fields.is_empty() && fields.len() <= MAX_TRACED_LEAVES => {
            for (name, value) in fields {
                each_leaf(value, &format!("{at}/{}", escaped(name)), tell);
            }
        }
        Value::Array(items) if !items.is_empty() && items.len() <= MAX_TRACED_LEAVES => {
            for (index, item) in items.iter().enumerate() {
                each_leaf(item, &format!("{at}/{index}"), tell);
            }
        }
        _ => tell(at.to_owned()),
    }
}

/// Replaces control characters in JSON by escapes.
pub(super) fn printable(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_control() {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

//! An event's members, taken out one by one: what a format has no place for is left over, so that no
//! member is lost.

use serde_json::{Map, Value};

/// Where the members of a DaVinci run-time event stand; `~` at the beginning of a pointer.
const FLOW: &str = "/_embedded/flowInteractionEvent";

/// The members that nobody has taken yet.
pub(super) struct Leaves(Value);

impl Leaves {
    /// All members of an event. `None` where a number is too large to be kept: then the event goes
    /// along as it is.
    pub(super) fn of(raw: &[u8]) -> Option<Leaves> {
        serde_json::from_slice(raw).ok().map(Leaves)
    }

    /// Takes the first of these members (JSON pointers, RFC 6901) that is there and is a text, a number
    /// or a boolean, if `fits` says that its text can be shown as it is; otherwise it stays as well.
    pub(super) fn take(
        &mut self,
        pointers: &[&str],
        fits: impl Fn(&str) -> bool,
    ) -> Option<String> {
        let (pointer, text) = pointers.iter().find_map(|pointer| {
            let pointer = absolute(pointer);
            let text = match self.0.pointer(&pointer)? {
                Value::String(text) if !text.is_empty() => text.clone(),
                Value::Number(number) => number.to_string(),
                Value::Bool(value) => value.to_string(),
                _ => return None,
            };
            Some((pointer, text))
        })?;
        if fits(&text) {
            self.remove(&pointer);
        }
        Some(text)
    }

    /// Takes the first of these members that is a text. What is of another type stays.
    pub(super) fn take_text(&mut self, pointers: &[&str]) -> Option<String> {
        let pointer = pointers.iter().map(|pointer| absolute(pointer)).find(|pointer| {
            self.0.pointer(pointer).and_then(Value::as_str).is_some_and(|text| !text.is_empty())
        })?;
        match self.take_value(&pointer)? {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// Takes a member whatever it is.
    pub(super) fn take_value(&mut self, pointer: &str) -> Option<Value> {
        let value = self.0.pointer(pointer)?.clone();
        self.remove(pointer);
        Some(value)
    }

    /// What is left; `None` if that is nothing.
    pub(super) fn rest_value(self) -> Option<Value> {
        let is_nothing = self.0.as_object().is_some_and(Map::is_empty);
        (!is_nothing).then_some(self.0)
    }

    /// What is left, as JSON on one line; `None` if that is nothing.
    pub(super) fn rest(self) -> Option<String> {
        self.rest_value().map(|rest| printable(&rest.to_string()))
    }

    /// Takes a member out, and with it what then holds nothing any more.
    fn remove(&mut self, pointer: &str) {
        let Some((parent, key)) = pointer.rsplit_once('/') else { return };
        let is_empty = match self.0.pointer_mut(parent) {
            Some(Value::Object(members)) => {
                members.remove(key);
                members.is_empty()
            }
            Some(Value::Array(items)) => {
                // A hole keeps the others in their places.
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

fn absolute(pointer: &str) -> String {
    pointer.strip_prefix('~').map_or(pointer.to_owned(), |rest| format!("{FLOW}{rest}"))
}

/// JSON without any control character: what it left as it is, it can also escape.
fn printable(json: &str) -> String {
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

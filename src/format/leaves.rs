//! An event's members, taken out one by one: what a format has no place for is left over, so that no
//! member is lost.

use serde_json::{Map, Value};

use super::{Received, exact};
use crate::event::Event;

/// Where the members of a DaVinci run-time event stand; `~` at the beginning of a pointer.
const FLOW: &str = "/_embedded/flowInteractionEvent";

/// Longest text that becomes a field of its own, in bytes: beyond it Elasticsearch refuses the whole
/// document. <https://www.elastic.co/docs/reference/elasticsearch/mapping-reference/ignore-above>
pub(super) const LONGEST: usize = 32_766;

/// A member of the event and the field that it became.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Taken {
    /// JSON pointer (RFC 6901) of the member.
    pub member: String,
    /// Name of the field in the format.
    pub field: &'static str,
}

/// The members that nobody has taken yet.
pub(super) struct Leaves {
    rest: Value,
    /// Where the parent flow's members stand, if there is one; `^` at the beginning of a pointer.
    parent: Option<String>,
    /// Whether the members say all that the bytes say.
    is_exact: bool,
    /// Who took what, if somebody wants to know.
    trace: Option<Vec<Taken>>,
}

impl Leaves {
    /// All members of an event.
    pub(super) fn of(received: Received<'_>) -> Leaves {
        let (rest, is_exact) = exact::parse(received.raw);
        let parent = match received.event {
            Event::Interaction(event) => event.flow.parent.as_ref().map(|parent| &parent.member),
            _ => None,
        };
        let parent = parent.map(|name| format!("{FLOW}/{}", escaped(name)));
        let mut leaves = Leaves { rest, parent, is_exact, trace: None };
        // The sender's way of saying that it does not know.
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

    /// The same, remembering who takes what.
    pub(super) fn traced(received: Received<'_>) -> Leaves {
        Leaves { trace: Some(Vec::new()), ..Leaves::of(received) }
    }

    /// Who took what, so far.
    pub(super) fn into_trace(self) -> Vec<Taken> {
        self.trace.unwrap_or_default()
    }

    /// Whether there are members of a flow run.
    pub(super) fn has_flow(&self) -> bool {
        self.rest.pointer(FLOW).is_some_and(Value::is_object)
    }

    /// The event as it was received, on one line, where its members do not say all of it.
    pub(super) fn original(&self, received: Received<'_>) -> Option<String> {
        (!self.is_exact).then(|| one_line(received))
    }

    /// Whether there is a text that can become a field of its own.
    pub(super) fn has_text(&self, pointer: &str) -> bool {
        self.get(pointer).and_then(Value::as_str).is_some_and(is_field)
    }

    /// Takes the first of these members (JSON pointers, RFC 6901) that is there and is a text, a number
    /// or a boolean, if `fits` says that its text can be shown as it is; otherwise it stays as well.
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

    /// Takes the first of these members that is a text of bearable length. What is of another type
    /// stays.
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

    /// Takes those of the members as well that say the same as the one taken.
    fn remove_repetitions(&mut self, fields: &[&'static str], pointers: &[&str], value: &Value) {
        for pointer in pointers {
            if self.get(pointer) == Some(value) {
                self.take_value(fields, pointer);
            }
        }
    }

    /// Takes a member whatever it is.
    pub(super) fn take_value(&mut self, fields: &[&'static str], pointer: &str) -> Option<Value> {
        let pointer = self.absolute(pointer)?;
        let value = self.rest.pointer_mut(&pointer)?.take();
        self.note(&pointer, fields);
        self.remove(&pointer);
        Some(value)
    }

    /// A member, which stays.
    pub(super) fn get(&self, pointer: &str) -> Option<&Value> {
        if let Some(rest) = pointer.strip_prefix('~') {
            return find(find(&self.rest, FLOW)?, rest);
        }
        match pointer.strip_prefix('^') {
            Some(rest) => find(find(&self.rest, self.parent.as_deref()?)?, rest),
            None => find(&self.rest, pointer),
        }
    }

    /// What is left; `None` if that is nothing.
    pub(super) fn take_rest(&mut self, field: &'static str) -> Option<Value> {
        let rest = self.rest.take();
        let is_nothing = rest.is_null() || rest.as_object().is_some_and(Map::is_empty);
        if let Some(trace) = &mut self.trace
            && !is_nothing
        {
            each_leaf(&rest, "", &mut |member| trace.push(Taken { member, field }));
        }
        (!is_nothing).then_some(rest)
    }

    /// What is left, as JSON on one line; `None` if that is nothing.
    pub(super) fn take_rest_line(&mut self, field: &'static str) -> Option<String> {
        self.take_rest(field).map(|rest| printable(&rest.to_string()))
    }

    /// Says that a member is in these fields as well, which show it and do not take it.
    pub(super) fn copied(&mut self, fields: &[&'static str], pointer: &str) {
        if let Some(pointer) = self.absolute(pointer) {
            self.note(&pointer, fields);
        }
    }

    fn note(&mut self, pointer: &str, fields: &[&'static str]) {
        if let Some(trace) = &mut self.trace {
            let taken = |&field| Taken { member: pointer.to_owned(), field };
            trace.extend(fields.iter().map(taken));
        }
    }

    /// The text of a member that is a text, a number or a boolean.
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
        match pointer.strip_prefix('^') {
            Some(rest) => self.parent.as_ref().map(|parent| format!("{parent}{rest}")),
            None => Some(pointer.to_owned()),
        }
    }

    /// Takes a member out, and with it what then holds nothing any more.
    fn remove(&mut self, pointer: &str) {
        let Some((parent, key)) = pointer.rsplit_once('/') else { return };
        let is_empty = match self.rest.pointer_mut(parent) {
            Some(Value::Object(members)) => {
                members.remove(&key.replace("~1", "/").replace("~0", "~"));
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

/// What [`Value::pointer`] finds, without making a string of each step.
fn find<'v>(mut value: &'v Value, pointer: &str) -> Option<&'v Value> {
    for step in pointer.split('/').skip(1) {
        value = match value {
            Value::Object(members) if step.contains('~') => {
                members.get(&step.replace("~1", "/").replace("~0", "~"))?
            }
            Value::Object(members) => members.get(step)?,
            Value::Array(items) => items.get(step.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    Some(value)
}

/// The event as it was received, on one line.
pub(super) fn one_line(received: Received<'_>) -> String {
    String::from_utf8_lossy(&super::native::render(received.raw)).into_owned()
}

fn is_field(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= LONGEST
}

fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Entries that are told one by one; of a longer list or a larger object, only where it is.
const TOLD: usize = 200;

/// Tells the pointers of all that is no object or list with something in it.
fn each_leaf(value: &Value, at: &str, tell: &mut impl FnMut(String)) {
    match value {
        Value::Object(members) if !members.is_empty() && members.len() <= TOLD => {
            for (name, member) in members {
                each_leaf(member, &format!("{at}/{}", escaped(name)), tell);
            }
        }
        Value::Array(items) if !items.is_empty() && items.len() <= TOLD => {
            for (index, item) in items.iter().enumerate() {
                each_leaf(item, &format!("{at}/{index}"), tell);
            }
        }
        _ => tell(at.to_owned()),
    }
}

/// JSON without any control character: what it left as it is, it can also escape.
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

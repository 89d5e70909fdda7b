//! Fields of an event, taken out one by one. The rest goes into the format's extension, so that no
//! field is lost.

use std::borrow::Cow;

use super::control::has_control;
use super::event_tape::EventTape;
use super::remaining::{self, FieldWriter, Written};
use super::slots::{Alternatives, Slot, slot};
use super::trie::{self, SlotTable};
use super::{Received, native};
use crate::event::Event;
use crate::json::shortest_number;

/// Maximum length of a text in a document field. Elasticsearch refuses the whole document above it.
/// <https://www.elastic.co/docs/reference/elasticsearch/mapping-reference/ignore-above>
pub(super) const MAX_TEXT_BYTES: usize = 32_766;

const FLOW: Slot = slot("~");

/// Versions that are -1 if the sender does not know them.
const VERSIONS: [Slot; 2] = [slot("~/flowVersionId"), slot("^/flowVersionId")];

/// An event field and the format field that shows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MappedField {
    /// JSON pointer (RFC 6901) of the event field.
    pub pointer: String,
    /// Name of the format field.
    pub field: &'static str,
}

/// The event fields that were not taken yet.
#[derive(Debug)]
pub(super) struct Leaves<'a> {
    event: EventTape<'a>,
    slots: SlotTable,
    /// Flow versions that the sender does not know.
    unknown_versions: [Option<usize>; 2],
    /// Fields taken so far, if they are recorded.
    trace: Option<Vec<MappedField>>,
}

impl<'a> Leaves<'a> {
    /// Returns all fields of an event.
    pub(super) fn of(received: Received<'a>) -> Leaves<'a> {
        Leaves::on(received, EventTape::read(received.raw))
    }

    /// Does the same as [`Leaves::of`] for an event whose fields are read.
    pub(super) fn on(received: Received<'a>, event: EventTape<'a>) -> Leaves<'a> {
        let parent = match received.event {
            Event::Interaction(event) => event.flow.parent.as_ref().map(|parent| &*parent.field),
            _ => None,
        };
        let slots = trie::slots_of(&event, parent);
        let mut leaves = Leaves { event, slots, unknown_versions: [None; 2], trace: None };
        leaves.unknown_versions = VERSIONS.map(|version| {
            let at = leaves.slots[version.index()]?;
            (leaves.text(at).as_deref() == Some("-1")).then_some(at)
        });
        leaves
    }

    /// Does the same as [`Leaves::of`] and records which field is taken for what.
    pub(super) fn traced(received: Received<'a>) -> Leaves<'a> {
        Leaves { trace: Some(Vec::new()), ..Leaves::of(received) }
    }

    /// Returns the fields taken so far.
    pub(super) fn into_trace(self) -> Vec<MappedField> {
        self.trace.unwrap_or_default()
    }

    /// Returns all fields of the event.
    pub(super) fn event(&self) -> &EventTape<'a> {
        &self.event
    }

    /// Returns whether the event has the fields of a flow run.
    pub(super) fn has_flow(&self) -> bool {
        self.value_at(FLOW).is_some_and(|value| value.starts_with('{'))
    }

    /// Returns the received event on one line, if its fields are not lossless.
    pub(super) fn original(&self, received: Received<'_>) -> Option<String> {
        (!self.event.is_exact()).then(|| one_line(received))
    }

    /// Returns the position of a field that is not taken.
    pub(super) fn get(&self, slot: Slot) -> Option<usize> {
        self.slots[slot.index()].filter(|at| !self.event.is_gone(*at))
    }

    /// Returns the value of a field that is not taken, as it is written.
    pub(super) fn value_at(&self, slot: Slot) -> Option<&'a str> {
        self.get(slot).map(|at| self.event.node(at).value)
    }

    /// Returns the value of a field that is a finite number and not taken.
    pub(super) fn number_at(&self, slot: Slot) -> Option<f64> {
        let value = self.value_at(slot).filter(|value| is_number(value))?;
        value.parse().ok().filter(|number: &f64| number.is_finite())
    }

    /// Returns the text of a field that is a string and not taken.
    pub(super) fn string_at(&self, slot: Slot) -> Option<Cow<'a, str>> {
        self.string(self.get(slot)?)
    }

    /// Returns a text that fits into a document field, without taking it.
    pub(super) fn text_at(&self, slot: Slot) -> Option<Cow<'a, str>> {
        self.string_at(slot).filter(|text| is_field(text))
    }

    /// Returns whether a text is present that fits into a document field.
    pub(super) fn has_text(&self, slot: Slot) -> bool {
        self.text_at(slot).is_some()
    }

    /// Returns whether one of these fields is a text that fits into a document field.
    pub(super) fn has_any(&self, fields: &Alternatives) -> bool {
        fields.slots().iter().any(|slot| self.has_text(*slot))
    }

    /// Takes the first of these fields that is a text, a number or a boolean. The field also stays in the
    /// extension if `fits` returns false for its text.
    pub(super) fn take(
        &mut self,
        names: &[&'static str],
        from: &Alternatives,
        fits: impl Fn(&str) -> bool,
    ) -> Option<Cow<'a, str>> {
        let (at, text) = from.slots().iter().find_map(|slot| {
            let at = self.get(*slot)?;
            Some((at, self.text(at).filter(|text| !is_blank(text))?))
        })?;
        self.note(at, names);
        if fits(&text) {
            self.event.remove(at);
            self.remove_repetitions(names, from, &text);
        }
        Some(text)
    }

    /// Takes the first of these fields that is a text of at most [`MAX_TEXT_BYTES`]. A field of
    /// another type stays.
    pub(super) fn take_text(
        &mut self,
        names: &[&'static str],
        from: &Alternatives,
    ) -> Option<Cow<'a, str>> {
        let (at, text) = from.slots().iter().find_map(|slot| {
            let at = self.get(*slot)?;
            Some((at, self.string(at).filter(|text| is_field(text))?))
        })?;
        self.take_at(names, at);
        self.remove_repetitions(names, from, &text);
        Some(text)
    }

    /// Takes a field of any type. Returns its position.
    pub(super) fn take_value(&mut self, names: &[&'static str], slot: Slot) -> Option<usize> {
        let at = self.get(slot)?;
        self.take_at(names, at);
        Some(at)
    }

    /// Takes the field at a position.
    pub(super) fn take_at(&mut self, names: &[&'static str], at: usize) {
        self.note(at, names);
        self.event.remove(at);
    }

    /// Removes the other fields with the same text as the taken one.
    fn remove_repetitions(&mut self, names: &[&'static str], from: &Alternatives, text: &str) {
        if from.slots().len() > 1 {
            for slot in from.slots() {
                if self.string_at(*slot).is_some_and(|other| other == text) {
                    self.take_value(names, *slot);
                }
            }
        }
    }

    /// Appends all remaining fields that are not empty, and one more, as a JSON object. Returns `None` if there
    /// are none.
    pub(super) fn write_rest(
        &mut self,
        field: &'static str,
        added: Option<(&str, &str)>,
        out: &mut Vec<u8>,
    ) -> Option<Written> {
        if let Some(trace) = &mut self.trace {
            let pointers = remaining::pointers(&self.event).into_iter();
            trace.extend(pointers.map(|pointer| MappedField { pointer, field }));
        }
        FieldWriter::new(&self.event, out).unknown(&self.unknown_versions).all(added)
    }

    /// Returns whether a field of the event remains that is not empty.
    pub(super) fn has_rest(&self, name: &str) -> bool {
        let found = self.event.find(self.event.root(), name);
        found.is_some_and(|at| !remaining::is_empty(&self.event, at))
    }

    /// Returns all remaining fields as JSON on one line; `None` if there are none.
    pub(super) fn rest_line(&mut self, field: &'static str) -> Option<String> {
        let mut out = Vec::with_capacity(1024);
        self.write_rest(field, None, &mut out)?;
        Some(printable(String::from_utf8(out).unwrap_or_default()))
    }

    /// Records that format fields show an event field without taking it.
    pub(super) fn copied(&mut self, names: &[&'static str], slot: Slot) {
        if let Some(at) = self.slots[slot.index()] {
            self.note(at, names);
        }
    }

    fn note(&mut self, at: usize, names: &[&'static str]) {
        if let Some(trace) = &mut self.trace {
            let pointer = remaining::pointer(&self.event, at);
            let taken = |&field| MappedField { pointer: pointer.clone(), field };
            trace.extend(names.iter().map(taken));
        }
    }

    /// Returns the text of a field that is a text, a number or a boolean.
    fn text(&self, at: usize) -> Option<Cow<'a, str>> {
        if self.unknown_versions.contains(&Some(at)) {
            return self.string(at);
        }
        let value = self.event.node(at).value;
        match value.as_bytes().first()? {
            b'"' => self.string(at),
            b'{' | b'[' | b'n' => None,
            b't' | b'f' => Some(Cow::Borrowed(value)),
            _ => Some(shortest_number(value)),
        }
    }

    fn string(&self, at: usize) -> Option<Cow<'a, str>> {
        if self.unknown_versions.contains(&Some(at)) {
            return Some(Cow::Borrowed(remaining::UNKNOWN));
        }
        self.event.node(at).text()
    }
}

/// Returns the received event on one line.
pub(super) fn one_line(received: Received<'_>) -> String {
    String::from_utf8_lossy(&native::render(received.raw)).into_owned()
}

fn is_number(value: &str) -> bool {
    value.starts_with(|c: char| c == '-' || c.is_ascii_digit())
}

fn is_field(text: &str) -> bool {
    text.len() <= MAX_TEXT_BYTES && !is_blank(text)
}

/// Returns whether a text is empty or consists of whitespace.
pub(super) fn is_blank(text: &str) -> bool {
    text.chars().all(char::is_whitespace)
}

/// Replaces control characters in JSON by escapes.
pub(super) fn printable(json: String) -> String {
    if !has_control(&json) {
        return json;
    }
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

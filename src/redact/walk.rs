//! Redacts a text in one pass: decides about each field and value, and copies nothing that stays
//! unchanged. Nesting is kept in a list instead of the stack, because fragments may nest to any
//! depth.

use std::borrow::Cow;
use std::ops::Range;

use super::output::Output;
use super::rules::{Redaction, Treatment, is_required};
use super::{address, key};
use crate::json::{self, Spans};
use crate::redact::Action;

/// Kind of input, which determines how rules match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InputKind {
    /// An event: paths start at its root.
    Event,
    /// Any JSON: positions cannot be trusted.
    Fragment,
}

/// An object or array that is not closed yet.
struct Frame {
    is_object: bool,
    /// True if its name is the last in `names`.
    is_named: bool,
    /// True if it is an array or inside one.
    in_list: bool,
    /// True if it is a resource that is a user or a user's device.
    of_user: bool,
    treatment: Treatment,
    /// True if at least one field was kept. The comma before a dropped field must then be dropped,
    /// too.
    has_fields: bool,
    /// End of its last field.
    end: usize,
}

struct Walk<'a, 'r> {
    text: &'a str,
    at: usize,
    kind: InputKind,
    redaction: &'r Redaction,
    /// Field names on the path to the current value.
    names: Vec<Cow<'a, str>>,
    frames: Vec<Frame>,
    output: Output<'a>,
}

/// Redacts one well-formed JSON value. Returns `None` if the value is malformed.
pub(super) fn walk<'a>(
    redaction: &Redaction,
    text: &'a str,
    kind: InputKind,
) -> Option<Cow<'a, [u8]>> {
    let mut walk = Walk {
        text,
        at: json::skip_space(text, 0),
        kind,
        redaction,
        names: Vec::new(),
        frames: Vec::new(),
        output: Output::new(text),
    };
    walk.run()?;
    Some(match walk.output.finish() {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    })
}

impl Walk<'_, '_> {
    fn run(&mut self) -> Option<()> {
        self.value(Treatment::default(), false)?;
        while let Some(frame) = self.frames.last() {
            let (is_object, treatment) = (frame.is_object, frame.treatment);
            self.at = json::skip_space(self.text, self.at);
            match self.text.as_bytes().get(self.at)? {
                b',' => self.at += 1,
                b'}' | b']' => {
                    self.at += 1;
                    self.close();
                }
                _ if is_object => self.field()?,
                _ => self.value(treatment, false)?,
            }
        }
        self.at = json::skip_space(self.text, self.at);
        (self.at == self.text.len()).then_some(())
    }

    /// Closes the innermost object or array.
    fn close(&mut self) {
        if self.frames.pop().is_some_and(|frame| frame.is_named) {
            self.names.pop();
        }
        self.end_field();
    }

    /// Records the end of the last field, where the comma of a dropped field begins.
    fn end_field(&mut self) {
        if let Some(frame) = self.frames.last_mut() {
            frame.end = self.at;
        }
    }

    fn field(&mut self) -> Option<()> {
        let start = self.at;
        let end =
            json::string_end(self.text.as_bytes(), start).filter(|_| self.byte_is(start, b'"'))?;
        let name = start + 1..end - 1;
        let colon = json::skip_space(self.text, end);
        self.at = json::skip_space(self.text, colon + 1);
        if !self.byte_is(colon, b':') {
            return None;
        }
        let frame = self.frames.last()?;
        self.names.push(json::decode(self.text.get(name.clone())?));
        let treatment =
            self.redaction.treat(frame.treatment, &self.names, self.kind, frame.of_user);
        if treatment.action() == Some(Action::Drop) {
            self.names.pop();
            return self.drop_field(start);
        }
        if let Some(action) = self.redaction.address_action(treatment) {
            self.addresses(name, action, true);
        }
        self.frames.last_mut()?.has_fields = true;
        self.value(treatment, true)
    }

    /// Drops the field that begins at `start`, whose value begins at the current position, with one
    /// comma.
    fn drop_field(&mut self, start: usize) -> Option<()> {
        let end = json::skip_value(self.text, self.at)?;
        let frame = self.frames.last_mut()?;
        let next = json::skip_space(self.text, end);
        self.at = end;
        let from = if frame.has_fields {
            frame.end
        } else {
            if self.text.as_bytes().get(next) == Some(&b',') {
                self.at = json::skip_space(self.text, next + 1);
            }
            start
        };
        frame.end = self.at;
        self.output.replace(from..self.at, "");
        Some(())
    }

    /// Enters an object or array, or processes a scalar.
    fn value(&mut self, treatment: Treatment, is_named: bool) -> Option<()> {
        let in_list = self.frames.last().is_some_and(|frame| frame.in_list || !frame.is_object);
        let is_object = match self.text.as_bytes().get(self.at)? {
            b'{' => true,
            b'[' => false,
            _ => {
                let end = json::skip_value(self.text, self.at)?;
                self.scalar(self.at..end, treatment, in_list)?;
                self.at = end;
                if is_named {
                    self.names.pop();
                    self.end_field();
                }
                return Some(());
            }
        };
        let is_resource = is_object
            && self.kind == InputKind::Event
            && self.redaction.looks_for_users()
            && matches!(&self.names[..], [name] if name.eq_ignore_ascii_case("resources"));
        let rest = self.text.get(self.at..).unwrap_or_default();
        let of_user =
            is_resource && ["USER", "DEVICE"].iter().any(|kind| json::says(rest, "type", kind));
        self.at += 1;
        let end = self.at;
        let in_list = in_list || !is_object;
        let has_fields = false;
        self.frames.push(Frame {
            is_object,
            is_named,
            in_list,
            of_user,
            treatment,
            has_fields,
            end,
        });
        Some(())
    }

    fn scalar(&mut self, span: Range<usize>, treatment: Treatment, in_list: bool) -> Option<()> {
        let raw = self.text.get(span.clone())?;
        let inner = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"'));
        let is_loose = self.kind == InputKind::Fragment && self.names.is_empty();
        let action = if is_loose { Some(Action::Mask) } else { treatment.action() };
        if raw == "null" {
            return Some(());
        }
        if let Some(action) = action {
            let value = inner.map_or(Cow::Borrowed(raw), json::decode);
            let is_done = self.redaction.spares_hashes && key::is_hash(&value);
            if action != Action::Hash || !is_done {
                let stand_in = self.redaction.stand_in(action, &value, &self.output);
                self.output.replace(span, &format!("\"{stand_in}\""));
            }
        } else if inner.is_some()
            && let Some(action) = self.redaction.address_action(treatment)
            && !(self.kind == InputKind::Event && !in_list && is_required(&self.names))
        {
            self.addresses(span.start + 1..span.end - 1, action, false);
        }
        Some(())
    }

    /// Replaces the addresses in a string; `span` is its extent between the quotes.
    fn addresses(&mut self, span: Range<usize>, action: Action, is_name: bool) {
        let raw = self.text.get(span.clone()).unwrap_or_default();
        if !address::may_be_in(raw) {
            return;
        }
        let text = json::decode(raw);
        let mut spans = Spans::new(raw);
        for address::AddressMatch { range, address } in address::find(&text) {
            let (start, end) = (spans.of(range.start), spans.of(range.end));
            // A redacted name stays unique and is never empty.
            let stand_in = if action == Action::Drop && !is_name {
                Cow::Borrowed("")
            } else {
                self.redaction.stand_in(action, &address, &self.output)
            };
            self.output.replace(span.start + start..span.start + end, &stand_in);
        }
    }

    fn byte_is(&self, at: usize, byte: u8) -> bool {
        self.text.as_bytes().get(at) == Some(&byte)
    }
}

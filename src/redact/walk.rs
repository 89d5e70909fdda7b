//! Redacts a text: decides about each field and value, and copies nothing that stays unchanged. A
//! second pass follows if a redacted value recurs in another text. Nesting is kept in a list instead of the stack, because fragments may nest to any
//! depth.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::ops::Range;

use super::output::RedactedText;
use super::recurrence::FoundValues;
use super::rules::{Redaction, Treatment, is_required};
use super::{address, ip, key};
use crate::json::{self, Spans};
use crate::redact::RedactAction;

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
    output: RedactedText<'a>,
    /// Values to search for, from the first pass.
    sought: Option<&'r FoundValues>,
    /// Redacted values. Filled by the first pass.
    found: FoundValues,
    /// Texts that may contain redacted values, between their quotes. Filled by the first pass.
    searched: Vec<Range<usize>>,
}

/// Redacts one well-formed JSON value. Returns `None` if the value is malformed.
pub(super) fn walk<'a>(
    redaction: &Redaction,
    text: &'a str,
    kind: InputKind,
) -> Option<Cow<'a, [u8]>> {
    let mut walk = Walk::new(redaction, text, kind, None);
    walk.run()?;
    let mut found = std::mem::take(&mut walk.found);
    found.sort();
    if walk.searched.iter().any(|span| recurs_in(&found, text.get(span.clone()))) {
        walk = Walk::new(redaction, text, kind, Some(&found));
        walk.run()?;
    }
    Some(match walk.output.finish() {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    })
}

/// Returns whether a value is a hash, or a list of hashes.
fn is_hashed(value: &str) -> bool {
    ip::parts(value).next().is_some() && ip::parts(value).all(key::is_hash)
}

/// Returns whether a text, as it is spelled in JSON, contains one of the values.
fn recurs_in(values: &FoundValues, raw: Option<&str>) -> bool {
    !values.is_empty() && raw.is_some_and(|raw| !values.find(&json::decode(raw)).is_empty())
}

impl<'a, 'r> Walk<'a, 'r> {
    fn new(
        redaction: &'r Redaction,
        text: &'a str,
        kind: InputKind,
        sought: Option<&'r FoundValues>,
    ) -> Walk<'a, 'r> {
        Walk {
            text,
            at: json::skip_space(text, 0),
            kind,
            redaction,
            names: Vec::new(),
            frames: Vec::new(),
            output: RedactedText::new(text),
            sought,
            found: FoundValues::default(),
            searched: Vec::new(),
        }
    }

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
        if treatment.action() == Some(RedactAction::Drop) {
            self.drop_field(start, treatment)?;
            self.names.pop();
            return Some(());
        }
        if let Some(action) = self.redaction.address_action(treatment) {
            self.replace_within(name, Some(action), None, true);
        }
        self.frames.last_mut()?.has_fields = true;
        self.value(treatment, true)
    }

    /// Drops the field that begins at `start`, whose value begins at the current position, with one
    /// comma.
    fn drop_field(&mut self, start: usize, treatment: Treatment) -> Option<()> {
        let end = json::skip_value(self.text, self.at)?;
        self.collect_dropped(self.at..end, treatment)?;
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
        let action = if is_loose { Some(RedactAction::Mask) } else { treatment.action() };
        if raw == "null" {
            return Some(());
        }
        if let Some(action) = action {
            let value = inner.map_or(Cow::Borrowed(raw), json::decode);
            let is_done = self.redaction.spares_hashes && is_hashed(&value);
            // A value that is not an address is hashed instead of truncated.
            let may_hash = matches!(action, RedactAction::Hash | RedactAction::Truncate);
            if !(may_hash && is_done) {
                let name = self.names.last().map(|name| &**name).unwrap_or_default();
                if inner.is_some() && !is_loose && treatment.is_sought(name) {
                    self.collect(&value, action);
                }
                let stand_in = self.redaction.stand_in(action, &value, &self.output);
                self.output.replace(span, &format!("\"{stand_in}\""));
            }
        } else if inner.is_some()
            && !(self.kind == InputKind::Event && !in_list && is_required(&self.names))
        {
            let span = span.start + 1..span.end - 1;
            let name = self.names.last().map(|name| &**name).unwrap_or_default();
            let is_searched = treatment.is_searched(name);
            if is_searched && self.sought.is_none() {
                self.searched.push(span.clone());
            }
            let sought = self.sought.filter(|_| is_searched);
            self.replace_within(span, self.redaction.address_action(treatment), sought, false);
        }
        Some(())
    }

    /// Collects a redacted value, and each address if it is a list.
    fn collect(&mut self, value: &str, action: RedactAction) {
        if self.sought.is_some() {
            return;
        }
        self.found.add(value, action);
        for part in ip::parts(value) {
            if let Some((host, _)) = ip::host(part) {
                self.found.add(part, action);
                self.found.add(&part[host], action);
            }
        }
    }

    /// Collects the values in a field that is dropped.
    fn collect_dropped(&mut self, span: Range<usize>, treatment: Treatment) -> Option<()> {
        let own_name = self.names.last().cloned().unwrap_or_default();
        let mut name = None;
        let mut at = span.start;
        while at < span.end {
            if !self.byte_is(at, b'"') {
                at += 1;
                continue;
            }
            let end = json::string_end(self.text.as_bytes(), at)?;
            let text = json::decode(self.text.get(at + 1..end - 1)?);
            if self.byte_is(json::skip_space(self.text, end), b':') && end < span.end {
                name = Some(text);
            } else {
                let is_sought = match &name {
                    Some(name) => Treatment::default().is_sought(name),
                    None => treatment.is_sought(&own_name),
                };
                if is_sought {
                    self.collect(&text, RedactAction::Drop);
                }
            }
            at = end;
        }
        Some(())
    }

    /// Replaces e-mail addresses with `action`, and the values `sought`; `span` is the extent of the
    /// text between its quotes.
    fn replace_within(
        &mut self,
        span: Range<usize>,
        action: Option<RedactAction>,
        sought: Option<&FoundValues>,
        is_name: bool,
    ) {
        let raw = self.text.get(span.clone()).unwrap_or_default();
        let action = action.filter(|_| address::may_be_in(raw));
        if action.is_none() && sought.is_none() {
            return;
        }
        let text = json::decode(raw);
        let mut parts: Vec<(Range<usize>, Cow<'_, str>, RedactAction, bool)> = Vec::new();
        if let Some(action) = action {
            let addresses = address::find(&text).into_iter();
            // A redacted name stays unique and is never empty.
            let is_removed = action == RedactAction::Drop && !is_name;
            parts.extend(addresses.map(|found| (found.range, found.address, action, is_removed)));
        }
        for found in sought.map(|values| values.find(&text)).unwrap_or_default() {
            parts.push((found.range, Cow::Borrowed(found.value), found.action, false));
        }
        parts.sort_by_key(|(range, ..)| (range.start, Reverse(range.end)));
        let mut spans = Spans::new(raw);
        let mut parts = parts.into_iter().peekable();
        while let Some((mut range, value, action, is_removed)) = parts.next() {
            // A value that overlaps the one before is replaced with it.
            while let Some((next, ..)) = parts.next_if(|(next, ..)| next.start < range.end) {
                range.end = range.end.max(next.end);
            }
            let (start, end) = (spans.of(range.start), spans.of(range.end));
            let stand_in = if is_removed {
                Cow::Borrowed("")
            } else {
                self.redaction.stand_in(action, &value, &self.output)
            };
            self.output.replace(span.start + start..span.start + end, &stand_in);
        }
    }

    fn byte_is(&self, at: usize, byte: u8) -> bool {
        self.text.as_bytes().get(at) == Some(&byte)
    }
}

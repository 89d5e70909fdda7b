//! Reads the known fields of an object under all of their spellings, and records findings.

use std::borrow::Cow;

use super::fields::{Field, FieldNames, ObjectFields};
use crate::event::{Finding, FindingKind};
use chrono::{DateTime, Datelike, NaiveDateTime, Timelike, Utc};

/// Maximum number of findings kept for one event. Above it, [`FindingKind::More`] is the last one.
const MAX_FINDINGS: usize = 32;

/// Findings of one event, at most [`MAX_FINDINGS`].
#[derive(Debug, Default)]
pub(super) struct Findings(pub(super) Vec<Finding>);

impl Findings {
    pub(super) fn note(&mut self, kind: FindingKind, path: &str, field: &str) {
        let kind = match self.0.len() {
            MAX_FINDINGS.. => return,
            length if length + 1 == MAX_FINDINGS => FindingKind::More,
            _ => kind,
        };
        // The sender chooses field names, so their length in listings is limited here.
        let path = format!("{path}.{}", field.chars().take(80).collect::<String>());
        self.0.push(Finding { kind, path });
    }
}

/// Reads the fields of one object and records findings under the object's JSON path.
pub(super) struct FieldReader<'m, 't, 'a> {
    fields: &'m ObjectFields<'t, 'a>,
    path: &'m str,
    findings: &'m mut Findings,
}

impl<'m, 't, 'a> FieldReader<'m, 't, 'a> {
    pub(super) fn new(
        fields: &'m ObjectFields<'t, 'a>,
        path: &'m str,
        findings: &'m mut Findings,
    ) -> FieldReader<'m, 't, 'a> {
        FieldReader { fields, path, findings }
    }

    /// Returns the first of the named fields that is present and not null.
    pub(super) fn raw(&mut self, names: &[&'static str]) -> Option<(&'static str, Field<'t, 'a>)> {
        for &name in names {
            if let Some((field, repeated)) = self.fields.get(name) {
                if repeated {
                    self.note(FindingKind::DuplicateField, name);
                }
                if field.value() != "null" {
                    return Some((name, field));
                }
            }
        }
        None
    }

    /// Reads a string. A number or boolean is returned as it is spelt, with a finding.
    pub(super) fn text(&mut self, names: &[&'static str]) -> Option<Cow<'a, str>> {
        let (name, field) = self.raw(names)?;
        match field.value().as_bytes().first() {
            Some(b'"') => self.string(name, field),
            Some(b'{' | b'[') => {
                self.note(FindingKind::WrongType, name);
                None
            }
            _ => {
                self.note(FindingKind::CoercedType, name);
                Some(Cow::Borrowed(field.value()))
            }
        }
    }

    /// Reads a boolean. `"true"` and `"false"` in any case are accepted, with a finding.
    pub(super) fn boolean(&mut self, names: &[&'static str]) -> Option<bool> {
        let (name, field) = self.raw(names)?;
        let (kind, read) = match field.value() {
            "true" => return Some(true),
            "false" => return Some(false),
            text if text.eq_ignore_ascii_case("\"true\"") => (FindingKind::CoercedType, Some(true)),
            text if text.eq_ignore_ascii_case("\"false\"") => {
                (FindingKind::CoercedType, Some(false))
            }
            _ => (FindingKind::WrongType, None),
        };
        self.note(kind, name);
        read
    }

    /// Reads an integer. An integer in a string is accepted, with a finding.
    pub(super) fn integer(&mut self, names: &[&'static str]) -> Option<i64> {
        let (name, field) = self.raw(names)?;
        if let Ok(number) = field.value().parse() {
            return Some(number);
        }
        let read = field.value().trim_matches('"').parse().ok();
        let kind = if read.is_some() { FindingKind::CoercedType } else { FindingKind::WrongType };
        self.note(kind, name);
        read
    }

    /// Reads a timestamp; see [`parse_time`]. An integer, also in a string, is read as milliseconds
    /// since the Unix epoch, with a finding.
    pub(super) fn time(&mut self, names: &[&'static str]) -> Option<DateTime<Utc>> {
        let (name, field) = self.raw(names)?;
        if let Ok(milliseconds) = field.value().trim_matches('"').parse() {
            let read = DateTime::from_timestamp_millis(milliseconds)
                .filter(|time| (1..=9999).contains(&time.year()));
            let is_read = read.is_some();
            self.note(
                if is_read { FindingKind::CoercedType } else { FindingKind::WrongType },
                name,
            );
            return read;
        }
        let text = field.text()?;
        let read = parse_time(&text);
        let finding = read.map_or(Some(FindingKind::WrongType), |(_, finding)| finding);
        if let Some(finding) = finding {
            self.note(finding, name);
        }
        read.map(|(time, _)| time)
    }

    /// Reads an object.
    pub(super) fn object(&mut self, names: &[&'static str]) -> Option<ObjectFields<'t, 'a>> {
        let (name, field) = self.raw(names)?;
        let fields = field.object();
        if fields.is_none() {
            self.note(FindingKind::WrongType, name);
        }
        fields
    }

    /// Records a finding for every field whose name is not in `known`.
    pub(super) fn note_unknown<const N: usize>(&mut self, known: &FieldNames<N>) {
        for (name, _) in self.fields.unknown(known) {
            self.findings.note(FindingKind::UnknownField, self.path, &name);
        }
    }

    pub(super) fn note(&mut self, kind: FindingKind, field: &str) {
        self.findings.note(kind, self.path, field);
    }

    fn string(&mut self, name: &str, field: Field<'t, 'a>) -> Option<Cow<'a, str>> {
        let text = field.text()?;
        if matches!(text, Cow::Owned(_)) && text.contains('\u{fffd}') {
            self.note(FindingKind::LoneSurrogate, name);
        }
        Some(text)
    }
}

/// Parses an RFC 3339 timestamp with any number of fraction digits. Returns the finding about its
/// spelling, if any.
///
/// Without an offset, the timestamp is UTC, as PingOne documents. Two other spellings of ISO 8601
/// are accepted: a comma before the fraction, and an offset without its colon or minutes. Years
/// have four digits.
pub(super) fn parse_time(text: &str) -> Option<(DateTime<Utc>, Option<FindingKind>)> {
    let (time, finding) = match DateTime::parse_from_rfc3339(text) {
        Ok(time) => (time.to_utc(), None),
        Err(_) => {
            let mut text = Cow::Borrowed(text);
            if text.as_bytes().get(FRACTION_OFFSET) == Some(&b',') {
                text.to_mut().replace_range(FRACTION_OFFSET..=FRACTION_OFFSET, ".");
            }
            match DateTime::parse_from_str(&text, "%Y-%m-%dT%H:%M:%S%.f%#z") {
                Ok(time) => (time.to_utc(), Some(FindingKind::CoercedType)),
                Err(_) => {
                    let naive = NaiveDateTime::parse_from_str(&text, "%Y-%m-%dT%H:%M:%S%.f");
                    (naive.ok()?.and_utc(), Some(FindingKind::NoOffset))
                }
            }
        }
    };
    // A leap second becomes the last nanosecond before it, because no target accepts :60.
    let time = if time.nanosecond() < NANOS_PER_SECOND {
        time
    } else {
        time.with_nanosecond(NANOS_PER_SECOND - 1)?
    };
    (1..=9999).contains(&time.year()).then_some((time, finding))
}

/// Offset of the fraction in a timestamp, in bytes: after `2024-02-15T16:07:03`.
const FRACTION_OFFSET: usize = 19;

/// Nanoseconds per second.
const NANOS_PER_SECOND: u32 = 1_000_000_000;

//! Reads known members of an object by all of their spellings, and writes down what is odd.

use std::borrow::Cow;

use super::members::{Member, Members, Names};
use crate::event::{Finding, FindingKind};
use chrono::{DateTime, Datelike, NaiveDateTime, Timelike, Utc};

/// Findings kept for one event; the rest is only known to exist.
const MAX_FINDINGS: usize = 32;

/// The findings of one event, bounded.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    pub(super) fn note(&mut self, kind: FindingKind, path: &str, member: &str) {
        let kind = match self.0.len() {
            MAX_FINDINGS.. => return,
            length if length + 1 == MAX_FINDINGS => FindingKind::More,
            _ => kind,
        };
        // A member's name is the sender's text: bounded here, as it ends up in listings.
        let path = format!("{path}.{}", member.chars().take(80).collect::<String>());
        self.0.push(Finding { kind, path });
    }

    pub(super) fn into_vec(self) -> Vec<Finding> {
        self.0
    }
}

/// Reads the members of one object whose JSON path is `path`.
pub(super) struct Reader<'m, 't, 'a> {
    members: &'m Members<'t, 'a>,
    path: &'m str,
    findings: &'m mut Findings,
}

impl<'m, 't, 'a> Reader<'m, 't, 'a> {
    pub(super) fn new(
        members: &'m Members<'t, 'a>,
        path: &'m str,
        findings: &'m mut Findings,
    ) -> Reader<'m, 't, 'a> {
        Reader { members, path, findings }
    }

    /// The value under the first of `names` that is present and not null.
    pub(super) fn raw(&mut self, names: &[&'static str]) -> Option<(&'static str, Member<'t, 'a>)> {
        for &name in names {
            if let Some((member, repeated)) = self.members.get(name) {
                if repeated {
                    self.note(FindingKind::DuplicateMember, name);
                }
                if member.value() != "null" {
                    return Some((name, member));
                }
            }
        }
        None
    }

    /// Text; numbers and booleans are read as their own spelling.
    pub(super) fn text(&mut self, names: &[&'static str]) -> Option<Cow<'a, str>> {
        let (name, member) = self.raw(names)?;
        match member.value().as_bytes().first() {
            Some(b'"') => self.string(name, member),
            Some(b'{' | b'[') => {
                self.note(FindingKind::WrongType, name);
                None
            }
            _ => {
                self.note(FindingKind::CoercedType, name);
                Some(Cow::Borrowed(member.value()))
            }
        }
    }

    /// A boolean, also when spelt as a string.
    pub(super) fn boolean(&mut self, names: &[&'static str]) -> Option<bool> {
        let (name, member) = self.raw(names)?;
        let (kind, read) = match member.value() {
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

    /// A whole number, also when spelt as a string.
    pub(super) fn integer(&mut self, names: &[&'static str]) -> Option<i64> {
        let (name, member) = self.raw(names)?;
        if let Ok(number) = member.value().parse() {
            return Some(number);
        }
        let read = member.value().trim_matches('"').parse().ok();
        let kind = if read.is_some() { FindingKind::CoercedType } else { FindingKind::WrongType };
        self.note(kind, name);
        read
    }

    /// An instant.
    pub(super) fn time(&mut self, names: &[&'static str]) -> Option<DateTime<Utc>> {
        let (name, member) = self.raw(names)?;
        let text = member.text()?;
        let read = parse_time(&text);
        let finding = read.map_or(Some(FindingKind::WrongType), |(_, finding)| finding);
        if let Some(finding) = finding {
            self.note(finding, name);
        }
        read.map(|(time, _)| time)
    }

    /// The members of an object.
    pub(super) fn object(&mut self, names: &[&'static str]) -> Option<Members<'t, 'a>> {
        let (name, member) = self.raw(names)?;
        let members = member.object();
        if members.is_none() {
            self.note(FindingKind::WrongType, name);
        }
        members
    }

    /// Notes every member that is not one of `known`.
    pub(super) fn note_unknown<const N: usize>(&mut self, known: &Names<N>) {
        for (name, _) in self.members.unknown(known) {
            self.findings.note(FindingKind::UnknownMember, self.path, &name);
        }
    }

    pub(super) fn note(&mut self, kind: FindingKind, member: &str) {
        self.findings.note(kind, self.path, member);
    }

    fn string(&mut self, name: &str, member: Member<'t, 'a>) -> Option<Cow<'a, str>> {
        let text = member.text()?;
        if matches!(text, Cow::Owned(_)) && text.contains('\u{fffd}') {
            self.note(FindingKind::LoneSurrogate, name);
        }
        Some(text)
    }
}

/// An RFC 3339 time with 0 to 9 (or more) fraction digits, and the finding about how it is written.
///
/// Without an offset it is taken as UTC, which is what PingOne documents. Other spellings of ISO 8601 are read, too: a comma
/// before the fraction, and an offset without its colon or its minutes.
/// Years have four digits, as RFC 3339 has it.
pub(super) fn parse_time(text: &str) -> Option<(DateTime<Utc>, Option<FindingKind>)> {
    let (time, finding) = match DateTime::parse_from_rfc3339(text) {
        Ok(time) => (time.to_utc(), None),
        Err(_) => {
            let mut text = Cow::Borrowed(text);
            if text.as_bytes().get(FRACTION) == Some(&b',') {
                text.to_mut().replace_range(FRACTION..=FRACTION, ".");
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
    // A leap second is the end of the one before it: no target takes :60.
    let time =
        if time.nanosecond() < NANOSECONDS { time } else { time.with_nanosecond(NANOSECONDS - 1)? };
    (1..=9999).contains(&time.year()).then_some((time, finding))
}

/// Where a time's fraction begins: after `2024-02-15T16:07:03`.
const FRACTION: usize = 19;

/// Of a second.
const NANOSECONDS: u32 = 1_000_000_000;

//! One level of a JSON object: names and untouched values, in the order sent.

use std::borrow::Cow;

use super::refusal::{Reason, Refusal};
use crate::json;

/// Members that one object may have: a hundred times what any event has, and a bound on what a small
/// body can make of itself in memory.
const MAX_MEMBERS: usize = 4096;

/// Entries of a list that are looked at; events have one resource.
const MAX_LISTED: usize = 64;

/// Bytes that a member takes, about, and members that an object has at most, usually: a guess, so that
/// nearly all objects need one allocation and small ones a small one.
const MEMBER_BYTES: usize = 24;
const USUAL: usize = 24;

/// The members of one object: names, and values as they are written.
#[derive(Debug)]
pub(super) struct Members<'a> {
    members: Vec<(Cow<'a, str>, &'a str)>,
    /// Of each name, to find one without comparing all of them.
    tags: Vec<u32>,
    /// Whether a tag is there twice, as it is where a name is.
    has_twins: bool,
}

/// Some of a name: most names of an event differ in it.
pub(super) const fn tag(name: &str) -> u32 {
    let bytes = name.as_bytes();
    let length = bytes.len();
    if length == 0 {
        return 0;
    }
    let (first, middle, last) = (bytes[0], bytes[length / 2], bytes[length - 1]);
    u32::from_le_bytes([length.to_le_bytes()[0], first, middle, last])
}

impl<'a> Members<'a> {
    /// Parses a text that should be one JSON object, and checks the grammar of everything inside.
    pub(super) fn parse(text: &'a str) -> Result<Members<'a>, Refusal> {
        let mut members = Members::empty(USUAL);
        let mut is_too_large = false;
        let is_object =
            json::object(text, |name, value| is_too_large |= !members.push(name, value));
        if is_object && !is_too_large {
            return Ok(members);
        }
        // What our own check refuses, a parser explains.
        match serde_json::from_str::<serde::de::IgnoredAny>(text) {
            Err(error) => Err(Refusal::syntax(&error)),
            Ok(_) => {
                let detail = format!("an event is a JSON object of at most {MAX_MEMBERS} members");
                Err(Refusal::new(Reason::NotAnObject, "$", detail))
            }
        }
    }

    /// The members of a value, if it is an object. Its grammar was checked with the whole.
    pub(super) fn of(value: &'a str) -> Option<Members<'a>> {
        if !value.starts_with('{') {
            return None;
        }
        let mut members = Members::empty((value.len() / MEMBER_BYTES).clamp(2, USUAL));
        json::members(value).all(|(name, value)| members.push(name, value)).then_some(members)
    }

    fn empty(capacity: usize) -> Members<'a> {
        let (members, tags) = (Vec::with_capacity(capacity), Vec::with_capacity(capacity));
        Members { members, tags, has_twins: false }
    }

    /// Adds a member; tells whether there was room for it.
    fn push(&mut self, name: &'a str, value: &'a str) -> bool {
        let has_room = self.members.len() < MAX_MEMBERS;
        if has_room {
            let name = json::decode(name);
            let tag = tag(&name);
            self.has_twins = self.has_twins || self.tags.contains(&tag);
            self.tags.push(tag);
            self.members.push((name, value));
        }
        has_room
    }

    /// The last member of that name, as most parsers read it, and whether there was more than one.
    pub(super) fn get(&self, name: &str) -> Option<(&'a str, bool)> {
        let wanted = tag(name);
        if !self.has_twins {
            let index = self.tags.iter().position(|tag| *tag == wanted)?;
            let (key, value) = self.members.get(index)?;
            return (key == name).then_some((*value, false));
        }
        let alike = self.tags.iter().zip(&self.members).filter(|(tag, _)| **tag == wanted);
        let mut found = alike.filter(|(_, (key, _))| key == name).map(|(_, (_, value))| *value);
        let first = found.next()?;
        Some(found.next_back().map_or((first, false), |last| (last, true)))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.members.iter().map(|(name, value)| (name.as_ref(), *value))
    }

    /// The members whose names are none of these.
    pub(super) fn unknown<'m>(
        &'m self,
        known: &'m [(u32, &'m str)],
    ) -> impl Iterator<Item = (&'m str, &'a str)> {
        let is_known = move |tag: u32, name: &str| {
            known.iter().any(|(known_tag, known)| *known_tag == tag && *known == name)
        };
        let members = self.tags.iter().zip(&self.members);
        members
            .filter(move |(tag, (name, _))| !is_known(**tag, name))
            .map(|(_, (name, value))| (name.as_ref(), *value))
    }
}

/// Names with their tags, made while compiling.
pub(super) const fn tagged<const N: usize>(names: [&str; N]) -> [(u32, &str); N] {
    let mut tagged = [(0, ""); N];
    let mut index = 0;
    while index < N {
        tagged[index] = (tag(names[index]), names[index]);
        index += 1;
    }
    tagged
}

/// The first entries of a value that is a list, and whether there were more.
pub(super) fn listed(value: &str) -> Option<(Vec<&str>, bool)> {
    let mut entries = value.starts_with('[').then(|| json::entries(value))?;
    let first = entries.by_ref().take(MAX_LISTED).collect();
    Some((first, entries.next().is_some()))
}

/// The text of a value that is a string; half a surrogate pair becomes U+FFFD.
pub(super) fn text(value: &str) -> Option<Cow<'_, str>> {
    let raw = value.strip_prefix('"')?.strip_suffix('"')?;
    Some(json::decode(raw))
}

//! One level of a JSON object: names and untouched values, in the order sent.

use std::borrow::Cow;

use super::refusal::{Reason, Refusal};
use crate::json;

/// Members that one object may have: a hundred times what any event has, and a bound on what a small
/// body can make of itself in memory.
const MAX_MEMBERS: usize = 4096;

/// Entries of a list that are looked at; events have one resource.
const MAX_LISTED: usize = 64;

/// Members that an object is expected to have: nearly all need no second allocation.
const USUAL: usize = 24;

/// The members of one object: names, and values as they are written.
#[derive(Debug)]
pub(super) struct Members<'a>(Vec<(Cow<'a, str>, &'a str)>);

impl<'a> Members<'a> {
    /// Parses a text that should be one JSON object, and checks the grammar of everything inside.
    pub(super) fn parse(text: &'a str) -> Result<Members<'a>, Refusal> {
        let mut members = Vec::with_capacity(USUAL);
        let mut count = 0;
        let is_object = json::object(text, |name, value| {
            count += 1;
            if count <= MAX_MEMBERS {
                members.push((json::decode(name), value));
            }
        });
        if is_object && count <= MAX_MEMBERS {
            return Ok(Members(members));
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
        let mut members = Vec::with_capacity(USUAL);
        for (name, value) in json::members(value) {
            if members.len() == MAX_MEMBERS {
                return None;
            }
            members.push((json::decode(name), value));
        }
        Some(Members(members))
    }

    /// The last member of that name, as most parsers read it, and whether there was more than one.
    pub(super) fn get(&self, name: &str) -> Option<(&'a str, bool)> {
        let mut found = self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| *value);
        let first = found.next()?;
        Some(found.next_back().map_or((first, false), |last| (last, true)))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), *value))
    }
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

//! One level of a JSON object: names and untouched values, in the order sent.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::refusal::{Reason, Refusal};

/// Members that one object may have: a hundred times what any event has, and a bound on what a small
/// body can make of itself in memory.
const MAX_MEMBERS: usize = 4096;

/// Entries of a list that are looked at; events have one resource.
const MAX_LISTED: usize = 64;

/// The members of one object. Parsing it checks the grammar of everything inside.
#[derive(Debug)]
pub(super) struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Members<'a> {
    /// Parses a text that should be one JSON object.
    pub(super) fn parse(text: &'a str) -> Result<Members<'a>, Refusal> {
        serde_json::from_str(text).map_err(|error| {
            if error.is_data() {
                let detail = format!("an event is a JSON object of at most {MAX_MEMBERS} members");
                Refusal::new(Reason::NotAnObject, "$", detail)
            } else {
                Refusal::syntax(&error)
            }
        })
    }

    /// The members of a value, if it is an object.
    pub(super) fn of(value: &'a RawValue) -> Option<Members<'a>> {
        value.get().starts_with('{').then(|| serde_json::from_str(value.get()).ok()).flatten()
    }

    /// The last member of that name, as most parsers read it, and whether there was more than one.
    pub(super) fn get(&self, name: &str) -> Option<(&'a RawValue, bool)> {
        let mut found = self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| *value);
        let first = found.next()?;
        Some(found.next_back().map_or((first, false), |last| (last, true)))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), *value))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor).map(Members)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(Text(name)) = map.next_key()? {
            if members.len() == MAX_MEMBERS {
                return Err(Error::custom(format_args!("more than {MAX_MEMBERS} members")));
            }
            members.push((name, map.next_value()?));
        }
        Ok(members)
    }
}

/// The first entries of a JSON list, and whether there were more.
pub(super) struct Listed<'a>(pub(super) Vec<&'a RawValue>, pub(super) bool);

impl<'de: 'a, 'a> Deserialize<'de> for Listed<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ListedVisitor)
    }
}

struct ListedVisitor;

impl<'de> Visitor<'de> for ListedVisitor {
    type Value = Listed<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut listed = Vec::new();
        while listed.len() < MAX_LISTED {
            match list.next_element()? {
                Some(entry) => listed.push(entry),
                None => return Ok(Listed(listed, false)),
            }
        }
        let more = list.next_element::<IgnoredAny>()?.is_some();
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Listed(listed, more))
    }
}

/// A JSON string; half a surrogate pair becomes U+FFFD instead of an error.
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // serde_json hands out a string as bytes without insisting on paired surrogates.
        deserializer.deserialize_bytes(TextVisitor).map(Text)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Cow<'de, str>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a string")
    }

    fn visit_borrowed_bytes<E: Error>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
        Ok(String::from_utf8_lossy(bytes))
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        Ok(Cow::Owned(String::from_utf8_lossy(bytes).into_owned()))
    }
}

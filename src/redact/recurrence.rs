//! Redacted values that recur in other texts of the same event, such as a user's name in
//! `action.description`.
//!
//! Values are sorted, so that one binary search at the beginning of each word finds the longest
//! value there. Values are at most [`MAX_VALUE_BYTES`] long: time grows linearly with the text.

use std::ops::Range;

use super::config::RedactAction;

/// Maximum length of a value, in bytes. Longer values are not searched for.
const MAX_VALUE_BYTES: usize = 512;

/// Minimum length of a value that contains a letter, in characters.
const MIN_VALUE_CHARS: usize = 3;

/// Minimum length of a value without letters, such as a telephone number, in characters.
const MIN_NUMBER_CHARS: usize = 6;

/// Endings of the names of fields that contain PingOne's own words. These fields are not searched:
/// a user named `FAILED` must not hide the status of an event.
const WORD_FIELDS: [&str; 4] = ["type", "status", "level", "result"];

/// Endings of the names of fields that contain ids or links. A rule for an object does not search
/// for its ids elsewhere.
const ID_FIELDS: [&str; 3] = ["id", "ids", "href"];

/// Values that were found in one event.
#[derive(Debug, Default)]
pub(super) struct FoundValues {
    /// Sorted by text once [`FoundValues::sort`] was called.
    values: Vec<FoundValue>,
}

#[derive(Debug)]
struct FoundValue {
    text: String,
    action: RedactAction,
    /// Index of the longest other value with which this value begins.
    prefix: Option<usize>,
}

/// A value in a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Recurrence<'v> {
    pub(super) range: Range<usize>,
    pub(super) value: &'v str,
    pub(super) action: RedactAction,
}

impl FoundValues {
    /// Adds a value. Ignores values that are too short or too long.
    pub(super) fn add(&mut self, text: &str, action: RedactAction) {
        let count = text.chars().take(MIN_NUMBER_CHARS).count();
        let has_letter = text.chars().any(char::is_alphabetic);
        let minimum = if has_letter { MIN_VALUE_CHARS } else { MIN_NUMBER_CHARS };
        if count >= minimum && text.len() <= MAX_VALUE_BYTES {
            self.values.push(FoundValue { text: text.to_owned(), action, prefix: None });
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Prepares the search. The strongest action of a value applies.
    pub(super) fn sort(&mut self) {
        self.values.sort_by(|a, b| a.text.cmp(&b.text).then(b.action.cmp(&a.action)));
        self.values.dedup_by(|later, first| later.text == first.text);
        for index in 1..self.values.len() {
            let (before, rest) = self.values.split_at_mut(index);
            let mut prefix = Some(index - 1);
            while let Some(at) = prefix
                && !rest[0].text.starts_with(&before[at].text)
            {
                prefix = before[at].prefix;
            }
            rest[0].prefix = prefix;
        }
    }

    /// Returns the whole occurrences of values in a text: no letter or digit precedes or follows.
    pub(super) fn find<'v>(&'v self, text: &str) -> Vec<Recurrence<'v>> {
        let mut found = Vec::new();
        let (mut floor, mut before) = (0, None);
        for (at, character) in text.char_indices() {
            let starts = !character.is_alphanumeric()
                || !before.is_some_and(char::is_alphanumeric)
                || ends_escape(&text.as_bytes()[..at]);
            before = Some(character);
            if at >= floor
                && starts
                && let Some(value) = self.longest(&text[at..])
            {
                floor = at + value.text.len();
                let (value, action) = (value.text.as_str(), value.action);
                found.push(Recurrence { range: at..floor, value, action });
            }
        }
        found
    }

    /// Returns the longest value with which a text begins and after which a word ends.
    fn longest(&self, text: &str) -> Option<&FoundValue> {
        // Every value with which the text begins is a prefix of the last value before the text.
        let after = self.values.partition_point(|value| value.text.as_str() <= text);
        let last = self.values.get(after.checked_sub(1)?)?;
        let pairs = last.text.bytes().zip(text.bytes());
        let common = pairs.take_while(|(one, two)| one == two).count();
        let mut candidate = Some(last);
        while let Some(value) = candidate {
            let length = value.text.len();
            if length <= common && ends_word(text, length) {
                return Some(value);
            }
            candidate = value.prefix.and_then(|index| self.values.get(index));
        }
        None
    }
}

fn ends_word(text: &str, at: usize) -> bool {
    let (before, after) = text.split_at(at);
    !(before.ends_with(char::is_alphanumeric) && after.starts_with(char::is_alphanumeric))
}

/// Returns whether bytes end with `%XX`, or with `\n` and the like from JSON within the text.
fn ends_escape(bytes: &[u8]) -> bool {
    match bytes {
        [.., b'%', high, low] => high.is_ascii_hexdigit() && low.is_ascii_hexdigit(),
        [.., b'\\', letter] => b"nrtbf".contains(letter),
        _ => false,
    }
}

/// Returns whether the texts of a field with this name are searched.
pub(super) fn is_searched(name: &str) -> bool {
    !ends_with_word(name, &WORD_FIELDS)
}

/// Returns whether a field with this name contains an id or a link.
pub(super) fn is_id(name: &str) -> bool {
    ends_with_word(name, &ID_FIELDS)
}

/// Returns whether a name is one of `words`, or ends with one in camel case or after a separator.
fn ends_with_word(name: &str, words: &[&str]) -> bool {
    words.iter().any(|word| {
        let start = name.len().checked_sub(word.len());
        start.and_then(|start| Some((name.get(..start)?, name.get(start..)?))).is_some_and(
            |(before, end)| {
                let is_start = before.is_empty()
                    || before.ends_with(['_', '-'])
                    || end.starts_with(|first: char| first.is_ascii_uppercase());
                end.eq_ignore_ascii_case(word) && is_start
            },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_occurrences_are_found() {
        let mut values = FoundValues::default();
        for value in ["bob", "bob smith", "+1.555", "192.0.2.1", "Zoë", "al", "12345", "a b c"] {
            values.add(value, RedactAction::Mask);
        }
        values.sort();
        for (text, expected) in [
            ("bob", &["bob"][..]),
            ("Passed by bob, bob.", &["bob", "bob"]),
            ("bob smith", &["bob smith"]),
            ("bob smithy", &["bob"]),
            ("bobby kebob Bob bob1 ébob bobé", &[]),
            ("{\"user\":\"bob\"}", &["bob"]),
            ("?u=%20bob%20&x", &["bob"]),
            (r"a\nbob\n", &["bob"]),
            ("bob_x bob.x bob@x", &["bob", "bob", "bob"]),
            ("192.0.2.10 1192.0.2.1", &[]),
            ("192.0.2.1:443", &["192.0.2.1"]),
            ("tel:+1.555", &["+1.555"]),
            ("x+1.5556", &[]),
            ("Zoë Zoe", &["Zoë"]),
            ("al 12345", &[]),
            ("a b a b c", &["a b c"]),
            ("", &[]),
        ] {
            let found: Vec<_> = values.find(text).iter().map(|found| found.value).collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn names_of_ids_and_words_are_recognised() {
        for (name, is_id_name, is_word) in [
            ("id", true, false),
            ("userId", true, false),
            ("flowID", true, false),
            ("user_id", true, false),
            ("href", true, false),
            ("paid", false, false),
            ("type", false, true),
            ("outcomeType", false, true),
            ("STATUS", false, true),
            ("outcomeDescription", false, false),
            ("é", false, false),
        ] {
            assert_eq!((is_id(name), !is_searched(name)), (is_id_name, is_word), "{name}");
        }
    }

    /// With quadratic time, this input would take hours.
    #[test]
    fn many_values_are_found_in_linear_time() {
        let mut values = FoundValues::default();
        for length in 1..MAX_VALUE_BYTES / 2 {
            values.add(&"a ".repeat(length), RedactAction::Mask);
        }
        (0..50_000).for_each(|number| values.add(&format!("a a {number}"), RedactAction::Hash));
        values.sort();
        assert!(!values.find(&"a ".repeat(1 << 18)).is_empty());
    }
}

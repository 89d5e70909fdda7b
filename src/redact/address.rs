//! E-mail addresses within text, in linear time: looks around each at sign.
//!
//! An address is `name@domain` with at least one dot in the domain, or with an address literal
//! (`name@[192.0.2.1]`). The at sign has several spellings ([`ATS`]). What is found may be a little longer
//! than the address where nothing marks its beginning, and is not shorter, except in spellings that
//! only a grammar would find.

use std::borrow::Cow;
use std::ops::Range;

use memchr::{memchr2, memchr3};

/// The ways to write an at sign: in URLs within URLs, in JSON within JSON, in HTML, and for people.
const ATS: [&str; 10] = [
    "@",
    "%40",
    "%2540",
    "%252540",
    "\\u0040",
    "\\\\u0040",
    "&#64;",
    "&#x40;",
    "&commat;",
    "\u{ff20}",
];

/// Returns whether a text, or the JSON that it is written as, may hold an at sign in any of those ways. Nearly
/// always decided by two searches.
pub(super) fn may_be_in(text: &str) -> bool {
    memchr3(b'@', b'%', b'\\', text.as_bytes()).is_some()
        || memchr2(b'&', FULL_WIDTH, text.as_bytes()).is_some()
}

/// The first byte of a full-width at sign.
const FULL_WIDTH: u8 = 0xef;

/// Bytes of an address literal at most: `IPv6:` and an address with a zone.
const MAX_LITERAL: usize = 80;

/// How far before the at sign a quoted name may begin.
const MAX_QUOTED: usize = 66;

/// An address in a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found<'t> {
    pub(super) range: Range<usize>,
    /// As it is written without the escapes of a URL.
    pub(super) address: Cow<'t, str>,
}

/// All addresses, first to last.
pub(super) fn find(text: &str) -> Vec<Found<'_>> {
    let mut found = Vec::new();
    if !may_be_in(text) {
        return found;
    }
    // Nothing before it belongs to a name: each byte is looked at twice at most.
    let mut floor = 0;
    // Where the last address ended. What is written on to it goes with it: its removal must not make
    // an address of what stood on both sides.
    let mut ended = None;
    let begins = |byte: &u8| matches!(byte, b'@' | b'%' | b'\\' | b'&' | &FULL_WIDTH);
    let places = text.as_bytes().iter().enumerate().filter(|(_, byte)| begins(byte));
    for (at, _) in places {
        let sign = ATS.iter().find(|sign| {
            let end = at + sign.len();
            text.as_bytes().get(at..end).is_some_and(|b| b.eq_ignore_ascii_case(sign.as_bytes()))
        });
        let Some(sign) = sign.filter(|_| at >= floor) else { continue };
        let after = at + sign.len();
        let name = Some(at).filter(|_| ended == Some(at)).or_else(|| name_before(text, floor, at));
        let domain = domain_after(text, after);
        floor = after;
        if let (Some(start), Some(end)) = (name, domain) {
            floor = end;
            ended = Some(end);
            let (name, domain) = (&text[start..at], &text[after..end]);
            let is_plain = *sign == "@" && !name.contains('%') && !domain.contains('%');
            let address = if is_plain {
                Cow::Borrowed(&text[start..end])
            } else {
                Cow::Owned(format!("{}@{}", unescaped(name), unescaped(domain)))
            };
            found.push(Found { range: start..end, address });
        }
    }
    found
}

/// Where the name before the at sign begins.
fn name_before(text: &str, floor: usize, at: usize) -> Option<usize> {
    let before = &text[floor..at];
    if let Some(quoted) = before.strip_suffix('"') {
        let open = quoted.rfind('"').filter(|open| quoted.len() - open < MAX_QUOTED);
        // Its opening quote may stand before another address.
        let close = Some(quoted.len()).filter(|close| floor > 0 && *close < MAX_QUOTED);
        // Nothing is left of a name: it could be taken for the beginning of another.
        return Some(run_before(text, floor, floor + open.or(close)?));
    }
    let mut start = run_before(text, floor, at);
    // Punctuation at its beginning stands before it.
    while let Some((length, character)) = first(&text[start..at])
        && !(is_letter(character) || "_+".contains(character))
    {
        start += length;
    }
    // An escape that is no part of a name may not be one: `50%20@x.co`.
    let is_escape = before.ends_with(|character: char| character.is_ascii_hexdigit());
    let name = if start == at && is_escape { at - 3 } else { start };
    (name < at).then_some(name)
}

/// Where what may be part of a name begins that ends at `end`.
fn run_before(text: &str, floor: usize, end: usize) -> usize {
    let mut start = end;
    while let Some((length, character)) = last(&text[floor..start])
        && (is_letter(character) || "._-+'#!$*~".contains(character))
    {
        start -= length;
    }
    start
}

/// Where the domain after the at sign ends.
fn domain_after(text: &str, after: usize) -> Option<usize> {
    if let Some(literal) = text[after..].strip_prefix('[') {
        let is_part =
            |character: char| character.is_ascii_alphanumeric() || ".:%-".contains(character);
        let length = literal.find(|character| !is_part(character))?;
        let is_literal = (2..MAX_LITERAL).contains(&length) && literal[length..].starts_with(']');
        return is_literal.then_some(after + length + 2);
    }
    let (mut at, mut end, mut dots) = (after, None, 0);
    // Of the label: its characters, and whether it begins with a letter.
    let (mut length, mut begins) = (0, false);
    while let Some((bytes, character)) = first(&text[at..]) {
        match character {
            '.' if length > 0 => (dots, length) = (dots + 1, 0),
            '-' if length > 0 => length += 1,
            _ if is_letter(character) => {
                begins = if length == 0 { !character.is_numeric() } else { begins };
                length += 1;
                if dots > 0 && begins && length > 1 {
                    end = Some(at + bytes);
                }
            }
            _ => break,
        }
        at += bytes;
    }
    end
}

/// A letter or digit of any script, or what combines with one.
fn is_letter(character: char) -> bool {
    character.is_alphanumeric() || ('\u{300}'..'\u{370}').contains(&character)
}

/// The first character, and the bytes it is written in.
fn first(text: &str) -> Option<(usize, char)> {
    let character = text.chars().next()?;
    match character {
        '%' => text.as_bytes().get(..3).and_then(escaped).map(|character| (3, character)),
        _ => Some((character.len_utf8(), character)),
    }
}

/// The last one.
fn last(text: &str) -> Option<(usize, char)> {
    let bytes = text.as_bytes();
    if let Some(character) = bytes.len().checked_sub(3).and_then(|at| escaped(&bytes[at..])) {
        return Some((3, character));
    }
    text.chars().next_back().map(|character| (character.len_utf8(), character))
}

/// What `%XX` stands for. A part of a longer UTF-8 sequence counts as some letter.
fn escaped(bytes: &[u8]) -> Option<char> {
    let [b'%', high, low] = bytes else { return None };
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let byte = u8::try_from(digit(high)? * 16 + digit(low)?).ok()?;
    Some(if byte.is_ascii() { char::from(byte) } else { 'x' })
}

/// The text without the escapes of a URL.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.as_bytes().get(at) {
        let code = text.get(at + 1..at + 3).filter(|_| *byte == b'%');
        let code = code.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match code.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(escaped) => {
                bytes.push(escaped);
                at += 3;
            }
            None => {
                bytes.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_whole_and_nothing_else() {
        for (text, expected) in [
            ("bob@example.com", &[("bob@example.com", "bob@example.com")][..]),
            ("to <bob@example.com>, then", &[("bob@example.com", "bob@example.com")]),
            ("'bob@example.com'.", &[("bob@example.com", "bob@example.com")]),
            ("o'brien@x.co.uk!", &[("o'brien@x.co.uk", "o'brien@x.co.uk")]),
            ("a@b.co;c@d.org", &[("a@b.co", "a@b.co"), ("c@d.org", "c@d.org")]),
            (
                "mailto:b+tag@x.co?cc=c%40x.co",
                &[("b+tag@x.co", "b+tag@x.co"), ("c%40x.co", "c@x.co")],
            ),
            ("?u=b%2Btag%40x.co&v=1", &[("b%2Btag%40x.co", "b+tag@x.co")]),
            ("email%3Dbob%40x.co%26v%3D1", &[("bob%40x.co", "bob@x.co")]),
            ("next=%3Fu%3Dbob%2540x.co", &[("bob%2540x.co", "bob@x.co")]),
            (r#"{"m":"bob\u0040x.co"}"#, &[(r"bob\u0040x.co", "bob@x.co")]),
            ("50%20@x.co, %2a@x.co", &[("%20@x.co", " @x.co"), ("%2a@x.co", "*@x.co")]),
            ("j%C3%BCrgen%40x.de", &[("j%C3%BCrgen%40x.de", "jürgen@x.de")]),
            ("jürgen@bücher.de", &[("jürgen@bücher.de", "jürgen@bücher.de")]),
            ("“bob@x.co”", &[("bob@x.co", "bob@x.co")]),
            (
                "b_x.co#EXT#@y.onmicrosoft.com",
                &[("b_x.co#EXT#@y.onmicrosoft.com", "b_x.co#EXT#@y.onmicrosoft.com")],
            ),
            ("\"john doe\"@x.co", &[("\"john doe\"@x.co", "\"john doe\"@x.co")]),
            ("\"a@b.co\"@x.co", &[("a@b.co", "a@b.co"), ("\"@x.co", "\"@x.co")]),
            ("the domain \"@x.co\"", &[]),
            ("a@b.co@x.co", &[("a@b.co", "a@b.co"), ("@x.co", "@x.co")]),
            ("a@b@x.co", &[("b@x.co", "b@x.co")]),
            ("bob@x.co.", &[("bob@x.co", "bob@x.co")]),
            ("bob@x.co-", &[("bob@x.co", "bob@x.co")]),
            ("bob@sub.x-y.info/z", &[("bob@sub.x-y.info", "bob@sub.x-y.info")]),
            ("bob%252540x.co", &[("bob%252540x.co", "bob@x.co")]),
            (r"bob\\u0040x.co", &[(r"bob\\u0040x.co", "bob@x.co")]),
            ("bob&#64;x.co", &[("bob&#64;x.co", "bob@x.co")]),
            (
                "bob&#X40;x.co a&commat;b.co",
                &[("bob&#X40;x.co", "bob@x.co"), ("a&commat;b.co", "a@b.co")],
            ),
            ("bob\u{ff20}x.co", &[("bob\u{ff20}x.co", "bob@x.co")]),
            ("bob@[192.0.2.1].", &[("bob@[192.0.2.1]", "bob@[192.0.2.1]")]),
            ("bob@[IPv6:2001:db8::1]", &[("bob@[IPv6:2001:db8::1]", "bob@[IPv6:2001:db8::1]")]),
            ("a & b, x@[y z], \u{ff21}", &[]),
            ("", &[]),
            ("@", &[]),
            ("@example.com", &[]),
            ("bob@", &[]),
            ("bob@localhost", &[]),
            ("lib@1.2.3", &[]),
            ("bob@.com", &[]),
            ("bob@x..com", &[]),
            ("100%40", &[]),
            ("a %4 %zz %", &[]),
        ] {
            let found = find(text);
            let found: Vec<_> =
                found.iter().map(|f| (&text[f.range.clone()], &*f.address)).collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    /// In the square of their length they would take hours.
    #[test]
    fn long_texts_without_an_end_are_searched_in_linear_time() {
        for text in [
            "a".repeat(1 << 20),
            "a@".repeat(1 << 19),
            "a%40".repeat(1 << 18),
            "\"@".repeat(1 << 19),
            "a@[".repeat(1 << 18),
            "&#64;".repeat(1 << 18),
        ] {
            assert_eq!(find(&text), []);
        }
    }
}

//! Finds e-mail addresses in text, in linear time, by searching around each at sign.
//!
//! An address is `name@domain` with at least one dot in the domain, or with an address literal
//! (`name@[192.0.2.1]`). The at sign has several spellings ([`at_sign`]). A match may start slightly
//! before the address if nothing marks its beginning. It is never shorter than the address, except
//! in spellings that need a full grammar.

use std::borrow::Cow;
use std::ops::Range;

use memchr::{memchr2, memchr3};

/// Maximum number of repeated escapes in one at sign.
const MAX_REPEATS: usize = 8;

/// Returns the length of the at sign with which the bytes begin: `@` itself, in a URL (also within
/// URLs), in JSON within JSON, in HTML, or a wide form of it.
fn at_sign(bytes: &[u8]) -> Option<usize> {
    let length = match bytes.first()? {
        b'@' => 1,
        b'%' => {
            let depth = repeats(&bytes[1..], b"25");
            let rest = bytes.get(1 + depth..)?;
            let code = [&b"40"[..], b"EF%BC%A0"].into_iter().find(|code| begins(rest, code))?;
            1 + depth + code.len()
        }
        b'\\' => {
            let depth = repeats(bytes, b"\\");
            let rest = bytes.get(depth..)?;
            let code = [&b"u0040"[..], b"uff20"].into_iter().find(|code| begins(rest, code))?;
            depth + code.len()
        }
        b'&' => {
            let depth = 1 + repeats(&bytes[1..], b"amp;");
            let rest = bytes.get(depth..)?;
            if begins(rest, b"commat;") {
                return Some(depth + 7);
            }
            let prefix = [&b"#x"[..], b"#"].into_iter().find(|prefix| begins(rest, prefix))?;
            let zeros = repeats(&rest[prefix.len()..], b"0");
            let code: &[u8] = if prefix.len() == 2 { b"40;" } else { b"64;" };
            let rest = rest.get(prefix.len() + zeros..)?;
            return begins(rest, code).then_some(depth + prefix.len() + zeros + code.len());
        }
        _ => ["\u{ff20}", "\u{fe6b}"].iter().find(|sign| begins(bytes, sign.as_bytes()))?.len(),
    };
    Some(length)
}

/// Returns whether bytes begin with others; ASCII case is ignored.
fn begins(bytes: &[u8], start: &[u8]) -> bool {
    bytes.get(..start.len()).is_some_and(|bytes| bytes.eq_ignore_ascii_case(start))
}

/// Returns the length of the repetitions of `unit` at the beginning, at most [`MAX_REPEATS`].
fn repeats(bytes: &[u8], unit: &[u8]) -> usize {
    let units = bytes.chunks(unit.len()).take(MAX_REPEATS);
    unit.len() * units.take_while(|chunk| chunk.eq_ignore_ascii_case(unit)).count()
}

/// Returns whether a text, decoded or as JSON, may contain an at sign in any spelling. Two searches
/// decide nearly always.
pub(super) fn may_be_in(text: &str) -> bool {
    memchr3(b'@', b'%', b'\\', text.as_bytes()).is_some()
        || memchr2(b'&', FULL_WIDTH, text.as_bytes()).is_some()
}

/// First byte of a full-width or small at sign.
const FULL_WIDTH: u8 = 0xef;

/// Maximum length of an address literal: `IPv6:` and an address with a zone.
const MAX_LITERAL_BYTES: usize = 80;

/// Maximum distance from the start of a quoted name to the at sign.
const MAX_QUOTED_BYTES: usize = 66;

/// An e-mail address in a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AddressMatch<'t> {
    pub(super) range: Range<usize>,
    /// The address without URL escapes.
    pub(super) address: Cow<'t, str>,
}

/// Returns all addresses in the order of the text.
pub(super) fn find(text: &str) -> Vec<AddressMatch<'_>> {
    let mut found = Vec::new();
    if !may_be_in(text) {
        return found;
    }
    // No name begins before this position, so each byte is read twice at most.
    let mut floor = 0;
    // End of the last address. Text directly attached to it belongs to it: removing the address
    // must not form a new address from the text on both sides.
    let mut ended = None;
    let is_candidate = |byte: &u8| matches!(byte, b'@' | b'%' | b'\\' | b'&' | &FULL_WIDTH);
    let candidates = text.as_bytes().iter().enumerate().filter(|(_, byte)| is_candidate(byte));
    for (at, _) in candidates {
        let sign = at_sign(&text.as_bytes()[at..]);
        let Some(sign) = sign.filter(|_| at >= floor) else { continue };
        let after = at + sign;
        let name = Some(at).filter(|_| ended == Some(at)).or_else(|| name_before(text, floor, at));
        let domain = domain_after(text, after);
        floor = after;
        if let (Some(start), Some(end)) = (name, domain) {
            floor = end;
            ended = Some(end);
            let (name, domain) = (&text[start..at], &text[after..end]);
            let is_plain = &text[at..after] == "@" && !name.contains('%') && !domain.contains('%');
            let address = if is_plain {
                Cow::Borrowed(&text[start..end])
            } else {
                Cow::Owned(format!("{}@{}", unescaped(name), unescaped(domain)))
            };
            found.push(AddressMatch { range: start..end, address });
        }
    }
    found
}

/// Returns the start of the name before the at sign.
fn name_before(text: &str, floor: usize, at: usize) -> Option<usize> {
    let before = &text[floor..at];
    if let Some(quoted) = before.strip_suffix('"') {
        let open = quoted.rfind('"').filter(|open| quoted.len() - open < MAX_QUOTED_BYTES);
        // The opening quote may belong to the previous address.
        let close = Some(quoted.len()).filter(|close| floor > 0 && *close < MAX_QUOTED_BYTES);
        // The name is taken completely, because a rest could be read as the start of another name.
        return Some(run_before(text, floor, floor + open.or(close)?));
    }
    let mut start = run_before(text, floor, at);
    // Leading punctuation is not part of the name.
    while let Some((length, character)) = first(&text[start..at])
        && !(is_letter(character) || "_+".contains(character))
    {
        start += length;
    }
    // An incomplete escape may be followed by the name: `50%20@x.co`.
    let is_escape = before.ends_with(|character: char| character.is_ascii_hexdigit());
    let name = if start == at && is_escape { at - 3 } else { start };
    (name < at).then_some(name)
}

/// Returns the start of the run of name characters that ends at `end`.
fn run_before(text: &str, floor: usize, end: usize) -> usize {
    let mut start = end;
    while let Some((length, character)) = last(&text[floor..start])
        && (is_letter(character) || "._-+'#!$*~".contains(character))
    {
        start -= length;
    }
    start
}

/// Returns the end of the domain after the at sign.
fn domain_after(text: &str, after: usize) -> Option<usize> {
    let mut brackets = [("[", "]"), ("%5B", "%5D"), ("%5b", "%5d")].into_iter();
    if let Some((open, close)) = brackets.find(|(open, _)| text[after..].starts_with(open)) {
        let start = after + open.len();
        let is_part =
            |character: char| character.is_ascii_alphanumeric() || ".:%-".contains(character);
        let inner = text[start..].split(|character| !is_part(character)).next()?;
        let length = if open == "[" { inner.len() } else { inner.find(close)? };
        let is_literal =
            (2..MAX_LITERAL_BYTES).contains(&length) && text[start + length..].starts_with(close);
        return is_literal.then_some(start + length + close.len());
    }
    let (mut at, mut end, mut dots) = (after, None, 0);
    // Length of the current label, and whether it begins with a letter.
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

/// Returns whether a character is a letter, digit or combining mark of any script.
fn is_letter(character: char) -> bool {
    character.is_alphanumeric() || ('\u{300}'..'\u{370}').contains(&character)
}

/// Returns the first character, decoded, and the number of bytes in which it is written.
fn first(text: &str) -> Option<(usize, char)> {
    let character = text.chars().next()?;
    match character {
        '%' => text.as_bytes().get(..3).and_then(escaped).map(|character| (3, character)),
        _ => Some((character.len_utf8(), character)),
    }
}

/// Returns the last character, like [`first`].
fn last(text: &str) -> Option<(usize, char)> {
    let bytes = text.as_bytes();
    if let Some(character) = bytes.len().checked_sub(3).and_then(|at| escaped(&bytes[at..])) {
        return Some((3, character));
    }
    text.chars().next_back().map(|character| (character.len_utf8(), character))
}

/// Decodes `%XX`. A byte of a longer UTF-8 sequence counts as a letter.
fn escaped(bytes: &[u8]) -> Option<char> {
    let [b'%', high, low] = bytes else { return None };
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let byte = u8::try_from(digit(high)? * 16 + digit(low)?).ok()?;
    Some(if byte.is_ascii() { char::from(byte) } else { 'x' })
}

/// Returns the text without URL escapes.
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

    /// With quadratic time, this input would take hours.
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

//! Mutated files: bits flipped, parts cut, doubled, taken from another file, or replaced by special
//! tokens.

use std::fmt;

use proptest::prelude::*;
use proptest::sample::Index;

/// Bytes that are printed as text when a property fails.
#[derive(Clone)]
pub(super) struct Input(pub(super) Vec<u8>);

impl fmt::Debug for Input {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "b\"{}\"", self.0.escape_ascii())
    }
}

/// Tokens on which parsers often fail.
const TOKENS: [&[u8]; 26] = [
    b"\"",
    b"\\",
    b"\\u0000",
    b"\\ud83d",
    b"\\u0040",
    b"\n",
    b"\r\n",
    b"\0",
    b"\t",
    b"\xc2\x85",
    b"\xff",
    b"\xef\xbb\xbf",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"=",
    b"|",
    b"null",
    b"-1",
    b"1e999",
    b"bob@x.co",
    b"{\"logs\":[",
    b"9223372036854775808",
];

/// The same tokens within a text of JSON or TOML.
const TEXTS: [&[u8]; 16] = [
    b"\\t",
    b"\\n",
    b"\\r",
    b"\\\\",
    b"\\\"",
    b"\\\\]",
    b"\\u0000",
    b"\\u0085",
    b"\\ud83d",
    b"\\u0040x.co",
    b"]",
    b"=",
    b"|",
    b" ",
    b"a=bob@x.co ",
    b"0123456789012345678901234567890123456789012345678901234567890123456789",
];

/// Maximum length of a part that is cut, doubled or taken, in bytes.
const PART: usize = 400;

#[derive(Debug, Clone)]
enum Mutation {
    Flip(Index, u8),
    Cut(Index, usize),
    Double(Index, usize),
    Splice(Index, Index, Index, usize),
    Insert(Index, &'static [u8]),
    /// Inserts a text after a quote.
    Write(Index, &'static [u8]),
    End(Index),
}

fn change() -> impl Strategy<Value = Mutation> {
    let at = any::<Index>;
    prop_oneof![
        4 => (at(), 0..8_u8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        2 => (at(), 1..PART).prop_map(|(at, length)| Mutation::Cut(at, length)),
        2 => (at(), 1..PART).prop_map(|(at, length)| Mutation::Double(at, length)),
        3 => (at(), at(), at(), 1..PART)
            .prop_map(|(at, file, from, length)| Mutation::Splice(at, file, from, length)),
        4 => (at(), proptest::sample::select(&TOKENS[..]))
            .prop_map(|(at, token)| Mutation::Insert(at, token)),
        1 => at().prop_map(Mutation::End),
    ]
}

/// Generates mutations that keep most of a file, so that it is still parsed.
fn wording() -> impl Strategy<Value = Mutation> {
    (any::<Index>(), proptest::sample::select(&TEXTS[..]))
        .prop_map(|(at, text)| Mutation::Write(at, text))
}

/// Generates one of the files with up to a few mutations.
pub(super) fn mutated(files: Vec<Vec<u8>>) -> impl Strategy<Value = Input> {
    let changes = prop_oneof![
        proptest::collection::vec(wording(), 0..4),
        proptest::collection::vec(prop_oneof![change(), wording()], 0..6),
    ];
    (any::<Index>(), changes).prop_map(move |(file, changes)| {
        let mut bytes = file.get(&files).clone();
        for change in changes {
            apply(&change, &mut bytes, &files);
        }
        Input(bytes)
    })
}

/// Generates arbitrary bytes.
pub(super) fn arbitrary() -> impl Strategy<Value = Input> {
    proptest::collection::vec(any::<u8>(), 0..100).prop_map(Input)
}

fn apply(change: &Mutation, bytes: &mut Vec<u8>, files: &[Vec<u8>]) {
    let place = |at: &Index, bytes: &[u8]| at.index(bytes.len() + 1);
    let part = |from: usize, length: usize, bytes: &[u8]| {
        bytes[from..bytes.len().min(from + length)].to_vec()
    };
    match change {
        Mutation::Flip(at, bit) => {
            let at = place(at, bytes);
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << bit;
            }
        }
        Mutation::Cut(at, length) => {
            let at = place(at, bytes);
            bytes.drain(at..bytes.len().min(at + length));
        }
        Mutation::Double(at, length) => {
            let at = place(at, bytes);
            let part = part(at, *length, bytes);
            bytes.splice(at..at, part);
        }
        Mutation::Splice(at, file, from, length) => {
            let other = file.get(files);
            let part = part(place(from, other), *length, other);
            let at = place(at, bytes);
            bytes.splice(at..at, part);
        }
        Mutation::Insert(at, token) => {
            let at = place(at, bytes);
            bytes.splice(at..at, token.iter().copied());
        }
        Mutation::Write(at, text) => {
            let quotes: Vec<usize> = memchr::memchr_iter(b'"', bytes).collect();
            if !quotes.is_empty() {
                let at = at.get(&quotes) + 1;
                bytes.splice(at..at, text.iter().copied());
            }
        }
        Mutation::End(at) => bytes.truncate(place(at, bytes)),
    }
}

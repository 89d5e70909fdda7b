//! A text with some of its parts replaced; copied only if there are any.

use std::borrow::Cow;
use std::ops::Range;

/// Bytes by which any text may grow.
const ROOM: usize = 4096;

/// Collects replacements from the text's beginning to its end.
pub(super) struct Output<'a> {
    text: &'a str,
    /// Up to here the text is copied or replaced.
    done: usize,
    out: String,
}

impl<'a> Output<'a> {
    pub(super) fn new(text: &'a str) -> Output<'a> {
        Output { text, done: 0, out: String::new() }
    }

    /// Replaces a part that lies behind all that were replaced before.
    pub(super) fn replace(&mut self, part: Range<usize>, with: &str) {
        let old = self.text.get(part.clone()).unwrap_or_default();
        if old != with {
            self.out.push_str(self.text.get(self.done..part.start).unwrap_or_default());
            self.out.push_str(with);
            self.done = part.end;
        }
    }

    /// Whether hashes may go on making the text longer. A list of digits would grow thirtyfold: where
    /// a text has tripled, values are masked instead, which at most adds as much again.
    pub(super) fn has_room(&self) -> bool {
        self.out.len() <= self.done + 2 * self.text.len() + ROOM
    }

    pub(super) fn finish(mut self) -> Cow<'a, str> {
        if self.done == 0 && self.out.is_empty() {
            return Cow::Borrowed(self.text);
        }
        self.out.push_str(self.text.get(self.done..).unwrap_or_default());
        Cow::Owned(self.out)
    }
}

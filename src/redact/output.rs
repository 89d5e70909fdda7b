//! A text with some parts replaced. The text is copied only if there are replacements.

use std::borrow::Cow;
use std::ops::Range;

/// Bytes by which any text may grow.
const SPARE_BYTES: usize = 4096;

/// Collects replacements from the start of the text to its end.
pub(super) struct Output<'a> {
    text: &'a str,
    /// The text before this position is copied or replaced.
    done: usize,
    out: String,
}

impl<'a> Output<'a> {
    pub(super) fn new(text: &'a str) -> Output<'a> {
        Output { text, done: 0, out: String::new() }
    }

    /// Replaces a part that lies after all parts replaced before.
    pub(super) fn replace(&mut self, part: Range<usize>, with: &str) {
        let old = self.text.get(part.clone()).unwrap_or_default();
        if old != with {
            self.out.push_str(self.text.get(self.done..part.start).unwrap_or_default());
            self.out.push_str(with);
            self.done = part.end;
        }
    }

    /// Returns whether hashes may still lengthen the text. An array of digits would grow
    /// thirtyfold. After a text has tripled, values are masked instead of hashed, which at most
    /// adds the same length again.
    pub(super) fn has_room(&self) -> bool {
        self.out.len() <= self.done + 2 * self.text.len() + SPARE_BYTES
    }

    pub(super) fn finish(mut self) -> Cow<'a, str> {
        if self.done == 0 && self.out.is_empty() {
            return Cow::Borrowed(self.text);
        }
        self.out.push_str(self.text.get(self.done..).unwrap_or_default());
        Cow::Owned(self.out)
    }
}

//! All fields of an event on a tape, with a mark on each field that is gone: repeated, or shown by a field of
//! the format.
//!
//! The formats lose two things: all but the last occurrence of a repeated name, and half a surrogate pair, for
//! example of a truncated emoji. In both cases they also emit the original event.

use std::borrow::Cow;
use std::ops::Range;

use crate::json::{self, Tape, TapeNode};

/// Maximum number of fields whose names are compared pair by pair. The names of a larger object are sorted.
const MAX_COMPARED_FIELDS: usize = 64;

/// The fields of an event.
#[derive(Debug)]
pub(super) struct EventTape<'a> {
    nodes: Cow<'a, [TapeNode<'a>]>,
    gone: Vec<bool>,
    is_exact: bool,
}

impl<'a> EventTape<'a> {
    /// Reads an event. Malformed input yields no fields.
    pub(super) fn read(raw: &'a [u8]) -> EventTape<'a> {
        let text = std::str::from_utf8(raw).unwrap_or_default();
        let start = json::skip_space(text, 0);
        let mut tape = Tape::complete();
        let is_read = tape.read(text.get(start..).unwrap_or_default()).is_some();
        if is_read { EventTape::on(Cow::Owned(tape.into_nodes())) } else { EventTape::empty() }
    }

    /// Returns the fields on a complete tape.
    pub(super) fn of(tape: &'a Tape<'a>) -> EventTape<'a> {
        EventTape::on(Cow::Borrowed(tape.nodes()))
    }

    fn empty() -> EventTape<'a> {
        EventTape { nodes: Cow::Borrowed(&[]), gone: Vec::new(), is_exact: false }
    }

    fn on(nodes: Cow<'a, [TapeNode<'a>]>) -> EventTape<'a> {
        let count = nodes.len();
        let mut event = EventTape { nodes, gone: vec![false; count], is_exact: true };
        event.mark_repeated(event.root());
        for at in 0..count {
            let node = &event.nodes[at];
            if node.has_escape || node.name.has_escape {
                event.is_exact &= !has_lone_surrogate(node);
            }
            if node.inner > 1 && node.value.starts_with('{') {
                event.mark_repeated(event.inside(at));
            }
        }
        event
    }

    /// Returns whether the fields are lossless.
    pub(super) fn is_exact(&self) -> bool {
        self.is_exact
    }

    /// Returns a field or entry.
    pub(super) fn node(&self, at: usize) -> &TapeNode<'a> {
        &self.nodes[at]
    }

    /// Returns the extent of the outermost fields on the tape.
    pub(super) fn root(&self) -> Range<usize> {
        0..self.gone.len()
    }

    /// Returns the extent of the fields or entries inside a value.
    pub(super) fn inside(&self, at: usize) -> Range<usize> {
        at + 1..at + 1 + self.node(at).inner as usize
    }

    /// Returns whether a field is gone.
    pub(super) fn is_gone(&self, at: usize) -> bool {
        self.gone[at]
    }

    /// Marks a field as gone.
    pub(super) fn remove(&mut self, at: usize) {
        self.gone[at] = true;
    }

    /// Returns the fields of one level in the order written, those that are gone included.
    pub(super) fn level(
        &self,
        extent: Range<usize>,
    ) -> impl Iterator<Item = (usize, &TapeNode<'a>)> {
        let (mut next, nodes) = (extent.start, &self.nodes[..extent.end]);
        std::iter::from_fn(move || {
            let (at, node) = (next, nodes.get(next)?);
            next += 1 + node.inner as usize;
            Some((at, node))
        })
    }

    /// Returns the fields of one level that are not gone.
    pub(super) fn remaining(
        &self,
        extent: Range<usize>,
    ) -> impl Iterator<Item = (usize, &TapeNode<'a>)> {
        self.level(extent).filter(|(at, _)| !self.gone[*at])
    }

    /// Returns the field of that name, if it is not gone.
    pub(super) fn find(&self, extent: Range<usize>, name: &str) -> Option<usize> {
        let mut fields = self.remaining(extent);
        fields.find(|(_, node)| node.name.text() == name).map(|(at, _)| at)
    }

    /// Marks each field of an object as gone that is followed by a field of the same name.
    fn mark_repeated(&mut self, extent: Range<usize>) {
        // A bit for each tag: a field whose bit is free repeats none.
        let (mut seen, mut repeated) = (0_u128, Vec::new());
        for (count, (at, node)) in self.level(extent.clone()).enumerate() {
            if count == MAX_COMPARED_FIELDS {
                repeated = self.repeated_by_order(extent);
                break;
            }
            let bit = 1 << (node.tag.wrapping_mul(0x9e37_79b1) >> 25);
            if seen & bit != 0 {
                let is_same = |other: &TapeNode<'_>| {
                    other.tag == node.tag && other.name.text() == node.name.text()
                };
                let earlier = self.level(extent.start..at).filter(|(_, other)| is_same(other));
                repeated.extend(earlier.map(|(earlier, _)| earlier));
            }
            seen |= bit;
        }
        self.is_exact &= repeated.is_empty();
        repeated.into_iter().for_each(|at| self.gone[at] = true);
    }

    /// Returns the repeated fields of a large object.
    fn repeated_by_order(&self, extent: Range<usize>) -> Vec<usize> {
        let mut fields: Vec<_> =
            self.level(extent).map(|(at, node)| (node.name.text(), at)).collect();
        fields.sort_unstable();
        let pairs = fields.windows(2).filter(|pair| pair[0].0 == pair[1].0);
        pairs.map(|pair| pair[0].1).collect()
    }
}

fn has_lone_surrogate(node: &TapeNode<'_>) -> bool {
    let is_string = node.has_escape;
    (node.name.has_escape && json::has_lone_surrogate(node.name.raw))
        || (is_string && json::has_lone_surrogate(node.value))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the fields that are not gone, and whether they are lossless.
    fn read(raw: &str) -> (Vec<String>, bool) {
        let event = EventTape::read(raw.as_bytes());
        let fields = (0..event.gone.len()).filter(|at| !event.gone[*at]).map(|at| event.node(at));
        let texts = fields.map(|node| format!("{}={}", node.name.text(), node.value)).collect();
        (texts, event.is_exact())
    }

    #[test]
    fn losses_are_found() {
        for (raw, fields, is_exact) in [
            (
                r#" {"a":":","b" : [{"d":1} ,2]} "#,
                &["a=\":\"", "b=[{\"d\":1} ,2]", "={\"d\":1}", "d=1", "=2"][..],
                true,
            ),
            (r#"{"a":1,"b":0,"a":2}"#, &["b=0", "a=2"], false),
            (r#"{"a":1,"\u0061":2}"#, &["a=2"], false),
            (
                r#"{"c":[{"b":1,"b":1}]}"#,
                &["c=[{\"b\":1,\"b\":1}]", "={\"b\":1,\"b\":1}", "b=1"],
                false,
            ),
            (r#"{"\ud800":1,"\udc00":2}"#, &["\u{fffd}=2"], false),
            (r#"{"a":"x\ud83d"}"#, &[r#"a="x\ud83d""#], false),
            (r#"{"a":"\ud83d\ude00\\ud800"}"#, &[r#"a="\ud83d\ude00\\ud800""#], true),
            ("{\"a\":\"\u{fffd}\\ufFfd\"}", &["a=\"\u{fffd}\\ufFfd\""], true),
            ("", &[], false),
            ("{", &[], false),
            (r#"{"a":}"#, &[], false),
        ] {
            assert_eq!(
                read(raw),
                (fields.iter().map(ToString::to_string).collect(), is_exact),
                "{raw}"
            );
        }
    }

    #[test]
    fn an_object_of_any_size_keeps_the_last_of_each_name() {
        for count in [2, 63, 64, 65, 5000] {
            let fields: Vec<String> = (0..count).map(|n| format!("\"n{n}\":{n}")).collect();
            let (kept, is_exact) = read(&format!("{{{}}}", fields.join(",")));
            assert_eq!((kept.len(), is_exact), (count, true));
            let (kept, is_exact) = read(&format!("{{{},\"n0\":-1}}", fields.join(",")));
            assert_eq!((kept.len(), is_exact), (count, false));
            assert_eq!(kept.last().map(String::as_str), Some("n0=-1"));
        }
    }
}

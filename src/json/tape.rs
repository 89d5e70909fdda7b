//! Checks the grammar (RFC 8259) of a JSON object in one pass and records each field, those of
//! inner objects included, as a node on a tape. No recursion, and each byte is read once.

use std::borrow::Cow;

use super::grammar::{number, string, word};
use super::skip_space;

/// Maximum number of nodes of one object: fifty times those of any known event. Bounds the memory
/// of a small body with very many fields.
pub(crate) const MAX_NODES: usize = 4096;

/// Number of nodes up to which a limited tape and a complete one have the same objects.
pub(crate) const UNLIMITED_NODES: usize = MAX_NODES - MAX_RESERVING * RESERVED_NODES;

/// Nodes that an inner object must leave free for the objects around it; more than any known event
/// has.
const RESERVED_NODES: usize = 128;

/// Number of objects around an inner object for which nodes are left free.
const MAX_RESERVING: usize = 4;

/// Maximum number of array entries that get nodes. Known events have one resource.
pub(crate) const MAX_ENTRIES: usize = 64;

/// Maximum nesting: the checker stores one bit for each level.
const MAX_DEPTH: u32 = 128;

/// Initial capacity of the tape, in nodes: most events need no second allocation.
const TYPICAL_NODES: usize = 96;

/// A field of an object, or an entry of an array.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TapeNode<'a> {
    /// The name as written; empty for an entry.
    pub name: FieldName<'a>,
    /// The value as written.
    pub value: &'a str,
    /// Tag of the decoded name; see [`tag`].
    pub tag: u32,
    /// Number of the following nodes that belong to this value.
    pub inner: u32,
    /// True if the value is a string with an escape.
    pub has_escape: bool,
    /// True if the fields inside were dropped for lack of space.
    pub is_opaque: bool,
}

/// A field name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FieldName<'a> {
    /// The text between the quotes, as written.
    pub raw: &'a str,
    /// True if the name contains an escape.
    pub has_escape: bool,
}

impl<'a> TapeNode<'a> {
    /// Returns the decoded text of a string; half a surrogate pair becomes U+FFFD.
    pub(crate) fn text(&self) -> Option<Cow<'a, str>> {
        let raw = self.value.strip_prefix('"')?.strip_suffix('"')?;
        Some(if self.has_escape { super::decode(raw) } else { Cow::Borrowed(raw) })
    }
}

impl<'a> FieldName<'a> {
    /// Returns the decoded name.
    pub(crate) fn text(self) -> Cow<'a, str> {
        if self.has_escape { super::decode(self.raw) } else { Cow::Borrowed(self.raw) }
    }
}

/// Extent of an object in bytes, and its nesting depth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Position after the object.
    pub end: usize,
    /// Nesting depth; 1 for an object without an inner object or array.
    pub depth: u32,
}

/// Nodes of one object in the order written, each followed by the nodes inside it. Array entries
/// have nodes only if the array is a field of the outermost object, or the tape is complete.
#[derive(Debug)]
pub(crate) struct Tape<'a> {
    nodes: Vec<TapeNode<'a>>,
    open: Vec<OpenContainer>,
    /// True if each field and entry gets a node, however many there are.
    is_complete: bool,
    /// Nodes that the innermost open value may still add.
    room: u32,
    is_too_large: bool,
}

/// An array or object that is not closed yet.
#[derive(Debug)]
struct OpenContainer {
    node: Option<usize>,
    start: usize,
    /// Nodes that the enclosing value may still add.
    room: u32,
}

/// Returns a 4-byte fingerprint of a field name: length, first, middle and last byte. Most names of
/// an event differ in it.
pub(crate) const fn tag(name: &str) -> u32 {
    let bytes = name.as_bytes();
    let length = bytes.len();
    if length == 0 {
        return 0;
    }
    let (first, middle, last) = (bytes[0], bytes[length / 2], bytes[length - 1]);
    u32::from_le_bytes([length.to_le_bytes()[0], first, middle, last])
}

impl Default for Tape<'_> {
    /// Returns an empty tape, to be reused for one object after another.
    fn default() -> Self {
        Tape {
            nodes: Vec::with_capacity(TYPICAL_NODES),
            open: Vec::with_capacity(8),
            is_complete: false,
            room: 0,
            is_too_large: false,
        }
    }
}

impl<'a> Tape<'a> {
    /// Returns an empty tape without limits, for an event that was accepted before.
    pub(crate) fn complete() -> Tape<'a> {
        Tape { is_complete: true, ..Tape::default() }
    }

    /// Reads the object at the start of `text` and ignores the text after it. Returns `None` if the
    /// object is not well-formed, or nests deeper than 128 levels.
    pub(crate) fn read(&mut self, text: &'a str) -> Option<Extent> {
        self.nodes.clear();
        self.open.clear();
        self.room = 0;
        self.is_too_large = false;
        if !text.starts_with('{') {
            return None;
        }
        TapePass { text, at: 0, levels: Levels::default(), tape: self }.run()
    }

    /// Returns the nodes of the object that was read last.
    pub(crate) fn nodes(&self) -> &[TapeNode<'a>] {
        &self.nodes
    }

    /// Returns the nodes of the object that was read last, without a copy.
    pub(crate) fn into_nodes(self) -> Vec<TapeNode<'a>> {
        self.nodes
    }

    /// Returns whether the object that was read last has more than [`MAX_NODES`] fields.
    pub(crate) fn is_too_large(&self) -> bool {
        self.is_too_large
    }

    fn push(&mut self, name: FieldName<'a>, value: &'a str, has_escape: bool) -> bool {
        if self.room == 0 {
            return false;
        }
        self.room -= 1;
        // Each level leaves nodes free for the levels around it.
        let reserved = RESERVED_NODES * self.open.len().saturating_sub(1).min(MAX_RESERVING);
        if !self.is_complete && self.nodes.len() >= MAX_NODES - reserved {
            self.give_up_innermost();
            return false;
        }
        let tag = if name.has_escape { tag(&name.text()) } else { tag(name.raw) };
        self.nodes.push(TapeNode { name, value, tag, inner: 0, has_escape, is_opaque: false });
        true
    }

    /// Drops the nodes inside the innermost open value. Those of outer values matter more.
    fn give_up_innermost(&mut self) {
        self.room = 0;
        match self.open.last().and_then(|open| open.node) {
            Some(index) => {
                self.nodes.truncate(index + 1);
                self.nodes[index].is_opaque = true;
            }
            None => self.is_too_large = true,
        }
    }

    fn open(&mut self, name: FieldName<'a>, start: usize, is_object: bool) {
        let is_outermost = self.open.is_empty();
        let is_written = self.push(name, "", false);
        let room = self.room;
        self.room = match is_object {
            _ if self.is_complete => u32::MAX,
            true if is_written || is_outermost => u32::MAX,
            // One node more than the maximum shows that there are more entries.
            false if is_written && self.open.len() == 1 => MAX_ENTRIES as u32 + 1,
            _ => 0,
        };
        let node = is_written.then(|| self.nodes.len() - 1);
        self.open.push(OpenContainer { node, start, room });
    }

    fn close(&mut self, text: &'a str, end: usize) -> Option<()> {
        let OpenContainer { node, start, room } = self.open.pop()?;
        self.room = room;
        if let Some(index) = node {
            let inner = self.nodes.len() - 1 - index;
            let node = self.nodes.get_mut(index)?;
            node.inner = inner as u32;
            node.value = text.get(start..end)?;
        }
        Some(())
    }
}

/// Kind of each open level: a set bit means an object.
#[derive(Debug, Default)]
struct Levels {
    depth: u32,
    deepest: u32,
    objects: u128,
}

impl Levels {
    fn push(&mut self, is_object: bool) -> Option<()> {
        if self.depth == MAX_DEPTH {
            return None;
        }
        self.objects = self.objects << 1 | u128::from(is_object);
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
        Some(())
    }

    fn pop(&mut self) {
        self.objects >>= 1;
        self.depth -= 1;
    }

    fn in_object(&self) -> bool {
        self.objects & 1 == 1
    }
}

struct TapePass<'t, 'a> {
    text: &'a str,
    at: usize,
    levels: Levels,
    tape: &'t mut Tape<'a>,
}

impl<'a> TapePass<'_, 'a> {
    fn run(mut self) -> Option<Extent> {
        let mut name = FieldName::default();
        loop {
            let has_opened = self.value(name)?;
            if !has_opened && !self.has_another()? {
                return Some(Extent { end: self.at, depth: self.levels.deepest });
            }
            name = if self.levels.in_object() { self.name()? } else { FieldName::default() };
        }
    }

    /// Reads a scalar or an opening bracket. Returns whether a non-empty array or object was
    /// opened.
    fn value(&mut self, name: FieldName<'a>) -> Option<bool> {
        let (bytes, start) = (self.text.as_bytes(), self.at);
        let byte = *bytes.get(start)?;
        if matches!(byte, b'{' | b'[') {
            let is_object = byte == b'{';
            self.levels.push(is_object)?;
            self.tape.open(name, start, is_object);
            self.at = skip_space(self.text, start + 1);
            return Some(*bytes.get(self.at)? != if is_object { b'}' } else { b']' });
        }
        let (end, has_escape) = match byte {
            b'"' => string(bytes, start)?,
            b't' => (word(bytes, start, b"true")?, false),
            b'f' => (word(bytes, start, b"false")?, false),
            b'n' => (word(bytes, start, b"null")?, false),
            _ => (number(bytes, start)?, false),
        };
        self.at = end;
        self.tape.push(name, self.text.get(start..end)?, has_escape);
        Some(false)
    }

    /// Closes the levels that end here. Returns whether another value follows.
    fn has_another(&mut self) -> Option<bool> {
        loop {
            self.at = skip_space(self.text, self.at);
            let byte = *self.text.as_bytes().get(self.at)?;
            self.at += 1;
            if byte == b',' {
                self.at = skip_space(self.text, self.at);
                return Some(true);
            }
            if byte != if self.levels.in_object() { b'}' } else { b']' } {
                return None;
            }
            self.tape.close(self.text, self.at)?;
            self.levels.pop();
            if self.levels.depth == 0 {
                return Some(false);
            }
        }
    }

    /// Reads a field name and the colon after it.
    fn name(&mut self) -> Option<FieldName<'a>> {
        let (end, has_escape) = string(self.text.as_bytes(), self.at)?;
        let name = FieldName { raw: self.text.get(self.at + 1..end - 1)?, has_escape };
        self.at = skip_space(self.text, end);
        if *self.text.as_bytes().get(self.at)? != b':' {
            return None;
        }
        self.at = skip_space(self.text, self.at + 1);
        Some(name)
    }
}

#[cfg(test)]
mod tests;

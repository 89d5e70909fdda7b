//! One pass over an object that checks its grammar (RFC 8259) and writes down what it finds: each member,
//! those of inner objects included, as a node on a tape. No recursion, and no second look at any byte.

use std::borrow::Cow;

use super::grammar::{number, string, word};
use super::skip_space;

/// Nodes of one object: fifty times what any event has, and a bound on what a small body can make of
/// itself in memory.
pub const MAX_NODES: usize = 4096;

/// Nodes that an inner object leaves to the one around it: more than any event has.
const RESERVE: usize = 128;

/// Entries of a list that are looked at; events have one resource.
pub const MAX_ENTRIES: usize = 64;

/// Nesting that fits into the checker's memory: one bit for each level.
const MAX_DEPTH: u32 = 128;

/// Nodes of most events: one allocation is enough for them.
const USUAL: usize = 96;

/// A member of an object, or an entry of a list.
#[derive(Debug, Clone, Copy)]
pub struct Node<'a> {
    /// As it is written; empty for an entry.
    pub name: Name<'a>,
    /// Its value, as it is written.
    pub value: &'a str,
    /// Of its name as it is meant; see [`tag`].
    pub tag: u32,
    /// How many of the nodes after it are in it.
    pub inner: u32,
    /// Whether its value is a string with an escape in it.
    pub has_escape: bool,
    /// Whether what is in it was too much to be written down.
    pub is_opaque: bool,
}

/// A member's name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Name<'a> {
    /// What is written between its quotes.
    pub raw: &'a str,
    /// Whether there is an escape in it.
    pub has_escape: bool,
}

impl<'a> Name<'a> {
    /// What it means.
    pub fn text(self) -> Cow<'a, str> {
        if self.has_escape { super::decode(self.raw) } else { Cow::Borrowed(self.raw) }
    }
}

/// How far an object reaches, in bytes, and how deep it nests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Position after it.
    pub end: usize,
    /// 1 for an object without another in it.
    pub depth: u32,
}

/// The nodes of one object, each followed by those in it, in the order written.
///
/// Of lists, only those that are members of the outermost object have nodes for their entries.
#[derive(Debug)]
pub struct Tape<'a> {
    nodes: Vec<Node<'a>>,
    open: Vec<Open>,
    /// Nodes that the innermost open value still takes.
    room: u32,
    is_too_large: bool,
}

/// A list or an object whose end has not come yet.
#[derive(Debug)]
struct Open {
    node: Option<usize>,
    start: usize,
    /// What is left of the room around it.
    room: u32,
}

/// Some of a name: most names of an event differ in it.
pub const fn tag(name: &str) -> u32 {
    let bytes = name.as_bytes();
    let length = bytes.len();
    if length == 0 {
        return 0;
    }
    let (first, middle, last) = (bytes[0], bytes[length / 2], bytes[length - 1]);
    u32::from_le_bytes([length.to_le_bytes()[0], first, middle, last])
}

impl Default for Tape<'_> {
    /// A tape to read one object after another with.
    fn default() -> Self {
        Tape {
            nodes: Vec::with_capacity(USUAL),
            open: Vec::with_capacity(8),
            room: 0,
            is_too_large: false,
        }
    }
}

impl<'a> Tape<'a> {
    /// Reads the object that begins with `text`, whatever follows it. `None` if there is no well-formed
    /// one, or one that nests deeper than 128 levels.
    pub fn read(&mut self, text: &'a str) -> Option<Extent> {
        self.nodes.clear();
        self.open.clear();
        self.room = 0;
        self.is_too_large = false;
        if !text.starts_with('{') {
            return None;
        }
        Pass { text, at: 0, levels: Levels::default(), tape: self }.run()
    }

    /// The nodes of the object that was read last.
    pub fn nodes(&self) -> &[Node<'a>] {
        &self.nodes
    }

    /// Whether the object that was read last has too many members to be written down.
    pub fn is_too_large(&self) -> bool {
        self.is_too_large
    }

    fn push(&mut self, name: Name<'a>, value: &'a str, has_escape: bool) -> bool {
        if self.room == 0 {
            return false;
        }
        self.room -= 1;
        // Each level leaves some room for those around it.
        let reserved = RESERVE * self.open.len().saturating_sub(1).min(4);
        if self.nodes.len() >= MAX_NODES - reserved {
            self.give_up_innermost();
            return false;
        }
        let tag = if name.has_escape { tag(&name.text()) } else { tag(name.raw) };
        self.nodes.push(Node { name, value, tag, inner: 0, has_escape, is_opaque: false });
        true
    }

    /// Forgets what is in the innermost open value: the others are of more use.
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

    fn open(&mut self, name: Name<'a>, start: usize, is_object: bool) {
        let is_outermost = self.open.is_empty();
        let is_written = self.push(name, "", false);
        let room = self.room;
        self.room = match is_object {
            true if is_written || is_outermost => u32::MAX,
            // One more tells that there are more.
            false if is_written && self.open.len() == 1 => MAX_ENTRIES as u32 + 1,
            _ => 0,
        };
        let node = is_written.then(|| self.nodes.len() - 1);
        self.open.push(Open { node, start, room });
    }

    fn close(&mut self, text: &'a str, end: usize) -> Option<()> {
        let Open { node, start, room } = self.open.pop()?;
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

/// What each level is: a bit says whether an object.
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

struct Pass<'t, 'a> {
    text: &'a str,
    at: usize,
    levels: Levels,
    tape: &'t mut Tape<'a>,
}

impl<'a> Pass<'_, 'a> {
    fn run(mut self) -> Option<Extent> {
        let mut name = Name::default();
        loop {
            let has_opened = self.value(name)?;
            if !has_opened && !self.has_another()? {
                return Some(Extent { end: self.at, depth: self.levels.deepest });
            }
            name = if self.levels.in_object() { self.name()? } else { Name::default() };
        }
    }

    /// Passes a scalar, or the bracket that opens something with a value in it, which it tells.
    fn value(&mut self, name: Name<'a>) -> Option<bool> {
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

    /// Goes up through what ends here; tells whether another value follows.
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

    /// Passes a member's name and the colon behind it.
    fn name(&mut self) -> Option<Name<'a>> {
        let (end, has_escape) = string(self.text.as_bytes(), self.at)?;
        let name = Name { raw: self.text.get(self.at + 1..end - 1)?, has_escape };
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

//! One level of a JSON object: finding members by name, and those that nobody knows.

use std::borrow::Cow;

use crate::json::{self, Node, tag};

/// Places in an index; twice as many as the largest known object has members.
const SLOTS: usize = 64;

/// Members that are found by an index. In objects with more, each look-up goes through all of them.
const MOST: usize = 48;

/// Bytes of the longest name that is looked for, however it is written.
const LONGEST: usize = 256;

/// The members of one object.
#[derive(Debug)]
pub(super) struct Members<'t, 'a> {
    nodes: &'t [Node<'a>],
    /// By a name's tag: one more than the index of the last node of that name, or 0.
    slots: Option<[u16; SLOTS]>,
    /// Slots whose name is there more than once.
    repeated: u64,
}

/// A member of an object, or an entry of a list, with what is in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member<'t, 'a> {
    node: &'t Node<'a>,
    inner: &'t [Node<'a>],
}

impl<'t, 'a> Member<'t, 'a> {
    /// The value, as it is written.
    pub(super) fn value(&self) -> &'a str {
        self.node.value
    }

    /// The text, if the value is a string; half a surrogate pair becomes U+FFFD.
    pub(super) fn text(&self) -> Option<Cow<'a, str>> {
        let raw = self.node.value.strip_prefix('"')?.strip_suffix('"')?;
        Some(if self.node.has_escape { json::decode(raw) } else { Cow::Borrowed(raw) })
    }

    /// Bytes of the text, if the value is a string; half a surrogate pair is WTF-8.
    pub(super) fn exact_text(&self) -> Option<Vec<u8>> {
        let raw = self.node.value.strip_prefix('"')?.strip_suffix('"')?;
        Some(json::decode_exact(raw))
    }

    /// The members, if the value is an object.
    pub(super) fn object(&self) -> Option<Members<'t, 'a>> {
        let is_object = self.node.value.starts_with('{') && !self.node.is_opaque;
        is_object.then(|| Members::of(self.inner))
    }

    /// The first entries, if the value is a list, and whether there are more.
    pub(super) fn listed(&self) -> Option<(Vec<Member<'t, 'a>>, bool)> {
        let is_list = self.node.value.starts_with('[');
        let mut entries = is_list.then(|| siblings(self.inner).map(|(_, entry)| entry))?;
        let first = entries.by_ref().take(json::MAX_ENTRIES).collect();
        Some((first, self.node.is_opaque || entries.next().is_some()))
    }

    /// Its name, as it is meant.
    pub(super) fn name(&self) -> Cow<'a, str> {
        self.node.name.text()
    }

    fn is_called(&self, tag: u32, name: &str) -> bool {
        // An escape makes six bytes of one at most.
        self.node.tag == tag && self.node.name.raw.len() <= 6 * name.len() && self.name() == name
    }
}

impl<'t, 'a> Members<'t, 'a> {
    /// The members that these nodes are, with what is in them.
    pub(super) fn of(nodes: &'t [Node<'a>]) -> Members<'t, 'a> {
        let mut members = Members { nodes, slots: None, repeated: 0 };
        let mut slots = [0; SLOTS];
        for (count, (index, member)) in siblings(nodes).enumerate() {
            if count == MOST {
                return members;
            }
            // Nobody asks for these, and comparing them would take time.
            if member.node.name.raw.len() > LONGEST {
                continue;
            }
            let slot = members.slot(&slots, member.node.tag, &member.name());
            members.repeated |= u64::from(slots[slot] != 0) << slot;
            // There are at most `MAX_NODES`, which fit.
            slots[slot] = index as u16 + 1;
        }
        members.slots = Some(slots);
        members
    }

    /// The last member of that name, as most parsers read it, and whether there was more than one.
    pub(super) fn get(&self, name: &str) -> Option<(Member<'t, 'a>, bool)> {
        let tag = tag(name);
        if let Some(slots) = &self.slots {
            let slot = self.slot(slots, tag, name);
            let index = usize::from(slots[slot]).checked_sub(1)?;
            return Some((self.member(index), self.repeated >> slot & 1 == 1));
        }
        let mut found = self.iter().filter(|member| member.is_called(tag, name));
        let first = found.next()?;
        Some(found.last().map_or((first, false), |last| (last, true)))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Member<'t, 'a>> {
        siblings(self.nodes).map(|(_, member)| member)
    }

    /// The members whose names are none of these, with their names.
    pub(super) fn unknown<const N: usize>(
        &self,
        known: &Names<N>,
    ) -> impl Iterator<Item = (Cow<'a, str>, Member<'t, 'a>)> {
        self.iter()
            .filter(|member| !known.contains(member.node.tag, &member.name()))
            .map(|member| (member.name(), member))
    }

    /// Where a name is in the index, or where it belongs.
    fn slot(&self, slots: &[u16; SLOTS], tag: u32, name: &str) -> usize {
        let mut slot = path(tag, SLOTS);
        while let Some(index) = usize::from(slots[slot]).checked_sub(1)
            && !self.member(index).is_called(tag, name)
        {
            slot = (slot + 1) % SLOTS;
        }
        slot
    }

    fn member(&self, index: usize) -> Member<'t, 'a> {
        let node = &self.nodes[index];
        Member { node, inner: &self.nodes[index + 1..=index + node.inner as usize] }
    }
}

/// The nodes of one level, with their indices and what is in them.
fn siblings<'t, 'a>(nodes: &'t [Node<'a>]) -> impl Iterator<Item = (usize, Member<'t, 'a>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let (index, node) = (at, nodes.get(at)?);
        at += 1 + node.inner as usize;
        Some((index, Member { node, inner: nodes.get(index + 1..at)? }))
    })
}

/// Names that are known, to be looked up by tag. Made while compiling.
pub(super) struct Names<const N: usize> {
    names: [&'static str; N],
    /// One more than the index of a name, or 0.
    slots: [u8; PLACES],
}

const PLACES: usize = 128;

impl<const N: usize> Names<N> {
    pub(super) const fn new(names: [&'static str; N]) -> Names<N> {
        let mut slots = [0; PLACES];
        let mut index = 0;
        while index < N {
            let mut slot = path(tag(names[index]), PLACES);
            while slots[slot] != 0 {
                slot = (slot + 1) % PLACES;
            }
            index += 1;
            slots[slot] = index as u8;
        }
        Names { names, slots }
    }

    pub(super) fn contains_name(&self, name: &str) -> bool {
        self.contains(tag(name), name)
    }

    fn contains(&self, tag: u32, name: &str) -> bool {
        let mut slot = path(tag, PLACES);
        while let Some(index) = usize::from(self.slots[slot]).checked_sub(1) {
            if self.names[index] == name {
                return true;
            }
            slot = (slot + 1) % PLACES;
        }
        false
    }
}

/// Spreads tags over a power of two of places.
const fn path(tag: u32, places: usize) -> usize {
    (tag.wrapping_mul(0x9e37_79b1) >> (32 - places.trailing_zeros())) as usize
}

//! Fields of one level of a JSON object: lookup by name, and iteration over unknown names.

use std::borrow::Cow;

use crate::json::{self, TapeNode, tag};

/// Slots of the hash index; twice as many as the largest known object has fields.
const SLOTS: usize = 64;

/// Maximum number of fields for which an index is built. A lookup in a larger object scans all
/// fields.
const MAX_INDEXED_FIELDS: usize = 48;

/// Maximum length of an indexed field name, as it is written. No known name is that long.
const MAX_NAME_BYTES: usize = 256;

/// The fields of one object.
#[derive(Debug)]
pub(super) struct ObjectFields<'t, 'a> {
    nodes: &'t [TapeNode<'a>],
    /// Hash index by name tag: 1 + the index of the last node of that name; 0 marks a free slot.
    slots: Option<[u16; SLOTS]>,
    /// Bit set of slots whose name occurs more than once.
    repeated: u64,
}

/// A field of an object or an entry of an array, with the nodes inside.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'t, 'a> {
    node: &'t TapeNode<'a>,
    inner: &'t [TapeNode<'a>],
}

impl<'t, 'a> Field<'t, 'a> {
    /// Returns the value as it is written.
    pub(super) fn value(&self) -> &'a str {
        self.node.value
    }

    /// Returns the decoded text of a string; half a surrogate pair becomes U+FFFD.
    pub(super) fn text(&self) -> Option<Cow<'a, str>> {
        self.node.text()
    }

    /// Returns the decoded bytes of a string; half a surrogate pair is encoded as WTF-8.
    pub(super) fn exact_text(&self) -> Option<Vec<u8>> {
        let raw = self.node.value.strip_prefix('"')?.strip_suffix('"')?;
        Some(json::decode_exact(raw))
    }

    /// Returns the fields of an object.
    pub(super) fn object(&self) -> Option<ObjectFields<'t, 'a>> {
        let is_object = self.node.value.starts_with('{') && !self.node.is_opaque;
        is_object.then(|| ObjectFields::of(self.inner))
    }

    /// Returns the first [`json::MAX_ENTRIES`] entries of an array, and whether there are more.
    pub(super) fn listed(&self) -> Option<(Vec<Field<'t, 'a>>, bool)> {
        let is_list = self.node.value.starts_with('[');
        let mut entries = is_list.then(|| siblings(self.inner).map(|(_, entry)| entry))?;
        let first = entries.by_ref().take(json::MAX_ENTRIES).collect();
        Some((first, self.node.is_opaque || entries.next().is_some()))
    }

    /// Returns the decoded field name.
    pub(super) fn name(&self) -> Cow<'a, str> {
        self.node.name.text()
    }

    fn is_called(&self, tag: u32, name: &str) -> bool {
        // An escape writes one byte as six bytes at most.
        self.node.tag == tag && self.node.name.raw.len() <= 6 * name.len() && self.name() == name
    }
}

impl<'t, 'a> ObjectFields<'t, 'a> {
    /// Builds the index over the nodes of one object.
    pub(super) fn of(nodes: &'t [TapeNode<'a>]) -> ObjectFields<'t, 'a> {
        let mut fields = ObjectFields { nodes, slots: None, repeated: 0 };
        let mut slots = [0; SLOTS];
        for (count, (index, field)) in siblings(nodes).enumerate() {
            if count == MAX_INDEXED_FIELDS {
                return fields;
            }
            // No known name is that long.
            if field.node.name.raw.len() > MAX_NAME_BYTES {
                continue;
            }
            let slot = fields.slot(&slots, field.node.tag, &field.name());
            fields.repeated |= u64::from(slots[slot] != 0) << slot;
            // The index fits, because a tape has at most `MAX_NODES` nodes.
            slots[slot] = index as u16 + 1;
        }
        fields.slots = Some(slots);
        fields
    }

    /// Returns the number of all fields and entries, those of inner objects included.
    pub(super) fn count(&self) -> usize {
        self.nodes.len()
    }

    /// Returns the last field of that name, as most parsers do, and whether the name occurs more
    /// than once.
    pub(super) fn get(&self, name: &str) -> Option<(Field<'t, 'a>, bool)> {
        let tag = tag(name);
        if let Some(slots) = &self.slots {
            let slot = self.slot(slots, tag, name);
            let index = usize::from(slots[slot]).checked_sub(1)?;
            return Some((self.field(index), self.repeated >> slot & 1 == 1));
        }
        let mut found = self.iter().filter(|field| field.is_called(tag, name));
        let first = found.next()?;
        Some(found.last().map_or((first, false), |last| (last, true)))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Field<'t, 'a>> {
        siblings(self.nodes).map(|(_, field)| field)
    }

    /// Returns the fields whose names are not in `known`.
    pub(super) fn unknown<const N: usize>(
        &self,
        known: &FieldNames<N>,
    ) -> impl Iterator<Item = (Cow<'a, str>, Field<'t, 'a>)> {
        self.iter()
            .filter(|field| !known.contains(field.node.tag, &field.name()))
            .map(|field| (field.name(), field))
    }

    /// Returns the slot of a name, or the free slot where it belongs.
    fn slot(&self, slots: &[u16; SLOTS], tag: u32, name: &str) -> usize {
        let mut slot = path(tag, SLOTS);
        while let Some(index) = usize::from(slots[slot]).checked_sub(1)
            && !self.field(index).is_called(tag, name)
        {
            slot = (slot + 1) % SLOTS;
        }
        slot
    }

    fn field(&self, index: usize) -> Field<'t, 'a> {
        let node = &self.nodes[index];
        Field { node, inner: &self.nodes[index + 1..=index + node.inner as usize] }
    }
}

/// Iterates over the nodes of one level, with their indices and the nodes inside each.
fn siblings<'t, 'a>(nodes: &'t [TapeNode<'a>]) -> impl Iterator<Item = (usize, Field<'t, 'a>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let (index, node) = (at, nodes.get(at)?);
        at += 1 + node.inner as usize;
        Some((index, Field { node, inner: nodes.get(index + 1..at)? }))
    })
}

/// Set of known field names, with a hash index that is built at compile time.
pub(super) struct FieldNames<const N: usize> {
    names: [&'static str; N],
    /// 1 + the index of a name; 0 marks a free slot.
    slots: [u8; TABLE_SLOTS],
}

const TABLE_SLOTS: usize = 128;

impl<const N: usize> FieldNames<N> {
    pub(super) const fn new(names: [&'static str; N]) -> FieldNames<N> {
        let mut slots = [0; TABLE_SLOTS];
        let mut index = 0;
        while index < N {
            let mut slot = path(tag(names[index]), TABLE_SLOTS);
            while slots[slot] != 0 {
                slot = (slot + 1) % TABLE_SLOTS;
            }
            index += 1;
            slots[slot] = index as u8;
        }
        FieldNames { names, slots }
    }

    /// Returns the names.
    pub(super) fn names(&self) -> &[&'static str] {
        &self.names
    }

    pub(super) fn contains_name(&self, name: &str) -> bool {
        self.contains(tag(name), name)
    }

    fn contains(&self, tag: u32, name: &str) -> bool {
        let mut slot = path(tag, TABLE_SLOTS);
        while let Some(index) = usize::from(self.slots[slot]).checked_sub(1) {
            if self.names[index] == name {
                return true;
            }
            slot = (slot + 1) % TABLE_SLOTS;
        }
        false
    }
}

/// Returns the first slot to probe for a tag. `slots` is a power of two.
const fn path(tag: u32, slots: usize) -> usize {
    (tag.wrapping_mul(0x9e37_79b1) >> (32 - slots.trailing_zeros())) as usize
}

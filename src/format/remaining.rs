//! The extension of a format: all fields of an event that are not gone, sorted by name, without empty objects
//! and arrays. Array entries keep their index.

use std::borrow::Cow;
use std::ops::Range;

use super::event_tape::EventTape;
use crate::json::{TapeNode, write_scalar, write_string};

/// Text that stands for a flow version that the sender does not know.
pub(super) const UNKNOWN: &str = "unknown";

/// Maximum number of entries that are recorded one by one. Of a larger array or object, only its
/// pointer is.
const MAX_TRACED_LEAVES: usize = 200;

/// Facts about the JSON that was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Written {
    /// Bytes of the longest path together with its text.
    pub(super) longest_path: usize,
    /// True if a name contains a NUL.
    pub(super) has_nul: bool,
}

/// Writes fields of an event as JSON.
pub(super) struct FieldWriter<'e, 'a> {
    event: &'e EventTape<'a>,
    unknown_versions: &'e [Option<usize>],
    keeps_empty: bool,
    out: &'e mut Vec<u8>,
    /// Fields of the open objects, each object's in the order of their names.
    order: Vec<usize>,
    path: usize,
    written: Written,
}

impl<'e, 'a> FieldWriter<'e, 'a> {
    /// Appends to `out`.
    pub(super) fn new(event: &'e EventTape<'a>, out: &'e mut Vec<u8>) -> FieldWriter<'e, 'a> {
        FieldWriter {
            event,
            unknown_versions: &[],
            keeps_empty: false,
            out,
            order: Vec::new(),
            path: 0,
            written: Written::default(),
        }
    }

    /// Writes [`UNKNOWN`] instead of these fields.
    pub(super) fn unknown(self, unknown_versions: &'e [Option<usize>]) -> FieldWriter<'e, 'a> {
        FieldWriter { unknown_versions, ..self }
    }

    /// Writes all remaining fields of the event, and one more. Returns `None` if there are none.
    pub(super) fn all(mut self, added: Option<(&str, &str)>) -> Option<Written> {
        self.object(self.event.root(), added).then_some(self.written)
    }

    /// Writes a value without its empty parts. Returns `None` if it is empty itself.
    pub(super) fn value(mut self, at: usize) -> Option<Written> {
        self.any(at).then_some(self.written)
    }

    /// Writes a value with its empty parts.
    pub(super) fn whole(mut self, at: usize) {
        self.keeps_empty = true;
        self.any(at);
    }

    /// Writes a value. Returns false, and writes nothing, if it is empty.
    fn any(&mut self, at: usize) -> bool {
        let node = self.event.node(at);
        match node.value.as_bytes().first() {
            Some(b'{') => return self.object(self.event.inside(at), None),
            Some(b'[') => return self.array(self.event.inside(at)),
            _ if self.unknown_versions.contains(&Some(at)) => write_string(self.out, UNKNOWN),
            Some(b'"') => {
                let length = match node.has_escape {
                    true => node.text().map_or(0, |text| text.len()),
                    false => node.value.len() - 2,
                };
                self.note_path(self.path + length);
                write_scalar(self.out, node);
            }
            _ => write_scalar(self.out, node),
        }
        true
    }

    fn object(&mut self, extent: Range<usize>, mut added: Option<(&str, &str)>) -> bool {
        let (event, start, first) = (self.event, self.out.len(), self.order.len());
        self.order.extend(event.remaining(extent).map(|(at, _)| at));
        sort_by_name(&mut self.order[first..], event);
        self.out.push(b'{');
        for index in first..self.order.len() {
            let at = self.order[index];
            let node = event.node(at);
            if let Some((name, text)) = added.filter(|(name, _)| *name < &*node.name.text()) {
                self.field(start, name, |writer| writer.text(text));
                added = None;
            }
            let name = node.name.text();
            let (before, path) = (self.out.len(), self.path);
            self.path += name.len() + 1;
            if self.field(start, &name, |writer| writer.any(at)) {
                self.note_path(self.path);
                self.written.has_nul |= node.name.has_escape && name.contains('\0');
            } else {
                self.out.truncate(before);
            }
            self.path = path;
        }
        if let Some((name, text)) = added {
            self.field(start, name, |writer| writer.text(text));
        }
        self.order.truncate(first);
        self.close(start, b'}', self.keeps_empty || self.out.len() > start + 1)
    }

    /// Writes a name and its value. `start` is the position of the object's opening bracket.
    fn field(&mut self, start: usize, name: &str, value: impl FnOnce(&mut Self) -> bool) -> bool {
        if self.out.len() > start + 1 {
            self.out.push(b',');
        }
        write_string(self.out, name);
        self.out.push(b':');
        value(self)
    }

    fn text(&mut self, text: &str) -> bool {
        write_string(self.out, text);
        true
    }

    fn array(&mut self, extent: Range<usize>) -> bool {
        let (event, start, mut has_entries) = (self.event, self.out.len(), self.keeps_empty);
        self.out.push(b'[');
        for (at, node) in event.level(extent) {
            if self.out.len() > start + 1 {
                self.out.push(b',');
            }
            if !event.is_gone(at) && node.value != "null" && self.any(at) {
                has_entries = true;
            } else {
                self.out.extend_from_slice(b"null");
            }
        }
        self.close(start, b']', has_entries)
    }

    /// Closes the object or array that begins at `start`, or discards it.
    fn close(&mut self, start: usize, bracket: u8, is_kept: bool) -> bool {
        if is_kept {
            self.out.push(bracket);
        } else {
            self.out.truncate(start);
        }
        is_kept
    }

    fn note_path(&mut self, length: usize) {
        self.written.longest_path = self.written.longest_path.max(length);
    }
}

fn sort_by_name(fields: &mut [usize], event: &EventTape<'_>) {
    if fields.iter().any(|at| event.node(*at).name.has_escape) {
        fields.sort_by_cached_key(|at| event.node(*at).name.text());
    } else {
        fields.sort_unstable_by(|left, right| {
            event.node(*left).name.raw.cmp(event.node(*right).name.raw)
        });
    }
}

/// Returns the JSON pointer of a field or entry.
pub(super) fn pointer(event: &EventTape<'_>, wanted: usize) -> String {
    let (mut pointer, mut extent, mut is_object) = (String::new(), event.root(), true);
    loop {
        let mut around = event.level(extent).enumerate();
        let found = around.find(|(_, (at, _))| wanted < event.inside(*at).end);
        let Some((index, (at, node))) = found else { return pointer };
        pointer.push('/');
        pointer.push_str(&step(index, node, is_object));
        if at == wanted {
            return pointer;
        }
        (extent, is_object) = (event.inside(at), node.value.starts_with('{'));
    }
}

/// Returns the JSON pointers of all remaining values that are not a non-empty object or array.
pub(super) fn pointers(event: &EventTape<'_>) -> Vec<String> {
    let mut found = Vec::new();
    let fields = event.remaining(event.root()).filter(|(at, _)| !is_empty(event, *at));
    each_leaf(event, "", true, &fields.collect::<Vec<_>>(), &mut found);
    found
}

fn each_leaf(
    event: &EventTape<'_>,
    pointer: &str,
    is_object: bool,
    values: &[(usize, &TapeNode<'_>)],
    found: &mut Vec<String>,
) {
    if values.len() > MAX_TRACED_LEAVES {
        found.push(pointer.to_owned());
        return;
    }
    for (index, (at, node)) in values.iter().enumerate() {
        let pointer = format!("{pointer}/{}", step(index, node, is_object));
        let inside = event.inside(*at);
        if event.is_gone(*at) || is_empty(event, *at) {
            found.push(pointer);
        } else if node.value.starts_with('{') {
            let fields = event.remaining(inside).filter(|(at, _)| !is_empty(event, *at));
            each_leaf(event, &pointer, true, &fields.collect::<Vec<_>>(), found);
        } else if node.value.starts_with('[') {
            each_leaf(event, &pointer, false, &event.level(inside).collect::<Vec<_>>(), found);
        } else {
            found.push(pointer);
        }
    }
}

/// Returns one step of a JSON pointer.
fn step<'a>(index: usize, node: &TapeNode<'a>, is_object: bool) -> Cow<'a, str> {
    if !is_object {
        return Cow::Owned(index.to_string());
    }
    let name = node.name.text();
    if name.contains(['~', '/']) { name.replace('~', "~0").replace('/', "~1").into() } else { name }
}

/// Returns whether a value is an object or array without values, apart from nulls in an array.
pub(super) fn is_empty(event: &EventTape<'_>, at: usize) -> bool {
    let inside = event.inside(at);
    match event.node(at).value.as_bytes().first() {
        Some(b'{') => event.remaining(inside).all(|(at, _)| is_empty(event, at)),
        Some(b'[') => event
            .level(inside)
            .all(|(at, node)| event.is_gone(at) || node.value == "null" || is_empty(event, at)),
        _ => false,
    }
}

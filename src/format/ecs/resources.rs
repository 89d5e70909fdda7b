//! `ping_one.audit.resources`: the documented fields of each resource.

use super::layout::field;
use crate::format::document::Document;
use crate::format::event_tape::EventTape;
use crate::format::layout::Field;
use crate::format::leaves::Leaves;
use crate::format::remaining::FieldWriter;
use crate::format::slots::{Slot, slot};
use crate::json::TapeNode;

const NAME: &str = "ping_one.audit.resources";
const FIELD: Field = field(NAME);
const RESOURCES: Slot = slot("/resources");

/// Documented text fields of a resource.
const TEXTS: [&str; 4] = ["id", "type", "name", "href"];

/// Documented objects of a resource, each with an `id`.
const OWNERS: [&str; 2] = ["environment", "population"];

/// Documented fields in the order of the output.
const SORTED: [&str; 6] = ["environment", "href", "id", "name", "population", "type"];

/// Sets the field, always as a list. Undocumented fields of a resource stay in the extension.
pub(super) fn fill(leaves: &mut Leaves<'_>, document: &mut Document) {
    let Some(at) = leaves.get(RESOURCES) else { return };
    if are_plain(leaves.event(), at) {
        leaves.take_at(&[NAME], at);
        document.write(FIELD, |out| {
            let is_list = leaves.event().node(at).value.starts_with('[');
            out.extend_from_slice(if is_list { b"" } else { b"[" });
            FieldWriter::new(leaves.event(), out).whole(at);
            out.extend_from_slice(if is_list { b"" } else { b"]" });
        });
    } else if document.try_write(FIELD, |out| take_plain_parts(leaves, at, out)).is_some() {
        leaves.copied(&[NAME], RESOURCES);
    }
}

/// Takes the documented fields out of resources. Resources with other fields stay in the extension
/// with the rest. Returns `None` if there is no documented field.
fn take_plain_parts(leaves: &mut Leaves<'_>, at: usize, out: &mut Vec<u8>) -> Option<()> {
    let event = leaves.event();
    let resources: Vec<usize> = match event.node(at).value.as_bytes().first()? {
        b'{' => vec![at],
        b'[' => event.level(event.inside(at)).map(|(at, _)| at).collect(),
        _ => return None,
    };
    let mut has_fields = false;
    out.push(b'[');
    for (index, resource) in resources.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        // A resource without documented fields becomes empty, which keeps the indices of the
        // others.
        has_fields |= take_plain_fields(leaves, resource, out);
    }
    out.push(b']');
    has_fields.then_some(())
}

/// Takes the documented fields out of one resource. Returns whether there is one.
fn take_plain_fields(leaves: &mut Leaves<'_>, resource: usize, out: &mut Vec<u8>) -> bool {
    let mut has_fields = false;
    out.push(b'{');
    for name in SORTED {
        let is_owner = OWNERS.contains(&name);
        let Some(at) = plain_field(leaves.event(), resource, name, is_owner) else { continue };
        let (open, close) = if is_owner { ("{\"id\":", "}") } else { ("", "") };
        let separator = if has_fields { "," } else { "" };
        out.extend_from_slice(format!("{separator}\"{name}\":{open}").as_bytes());
        FieldWriter::new(leaves.event(), out).whole(at);
        out.extend_from_slice(close.as_bytes());
        leaves.take_at(&[], at);
        has_fields = true;
    }
    out.push(b'}');
    has_fields
}

/// Returns the text of a documented field, or the `id` inside it.
fn plain_field(
    event: &EventTape<'_>,
    resource: usize,
    name: &str,
    is_owner: bool,
) -> Option<usize> {
    let field = |at: usize, name: &str| {
        let is_object = event.node(at).value.starts_with('{');
        is_object.then(|| event.find(event.inside(at), name)).flatten()
    };
    let mut found = field(resource, name)?;
    if is_owner {
        found = field(found, "id")?;
    }
    is_text(event.node(found)).then_some(found)
}

/// Returns whether resources are as documented. Others would conflict with the types of the
/// mapping.
fn are_plain(event: &EventTape<'_>, resources: usize) -> bool {
    match event.node(resources).value.as_bytes().first() {
        Some(b'[') => event.level(event.inside(resources)).all(|(at, _)| is_plain(event, at)),
        _ => is_plain(event, resources),
    }
}

fn is_plain(event: &EventTape<'_>, resource: usize) -> bool {
    let is_object = |at: usize| event.node(at).value.starts_with('{');
    let mut fields = event.remaining(event.inside(resource));
    is_object(resource)
        && fields.all(|(at, node)| {
            let name = &*node.name.text();
            let mut inside = event.remaining(event.inside(at));
            (TEXTS.contains(&name) && is_text(node))
                || (OWNERS.contains(&name)
                    && is_object(at)
                    && inside.all(|(_, node)| node.name.text() == "id" && is_text(node)))
        })
}

fn is_text(node: &TapeNode<'_>) -> bool {
    node.value.starts_with('"')
}

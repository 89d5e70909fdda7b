//! `ping_one.audit.resources`: the documented fields of each resource.

use serde_json::{Map, Value, json};

use super::is_text;
use crate::format::document::Document;
use crate::format::leaves::Leaves;

/// Sets the field, always as a list. Undocumented fields of a resource stay in the extension.
pub(super) fn fill(leaves: &mut Leaves, document: &mut Document) {
    if leaves.get("/resources").is_some_and(are_plain_resources)
        && let Some(resources) = leaves.take_value(&["ping_one.audit.resources"], "/resources")
    {
        let resources = if resources.is_array() { resources } else { json!([resources]) };
        document.set("ping_one.audit.resources", resources);
        return;
    }
    let resources = plain_parts(leaves);
    if !resources.is_empty() {
        document.set("ping_one.audit.resources", resources);
    }
}

/// Documented text fields of a resource.
const RESOURCE: [&str; 4] = ["id", "type", "name", "href"];

/// Documented objects of a resource, each with an `id`.
const OWNER: [&str; 2] = ["environment", "population"];

/// Takes the documented fields out of resources. Resources with other fields stay in the extension
/// with the rest.
fn plain_parts(leaves: &mut Leaves) -> Vec<Value> {
    let bases: Vec<String> = match leaves.get("/resources") {
        Some(Value::Object(_)) => vec!["/resources".to_owned()],
        Some(Value::Array(list)) => {
            (0..list.len()).map(|index| format!("/resources/{index}")).collect()
        }
        _ => Vec::new(),
    };
    let mut resources = Vec::new();
    for base in bases {
        let mut resource = Map::new();
        // Taking the last field of a resource removes the empty resource.
        for name in RESOURCE {
            let pointer = format!("{base}/{name}");
            if leaves.get(&pointer).is_some_and(Value::is_string)
                && let Some(text) = leaves.take_value(&[], &pointer)
            {
                resource.insert(name.to_owned(), text);
            }
        }
        for name in OWNER {
            let pointer = format!("{base}/{name}/id");
            if leaves.get(&pointer).is_some_and(Value::is_string)
                && let Some(id) = leaves.take_value(&[], &pointer)
            {
                resource.insert(name.to_owned(), json!({ "id": id }));
            }
        }
        // A resource without documented fields becomes empty, which keeps the indices of the
        // others.
        resources.push(Value::Object(resource));
    }
    if resources.iter().all(|resource| *resource == json!({})) {
        return Vec::new();
    }
    leaves.copied(&["ping_one.audit.resources"], "/resources");
    resources
}

/// Returns whether resources are as documented. Others would conflict with the types of the
/// mapping.
fn are_plain_resources(value: &Value) -> bool {
    let is_plain = |resource: &Value| {
        resource.as_object().is_some_and(|fields| {
            fields.iter().all(|(name, value)| match name.as_str() {
                name if RESOURCE.contains(&name) => is_text(value),
                name if OWNER.contains(&name) => value.as_object().is_some_and(|owner| {
                    owner.iter().all(|(name, value)| name == "id" && is_text(value))
                }),
                _ => false,
            })
        })
    };
    value.as_array().map_or_else(|| is_plain(value), |list| list.iter().all(is_plain))
}

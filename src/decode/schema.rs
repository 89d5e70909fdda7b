//! JSON Schema (draft 2020-12) of a native event, made by the code that reads one.
//!
//! An event with every object is read, and the readers record which fields they read, and as what. A valid event has
//! no finding about a type, and no valid event is refused. Fields outside of the schema are allowed: PingOne adds some
//! from time to time, and they are findings.

use serde_json::{Map, Value, json};

use super::elements;
use super::field_reader::{FieldRead, Findings, ReadKind};
use super::interaction::RUN_SUMMARY;
use super::split::Piece;
use super::typed_event;
use crate::event::registry;
use crate::json::Tape;

/// An event with every object that is read. `TYPE` stands for its type.
const WHOLE: &str = r#"{
    "id": "1", "recordedAt": "2026-01-01T00:00:00Z", "internalCorrelation": {},
    "action": { "type": "TYPE" }, "actors": { "user": {}, "client": {} },
    "resources": [{}], "result": {}, "source": {},
    "_embedded": {
        "flowInteractionEvent": {
            "interactionId": "1", "parentFlow": { "interactionId": "1", "flowId": "1" }
        }
    }
}"#;

/// Path of the object that only run-time events need.
const EMBEDDED: &str = "$._embedded";

/// The five types whose `_embedded` is read.
const RUN_TIME: [&str; 5] = [
    "DAVINCI_INTERACTION.CUSTOM_ANALYTICS",
    "DAVINCI_INTERACTION.START_INTERACTION",
    "DAVINCI_INTERACTION.RECEIVE_REQUEST",
    "DAVINCI_INTERACTION.SEND_RESPONSE",
    "DAVINCI_INTERACTION.SEND_ERROR_RESPONSE",
];

/// Returns the schema.
pub fn schema() -> Value {
    let (mut every, mut run_time) = (json!({ "type": "object" }), json!({}));
    for read in RUN_TIME.into_iter().flat_map(reads) {
        let is_of_run = read.path.starts_with(EMBEDDED)
            || (read.name == "_embedded" && read.kind == ReadKind::RequiredObject);
        declare(if is_of_run { &mut run_time } else { &mut every }, &read);
    }
    let listed: Vec<&str> = registry::listed().map(|(name, _)| name).collect();
    if let Some(kind) = every.pointer_mut("/properties/action/properties/type") {
        insert(kind, "examples", json!(listed));
    }
    // A summary of a run has the fields of its events.
    let kinds: Vec<&str> = RUN_TIME.into_iter().chain([RUN_SUMMARY]).collect();
    let is_run_time =
        json!({ "properties": { "action": { "properties": { "type": { "enum": kinds } } } } });
    for (name, value) in [
        ("$schema", json!("https://json-schema.org/draft/2020-12/schema")),
        ("title", json!("PingOne event")),
        ("description", json!("An event as PingOne sends it, and as the format native emits it.")),
        ("if", is_run_time),
        ("then", run_time),
    ] {
        insert(&mut every, name, value);
    }
    every
}

/// Returns the fields that are read of an event of a type.
fn reads(kind: &str) -> Vec<FieldRead> {
    let text = WHOLE.replace("TYPE", kind);
    let (mut tape, mut findings) = (Tape::default(), Findings::recording());
    let fields = elements::open(&Piece::whole(text.as_bytes()), &mut tape);
    let event = fields.and_then(|fields| typed_event(&fields, &mut findings).map(drop));
    debug_assert!(event.is_ok(), "{event:?}");
    findings.into_reads()
}

/// Adds a field to the schema of an event.
fn declare(schema: &mut Value, read: &FieldRead) {
    let mut object = schema;
    for step in read.path.split('.').skip(1) {
        object = match step.split_once('[') {
            None => property(object, step),
            // Entries of an array have the schema of a single object, which comes first.
            Some((name, _)) => first(property(object, name)),
        };
    }
    let known = property(object, read.name);
    let is_required = matches!(read.kind, ReadKind::RequiredText | ReadKind::RequiredObject);
    for (name, value) in of_kind(read) {
        // A required field is declared first, and is not null.
        if name != "type" || known.get("type").is_none() {
            insert(known, name, value);
        }
    }
    if is_required {
        let mut required: Vec<Value> =
            object.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
        let name = Value::from(read.name);
        if !required.contains(&name) {
            required.push(name);
        }
        insert(object, "required", required.into());
    }
}

/// Returns the keywords for a field.
fn of_kind(read: &FieldRead) -> Vec<(&'static str, Value)> {
    let nullable = |name: &str| ("type", json!([name, "null"]));
    match read.kind {
        ReadKind::Any => Vec::new(),
        ReadKind::Text => vec![nullable("string")],
        ReadKind::RequiredText => vec![("type", "string".into()), ("minLength", 1.into())],
        ReadKind::Time => vec![nullable("string"), ("format", "date-time".into())],
        ReadKind::Boolean => vec![nullable("boolean")],
        ReadKind::Integer => {
            vec![nullable("integer"), ("minimum", i64::MIN.into()), ("maximum", i64::MAX.into())]
        }
        ReadKind::Object => vec![nullable("object")],
        ReadKind::RequiredObject => vec![("type", "object".into())],
        ReadKind::Objects => {
            let one = format!("#/properties/{}/anyOf/0", read.name);
            let list = json!({ "type": "array", "items": { "$ref": one } });
            vec![("anyOf", json!([{ "type": "object" }, list, { "type": "null" }]))]
        }
    }
}

/// Returns the schema of a property, an empty one if it is new.
fn property<'s>(schema: &'s mut Value, name: &str) -> &'s mut Value {
    let property = entry(entry(schema, "properties"), name);
    if property.is_null() {
        *property = json!({});
    }
    property
}

/// Returns the first alternative of a schema.
fn first(schema: &mut Value) -> &mut Value {
    match schema.pointer("/anyOf/0") {
        Some(_) => &mut entry(schema, "anyOf")[0],
        None => schema,
    }
}

fn entry<'s>(schema: &'s mut Value, name: &str) -> &'s mut Value {
    if !schema.is_object() {
        *schema = Value::Object(Map::new());
    }
    // An object takes every name.
    &mut schema[name]
}

fn insert(schema: &mut Value, name: &str, value: Value) {
    *entry(schema, name) = value;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_has_every_field_that_is_read() {
        let schema = schema();
        for (pointer, expected) in [
            ("/required", json!(["id", "recordedAt", "action"])),
            ("/properties/id/minLength", json!(1)),
            ("/properties/recordedAt/format", json!("date-time")),
            ("/properties/recordedAt/type", json!("string")),
            ("/properties/correlationId/type", json!(["string", "null"])),
            ("/properties/action/required", json!(["type"])),
            ("/properties/actors/properties/user/properties/name/type", json!(["string", "null"])),
            ("/properties/resources/anyOf/0/properties/href/type", json!(["string", "null"])),
            ("/properties/tags", json!({})),
            ("/properties/_embedded", json!({})),
            ("/then/required", json!(["_embedded"])),
            ("/then/properties/_embedded/required", json!(["flowInteractionEvent"])),
        ] {
            assert_eq!(schema.pointer(pointer), Some(&expected), "{pointer}");
        }
        let flow = "/then/properties/_embedded/properties/flowInteractionEvent";
        let flow = schema.pointer(flow).expect("the flow");
        assert_eq!(flow["required"], json!(["interactionId"]));
        for (name, kind) in [
            ("flowID", json!(["string", "null"])),
            ("succcess", json!(["boolean", "null"])),
            ("flowVersionId", json!(["integer", "null"])),
            ("tsEms", json!(["string", "null"])),
            ("nodeTitle", json!(["string", "null"])),
            ("packetTo", json!(["string", "null"])),
            ("outcomeStatus", json!(["string", "null"])),
        ] {
            assert_eq!(flow["properties"][name]["type"], kind, "{name}");
        }
        let parent = &flow["properties"]["parentFlow"]["properties"];
        assert_eq!(parent["respondToUser"]["type"], json!(["boolean", "null"]));
        let types = &schema["properties"]["action"]["properties"]["type"]["examples"];
        assert!(types.as_array().is_some_and(|types| types.contains(&json!("USER.LOCKED"))));
    }

    /// Compares with the stored file. `INSTA_UPDATE=always cargo test --lib schema` rewrites it.
    #[test]
    fn the_stored_schema_is_current() {
        let path = format!("{}/docs/fields/native.schema.json", env!("CARGO_MANIFEST_DIR"));
        let text = serde_json::to_string_pretty(&schema()).expect("JSON") + "\n";
        if std::env::var("INSTA_UPDATE").is_ok_and(|value| value == "always") {
            std::fs::write(&path, &text).expect("the file is written");
        }
        let stored = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            stored == text,
            "docs/fields/native.schema.json is stale: INSTA_UPDATE=always rewrites it"
        );
    }
}

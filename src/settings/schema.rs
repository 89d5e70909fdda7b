//! JSON Schema of the configuration, recorded while the components read an empty file.

use serde_json::{Map, Value, json};

use super::problem::{Collector, Secrets};
use super::section::Section;

/// Pattern of a size, such as `32 MiB`.
pub(super) const SIZE: &str = r"^\s*[0-9.]+\s*[A-Za-z]*\s*$";

/// Pattern of a time span, such as `1h 30m`.
pub(super) const DURATION: &str = r"^\s*([0-9.]+\s*[A-Za-zµ]*\s*)+$";

/// Pattern of the names of sources and sinks.
pub(super) const NAME: &str = "^[a-z0-9_-]{1,64}$";

/// Keys of one table, as they are declared.
#[derive(Debug, Clone, Default)]
pub(super) struct TableSchema {
    properties: Map<String, Value>,
    required: Vec<String>,
    /// Complete alternatives of this table, one for each value of a key.
    variants: Vec<TableSchema>,
}

impl TableSchema {
    pub(super) fn add(&mut self, key: &str, schema: Value) {
        self.properties.insert(key.to_owned(), schema);
    }

    pub(super) fn require(&mut self, key: &str) {
        self.required.push(key.to_owned());
    }

    pub(super) fn add_variant(&mut self, variant: TableSchema) {
        self.variants.push(variant);
    }

    pub(super) fn into_value(self) -> Value {
        if !self.variants.is_empty() {
            let variants = self.variants.into_iter().map(TableSchema::into_value);
            return json!({ "oneOf": variants.collect::<Vec<_>>() });
        }
        let mut value = json!({
            "type": "object",
            "properties": self.properties,
            "additionalProperties": false,
        });
        if !self.required.is_empty() {
            value["required"] = json!(self.required);
        }
        value
    }
}

/// Adds a description to a schema, with the sentence about the default if there is one.
pub(super) fn describe(schema: &mut Value, text: &str) {
    let text = match schema.get("description").and_then(Value::as_str) {
        Some(before) => format!("{before} {text}"),
        None => text.to_owned(),
    };
    schema["description"] = text.into();
}

/// Returns the JSON Schema (draft 2020-12) of what `read` reads.
pub(crate) fn schema<T>(read: impl FnOnce(&mut Section<'_>) -> Option<T>) -> Value {
    let problems = Collector::new(None, Vec::new(), Secrets::None);
    let mut value = Section::describing(&problems).described(read).into_value();
    value["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    value["title"] = concat!("Configuration of ", env!("CARGO_PKG_NAME")).into();
    value
}

//! Compares the templates in `deploy/` with the fields that the formats emit.

use std::collections::BTreeSet;

use super::*;

fn deployed(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name);
    std::fs::read_to_string(path).expect("a file")
}

fn template(name: &str) -> Value {
    serde_json::from_str(&deployed(name)).expect("JSON")
}

/// Returns the types of the fields below `properties`, by dotted name.
fn types(mapping: &Value, at: &str, found: &mut BTreeMap<String, Value>) {
    for (name, field) in mapping["properties"].as_object().expect("properties") {
        let name = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
        if field.get("properties").is_some() {
            types(field, &name, found);
        } else {
            found.insert(name, field["type"].clone());
        }
    }
}

/// Fields with a mapping for arbitrary objects.
const FLATTENED: [&str; 2] = ["ping_one.davinci.extra", "ping_one.audit.embedded"];

/// Collects the fields of a document below `ping_one`; arrays are expanded, the extension counts as
/// one field.
fn fields(value: &Value, at: &str, found: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(members) if !FLATTENED.contains(&at) => {
            for (name, member) in members {
                fields(member, &format!("{at}.{name}"), found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| fields(item, at, found)),
        other => found.push((at.to_owned(), other.clone())),
    }
}

fn fits(kind: &str, value: &Value) -> bool {
    match kind {
        "keyword" => value.is_string(),
        "ip" => value.as_str().is_some_and(|text| text.parse::<core::net::IpAddr>().is_ok()),
        "long" => value.is_i64(),
        "boolean" => value.is_boolean(),
        // `packetTimestamp` is in milliseconds, which is also valid for a date.
        "date" => {
            value.is_i64()
                || value.as_str().is_some_and(|text| text.parse::<DateTime<chrono::Utc>>().is_ok())
        }
        "flattened" => value.is_object(),
        _ => false,
    }
}

#[test]
fn the_component_template_has_every_field_of_ours_and_its_type() {
    let mut known = BTreeMap::new();
    let component = template("elasticsearch/component-template.json");
    types(&component["template"]["mappings"], "", &mut known);
    let mut emitted: BTreeSet<String> = BTreeSet::new();
    for (name, raw) in fixtures() {
        let document: Value = serde_json::from_str(&line(Format::Ecs, &raw)).expect("JSON");
        let mut found = Vec::new();
        fields(&document["ping_one"], "ping_one", &mut found);
        for (field, value) in found {
            let kind = known.get(&field).and_then(Value::as_str);
            assert!(
                kind.is_some_and(|kind| fits(kind, &value)),
                "{name}: {field} is {kind:?}: {value}"
            );
            emitted.insert(field);
        }
    }
    let tables = super::super::ecs::FIELDS.iter().chain(&super::super::ecs::FLOW_FIELDS);
    emitted.extend(tables.flat_map(|row| row.names.iter().map(|name| (*name).to_owned())));
    // Fields that occur in no fixture.
    emitted.extend(
        ["ping_one.davinci.parent.flow.version", "ping_one.audit.created_at"].map(str::to_owned),
    );
    for field in known.keys() {
        assert!(emitted.contains(field), "the template has {field}, which nothing emits");
    }
    let ours = emitted.iter().filter(|field| field.starts_with("ping_one."));
    for field in ours {
        assert!(known.contains_key(field), "the template does not have {field}");
    }
}

#[test]
fn the_index_templates_match_the_default_data_stream() {
    let index = template("elasticsearch/index-template.json");
    for index in [&index, &template("opensearch/index-template.json")] {
        assert_eq!(index["index_patterns"], serde_json::json!(["logs-pingone.davinci-*"]));
        assert!(index["data_stream"].is_object());
        // Built-in templates have priority 100.
        assert!(index["priority"].as_i64().is_some_and(|priority| priority > 100));
    }
    let readme = deployed("elasticsearch/README.md");
    let (_, name) = readme.split_once("component_template/").expect("a name");
    let ours = name.split('=').next().expect("a name");
    let built_in = ["logs@mappings", "logs@settings", "ecs@mappings"];
    let parts = built_in.into_iter().chain([ours]).collect::<Vec<_>>();
    assert_eq!(index["composed_of"], serde_json::json!(parts));
    let component = template("elasticsearch/component-template.json");
    // A text that resembles a date in the first event must not make the field a date.
    for template in [&component, &template("opensearch/index-template.json")] {
        assert_eq!(template["template"]["mappings"]["date_detection"], false);
    }
    let at = "/template/mappings/properties/ping_one/properties/davinci/properties/extra";
    let extra = component.pointer(at).expect("the extension");
    assert!(extra["depth_limit"].as_u64() > Some(decode::MAX_DEPTH.into()));
    assert!(extra["ignore_above"].as_u64().is_some_and(|bytes| bytes <= 4096));
    let mut one = template("elasticsearch/component-template.json")["template"]["mappings"]["properties"]["ping_one"].clone();
    for field in FLATTENED {
        let (_, name) = field.split_once('.').expect("a name");
        let pointer = format!("/properties/{}", name.replace('.', "/properties/"));
        let flattened = one.pointer_mut(&pointer).expect("the field");
        // OpenSearch has a type of its own for arbitrary objects.
        *flattened = serde_json::json!({ "type": "flat_object" });
    }
    let other = template("opensearch/index-template.json");
    assert_eq!(other["template"]["mappings"]["properties"]["ping_one"], one);
}

/// A field without a column would be dropped by Azure.
#[test]
fn the_table_of_sentinel_has_a_column_for_each_top_level_field() {
    let template = deployed("sentinel/main.bicep");
    let column = |line: &str| {
        let (name, rest) = line.trim().strip_prefix("{ name: '")?.split_once("', type: '")?;
        Some((name.to_owned(), rest.split_once('\'')?.0.to_owned()))
    };
    let mut columns: BTreeMap<String, String> = template.lines().filter_map(column).collect();
    let reserved = ["id", "TenantId", "Type", "UniqueId", "Title"];
    for (name, kind) in &columns {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        assert!(name.len() <= 45 && name.chars().all(is_plain), "{name}");
        assert!(!reserved.contains(&name.as_str()) && !name.starts_with('_'), "{name}");
        assert!(["datetime", "string", "dynamic"].contains(&kind.as_str()), "{name} is {kind}");
    }
    // Columns that the sink adds.
    for (name, kind) in [
        ("TimeGenerated", "datetime"),
        ("EventTime", "datetime"),
        ("RecordUid", "string"),
        ("RawEvent", "dynamic"),
    ] {
        assert_eq!(columns.remove(name).as_deref(), Some(kind), "{name}");
    }
    let mut emitted = BTreeSet::new();
    for (fixture, raw) in fixtures() {
        let document: Value = serde_json::from_str(&line(Format::Ecs, &raw)).expect("JSON");
        for (name, value) in document.as_object().expect("an object") {
            // TimeGenerated is the same.
            if name == "@timestamp" {
                continue;
            }
            let kind = if value.is_string() { "string" } else { "dynamic" };
            assert_eq!(columns.get(name).map(String::as_str), Some(kind), "{fixture}: {name}");
            emitted.insert(name.clone());
        }
    }
    for entry in dictionary(Format::Ecs) {
        let name = entry.field.split(['.', '[']).next().expect("a name");
        assert!(name == "@timestamp" || columns.contains_key(name), "no column for {name}");
    }
    let unused: Vec<&String> = columns.keys().filter(|name| !emitted.contains(*name)).collect();
    assert!(unused.is_empty(), "nothing emits {unused:?}");
}

fn members(from: &slots::Alternatives) -> String {
    let mut members: Vec<String> = from.pointers().map(documented).collect();
    members.dedup();
    members.join(" | ")
}

#[test]
fn the_key_references_have_every_key() {
    let cef_reference = deployed("cef/fields.csv");
    let tables = cef::FIELDS.iter().chain(&cef::FLOW_FIELDS).chain(&cef::AUDIT_FIELDS);
    let tables = tables.chain(&cef::TARGET).chain(&cef::CORRELATION);
    for (key, label, longest, from) in tables {
        let row = format!(",string,{longest},{},{}", label.unwrap_or_default(), members(from));
        let is_there = |line: &str| line.starts_with(&format!("{key},")) && line.ends_with(&row);
        assert!(cef_reference.lines().any(is_there), "no row of {key} ends with {row}");
    }
    let leef_reference = deployed("leef/fields.csv");
    for (key, from) in leef::FIELDS.iter().chain(&leef::FLOW_FIELDS).chain(&leef::AUDIT_FIELDS) {
        let row = format!("{key},string,{},", members(from));
        assert!(leef_reference.lines().any(|line| line.starts_with(&row)), "no row {row}");
    }
    for (name, raw) in fixtures() {
        let cef_pairs = decode_cef(&line(Format::Cef, &raw)).1;
        let leef_pairs = decode_leef(&line(Format::Leef, &raw)).1;
        let known = |reference: &str, key: &String| {
            reference.lines().any(|row| row.starts_with(&format!("{key},")))
        };
        for key in cef_pairs.keys().filter(|key| !key.ends_with("Label")) {
            assert!(known(&cef_reference, key), "{name}: {key} of cef");
        }
        for key in leef_pairs.keys() {
            assert!(known(&leef_reference, key), "{name}: {key} of leef");
        }
    }
}

/// Returns the events that the rules in `detections/` have to find, or not.
fn events_of_rules() -> Vec<Value> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("detections/events");
    let files = directory.read_dir().expect("a directory").map(|file| file.expect("a file").path());
    let lists = files.map(|path| std::fs::read(path).expect("a file"));
    lists.flat_map(|raw| serde_json::from_slice::<Vec<Value>>(&raw).expect("a list")).collect()
}

#[test]
fn the_add_on_reads_members_that_are_there() {
    let props = deployed("splunk/davinci_siem/default/props.conf");
    let paths: BTreeSet<&str> = props
        .split("spath(_raw, \"")
        .skip(1)
        .map(|rest| rest.split('"').next().expect("a path"))
        .collect();
    assert!(paths.len() > 15, "{paths:?}");
    let mut events: Vec<Value> =
        fixtures().iter().map(|(_, raw)| serde_json::from_slice(raw).expect("JSON")).collect();
    events.extend(events_of_rules());
    for path in paths {
        // `{}` stands for every entry of an array.
        let pointer = format!("/{}", path.replace("{}", ".0").replace('.', "/"));
        assert!(events.iter().any(|event| event.pointer(&pointer).is_some()), "{path}");
    }
}

#[test]
fn the_event_types_mean_the_words_of_the_formats() {
    let types = deployed("splunk/davinci_siem/default/eventtypes.conf");
    let words = types.split("davinci_outcome_type=\"").skip(1);
    let words: Vec<crate::settings::Pattern> = words
        .map(|rest| rest.split('"').next().expect("a word").parse().expect("a pattern"))
        .collect();
    assert_eq!(words, FormatConfig::default().sign_on_types);
    let stanzas = |text: &str, before: &str| -> BTreeSet<String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(before)?.strip_suffix(']'));
        lines.map(str::to_owned).collect()
    };
    let tags = deployed("splunk/davinci_siem/default/tags.conf");
    assert!(stanzas(&types, "[").is_superset(&stanzas(&tags, "[eventtype=")));
    assert_eq!(stanzas(&tags, "[eventtype=").len(), 5);
}

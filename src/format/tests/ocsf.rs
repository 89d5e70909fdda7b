//! Compares documents with the published schemas.

use std::sync::OnceLock;

use super::*;

struct Schema {
    all: Value,
    addresses: regex::Regex,
}

fn schema(version: &str) -> &'static Schema {
    static READ: OnceLock<Vec<(&str, Schema)>> = OnceLock::new();
    let read = READ.get_or_init(|| {
        let schema = |name: &'static str| {
            let root = Path::new(env!("CARGO_MANIFEST_DIR"));
            let path = root.join(format!("fixtures/schemas/ocsf-{name}.json"));
            let text = std::fs::read_to_string(path).expect("the schema");
            let all: Value = serde_json::from_str(&text).expect("JSON");
            let pattern = all["types"]["ip_t"]["regex"].as_str().expect("a pattern");
            let addresses = regex::Regex::new(pattern).expect("a pattern");
            (name, Schema { all, addresses })
        };
        OcsfVersion::ALL.iter().map(|(name, _)| schema(name)).collect()
    });
    &read.iter().find(|(name, _)| *name == version).expect("a schema").1
}

/// Returns everything that is wrong with a document.
fn problems(document: &Value) -> Vec<String> {
    let Some(version) = document["metadata"]["version"].as_str() else {
        return vec!["no version".to_owned()];
    };
    let schema = schema(version);
    let classes = schema.all["classes"].as_object().expect("classes");
    let class = classes.values().find(|class| class["uid"] == document["class_uid"]);
    let mut found = Vec::new();
    match class {
        Some(class) => object(schema, class, document, "", &mut found),
        None => found.push("class_uid".to_owned()),
    }
    let number = |name: &str| document[name].as_i64().unwrap_or(-1);
    if number("type_uid") != number("class_uid") * 100 + number("activity_id") {
        found.push("type_uid is not made of class and activity".to_owned());
    }
    found
}

fn object(schema: &Schema, of: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let Some(fields) = value.as_object() else {
        return found.push(format!("{at}: no object"));
    };
    let attributes = of["attributes"].as_object().expect("attributes");
    for (name, attribute) in attributes {
        if attribute["requirement"] == "required" && !fields.contains_key(name) {
            found.push(format!("{at}.{name}: required"));
        }
    }
    let constraint = of["constraints"]["at_least_one"].as_array();
    let is_there = |names: &Vec<Value>| {
        names.iter().any(|name| value.get(name.as_str().expect("a name")).is_some())
    };
    if !constraint.is_none_or(is_there) {
        found.push(format!("{at}: none of {constraint:?}"));
    }
    for (name, field) in fields {
        let at = format!("{at}.{name}");
        let Some(attribute) = attributes.get(name) else {
            found.push(format!("{at}: no attribute"));
            continue;
        };
        if let Some(profile) = attribute["profile"].as_str()
            && !profiles(fields).any(|named| named == profile)
        {
            found.push(format!("{at}: only in the profile {profile}"));
        }
        let is_list = attribute["is_array"] == true;
        let items = match (is_list, field) {
            (true, Value::Array(items)) => items.iter().collect(),
            (true, _) => return found.push(format!("{at}: no list")),
            (false, field) => vec![field],
        };
        for item in items {
            typed(schema, attribute, item, &at, found);
        }
        caption(attribute, field, fields, &at, found);
    }
}

/// Names of the profiles that a document states.
fn profiles(document: &serde_json::Map<String, Value>) -> impl Iterator<Item = &str> {
    let named = document.get("metadata").and_then(|metadata| metadata["profiles"].as_array());
    named.into_iter().flatten().filter_map(Value::as_str)
}

/// Checks that a number belongs to its enumeration, and that the caption beside it matches.
fn caption(
    attribute: &Value,
    field: &Value,
    fields: &serde_json::Map<String, Value>,
    at: &str,
    found: &mut Vec<String>,
) {
    let Some(captions) = attribute["enum"].as_object() else { return };
    let number = field.as_str().map_or_else(|| field.to_string(), str::to_owned);
    let Some(caption) = captions.get(&number) else {
        return found.push(format!("{at}: {field} is not in the enumeration"));
    };
    let sibling = attribute["sibling"].as_str().and_then(|name| fields.get(name));
    // "Other" has the source's own word as caption, except for classes and types.
    let is_free = number == "99" && !at.ends_with("_uid");
    if sibling.is_some_and(|sibling| sibling != caption) && !is_free {
        found.push(format!("{at}: {number} is {caption}, not {sibling:?}"));
    }
}

fn typed(schema: &Schema, attribute: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let name = attribute["type"].as_str().expect("a type");
    if let Some(inner) = schema.all["objects"].get(name) {
        // The schema does not define the fields of `object`.
        if name != "object" {
            return object(schema, inner, value, at, found);
        }
        if !value.is_object() {
            found.push(format!("{at}: no object"));
        }
        return;
    }
    let kind = &schema.all["types"][name];
    let base = kind["type"].as_str().unwrap_or(name);
    let is_right = match base {
        "string_t" => value.as_str().is_some_and(|text| !text.is_empty()),
        "integer_t" => value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
        "long_t" => value.as_i64().is_some(),
        "boolean_t" => value.is_boolean(),
        "json_t" => true,
        other => panic!("no rule for {other}"),
    };
    if !is_right {
        found.push(format!("{at}: {value} is no {name}"));
    }
    let length = value.as_str().map_or(0, |text| text.chars().count()) as u64;
    let longest = kind["max_len"].as_u64().or(schema.all["types"][base]["max_len"].as_u64());
    if longest.is_some_and(|longest| length > longest) {
        found.push(format!("{at}: longer than {longest:?}"));
    }
    let is_address = |text: &str| schema.addresses.is_match(text);
    if name == "ip_t" && !value.as_str().is_some_and(is_address) {
        found.push(format!("{at}: {value} is no address"));
    } else if kind.get("regex").is_some() && name != "ip_t" {
        panic!("no rule for the pattern of {name}");
    }
}

pub(super) fn is_valid(document: &Value) {
    let problems = problems(document);
    assert!(problems.is_empty(), "{problems:#?}\n{document:#}");
}

fn document(version: OcsfVersion, raw: &[u8]) -> Value {
    let formatting = FormatConfig { ocsf_version: version, ..FormatConfig::of(Format::Ocsf) };
    serde_json::from_str(&line_with(&formatting, raw)).expect("JSON")
}

#[test]
fn every_fixture_is_valid_in_both_versions() {
    for (name, raw) in fixtures() {
        for (version, number) in OcsfVersion::ALL.map(|(name, version)| (version, name)) {
            let document = document(version, &raw);
            assert_eq!(document["metadata"]["version"], number, "{name}");
            is_valid(&document);
        }
    }
}

#[test]
fn the_comparison_can_fail() {
    let raw = changed("events/actors.json", |event| {
        event["source"] = serde_json::json!({ "ipAddress": "192.0.2.7" });
    });
    for (_, version) in OcsfVersion::ALL {
        let document = document(version, &raw);
        is_valid(&document);
        for (pointer, value, complaints) in [
            ("/class_uid", Value::from(1234), 2),
            ("/class_name", "api activity".into(), 1),
            ("/status", "FAILURE".into(), 1),
            ("/severity_id", 7.into(), 1),
            ("/severity_id", "1".into(), 1),
            ("/time", "2024-02-15T16:07:03.995Z".into(), 1),
            ("/metadata/product", serde_json::json!({ "lang": "en", "vendor_name": "x" }), 1),
            ("/metadata/uid", 7.into(), 1),
            ("/metadata/uid", "".into(), 1),
            ("/metadata/invented", 7.into(), 1),
            ("/src_endpoint", serde_json::json!({ "zone": "x" }), 1),
            ("/src_endpoint/ip", "nowhere".into(), 1),
            ("/observables", serde_json::json!({}), 1),
            ("/unmapped", "text".into(), 1),
            ("/message", "x".repeat(65_536).into(), usize::from(version == OcsfVersion::V1_3)),
        ] {
            let mut wrong = document.clone();
            let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
            wrong.pointer_mut(parent).expect("an object")[key] = value;
            assert_eq!(problems(&wrong).len(), complaints, "{pointer}: {:?}", problems(&wrong));
        }
        for required in ["time", "metadata", "severity_id", "type_uid", "class_uid"] {
            let mut wrong = document.clone();
            wrong.as_object_mut().expect("an object").remove(required);
            assert!(!problems(&wrong).is_empty(), "{required}");
        }
    }
}

#[test]
fn each_kind_of_event_has_its_class() {
    for (name, class, activity) in [
        ("events/start_interaction.json", 6003, 1),
        ("events/receive_request.json", 6003, 99),
        ("events/send_response.json", 6003, 99),
        ("events/send_error_response.json", 6003, 99),
        ("events/admin_flow_deployed.json", 3004, 10),
        ("events/pingone_user_updated.json", 3001, 99),
        ("events/event_delivery_test.json", 0, 99),
    ] {
        let document = document(OcsfVersion::default(), &changed(name, |_| {}));
        assert_eq!(document["class_uid"], class, "{name}");
        assert_eq!(document["activity_id"], activity, "{name}");
    }
    // A sign-on needs a known user: the class requires one.
    for (user, class) in [(Some("u-1"), 3002), (None, 6003)] {
        let raw = changed("events/custom_analytics.json", |event| {
            event["_embedded"]["flowInteractionEvent"]["outcomeType"] = "MFA push".into();
            if let Some(id) = user {
                event["actors"] = serde_json::json!({ "user": { "id": id } });
            } else {
                event.as_object_mut().expect("an object").remove("actors");
            }
        });
        let document = document(OcsfVersion::default(), &raw);
        assert_eq!(document["class_uid"], class);
        assert_eq!(document.get("is_mfa"), user.map(|_| &Value::Bool(true)));
    }
}

//! Compares documents with the published schema.

use serde_json::json;

use super::*;

/// Returns type and normalization of each field of the schema.
fn schema() -> BTreeMap<String, (String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/schemas/ecs-fields.csv");
    let text = std::fs::read_to_string(path).expect("the schema");
    let fields = text.lines().skip(1).map(|line| {
        let mut cells = line.split(',').map(str::to_owned);
        let mut cell = || cells.next().expect("a cell");
        (cell(), (cell(), cell()))
    });
    fields.collect()
}

/// Allowed types of each category (`expected_event_types` in the schema's `schemas/event.yml`).
const TYPES: [(&str, &[&str]); 5] = [
    (
        "api",
        &[
            "access", "admin", "allowed", "change", "creation", "deletion", "denied", "end",
            "info", "start", "user",
        ],
    ),
    ("authentication", &["start", "end", "info"]),
    ("configuration", &["access", "change", "creation", "deletion", "info"]),
    ("iam", &["admin", "change", "creation", "deletion", "group", "info", "user"]),
    ("session", &["start", "end", "info"]),
];

fn flatten(value: &Value, at: &str, found: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(fields) if !at.starts_with("ping_one") => {
            for (key, field) in fields {
                let name = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                flatten(field, &name, found);
            }
        }
        other => found.push((at.to_owned(), other.clone())),
    }
}

fn has_type(kind: &str, value: &Value) -> bool {
    let text = value.as_str();
    match kind {
        "keyword" | "match_only_text" | "wildcard" => text.is_some(),
        "date" => text.is_some_and(|text| DateTime::parse_from_rfc3339(text).is_ok()),
        "float" | "long" => value.is_number(),
        "ip" => text.is_some_and(|text| text.parse::<core::net::IpAddr>().is_ok()),
        other => panic!("no rule for {other}"),
    }
}

/// Returns the fields that are not in the schema with this type and not under `ping_one`.
pub(super) fn problems(document: &Value) -> Vec<String> {
    let schema = schema();
    let mut found = Vec::new();
    flatten(document, "", &mut found);
    let mut problems = Vec::new();
    for (name, value) in found {
        if name.starts_with("ping_one") {
            continue;
        }
        let Some((kind, normalization)) = schema.get(&name) else {
            problems.push(format!("{name} is no field"));
            continue;
        };
        let is_array = value.is_array();
        let values = value.as_array().cloned().unwrap_or_else(|| vec![value]);
        if is_array != (normalization == "array") || !values.iter().all(|v| has_type(kind, v)) {
            problems.push(format!("{name} is no {kind} {normalization}: {values:?}"));
        }
    }
    let text =
        |pointer: &str| document.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let words = |pointer: &str| {
        let list = document.pointer(pointer).and_then(Value::as_array).cloned();
        list.unwrap_or_default().into_iter().map(|word| word.as_str().unwrap_or("").to_owned())
    };
    let categories: Vec<String> = words("/event/category").collect();
    for category in &categories {
        let types = TYPES.iter().find(|(name, _)| name == category).map_or(&[][..], |(_, t)| *t);
        // A type that one category does not define belongs to another category.
        let known = |kind: &String| types.contains(&kind.as_str());
        if !words("/event/type").any(|kind| known(&kind)) {
            problems.push(format!("no event.type of {category}"));
        }
    }
    if categories.is_empty() {
        problems.push("no event.category".to_owned());
    }
    if !["success", "failure", "unknown"].contains(&text("/event/outcome")) {
        problems.push("event.outcome".to_owned());
    }
    problems
}

pub(super) fn is_valid(document: &Value) {
    let problems = problems(document);
    assert!(problems.is_empty(), "{problems:#?}\n{document:#}");
}

#[test]
fn every_fixture_is_a_valid_document() {
    for (_, raw) in fixtures() {
        is_valid(&serde_json::from_str(&line(Format::Ecs, &raw)).expect("JSON"));
    }
}

#[test]
fn the_comparison_can_fail() {
    let raw = changed("events/actors.json", |_| {});
    let document: Value = serde_json::from_str(&line(Format::Ecs, &raw)).expect("JSON");
    for (pointer, value) in [
        ("/event/outcome", Value::from("SUCCESS")),
        ("/event/type", serde_json::json!(["start"])),
        ("/event/category", Value::from("iam")),
        ("/event/created", Value::from("yesterday")),
        ("/user/name", Value::from(7)),
        ("/transaction", serde_json::json!({ "identifier": "x" })),
    ] {
        let mut wrong = document.clone();
        *wrong.pointer_mut(pointer).expect("a field") = value;
        assert_eq!(
            problems(&wrong).len(),
            1 + usize::from(pointer == "/event/category"),
            "{pointer}"
        );
    }
}

#[test]
fn an_unknown_field_of_one_resource_stays_and_the_rest_are_filled() {
    let nickname = json!({ "id": "p" });
    let user = json!({ "type": "USER", "id": "u", "name": "n", "environment": { "id": "e" } });
    let mut odd = user.clone();
    odd["nickname"] = nickname.clone();
    let group = json!({ "type": "GROUP", "id": "g", "environment": { "id": "e", "x": 1 } });
    let rest = json!({ "environment": { "x": 1 } });
    let plain = json!({ "type": "GROUP", "id": "g", "environment": { "id": "e" } });
    for (resources, filled, extra) in [
        (json!([odd]), json!([user]), json!([{ "nickname": nickname }])),
        (odd.clone(), json!([user]), json!({ "nickname": nickname })),
        (
            json!([user, odd, group, 7]),
            json!([user, user, plain, {}]),
            json!([null, { "nickname": nickname }, rest, 7]),
        ),
        (json!([user, { "id": 7 }]), json!([user, {}]), json!([null, { "id": 7 }])),
        (json!([7, { "x": 1 }]), Value::Null, json!([7, { "x": 1 }])),
    ] {
        let raw = json!({
            "id": "1", "recordedAt": "2026-01-01T00:00:00Z", "action": { "type": "USER.UPDATED" },
            "resources": resources,
        })
        .to_string();
        let document: Value =
            serde_json::from_str(&line(Format::Ecs, raw.as_bytes())).expect("JSON");
        assert_eq!(document["ping_one"]["audit"]["resources"], filled, "{resources}");
        let found = &document["ping_one"]["davinci"]["extra"]["resources"];
        assert_eq!(*found, extra, "{resources}");
    }
}

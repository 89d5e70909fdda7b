//! Documents compared with the published schema.

use super::*;

/// Type and normalization of each field of the schema.
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

fn flatten(value: &Value, at: &str, found: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(members) if !at.starts_with("ping_one") => {
            for (key, member) in members {
                let name = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                flatten(member, &name, found);
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
        "ip" => text.is_some_and(|text| text.parse::<core::net::IpAddr>().is_ok()),
        other => panic!("no rule for {other}"),
    }
}

/// Every field is in the schema with this type, or stands under `ping_one`.
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
    let allowed =
        [("iam", "info"), ("api", "info"), ("authentication", "info"), ("session", "start")];
    let pair = (text("/event/category/0"), text("/event/type/0"));
    if !allowed.contains(&pair) {
        problems.push(format!("{pair:?} is no pair of the schema"));
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

/// Every leaf is some value of the document, or stands in the extension where it stood.
pub(super) fn nothing_is_lost(raw: &[u8], document: &Value) {
    let event: Value = serde_json::from_slice(raw).expect("JSON");
    let mut found = BTreeMap::new();
    leaves(&event, "", &mut found);
    let mut shown = BTreeMap::new();
    leaves(document, "", &mut shown);
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let shown: Vec<String> = shown.values().map(text).collect();
    for (pointer, leaf) in found {
        let extra = document.pointer("/ping_one/davinci/extra");
        let stays = extra.and_then(|extra| extra.pointer(&pointer)) == Some(&leaf);
        assert!(stays || shown.contains(&text(&leaf)), "{pointer} is lost: {leaf}\n{document:#}");
    }
}

#[test]
fn every_fixture_is_a_valid_document() {
    for folder in ["events", "contradictions"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(folder);
        for entry in folder.read_dir().expect("a folder") {
            let raw = std::fs::read(entry.expect("an entry").path()).expect("a fixture");
            is_valid(&serde_json::from_str(&line(Format::Ecs, &raw)).expect("JSON"));
        }
    }
}

#[test]
fn the_comparison_can_fail() {
    let raw = changed("events/actors.json", |_| {});
    let document: Value = serde_json::from_str(&line(Format::Ecs, &raw)).expect("JSON");
    for (pointer, value) in [
        ("/event/outcome", Value::from("SUCCESS")),
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

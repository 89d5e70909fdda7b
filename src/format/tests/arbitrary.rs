//! Generators of arbitrary texts, values and events.

use super::*;
use crate::event::registry;

/// Generates text with every character that is special in one of the formats.
pub(super) fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        proptest::collection::vec(
            prop_oneof![
                Just('\\'),
                Just('='),
                Just('|'),
                Just('\t'),
                Just('\r'),
                Just('\n'),
                Just('n'),
                Just(' '),
                Just('\u{7f}'),
                Just('\u{85}'),
                Just('\u{1f600}'),
                Just('"'),
                Just(']'),
            ],
            0..12
        )
        .prop_map(|chars| chars.into_iter().collect()),
    ]
}

pub(super) fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        text().prop_map(Into::into),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            proptest::collection::btree_map(text(), inner, 0..4)
                .prop_map(|fields| fields.into_iter().collect()),
        ]
    })
}

/// Generates events of every family of PingOne: listed types and made-up ones, with users, resources
/// and embedded objects of arbitrary content.
pub(super) fn pingone() -> impl Strategy<Value = String> {
    // The five run-time types and the summary of a run have required fields of their own.
    let has_own = ["DAVINCI_INTERACTION.", "DAVINCI_SIEM."];
    let is_pingone = |name: &&str| !has_own.iter().any(|start| name.starts_with(start));
    let listed: Vec<&str> = registry::listed().map(|(name, _)| name).filter(is_pingone).collect();
    let kind = prop_oneof![
        4 => prop::sample::select(listed).prop_map(str::to_owned),
        1 => "[A-Z]{1,9}(_[A-Z]{1,9})?\\.(CREATED|READ|LOCKED|CHECK_FAILED|[A-Z_]{1,12})",
    ];
    let resource = (
        prop::sample::select(vec!["USER", "GROUP", "MEMBER_OF_GROUP", "FLOW", "DEVICE", "user"]),
        prop::option::of(text()),
        prop::option::of(text()),
        prop::collection::btree_map(
            prop::sample::select(vec!["href", "population", "environment", "other"]),
            prop_oneof![Just(serde_json::json!({ "id": "e" })), json()],
            0..3,
        ),
    );
    let resource = resource.prop_map(|(kind, id, name, rest)| {
        let mut resource = serde_json::json!({ "type": kind });
        let texts = [("id", id), ("name", name)];
        for (key, text) in texts.into_iter().filter_map(|(key, text)| Some((key, text?))) {
            resource[key] = text.into();
        }
        rest.into_iter().for_each(|(key, value)| resource[key] = value);
        resource
    });
    let actors = prop_oneof![
        Just(Value::Null),
        (text(), text()).prop_map(|(user, client)| serde_json::json!({
            "user": { "id": user, "name": client, "type": "USER" },
            "client": { "id": client, "name": "Portal", "type": "CLIENT" },
        })),
        text().prop_map(|name| serde_json::json!([{ "type": "USER", "name": name }])),
        json(),
    ];
    let link = Just("https://api.pingone.eu/v1/environments/e/users/u1/devices/d".to_owned());
    let address =
        prop::sample::select(vec!["203.0.113.9:51234", "::ffff:192.0.2.1", "unknown", ""]);
    let resources = prop::collection::vec(resource, 0..4);
    (kind, resources, actors, prop_oneof![link, text()], address, json(), text()).prop_map(
        |(kind, mut resources, actors, link, address, embedded, description)| {
            if let Some(resource) = resources.first_mut() {
                resource["href"] = link.into();
            }
            let score = description.len();
            let mut event = serde_json::json!({
                "id": "1", "recordedAt": "2026-01-01T00:00:00Z", "action": { "type": kind },
                "resources": resources, "source": { "ipAddress": address },
                "result": { "status": "SUCCESS", "description": description },
                "_embedded": {
                    "other": embedded, "empty": {},
                    "riskEvaluation": { "id": "r", "result": { "level": "HIGH", "score": score } },
                },
            });
            if !actors.is_null() {
                event["actors"] = actors;
            }
            event.to_string()
        },
    )
}

/// Generates a fixture with some fields removed and others of another type.
pub(super) fn damaged() -> impl Strategy<Value = String> {
    let change = (any::<prop::sample::Index>(), prop::option::of(json()));
    (any::<prop::sample::Index>(), proptest::collection::vec(change, 0..12)).prop_map(
        |(fixture, changes)| {
            let fixtures = fixtures();
            let (_, raw) = fixture.get(&fixtures);
            let mut event: Value = serde_json::from_slice(raw).expect("JSON");
            for (place, replacement) in changes {
                change_at(&mut event, place, replacement);
            }
            event.to_string()
        },
    )
}

/// Replaces or removes one field at any depth. The change is undone if the result is not an event.
fn change_at(event: &mut Value, place: prop::sample::Index, replacement: Option<Value>) {
    let mut fields = Vec::new();
    each_field(event, "", &mut fields);
    let pointer = place.get(&fields);
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
    let mut changed = event.clone();
    match (changed.pointer_mut(parent).expect("the parent"), replacement) {
        (Value::Object(object), Some(value)) => drop(object.insert(key.to_owned(), value)),
        (Value::Object(object), None) => drop(object.remove(key)),
        _ => return,
    }
    if decode::event(changed.to_string().as_bytes()).is_ok() {
        *event = changed;
    }
}

fn each_field(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (key, field) in object.iter().filter(|(key, _)| !key.contains(['~', '/'])) {
                let pointer = format!("{at}/{key}");
                each_field(field, &pointer, found);
                found.push(pointer);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                each_field(item, &format!("{at}/{index}"), found);
            }
        }
        _ => {}
    }
}

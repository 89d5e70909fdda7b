//! Generators of arbitrary texts, values and events.

use super::*;

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

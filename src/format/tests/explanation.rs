//! Checks that each event field is in the format field that `explain` names.

use super::*;

/// Returns the fields of a line, by name.
fn fields(format: Format, line: &str) -> BTreeMap<String, Value> {
    let text = |(key, value): (String, String)| (key, Value::from(value));
    match format {
        Format::Cef => {
            let (head, pairs) = decode_cef(line);
            let class_id = ("Device Event Class ID".to_owned(), head[4].clone());
            pairs.into_iter().chain([class_id]).map(text).collect()
        }
        Format::Leef => {
            let (head, pairs) = decode_leef(line);
            pairs.into_iter().chain([("EventID".to_owned(), head[4].clone())]).map(text).collect()
        }
        _ => BTreeMap::new(),
    }
}

/// Returns the value of a field, named as in the tables.
fn field(format: Format, line: &str, name: &str) -> Option<Value> {
    if matches!(format, Format::Cef | Format::Leef) {
        return fields(format, line).remove(name);
    }
    let document: Value = serde_json::from_str(line).expect("JSON");
    let pointer = format!("/{}", name.replace("[]", ".0").replace('.', "/"));
    // Flow ids are names of fields here, whatever characters they contain.
    document.pointer(&pointer).cloned()
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

pub(super) fn is_true_in_every_format(raw: &[u8]) {
    let event = decode::event(raw).expect("an event").event;
    let received = Received { event: &event, raw, received_at: 0, source: "pingone" };
    let value: Value = serde_json::from_slice(raw).expect("JSON");
    let mut members = BTreeMap::new();
    leaves(&value, "", &mut members);
    for (_, format) in Format::ALL.into_iter().filter(|(_, format)| *format != Format::Native) {
        let formatting = FormatConfig::of(format);
        let explanation = explain(&formatting, received);
        assert_eq!(explanation.line, render(&formatting, received));
        let line = String::from_utf8(explanation.line.bytes).expect("UTF-8");
        let extension = match format {
            Format::Ecs => "ping_one.davinci.extra",
            Format::Ocsf => "unmapped",
            _ => "davinciExtra",
        };
        for (member, leaf) in members.iter().filter(|(member, leaf)| !is_nothing(member, leaf)) {
            let mut told = explanation.mapped.iter().filter(|taken| {
                taken.pointer == *member || member.starts_with(&format!("{}/", taken.pointer))
            });
            let holds = |taken: &MappedField| {
                assert!(!taken.pointer.is_empty());
                let Some(value) = field(format, &line, taken.field) else {
                    panic!(
                        "{format:?}: {member} is said to be in {}, which is not there",
                        taken.field
                    )
                };
                if taken.field == extension {
                    let kept: Value = match &value {
                        Value::String(text) => serde_json::from_str(text).expect("JSON"),
                        kept => kept.clone(),
                    };
                    return stays(member, leaf, Some(&kept));
                }
                let below = member.strip_prefix(&taken.pointer).unwrap_or_default();
                // A single resource is shown as an array, too.
                let places = [below.to_owned(), format!("/0{below}")];
                let is = |value: &Value| text(value) == text(leaf);
                let is_user = taken.field.ends_with("user.type_id") && *leaf == "USER";
                is_user || places.iter().any(|place| value.pointer(place).is_some_and(is))
            };
            assert!(told.any(holds), "{format:?}: {member} is nowhere: {leaf}\n{line}");
        }
    }
}

#[test]
fn every_fixture_is_explained() {
    for (_, raw) in fixtures() {
        is_true_in_every_format(&raw);
    }
}

#[test]
fn nothing_is_told_of_what_is_not_there() {
    for address in ["nowhere", "192.0.2.7", "2001:db8::1", "2001:DB8::1, 192.0.2.7"] {
        let raw = changed("events/send_response.json", |event| {
            event["source"] = serde_json::json!({ "ipAddress": address });
            event["_embedded"]["flowInteractionEvent"]["packetTimestamp"] = 1.into();
        });
        is_true_in_every_format(&raw);
    }
}

#[test]
fn a_long_list_is_told_as_one() {
    let raw = changed("events/send_response.json", |event| {
        event["more"] = Value::Array(vec![1.into(); 100_000]);
    });
    let event = decode::event(&raw).expect("an event").event;
    let received = Received { event: &event, raw: &raw, received_at: 0, source: "pingone" };
    let explanation = explain(&FormatConfig::of(Format::Ecs), received);
    assert!(explanation.mapped.len() < 100);
    assert!(explanation.mapped.iter().any(|taken| taken.path() == "more"));
}

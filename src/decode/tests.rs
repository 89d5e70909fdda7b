//! Typing, by tables and by the fixtures' snapshots; whole bodies are in [`bodies`].

mod bodies;

use std::path::{Path, PathBuf};

use super::*;
use crate::event::{FindingKind, FlowVersion, Interaction, Outcome};

fn fixtures(directory: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(directory);
    let mut files: Vec<_> = directory
        .read_dir()
        .expect("a directory")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
    files.sort();
    files
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).expect("a fixture")
}

fn documented(name: &str) -> Vec<u8> {
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/events/{name}.json")))
}

fn interaction(raw: &[u8]) -> crate::event::InteractionEvent<'_> {
    match event(raw).expect("an event").event {
        Event::Interaction(interaction) => *interaction,
        other => panic!("not an interaction: {other:?}"),
    }
}

#[test]
fn every_fixture_is_decoded_like_its_snapshot() {
    for directory in ["events", "contradictions", "pingone"] {
        for path in fixtures(directory) {
            let raw = read(&path);
            let elements = body(&raw, false).expect("a body");
            let [element] = elements.as_slice() else { panic!("{} elements", elements.len()) };
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            assert_eq!(element.raw, raw.trim_ascii(), "{name}: the bytes are the original ones");
            insta::assert_debug_snapshot!(name, element.verdict.as_ref().expect("an event"));
        }
    }
}

#[test]
fn the_documented_batch_is_its_five_events() {
    let batch = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/documented_batch.json"));
    let kinds: Vec<String> = body(&batch, true)
        .expect("a body")
        .iter()
        .map(|element| {
            element.verdict.as_ref().expect("an event").event.envelope().action.kind.to_string()
        })
        .collect();
    assert_eq!(
        kinds,
        [
            "DAVINCI_INTERACTION.CUSTOM_ANALYTICS",
            "DAVINCI_INTERACTION.START_INTERACTION",
            "DAVINCI_INTERACTION.RECEIVE_REQUEST",
            "DAVINCI_INTERACTION.SEND_RESPONSE",
            "DAVINCI_INTERACTION.SEND_ERROR_RESPONSE",
        ]
    );
}

#[test]
fn the_documents_own_contradictions_are_no_findings() {
    for path in fixtures("contradictions").iter().chain(&fixtures("events")) {
        let findings = event(&read(path)).expect("an event").findings;
        // One fixture holds what related logs of DaVinci send as strings.
        let expected = if path.ends_with("subflow.json") { 2 } else { 0 };
        assert_eq!(findings.len(), expected, "{}: {findings:?}", path.display());
    }
}

#[test]
fn outcome_comes_from_the_type_first_and_the_status_last() {
    let error = documented("send_error_response");
    assert_eq!(event(&error).expect("an event").event.outcome(), Outcome::Failure);
    let analytics = String::from_utf8(documented("custom_analytics")).expect("UTF-8");
    for (status, outcome) in [
        ("success", Outcome::Success),
        ("Approved", Outcome::Success),
        ("denied", Outcome::Failure),
        ("fraud", Outcome::Failure),
        ("half-way", Outcome::Unknown),
    ] {
        let raw = analytics.replace(
            "\"outcomeStatus\" : \"success\"",
            &format!("\"outcomeStatus\" : \"{status}\""),
        );
        assert_eq!(event(raw.as_bytes()).expect("an event").event.outcome(), outcome, "{status}");
    }
    let response = String::from_utf8(documented("send_response")).expect("UTF-8");
    let failed = response.replace("\"success\" : true", "\"success\" : false");
    assert_eq!(event(failed.as_bytes()).expect("an event").event.outcome(), Outcome::Failure);
    for (status, outcome) in [
        ("SUCCESS", Outcome::Success),
        ("succeeded", Outcome::Success),
        ("FAILED", Outcome::Failure),
        ("FAILURE", Outcome::Failure),
        ("ODD", Outcome::Unknown),
    ] {
        let raw = format!(
            r#"{{"id":"a","recordedAt":"2024-01-01T00:00:00Z","action":{{"type":"USER.LOCKED"}},"result":{{"status":"{status}"}}}}"#
        );
        assert_eq!(event(raw.as_bytes()).expect("an event").event.outcome(), outcome, "{status}");
    }
}

#[test]
fn a_type_without_a_row_is_a_finding_and_never_a_refusal() {
    for (kind, expected) in [
        ("USER.LOCKED", None),
        ("user.locked", None),
        ("EVENT_DELIVERY_TEST", None),
        ("DAVINCI.FLOW.CREATED", None),
        ("DAVINCI.FLOW.PAINTED", Some(FindingKind::UnlistedType)),
        ("USER.PAINTED", Some(FindingKind::UnlistedType)),
        ("X", Some(FindingKind::UnlistedType)),
        ("DAVINCI_INTERACTION.PAINTED", Some(FindingKind::UnknownType)),
    ] {
        let raw = format!(
            r#"{{"id":"a","recordedAt":"2024-01-01T00:00:00Z","action":{{"type":"{kind}"}}}}"#
        );
        let findings = event(raw.as_bytes()).expect("an event").findings;
        let found: Vec<_> = findings.iter().map(|found| (found.kind, &*found.path)).collect();
        let expected: Vec<_> = expected.into_iter().map(|kind| (kind, "$.action.type")).collect();
        assert_eq!(found, expected, "{kind}");
        let is_refused = body(raw.as_bytes(), true).expect("a body")[0].verdict.is_err();
        assert_eq!(is_refused, kind == "DAVINCI_INTERACTION.PAINTED", "strict, {kind}");
    }
}

#[test]
fn aliases_and_other_types_are_read() {
    let raw = String::from_utf8(documented("custom_analytics")).expect("UTF-8");
    for (from, to) in [
        ("\"flowId\"", "\"flowID\""),
        ("\"nodeId\"", "\"nodeID\""),
        ("\"nodeId\"", "\"ID\""),
        ("\"nodeId\"", "\"id\""),
        ("\"success\"", "\"succcess\""),
        ("\"success\" : true", "\"success\" : \"TRUE\""),
        ("\"flowVersionId\" : 4", "\"flowVersionId\" : \"4\""),
    ] {
        let changed = raw.replace(from, to);
        assert_ne!(changed, raw);
        let event = interaction(changed.as_bytes());
        assert_eq!(event.flow.flow_id.as_deref(), Some("79f303c7f2cfae6c5ce221dc013c80c5"), "{to}");
        assert_eq!(event.interaction.node().id.as_deref(), Some("ezmu5wo88g"), "{to}");
        assert_eq!(event.interaction.node().success, Some(true), "{to}");
        assert_eq!(event.flow.version, FlowVersion::Known(4), "{to}");
    }
    assert_eq!(interaction(&documented("start_interaction")).flow.version, FlowVersion::Unknown);
    let analytics = interaction(raw.as_bytes());
    assert!(matches!(analytics.interaction, Interaction::CustomAnalytics(_)));
    assert_eq!(analytics.flow.reported.kind.as_deref(), Some("enrollment"));
}

#[test]
fn times_have_nought_to_nine_fraction_digits_and_any_offset() {
    for (text, nanos) in [
        ("2024-02-15T16:07:03Z", 0),
        ("2024-02-15T16:07:03.9Z", 900_000_000),
        ("2024-02-15T16:07:03.995Z", 995_000_000),
        ("2024-02-15T16:07:03.507594727Z", 507_594_727),
        ("2024-02-15T18:07:03.995+02:00", 995_000_000),
        ("2024-02-15T16:07:03.995", 995_000_000),
    ] {
        let raw = format!(r#"{{"id":"a","recordedAt":"{text}","action":{{"type":"X"}}}}"#);
        let typed = event(raw.as_bytes()).expect(text);
        let recorded_at = typed.event.envelope().recorded_at;
        assert_eq!(
            (recorded_at.timestamp(), recorded_at.timestamp_subsec_nanos()),
            (1_708_013_223, nanos),
            "{text}"
        );
        assert_eq!(typed.event.envelope().recorded_at_text, text);
        let no_offset = typed.findings.iter().any(|finding| finding.kind == FindingKind::NoOffset);
        assert_eq!(no_offset, text.ends_with("03.995"), "{text}");
    }
}

#[test]
fn an_event_is_the_same_on_a_complete_tape() {
    let mut events: Vec<Vec<u8>> = ["events", "contradictions", "pingone"]
        .into_iter()
        .flat_map(fixtures)
        .map(|path| read(&path))
        .collect();
    // More fields than a limited tape has room for, before and after the fields that are read.
    let raw = String::from_utf8(documented("start_interaction")).expect("UTF-8");
    for count in [100, 3000, 3600, 5000] {
        let fields: Vec<String> =
            (0..count).map(|index| format!("\"f{index}\":[{{\"a\":1}}]")).collect();
        let many = format!("\"extra\":{{{}}},", fields.join(","));
        for place in ["\"capabilityName\"", "\"flowId\"", "\"_embedded\"", "\"action\""] {
            events.push(raw.replacen(place, &format!("{many}{place}"), 1).into_bytes());
        }
    }
    for raw in &events {
        assert_eq!(event_on(raw, &mut Tape::complete()), event(raw));
    }
}

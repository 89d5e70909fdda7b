//! Identity of events for the spool and for targets.

use proptest::prelude::*;

use crate::decode;
use crate::spool::DedupKey;

fn keys(source: &str, id: &str, time: &str, environment: &str) -> (String, DedupKey) {
    let raw = format!(
        r#"{{"id":{id},"recordedAt":"{time}","action":{{"type":"X"}},
            "resources":[{{"environment":{{"id":{environment}}}}}]}}"#
    );
    let event = decode::event(raw.as_bytes()).expect("an event").event;
    let envelope = event.envelope();
    let at = envelope.recorded_at;
    let instant = (at.timestamp(), at.timestamp_subsec_nanos());
    (event.uid(source), DedupKey::of_id(source, envelope.id_bytes(), instant))
}

proptest! {
    /// Checks that uid and deduplication key never disagree.
    #[test]
    fn two_events_have_one_uid_where_they_have_one_key(
        sources in ("[ab]{1,2}", "[ab]{1,2}"),
        ids in (id(), id()),
        times in (time(), time()),
        environments in ("[e\u{0}]{0,2}", "[e\u{0}]{0,2}"),
    ) {
        let text = |text: &str| serde_json::to_string(text).expect("JSON");
        let one = keys(&sources.0, &ids.0, &times.0, &text(&environments.0));
        let two = keys(&sources.1, &ids.1, &times.1, &text(&environments.1));
        prop_assert_eq!(one.0 == two.0, one.1 == two.1, "{:?}", (ids, times));
    }
}

fn id() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("x"),
        Just("\\u0078"),
        Just("\\u0000"),
        Just("\\ud800"),
        Just("\\udfff"),
        Just("\\ufffd"),
    ];
    proptest::collection::vec(part, 1..3).prop_map(|parts| format!("\"{}\"", parts.concat()))
}

fn time() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("2026-01-01T00:00:00Z".to_owned()),
        Just("2026-01-01T00:00:00.000Z".to_owned()),
        Just("2026-01-01T01:00:00+01:00".to_owned()),
        Just("2026-01-01T00:00:00.000000001Z".to_owned()),
    ]
}

#[test]
fn halves_of_surrogate_pairs_keep_ids_apart() {
    let uid = |id: &str| keys("a", id, "2026-01-01T00:00:00Z", "\"e\"");
    let (one, two) = (uid("\"\\ud800\""), uid("\"\\ud801\""));
    assert_ne!(one.0, two.0);
    assert_ne!(one.1, two.1);
    assert_eq!(uid("\"x\"").1, DedupKey::new("a", "x", (1_767_225_600, 0)), "as it was");
}

//! Bodies of every shape and of none, by tables, and by properties over arbitrary bytes.

use proptest::prelude::*;

use super::*;

/// Returns `index path verdict` for each element of a body.
fn verdicts(body: &[u8]) -> Vec<String> {
    match super::body(body, false) {
        Err(refusal) => vec![format!("body: {} {}", refusal.reason.as_str(), refusal.path)],
        Ok(elements) => elements
            .iter()
            .map(|element| match &element.verdict {
                Ok(typed) => {
                    format!("{} {} {}", element.index, element.path, typed.event.envelope().id)
                }
                Err(refusal) => {
                    format!("{} {} {}", element.index, refusal.path, refusal.reason.as_str())
                }
            })
            .collect(),
    }
}

const EVENT: &str = r#"{"id":"ID","recordedAt":"2024-01-01T00:00:00Z","action":{"type":"X"}}"#;

fn event_text(id: &str) -> String {
    EVENT.replace("ID", id)
}

#[test]
fn every_body_shape_is_read() {
    let (a, b) = (event_text("a"), event_text("b"));
    let pretty = serde_json::to_string_pretty(
        &serde_json::from_str::<serde_json::Value>(&format!("[{a},{b}]")).expect("JSON"),
    )
    .expect("JSON");
    for (body, expected) in [
        (format!("[{a},{b}]"), vec!["0 $[0] a", "1 $[1] b"]),
        (pretty, vec!["0 $[0] a", "1 $[1] b"]),
        (format!("\u{feff} [{a}]\n"), vec!["0 $[0] a"]),
        (a.clone(), vec!["0 $ a"]),
        (format!("{a}\n{b}\n"), vec!["0 $ a", "1 $ b"]),
        (format!("{a}{b}"), vec!["0 $ a", "1 $ b"]),
        (format!("{a}\r\n\r\n{b}"), vec!["0 $ a", "1 $ b"]),
        (format!("[{a}][{b}]"), vec!["0 $[0] a", "1 $[0] b"]),
        (
            format!(r#"{{"_embedded":{{"activities":[{a},{b}]}},"size":2}}"#),
            vec!["0 $._embedded.activities[0] a", "1 $._embedded.activities[1] b"],
        ),
        (
            format!(r#"[{{"time":1,"event":{a}}},{{"event":{b},"host":"h"}}]"#),
            vec!["0 $[0].event a", "1 $[1].event b"],
        ),
        (
            format!(r#"[{{"common":{{}},"logs":[{a},{b}]}}]"#),
            vec!["0 $[0].logs[0] a", "1 $[0].logs[1] b"],
        ),
        ("[]".to_owned(), vec![]),
        (" [ ] ".to_owned(), vec![]),
        (r#"{"logs":[]}"#.to_owned(), vec![]),
    ] {
        assert_eq!(verdicts(body.as_bytes()), expected, "{body}");
    }
}

#[test]
fn an_unknown_wrapper_stays_one_element() {
    let (a, b) = (event_text("a"), event_text("b"));
    for body in [
        format!(r#"[{{"logs":[],"event":{a}}}]"#),
        format!(r#"[{{"event":{a},"event":{b}}}]"#),
        format!(r#"[{{"logs":[{a}],"logs":[{b}]}}]"#),
        format!(r#"[{{"_embedded":{{"activities":[{a}],"activities":[]}}}}]"#),
        r#"[{"id":"x","recordedAt":"2024-01-01T00:00:00Z","logs":[]}]"#.to_owned(),
        r#"[{"event":"text"}]"#.to_owned(),
    ] {
        let found = verdicts(body.as_bytes());
        assert_eq!(found.len(), 1, "{body}");
        assert!(found[0].ends_with("missing_field"), "kept whole, in quarantine: {found:?}");
    }
}

#[test]
fn a_bad_element_never_touches_its_neighbours() {
    let (a, b) = (event_text("a"), event_text("b"));
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    let deep_field = EVENT.replace("\"X\"}", &format!("\"X\"}},\"more\":{deep}"));
    for (bad, verdict) in [
        ("null".to_owned(), "1 $[1] not_an_object"),
        ("17".to_owned(), "1 $[1] not_an_object"),
        ("\"text, with ] and }\"".to_owned(), "1 $[1] not_an_object"),
        ("[1,[2]]".to_owned(), "1 $[1] not_an_object"),
        ("{}".to_owned(), "1 $[1].id missing_field"),
        ("{\"id\":tru}".to_owned(), "1 $[1] syntax"),
        ("{\"id\" \"x\"}".to_owned(), "1 $[1] syntax"),
        ("xyz".to_owned(), "1 $[1] syntax"),
        ("{\"a\":\"he said \"hi\" there\"}".to_owned(), "1 $[1] syntax"),
        ("{\"a\":\"\u{1}\"}".to_owned(), "1 $[1] syntax"),
        (event_text("c").replace("\"id\"", "\"ids\""), "1 $[1].id missing_field"),
        (EVENT.replace("\"ID\"", "5"), "1 $[1].id wrong_type"),
        (EVENT.replace("ID", ""), "1 $[1].id wrong_type"),
        (EVENT.replace("\"ID\"", "null"), "1 $[1].id missing_field"),
        (EVENT.replace("2024", "year"), "1 $[1].recordedAt bad_timestamp"),
        (EVENT.replace("recordedAt", "recorded"), "1 $[1].recordedAt missing_field"),
        (EVENT.replace("{\"type\":\"X\"}", "\"X\""), "1 $[1].action wrong_type"),
        (EVENT.replace("type", "kind"), "1 $[1].action.type missing_field"),
        (EVENT.replace("\"X\"", "[]"), "1 $[1].action.type wrong_type"),
        (
            EVENT.replace("\"X\"", "\"DAVINCI_INTERACTION.SEND_RESPONSE\""),
            "1 $[1]._embedded missing_field",
        ),
        (deep_field, "1 $[1] too_deep"),
    ] {
        let body = format!("[{a},{bad},{b}]");
        assert_eq!(verdicts(body.as_bytes()), ["0 $[0] a", verdict, "2 $[2] b"], "{body}");
    }
}

#[test]
fn the_flow_event_is_required_for_the_five_types_only() {
    let with = |kind: &str, embedded: &str| {
        EVENT.replace(
            "\"X\"}",
            &format!("\"DAVINCI_INTERACTION.{kind}\"}},\"_embedded\":{embedded}"),
        )
    };
    for (embedded, verdict) in [
        ("[]", "0 $._embedded wrong_type"),
        ("{}", "0 $._embedded.flowInteractionEvent missing_field"),
        ("{\"flowInteractionEvent\":7}", "0 $._embedded.flowInteractionEvent wrong_type"),
        (
            "{\"flowInteractionEvent\":{}}",
            "0 $._embedded.flowInteractionEvent.interactionId missing_field",
        ),
        (
            "{\"flowInteractionEvent\":{\"interactionId\":1}}",
            "0 $._embedded.flowInteractionEvent.interactionId wrong_type",
        ),
        ("{\"flowInteractionEvent\":{\"interactionId\":\"i\"}}", "0 $ ID"),
    ] {
        assert_eq!(
            verdicts(with("START_INTERACTION", embedded).as_bytes()),
            [verdict],
            "{embedded}"
        );
    }
    let unknown = with("PAUSE_INTERACTION", "{}");
    let typed = event(unknown.as_bytes()).expect("an event");
    assert!(matches!(typed.event, Event::Other(_)));
    assert_eq!(typed.findings[0].kind, FindingKind::UnknownType);
}

#[test]
fn a_body_that_ends_early_keeps_what_was_whole() {
    let (a, b) = (event_text("a"), event_text("b"));
    assert_eq!(verdicts(format!("[{a},{}", &b[..30]).as_bytes()), ["0 $[0] a", "1 $[1] syntax"]);
    assert_eq!(verdicts(format!("[{a},{b}").as_bytes()), ["0 $[0] a", "1 $[1] b"]);
    assert_eq!(verdicts(format!("[{a}] trailing").as_bytes()), ["0 $[0] a", "1 $ syntax"]);
    assert_eq!(verdicts(format!("{}\n{b}\n", &a[..30]).as_bytes()), ["0 $ syntax", "1 $ b"]);
    assert_eq!(
        verdicts(format!("{a}\nnot json\n{b}").as_bytes()),
        ["0 $ a", "1 $ syntax", "2 $ b"]
    );
}

#[test]
fn a_body_without_one_json_value_is_unparseable() {
    for (body, verdict) in [
        (&b""[..], "body: empty_body $"),
        (b" \r\n\t", "body: empty_body $"),
        (b"\xef\xbb\xbf", "body: empty_body $"),
        (b"<html>502</html>", "body: syntax $"),
        (b"hello\nworld", "body: syntax $"),
        (b"[{\"id\":", "body: syntax $[0]"),
        (b"\x1f\x8b\x08\x00\xff\xff", "body: invalid_utf8 $"),
        (b"\0\0\0\0", "body: syntax $"),
    ] {
        assert_eq!(verdicts(body), [verdict], "{}", String::from_utf8_lossy(body));
    }
    for count in [MAX_ELEMENTS, MAX_REFUSED] {
        let many = format!("[{}1]", "1,".repeat(count));
        assert_eq!(verdicts(many.as_bytes()), ["body: too_many_elements $"]);
    }
    let fewer = format!("[{}1]", "1,".repeat(MAX_REFUSED - 1));
    assert_eq!(verdicts(fewer.as_bytes()).len(), MAX_REFUSED);
}

#[test]
fn odd_but_valid_json_is_accepted_with_its_bytes() {
    let huge = "9".repeat(10_000);
    let long = "x".repeat(10_000_000);
    for (field, finding) in [
        (format!("\"result\":{{\"status\":{huge}}}"), Some(FindingKind::CoercedType)),
        ("\"result\":{\"status\":1e999}".to_owned(), Some(FindingKind::CoercedType)),
        ("\"result\":{\"status\":\"\\ud83d\"}".to_owned(), Some(FindingKind::LoneSurrogate)),
        ("\"result\":{\"status\":\"\\u0000\"}".to_owned(), None),
        (
            "\"result\":{\"status\":\"A\"},\"result\":{\"status\":\"B\"}".to_owned(),
            Some(FindingKind::DuplicateField),
        ),
        ("\"result\":7".to_owned(), Some(FindingKind::WrongType)),
        ("\"resources\":[7]".to_owned(), Some(FindingKind::WrongType)),
        (format!("\"result\":{{\"description\":\"{long}\"}}"), None),
        ("\"brandNew\":{\"a\":[]}".to_owned(), Some(FindingKind::UnknownField)),
    ] {
        let raw = EVENT.replace("\"X\"}", &format!("\"X\"}},{field}"));
        let elements = body(raw.as_bytes(), false).expect("a body");
        assert_eq!(elements[0].raw, raw.as_bytes());
        let typed = elements[0].verdict.as_ref().expect("an event");
        let found: Vec<_> = typed.findings.iter().map(|finding| finding.kind).collect();
        assert_eq!(found, Vec::from_iter(finding), "{}", &field[..field.len().min(60)]);
        let strict = body(raw.as_bytes(), true).expect("a body");
        assert_eq!(strict[0].verdict.is_err(), finding.is_some(), "strict refuses findings");
    }
}

#[test]
fn the_last_of_repeated_fields_counts() {
    let raw = EVENT.replace("\"id\":\"ID\"", "\"id\":\"first\",\"id\":\"last\"");
    assert_eq!(event(raw.as_bytes()).expect("an event").event.envelope().id, "last");
}

#[test]
fn invalid_utf8_is_refused_for_its_element_only() {
    let mut body = format!("[{},", event_text("a")).into_bytes();
    body.extend_from_slice(b"{\"id\":\"\xff\"},");
    body.extend_from_slice(event_text("b").as_bytes());
    body.push(b']');
    assert_eq!(verdicts(&body), ["0 $[0] a", "1 $[1] invalid_utf8", "2 $[2] b"]);
}

#[test]
fn findings_of_one_event_are_bounded() {
    let fields: String = (0..1000).map(|index| format!(",\"m{index}\":1")).collect();
    let raw = EVENT.replace("\"X\"}", &format!("\"X\"}}{fields}"));
    let findings = event(raw.as_bytes()).expect("an event").findings;
    assert_eq!(findings.len(), 32);
    assert_eq!(findings[31].kind, FindingKind::More);
}

#[test]
fn an_object_or_list_of_millions_is_not_unfolded() {
    let list = format!("\"resources\":[{}{{}}]", "{},".repeat(1_000_000));
    let raw = EVENT.replace("\"X\"}", &format!("\"X\"}},{list}"));
    let typed = event(raw.as_bytes()).expect("an event");
    assert_eq!(typed.event.envelope().resources.len(), 64);
    assert_eq!(typed.findings[0].kind, FindingKind::WrongType);
    let fields: String = (0..1_000_000).map(|_| ",\"a\":1").collect();
    let raw = format!("[{}]", EVENT.replace("\"X\"}", &format!("\"X\"}}{fields}")));
    assert_eq!(verdicts(raw.as_bytes()), ["0 $[0] not_an_object"]);
}

#[test]
fn a_deep_or_never_ending_body_is_read_in_one_pass() {
    // Each would take minutes if its time were quadratic, or the stack if it recursed.
    let open = "[".repeat(4_000_000);
    assert_eq!(verdicts(open.as_bytes()).len(), 1);
    let lines = "{\n".repeat(2_000_000);
    assert_eq!(verdicts(lines.as_bytes()), ["body: too_many_elements $"]);
    let short_lines = format!("{{\n{}{}", "{}".repeat(900), " ".repeat(30_000_000));
    assert_eq!(verdicts(short_lines.as_bytes()).len(), 901);
    let quotes = format!("[{}", "{\"".repeat(2_000_000));
    assert_eq!(verdicts(quotes.as_bytes()).len(), 1);
}

/// Bytes that are likelier than random ones to reach the scanner's corners.
fn json_like() -> impl Strategy<Value = Vec<u8>> {
    const TOKENS: [&[u8]; 17] = [
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\"",
        b"\\",
        b"\n",
        b" ",
        b"1",
        b"\xff",
        b"\"id\"",
        b"{\"id\":\"a\",\"recordedAt\":\"2024-01-01T00:00:00Z\",\"action\":{\"type\":\"X\"}}",
        b"{\"event\":{}}",
        b"{\"logs\":[",
        b"{\"_embedded\":{\"activities\":[",
    ];
    let token = proptest::sample::select(&TOKENS[..]);
    proptest::collection::vec(token, 0..40).prop_map(|tokens| tokens.concat())
}

proptest! {
    #[test]
    fn no_bytes_panic_and_none_are_lost(body in json_like()) {
        let Ok(elements) = super::body(&body, false) else { return Ok(()) };
        // Bytes outside of elements are structure: brackets, commas, white space and wrappers' fields.
        let mut rest = body.clone();
        for element in &elements {
            let start = element.raw.as_ptr().addr() - body.as_ptr().addr();
            rest[start..start + element.raw.len()].fill(b' ');
        }
        let rest = String::from_utf8_lossy(&rest);
        if elements.iter().all(|element| !element.path.to_string().contains('.')) {
            let kept = rest.chars().filter(|c| !c.is_whitespace() && !"[],".contains(*c)).count();
            // An empty wrapper leaves no element behind; everything else is in one.
            let wrappers = rest.contains("logs") || rest.contains("activities");
            prop_assert!(kept == 0 || wrappers, "lost {rest:?} of {:?}", String::from_utf8_lossy(&body));
        }
    }

    #[test]
    fn arbitrary_bytes_get_a_verdict(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        drop(super::body(&body, true));
    }
}

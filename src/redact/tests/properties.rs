//! Properties over arbitrary events: unmatched text stays unchanged byte for byte, matched text is
//! gone.

use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use super::*;
use crate::decode;
use crate::event::Event;

/// Text that occurs nowhere else and must not remain.
const CANARY: &str = "Zanzibar";

/// Generates a JSON value in some spelling, without a canary.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?[1-9][0-9]{0,5}(\\.[0-9]{1,3})?([eE][+-]?[0-9])?",
        string(),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let field = (name(), space(), inner.clone());
        prop_oneof![
            (prop::collection::vec(inner, 0..4), space()).prop_map(|(values, space)| format!(
                "[{space}{}{space}]",
                values.join(&format!(",{space}"))
            )),
            prop::collection::vec(field, 0..4).prop_map(|fields| object(&fields)),
        ]
    })
}

fn object(fields: &[(String, String, String)]) -> String {
    let fields = fields.iter().map(|(name, space, value)| format!("{name}{space}:{space}{value}"));
    format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
}

fn space() -> impl Strategy<Value = String> {
    "[ \n\t]{0,2}"
}

/// Generates a quoted string with escapes of all kinds, half surrogates, and text that resembles
/// addresses.
fn string() -> impl Strategy<Value = String> {
    r#"([a-y @%.<>é]|\\u00e9|\\ud83d|\\ud83d\\ude00|\\"|\\\\|\\n|a@b\.co|%40|\\u0040){0,8}"#
        .prop_map(|text| format!("\"{text}\""))
}

/// Generates names that no rule of these tests matches, some of them similar.
fn name() -> impl Strategy<Value = String> {
    prop_oneof!["\"[a-e]{1,2}\"", Just("\"user\"".to_owned()), Just("\"\\u0061\"".to_owned())]
}

/// Spells every letter of the canary in one of three ways.
fn canary() -> impl Strategy<Value = String> {
    prop::collection::vec(0..3_u8, CANARY.len()).prop_map(|spellings| {
        let spell = |(letter, spelling): (char, u8)| match spelling {
            0 => letter.to_string(),
            1 => format!("\\u{:04x}", u32::from(letter)),
            _ => format!("\\u{:04X}", u32::from(letter)),
        };
        CANARY.chars().zip(spellings).map(spell).collect()
    })
}

/// Generates an event with arbitrary fields, and a canary at `secret.name` and in an address.
fn events() -> impl Strategy<Value = (String, String)> {
    let fields = || prop::collection::vec((name(), space(), json()), 0..4);
    (fields(), fields(), fields(), canary(), any::<bool>(), 0..3_usize).prop_map(
        |(before, inside, after, canary, is_list, repetitions)| {
            let secret = |value: &str| {
                let mut fields = inside.clone();
                for _ in 0..=repetitions {
                    fields.push(("\"nAm\\u0065\"".to_owned(), String::new(), value.to_owned()));
                }
                let object = object(&fields);
                if is_list { format!("[{object},{{}}]") } else { object }
            };
            let build = |secret: String, text: String| {
                let own = |name: &str, value: String| (format!("\"{name}\""), String::new(), value);
                let fixed = [
                    own("id", "\"a@b.co\"".to_owned()),
                    own("recordedAt", "\"2024-01-01T00:00:00Z\"".to_owned()),
                    own(
                        "action",
                        "{\"type\":\"DAVINCI_INTERACTION.START_INTERACTION\"}".to_owned(),
                    ),
                    own(
                        "_embedded",
                        "{\"flowInteractionEvent\":{\"interactionId\":\"x\\u0040y.co\"}}"
                            .to_owned(),
                    ),
                    own("secret", secret),
                    own("text", text),
                ];
                object(&[&before[..], &fixed[..], &after[..]].concat())
            };
            let came = build(secret(&format!("\"{canary}\"")), format!("\"to {canary}@x.co!\""));
            let masked = build(secret("\"***\""), "\"to ***!\"".to_owned());
            (came, masked)
        },
    )
}

/// Returns the fields that identify an event.
fn identity(text: &str) -> (String, String, String, Option<String>) {
    let event = decode::event(text.as_bytes()).expect("still an event").event;
    let envelope = event.envelope();
    assert!(matches!(event, Event::Interaction(_)));
    (
        envelope.id.clone().into_owned(),
        envelope.recorded_at_text.clone().into_owned(),
        envelope.action.kind.clone().into_owned(),
        event.interaction_id().map(str::to_owned),
    )
}

/// Checks that no part of the text decodes to the canary.
fn holds_no_canary(text: &str) -> TestCaseResult {
    prop_assert!(!crate::json::decode(text).contains(CANARY), "{}", text);
    Ok(())
}

/// Masks the addresses of the arbitrary part by the profile alone.
fn without_addresses(text: &str) -> String {
    redacted(&redaction("pii = \"mask\""), text)
}

proptest! {
    #[test]
    fn data_without_a_rule_stays_unchanged((came, masked) in events()) {
        let masking = redaction("mask = [\"secret.name\", \"text\"]");
        let expected = masked.replace("\"to ***!\"", "\"***\"");
        prop_assert_eq!(redacted(&masking, &came), expected, "{}", came);
        let profile = redaction("pii = \"mask\"\nmask = [\"secret.name\"]");
        let found = redacted(&profile, &came);
        prop_assert_eq!(&found, &without_addresses(&masked), "{}", came);
        prop_assert_eq!(identity(&found), identity(&came));
        prop_assert_eq!(redacted(&profile, &found), found, "once is enough");
    }

    #[test]
    fn nothing_of_what_a_rule_means_is_left((came, _) in events()) {
        for rules in [
            "pii = \"drop\"\ndrop = [\"secret\"]",
            "pii = \"hash\"\nhash = [\"**.NAME\"]",
            "pii = \"mask\"\ndrop = [\"*.name\"]",
            "drop = [\"text\", \"secret.name\"]",
        ] {
            let redaction = redaction(rules);
            let found = redacted(&redaction, &came);
            holds_no_canary(&found)?;
            prop_assert_eq!(identity(&found), identity(&came), "{}", rules);
            // A wrapped event is no longer an event, but still redacted.
            let wrapped = format!("{{\"x\":[{came}]}}");
            holds_no_canary(&fragment(&redaction, &wrapped))?;
            let found = fragment(&redaction, &wrapped);
            prop_assert!(serde_json::from_str::<serde::de::IgnoredAny>(&found).is_ok());
            holds_no_canary(&fragment(&redaction, &wrapped[..wrapped.len() - 1]))?;
            if !rules.contains("hash") {
                prop_assert_eq!(redacted(&redaction, &redacted(&redaction, &came)), redacted(&redaction, &came));
            }
        }
    }

    #[test]
    fn a_redacted_text_contains_no_address(
        text in r#"(a|b\.co|@|%40|%|4|0|"|-|\.|#|_| |x@y\.de|%2540){0,14}"#
    ) {
        let redaction = redaction("pii = \"drop\"");
        let event = event(&format!("\"t\":{}", serde_json::Value::from(text)));
        let once = redacted(&redaction, &event);
        prop_assert_eq!(redacted(&redaction, &once), once, "{}", event);
    }

    #[test]
    fn no_bytes_make_it_fail(bytes in prop::collection::vec(any::<u8>(), 0..200), text in r#"[\[\]{}",:\\u0-9a-f@%. ]{0,60}"#) {
        let redaction = redaction("pii = \"drop\"\nhash = [\"**.a\"]\ndrop = [\"b\"]");
        for bytes in [&bytes[..], text.as_bytes()] {
            redaction.event(bytes);
            redaction.fragment(bytes);
            redaction.text(&String::from_utf8_lossy(bytes));
        }
    }
}

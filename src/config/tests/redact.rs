//! `[redact]`: every mistake, and valid tables.

use super::*;
use crate::redact::RedactAction;

const KEY: (&str, &str) = ("KEY", "0123456789abcdef");

#[test]
fn every_mistake_is_refused_with_what_to_write() {
    for (rules, message) in [
        ("", "redact.pii: and all other keys are missing; write pii = \"mask\""),
        ("pii = \"erase\"", "redact.pii: \"erase\" is not one of \"drop\", \"mask\", \"hash\""),
        ("masks = [\"a\"]", "redact.masks: is no key here; did you mean \"mask\"?"),
        ("mask = \"a\"", "test.toml:2: redact.mask: must be a list of strings, not a string"),
        (
            "mask = [\"a..b\"]",
            "test.toml:2: redact.mask: \"a..b\" is not a path such as \"actors.user.name\"",
        ),
        ("mask = [\"\"]", "redact.mask: \"\" is not a path"),
        ("mask = [\"resources[0].name\"]", "lists need no brackets"),
        ("drop = [\"a.**.b\"]", "**. at the beginning for any depth"),
        ("keep = [\"$.a\"]\npii = \"mask\"", "redact.keep: \"$.a\" is not a path"),
        (
            "hash = [\"a\"]",
            "redact.key_file: is missing, and a hash needs a key: write key_file or key_env (openssl rand -hex 32 makes a key)",
        ),
        ("pii = \"hash\"", "redact.key_file: is missing, and a hash needs a key"),
        (
            "pii = \"hash\"\nkey_env = \"SHORT\"",
            "redact.key: is too short: a key has at least 16 bytes",
        ),
        ("pii = \"hash\"\nkey_env = \"NONE\"", "redact.key_env: the variable NONE is not set"),
        ("pii = \"hash\"\nkey = \"0123456789abcdef\"", "redact.key: secrets are not written here"),
        (
            "pii = \"hash\"\nkey_env = \"KEY\"\nkey_file = \"/x\"",
            "use key_file or key_env, not both",
        ),
        ("drop = [\"a\"]\nkeep = [\"b\"]", "redact.keep: exempts from the profile, which is off"),
        (
            "drop = [\"a.B\"]\nmask = [\"A.b\"]",
            "redact.mask: \"a.b\" is in drop too; leave it in one",
        ),
        ("mask = [\"a\"]\nhash = [\"a\"]\nkey_env = \"KEY\"", "redact.hash: \"a\" is in mask too"),
        ("drop = [\"id\"]", "redact.drop: \"id\" would take id, which every event needs"),
        ("mask = [\"RecordedAt\"]", "would take recordedAt, which"),
        (
            "hash = [\"**.type\"]\nkey_env = \"KEY\"",
            "redact.hash: \"**.type\" would take action.type,",
        ),
        ("mask = [\"*.type\"]", "would take action.type,"),
        ("mask = [\"action\"]", "would take action,"),
        ("mask = [\"*\"]", "would take id, recordedAt, action, _embedded,"),
        ("mask = [\"_embedded\"]", "would take _embedded,"),
        (
            "mask = [\"_embedded.flowInteractionEvent\"]",
            "would take _embedded.flowInteractionEvent,",
        ),
        ("drop = [\"_embedded.*.*\"]", "would take _embedded.flowInteractionEvent.interactionId,"),
        (
            "drop = [\"**.interactionId\"]",
            "flowInteractionEvent.interactionId, which every event needs",
        ),
        ("drop = [\"**.*.id\"]\nmask = [\"**.id\"]", "redact.mask: \"**.id\" would take id,"),
    ] {
        let text = format!("[redact]\n{rules}\n");
        let found = problems_with(&text, &[KEY, ("SHORT", "canary-canary")]);
        assert!(found.iter().any(|found| found.contains(message)), "{text}\n{found:#?}");
        assert!(!found.iter().any(|found| found.contains("canary")), "{found:?}");
        let text = format!("[sinks.a]\ntype = \"stdout\"\n[sinks.a.redact]\n{rules}\n");
        let found = problems_with(&text, &[KEY, ("SHORT", "canary-canary")]);
        let message = message.replace("redact.", "sinks.a.redact.").replace("toml:2:", "toml:4:");
        assert!(found.iter().any(|found| found.contains(&message)), "{text}\n{found:#?}");
    }
}

#[test]
fn a_mistake_is_reported_once() {
    for rules in ["pii = \"hash\"", "hash = [\"a\"]\nkey_file = \"/nowhere\"", "mask = [\"*\"]"] {
        let found = problems(&format!("[redact]\n{rules}\n"));
        assert_eq!(found.len(), 1, "{found:?}");
    }
}

#[test]
fn all_keys_are_read_and_the_key_is_not_shown() {
    let text = "[redact]\npii = \"drop\"\ndrop = [\"a\", \"**.b\"]\nmask = [\"action.*.x\"]\n\
                hash = [\"_embedded.flowInteractionEvent.parentFlow.interactionId\"]\n\
                keep = [\"source.*\"]\nkey_env = \"KEY\"\n";
    let config = parse_with(text, &[KEY]).expect("valid");
    let redact = config.redact.as_ref().expect("a table");
    assert_eq!(redact.pii, Some(RedactAction::Drop));
    let counts = [&redact.drop, &redact.mask, &redact.hash, &redact.keep].map(Vec::len);
    assert_eq!(counts, [2, 1, 1, 1]);
    assert!(!format!("{config:?}").contains(KEY.1), "Debug shows the key");
    let variables = [("DAVINCI_SIEM__REDACT__MASK", "a, **.b")];
    let config = parse_with("", &variables).expect("valid");
    assert_eq!(config.redact.expect("a table").mask.len(), 2);
    assert!(parse_with("", &[]).expect("the defaults").redact.is_none());
}

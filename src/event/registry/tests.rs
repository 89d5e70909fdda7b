//! The tables against each other and against the published schemas.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// Values of `event.type` that ECS expects with each category in use.
/// <https://www.elastic.co/docs/reference/ecs/ecs-allowed-values-event-category>
const ECS_PAIRS: [(&str, &[&str]); 5] = [
    (
        "api",
        &[
            "access", "admin", "allowed", "change", "creation", "deletion", "denied", "end",
            "info", "start", "user",
        ],
    ),
    ("authentication", &["end", "info", "start"]),
    ("configuration", &["access", "change", "creation", "deletion", "info"]),
    ("iam", &["admin", "change", "creation", "deletion", "group", "info", "user"]),
    ("session", &["end", "info", "start"]),
];

fn schema(version: &str) -> Value {
    let path = format!("{}/fixtures/schemas/ocsf-{version}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("a schema");
    serde_json::from_str(&text).expect("JSON")
}

fn is_legal(schema: &Value, found: OcsfActivity) -> bool {
    let classes = schema["classes"].as_object().expect("classes");
    let class = classes.values().find(|class| class["uid"] == found.class).expect("the class");
    !class["attributes"]["activity_id"]["enum"][found.activity.to_string()].is_null()
}

fn assert_legal(name: &str, entry: &ActionType, schemas: &[Value; 2]) {
    for kind in &entry.ecs_type {
        let allows =
            |category: &&str| ECS_PAIRS.iter().any(|(c, t)| c == category && t.contains(kind));
        assert!(entry.ecs_category.iter().any(allows), "{name}: {entry:?}");
    }
    for category in &entry.ecs_category {
        let pair = ECS_PAIRS.iter().find(|(known, _)| known == category);
        let (_, types) = pair.unwrap_or_else(|| panic!("{name}: {category} is not in use"));
        assert!(entry.ecs_type.iter().any(|kind| types.contains(kind)), "{name}: {entry:?}");
    }
    for (version, found) in [(0, entry.ocsf_1_3), (1, entry.ocsf_1_8), (1, entry.ocsf_fallback)] {
        assert!(is_legal(&schemas[version], found), "{name}: {found:?}");
    }
    assert!(entry.severity_on_failure >= entry.severity, "{name}");
    assert!(!entry.title.contains(['|', '=', '\\', '\t']) && entry.title.len() <= 200, "{name}");
}

#[test]
fn every_row_is_legal_in_ecs_and_ocsf() {
    let schemas = ["1.3.0", "1.8.0"].map(schema);
    let names: BTreeSet<_> = listed().map(|(name, _)| name).collect();
    assert!(names.len() >= 380, "{}", names.len());
    listed().for_each(|(name, entry)| assert_legal(name, entry, &schemas));
}

#[test]
fn words_and_rows_agree() {
    let (mut differ, mut kinds) = (Vec::new(), Vec::new());
    for (name, entry) in listed() {
        let derived = derive::derive(name);
        assert_eq!(derived.outcome, entry.outcome, "{name}");
        if derived.kind != entry.kind {
            kinds.push(name);
        }
        if (derived.ocsf_1_8.class, &derived.ecs_category)
            != (entry.ocsf_1_8.class, &entry.ecs_category)
        {
            differ.push(name);
        }
    }
    // Exceptions are why the table exists; most types follow the words.
    assert!(kinds.len() <= 2 && differ.len() <= 10, "{kinds:?} {differ:?}");
}

#[test]
fn types_that_matter_to_detections() {
    let expect = |name: &str, kind: &str, severity, outcome, ecs: &[&str], ocsf: (u16, u8)| {
        let entry = lookup(name);
        assert_eq!(
            (entry.kind, entry.severity, entry.outcome),
            (kind, severity, outcome),
            "{name}"
        );
        assert_eq!(entry.ecs_type, ecs, "{name}");
        assert_eq!((entry.ocsf_1_8.class, entry.ocsf_1_8.activity), ocsf, "{name}");
    };
    use Severity::{High, Informational, Low, Medium};
    let (failure, success) = (Some(Outcome::Failure), Some(Outcome::Success));
    expect("PASSWORD.CHECK_FAILED", "sign_on", Medium, failure, &["info"], (3002, 1));
    expect("PASSWORD.CHECK_SUCCEEDED", "sign_on", Informational, success, &["info"], (3002, 1));
    expect("FLOW.DELETED", "sign_on", Informational, None, &["start"], (3002, 1));
    expect("SESSION.DELETED", "session", Informational, None, &["end"], (3002, 2));
    expect("USER.LOCKED", "account", Medium, None, &["change", "user"], (3001, 9));
    expect("ROLE_ASSIGNMENT.CREATED", "role", High, None, &["admin", "change", "user"], (3005, 1));
    expect("SUBSCRIPTION.DELETED", "webhook", High, None, &["admin", "deletion"], (3004, 4));
    expect("SECRET.READ", "secret", Medium, None, &["access", "admin"], (3004, 2));
    expect("DEVICE.FRAUD_REPORTED", "device", High, None, &["info", "user"], (2004, 1));
    // Not listed: by words.
    expect("user.modified", "account", Informational, None, &["change", "user"], (3001, 99));
    expect("PASSWORD.CHECK_DENIED", "sign_on", Medium, failure, &["info"], (3002, 1));
    expect("SAML_THING.DELETED", "application", Medium, None, &["admin", "deletion"], (3004, 4));
    expect("VOICE_PHRASE.DELETED", "other", Low, None, &["deletion"], (3004, 4));
    assert_eq!(lookup("password.check_failed"), lookup("PASSWORD.CHECK_FAILED"));
    assert_eq!(lookup("VOICE_PHRASE.DELETED").title, "Voice Phrase Deleted");
    assert_eq!(lookup("").title, "PingOne Event");
}

proptest! {
    #[test]
    fn any_text_has_a_legal_entry(name in "(?s).{0,300}", words in "[A-Z_.]{0,20}(CREATED|READ|LOCKED|FAILED|X)") {
        thread_local!(static SCHEMAS: [Value; 2] = ["1.3.0", "1.8.0"].map(schema));
        SCHEMAS.with(|schemas| {
            assert_legal(&name, &lookup(&name), schemas);
            assert_eq!(outcome(&words), lookup(&words).outcome);
            assert_legal(&words, &lookup(&words), schemas);
        });
    }

    #[test]
    fn every_kind_with_every_verb_is_legal(kind in 0..words::KINDS.len(), verb in 0..words::VERBS.len()) {
        thread_local!(static SCHEMAS: [Value; 2] = ["1.3.0", "1.8.0"].map(schema));
        let part = |patterns: &str| {
            let pattern = patterns.split(' ').next().unwrap_or_default();
            pattern.split_once(':').map_or("X", |(_, text)| text).trim_matches(['.', '_']).to_owned()
        };
        let name = format!("{}.{}", part(words::KINDS[kind].pattern), part(words::VERBS[verb].pattern));
        SCHEMAS.with(|schemas| assert_legal(&name, &lookup(&name), schemas));
    }
}

//! `--json` of every command: objects with named members on standard output, also for failures.

use serde_json::Value;

use crate::support::events::{batch, ids, minted};
use crate::support::service::{Home, Service};

/// Returns the objects that a command prints, and whether it succeeded.
fn objects(home: &Home, service: Option<&Service>, words: &[&str]) -> (Vec<Value>, bool) {
    let output = match service {
        Some(service) => home.run_with(service, words),
        None => home.run(words),
    };
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let parsed = text.lines().map(|line| {
        let value: Value =
            serde_json::from_str(line).unwrap_or_else(|_| panic!("{words:?}: {line}"));
        assert!(value.is_object(), "{words:?}: {line}");
        value
    });
    (parsed.collect(), output.status.success())
}

/// Commands that need the running service.
const OF_SERVICE: [&[&str]; 8] = [
    &["status", "--json"],
    &["top", "--json", "--interval", "100ms"],
    &["sink", "list", "--json"],
    &["sink", "pause", "stdout", "--json"],
    &["sink", "resume", "stdout", "--json"],
    &["drift", "--json"],
    &["replay", "--sink", "stdout", "--from", "1h", "--json"],
    &["quarantine", "retry", "1", "--json"],
];

/// Commands that need the spool.
const OF_SPOOL: [&[&str]; 7] = [
    &["spool", "stats", "--json"],
    &["spool", "verify", "--json"],
    &["audit", "--json"],
    &["volume", "--json"],
    &["quarantine", "list", "--json"],
    &["quarantine", "show", "1", "--json"],
    &["trace", "event-0", "--json"],
];

fn error_of(objects: &[Value]) -> Option<&str> {
    objects.last()?.as_object().filter(|object| object.len() == 1)?.get("error")?.as_str()
}

#[test]
fn a_result_is_an_object_and_a_failure_is_one_with_its_message() {
    let home = Home::new("[spool]\nretention = \"1h\"\n");
    let service = home.start();
    service.post(&batch(ids(3)));
    service.post(&format!("[{}]", minted("bad").replace("recordedAt", "recorded")));
    service.wait_until_settled("stdout");
    for words in OF_SPOOL.into_iter().chain(OF_SERVICE) {
        let (found, is_success) = objects(&home, Some(&service), words);
        let is_answered = is_success || error_of(&found).is_none();
        assert!(is_answered, "{words:?}: {found:?}");
    }
    let (found, _) = objects(&home, Some(&service), &["quarantine", "show", "4711", "--json"]);
    assert!(error_of(&found).is_some_and(|error| error.contains("4711")), "{found:?}");
    let (found, _) = objects(&home, Some(&service), &["trace", "nowhere", "--json"]);
    assert!(found.len() == 1 && error_of(&found).is_none(), "the answer is no: {found:?}");
    drop(service);
    let (found, is_success) = objects(&home, None, &["spool", "repair", "--json"]);
    assert!(is_success && found[0]["problems"] == Value::Array(Vec::new()), "{found:?}");
    // Without the service.
    for words in OF_SERVICE.into_iter().filter(|words| words[0] != "quarantine") {
        let (found, is_success) = objects(&home, None, words);
        assert!(!is_success && error_of(&found).is_some(), "{words:?}: {found:?}");
    }
    // Without a spool.
    let empty = Home::new("");
    for words in OF_SPOOL.into_iter().filter(|words| words[0] != "audit") {
        let (found, is_success) = objects(&empty, None, words);
        assert!(!is_success && error_of(&found).is_some(), "{words:?}: {found:?}");
    }
    // With a configuration that has mistakes.
    let wrong = Home::new("[spool]\nretention = \"soon\"\n");
    let (found, _) = objects(&wrong, None, &["check", "--json"]);
    assert!(found.len() == 1 && found[0]["problems"].is_array(), "{found:?}");
    let (found, _) = objects(&wrong, None, &["spool", "stats", "--json"]);
    assert!(error_of(&found).is_some_and(|error| error.contains("spool.retention")), "{found:?}");
}

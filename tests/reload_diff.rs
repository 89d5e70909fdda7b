//! `check --diff`: its predictions, compared with a running service.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::certificates::Certificates;
use crate::support::service::Home;
use crate::support::wait_for;

/// Replaces the configuration. Returns exit code and answer of `check --diff` with the previous one.
fn diff(home: &Home, before: &str, after: &str) -> (i32, Value) {
    std::fs::write(home.path("old.toml"), before).expect("written");
    std::fs::write(home.path("test.toml"), after).expect("written");
    let output = home.run(&["check", "--diff", "old.toml", "--json"]);
    assert!(!format!("{output:?}").contains("canary"), "{output:?}");
    let answer = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code().expect("a code"), answer)
}

#[test]
fn the_effects_of_a_reload_are_predicted_without_values_that_may_be_secrets() {
    let home = Home::with_listen("reload = \"1h\"", "[spool]\nmax_size = \"1 GiB\"\n");
    let service = home.start();
    let base = std::fs::read_to_string(home.path("test.toml")).expect("read");
    let base = format!("{base}[sinks.a]\ntype = \"file\"\npath = \"/tmp/canary-a\"\n");
    let (code, answer) = diff(&home, &base, &base);
    assert_eq!(
        (code, answer),
        (0, json!({ "applied": [], "needs_restart": [], "refused": [], "sinks": [] }))
    );
    let after = base
        .replace("1 GiB", "2 GiB")
        .replace("reload = \"1h\"", "reload = \"2h\"")
        .replace("[sinks.a]", "[sinks.b]\nstart = \"now\"");
    let added = format!("{base}[sinks.b]\ntype = \"http\"\nurl = \"http://localhost:1/canary\"\n");
    let (code, answer) = diff(&home, &base, &added);
    assert_eq!((code, &answer["refused"]), (0, &json!([])));
    assert_eq!((&answer["applied"], &answer["needs_restart"]), (&json!(["sinks.b"]), &json!([])));
    assert_eq!(answer["sinks"][0]["change"], "added");
    assert!(answer["sinks"][0]["consequence"].as_str().expect("text").contains("oldest stored"));
    let (code, answer) = diff(&home, &base, &after);
    assert_eq!(code, 1, "{answer}");
    assert_eq!(answer["applied"], json!([]), "it is refused");
    let size = json!({ "key": "spool.max_size", "before": "\"1 GiB\"", "after": "\"2 GiB\"" });
    assert!(answer["needs_restart"].as_array().expect("a list").contains(&size), "{answer}");
    let reasons = answer["refused"].to_string();
    assert!(reasons.contains("sinks.a: the section is missing"), "{reasons}");
    let changes: Vec<&str> = answer["sinks"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|it| it["change"].as_str())
        .collect();
    assert_eq!(changes, ["added", "removed"], "its settings differ");
    let renamed = base.replace("[sinks.a]", "[sinks.c]");
    let (_, answer) = diff(&home, &base, &renamed);
    assert_eq!(answer["sinks"].as_array().map(Vec::len), Some(1));
    assert_eq!(answer["sinks"][0]["change"], "renamed");
    drop(service);
}

#[test]
fn the_new_file_is_read_as_if_it_were_at_the_place_of_the_old_one() {
    let home = Home::with_listen("reload = \"1h\"", "");
    let elsewhere = tempfile::tempdir().expect("a directory");
    let base = std::fs::read_to_string(home.path("test.toml")).expect("read");
    let secret = "[sources.a]\nbasic = [{ username = \"u\", password_file = \"secret\" }]\n";
    // The secret is beside the old file alone.
    std::fs::write(elsewhere.path().join("secret"), "q3Vx8LmZ0tR7yBnK").expect("written");
    let old = elsewhere.path().join("old.toml");
    std::fs::write(&old, format!("{base}{secret}")).expect("written");
    let diff = |new: &str| {
        std::fs::write(home.path("test.toml"), format!("{base}{new}")).expect("written");
        home.run(&["check", "--diff", old.to_str().expect("UTF-8")])
    };
    let output = diff(secret);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "no difference\n");
    let output = diff(&secret.replace("\"secret\"", "\"absent\""));
    assert_eq!(output.status.code(), Some(64));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("test.toml:") && !message.contains("old.toml"), "{message}");
}

#[test]
fn a_certificate_that_a_reload_refuses_is_refused_here_too() {
    let directory = tempfile::tempdir().expect("a directory");
    let certificates = Certificates::new(directory.path(), "a");
    let [good, other] = [0, 1].map(|_| certificates.issue("127.0.0.1", |_| ()));
    let expired = certificates
        .issue("127.0.0.1", |params| params.not_after = rcgen::date_time_ymd(2021, 1, 1));
    let text = |certificate: &Path, key: &Path| {
        format!(
            "[listen]\naddress = \"127.0.0.1:0\"\n[listen.tls]\ncertificate = {certificate:?}\nkey = {key:?}\n"
        )
    };
    let home = Home::new("");
    let before = text(&good.certificate, &good.key);
    for (certificate, key, message) in [
        (&good.certificate, &good.key, None),
        (&other.certificate, &other.key, None),
        (&expired.certificate, &expired.key, Some("listen.tls.certificate: has expired")),
        (&good.certificate, &other.key, Some("does not belong to")),
    ] {
        let (code, answer) = diff(&home, &before, &text(certificate, key));
        assert_eq!(code, i32::from(message.is_some()), "{answer}");
        let refused = answer["refused"].to_string();
        assert!(message.is_none_or(|message| refused.contains(message)), "{answer}");
        assert!(message.is_none() || answer["applied"] == json!([]), "{answer}");
    }
}

#[test]
fn a_running_service_does_what_was_predicted() {
    let home = Home::with_listen(
        "reload = \"1h\"",
        "[sources.a]\npath = \"/a\"\n[spool]\nretention = \"1h\"\n",
    );
    let base = std::fs::read_to_string(home.path("test.toml")).expect("read");
    let service = home.start();
    for (after, log) in [
        (base.replace("path = \"/a\"", "path = \"/a\"\nstrict = true"), "reload applied"),
        (
            base.replace("retention = \"1h\"", "retention = \"2h\""),
            "were ignored: they need a restart",
        ),
        (base.replace("path = \"/a\"", "path = \"/b\""), "reload refused; nothing was changed"),
    ] {
        let (code, answer) = diff(&home, &base, &after);
        let (expected, key) = match log {
            "reload applied" => (0, &answer["applied"][0]),
            "reload refused; nothing was changed" => (1, &answer["refused"][0]),
            _ => (0, &answer["needs_restart"][0]["key"]),
        };
        let key = key.as_str().unwrap_or_else(|| panic!("no prediction: {answer}")).to_owned();
        assert_eq!(code, expected, "{answer}");
        service.signal("HUP");
        wait_for(log, || {
            let text = service.log();
            text.lines().any(|line| line.contains(log) && line.contains(&key)).then_some(())
        });
    }
}

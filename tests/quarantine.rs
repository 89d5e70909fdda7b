//! The quarantine, from the invalid event to its delivery.

use std::process::Output;

use reqwest::Client;
use serde_json::{Value, json};

use crate::support::events::{id, minted};
use crate::support::service::{Home, Service};
use crate::support::{block_on, wait_for};

const SINK: &str = "[sinks.out]\ntype = \"file\"\npath = \"out.ndjson\"\n";

fn post(service: &Service, body: String) -> Value {
    block_on(async {
        let response = Client::new().post(&service.url).body(body).send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        response.json().await.expect("JSON")
    })
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn wait_for_id(home: &Home, wanted: &str) {
    wait_for(wanted, || {
        home.lines("out.ndjson").iter().any(|line| id(line) == wanted).then_some(())
    });
}

/// Returns 500 events, of which number 250 has no time.
fn batch_with_one_bad() -> (String, String) {
    let bad = minted("bad").replace("recordedAt", "recorded");
    let events: Vec<String> = (0..500)
        .map(|number| if number == 250 { bad.clone() } else { minted(&format!("good-{number}")) })
        .collect();
    (format!("[{}]", events.join(",")), bad)
}

#[test]
fn one_bad_event_of_500_is_kept_shown_corrected_and_delivered() {
    let home = Home::new(SINK);
    let service = home.start();
    let (body, bad) = batch_with_one_bad();
    let answer = post(&service, body.clone());
    assert_eq!(
        answer,
        json!({"received": 500, "accepted": 499, "duplicates": 0, "quarantined": 1})
    );

    let list = text(&home.run(&["quarantine", "list"]));
    assert!(list.contains("missing_field") && list.contains("$[250].recordedAt"), "{list}");
    let entry: Value =
        serde_json::from_str(&text(&home.run(&["quarantine", "list", "--json"]))).expect("JSON");
    assert_eq!(
        (&entry["id"], &entry["index"], &entry["origin"]),
        (&json!(1), &json!(250), &json!("element"))
    );
    let shown = text(&home.run(&["quarantine", "show", "1"]));
    assert!(shown.contains("recordedAt is required and missing"), "{shown}");
    assert!(shown.ends_with(&format!("\n\n{bad}\n")), "the exact bytes: {shown}");

    let retried = home.run_with(&service, &["quarantine", "retry", "1"]);
    assert_eq!(retried.status.code(), Some(1), "nothing has changed, so it is refused again");
    assert!(String::from_utf8_lossy(&retried.stderr).contains("$.recordedAt"), "{retried:?}");

    std::fs::write(home.path("fixed.json"), minted("bad")).expect("written");
    let retried = home.run_with(&service, &["quarantine", "retry", "1", "--replace", "fixed.json"]);
    assert_eq!(text(&retried), "1: 1 accepted\n");
    wait_for_id(&home, "bad");
    assert_eq!(
        text(&home.run(&["quarantine", "list", "--json"])),
        "",
        "it has left the quarantine"
    );
    let lines =
        wait_for("500 lines", || Some(home.lines("out.ndjson")).filter(|lines| lines.len() == 500));
    assert_eq!(id(&lines[499]), "bad");

    let again = json!({"received": 500, "accepted": 0, "duplicates": 500, "quarantined": 0});
    assert_eq!(post(&service, body), again, "a repetition by the sender, the bad one included");
    let stats: Value =
        serde_json::from_str(&text(&home.run(&["spool", "stats", "--json"]))).expect("JSON");
    assert!(
        stats["totals"].as_array().expect("rows").contains(&json!(["pingone", "released", 1])),
        "{stats}"
    );
}

#[test]
fn events_that_strict_refused_are_delivered_after_strict_is_off() {
    let home = Home::new(&format!("{SINK}[sources.pingone]\nstrict = true\n"));
    let service = home.start();
    let odd = minted("odd").replace("\"success\":true", "\"success\":\"true\"");
    let body = format!("[{},{odd}]", minted("even"));
    assert_eq!(post(&service, body)["quarantined"], 1);
    wait_for_id(&home, "even");
    let refused = home.run_with(&service, &["quarantine", "retry", "1"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("strict is on"), "{refused:?}");
    assert!(service.terminate().0.success());

    let config = std::fs::read_to_string(home.path("test.toml")).expect("read");
    std::fs::write(home.path("test.toml"), config.replace("strict = true", "strict = false"))
        .expect("written");
    // No service runs: the command changes the spool itself.
    assert_eq!(text(&home.run(&["quarantine", "retry", "--all"])), "1: 1 accepted\n");
    let service = home.start();
    wait_for_id(&home, "odd");
    drop(service);
}

#[test]
fn a_corrected_body_is_delivered_as_its_events() {
    let home = Home::new(SINK);
    let service = home.start();
    assert_eq!(post(&service, "garbage".to_owned())["quarantined"], 1);
    let entry = text(&home.run(&["quarantine", "show", "1"]));
    assert!(entry.contains("origin      body") && entry.contains("syntax"), "{entry}");
    std::fs::write(home.path("fixed"), format!("[{},{}]", minted("a"), minted("b")))
        .expect("written");
    let retried = home.run_with(&service, &["quarantine", "retry", "1", "--replace", "fixed"]);
    assert_eq!(text(&retried), "1: 2 accepted\n");
    wait_for_id(&home, "b");
}

#[test]
fn entries_are_filtered_exported_and_purged() {
    let home = Home::new(SINK);
    let service = home.start();
    post(&service, "[1,{},\"\u{1b}[31mred\"]".to_owned());
    post(&service, "junk".to_owned());
    let count = |arguments: &[&str]| text(&home.run(arguments)).lines().count();
    assert_eq!(count(&["quarantine", "list", "--json"]), 4);
    assert_eq!(count(&["quarantine", "list", "--json", "--reason", "not_an_object"]), 1);
    assert_eq!(count(&["quarantine", "list", "--json", "--reason", "syntax", "--sink", "out"]), 0);
    assert_eq!(count(&["quarantine", "list", "--json", "--limit", "2"]), 2);
    let exported = text(&home.run(&["quarantine", "export", "--reason", "not_an_object"]));
    assert_eq!(serde_json::from_str::<Value>(&exported).expect("JSON")["bytes_base64"], "MQ==");
    for command in ["purge", "retry"] {
        let named = home.run_with(&service, &["quarantine", command, "1", "--sink", "siem"]);
        assert_eq!(named.status.code(), Some(64), "{named:?}");
    }
    for (arguments, removed, missing) in [
        (&["quarantine", "purge", "1", "77", "1"][..], 1, "1 of 2 entries is not in quarantine"),
        (&["quarantine", "purge", "1"], 0, "1 of 1 entry is not in quarantine"),
    ] {
        let purged = home.run_with(&service, arguments);
        assert_eq!(purged.status.code(), Some(1), "{purged:?}");
        assert_eq!(String::from_utf8_lossy(&purged.stdout), format!("{removed} removed\n"));
        let said = String::from_utf8_lossy(&purged.stderr);
        assert!(said.contains(missing) && said.contains("quarantine list"), "{said}");
    }
    assert_eq!(home.run(&["quarantine", "show", "1"]).status.code(), Some(1));
    assert!(service.terminate().0.success());
    assert_eq!(home.run(&["quarantine", "purge", "1"]).status.code(), Some(1));
    assert_eq!(
        text(&home.run(&["quarantine", "purge", "--all", "--yes", "--reason", "missing_field"])),
        "1 removed\n"
    );
    let refused = home.run(&["quarantine", "purge", "--all"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(64), "{said}");
    assert!(said.contains("Remove 2 entries permanently?") && said.contains("--yes"), "{said}");
    assert_eq!(text(&home.run(&["quarantine", "purge", "--all", "--yes"])), "2 removed\n");
}

#[test]
fn an_entry_is_not_replaced_by_nothing() {
    let home = Home::new(SINK);
    let service = home.start();
    assert_eq!(post(&service, "[{}]".to_owned())["quarantined"], 1);
    assert_eq!(post(&service, "garbage".to_owned())["quarantined"], 1);
    for nothing in ["[]", "{}", "", " \n", "\u{feff}", "[", "{\"logs\":[]}", "[[]]", "null"] {
        std::fs::write(home.path("fixed"), nothing).expect("written");
        for id in ["1", "2"] {
            let retry = ["quarantine", "retry", id, "--replace", "fixed"];
            let refused = home.run_with(&service, &retry);
            assert_eq!(refused.status.code(), Some(1), "{nothing:?}: {refused:?}");
            assert_eq!(home.quarantine().len(), 2, "{nothing:?}: the entry stays");
        }
    }
    std::fs::write(home.path("fixed"), "[]").expect("written");
    let refused = home.run_with(&service, &["quarantine", "retry", "1", "--replace", "fixed"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("it holds no event") && said.contains("purge"), "{said}");
}

//! `check --tests`: the `[[tests]]` of a configuration.

use serde_json::Value;

use crate::support::events::{fixture, fixture_text};
use crate::support::service::Home;

/// A sink that redacts, filters connection tests and writes ECS; then one that writes CEF.
const SINKS: &str = "[redact]\ndrop = [\"**.name\"]\n\
    [sinks.siem]\ntype = \"file\"\npath = \"siem\"\nformat = \"ecs\"\ntest_events = false\n\
    redact = { pii = \"mask\" }\n\
    [sinks.cef]\ntype = \"file\"\npath = \"cef\"\nformat = \"cef\"\n";

fn test(name: &str, sink: &str, event: &str, rest: &str) -> String {
    format!(
        "[[tests]]\nname = \"{name}\"\nsink = \"{sink}\"\nevent_file = {:?}\n{rest}\n",
        fixture(&format!("events/{event}.json"))
    )
}

fn check(tests: &[String], arguments: &[&str]) -> std::process::Output {
    let home = Home::new(&format!("{SINKS}{}", tests.concat()));
    let output = home.run(&[&["check", "--tests"], arguments].concat());
    assert!(!home.path("data").exists() && !home.path("siem").exists(), "nothing was written");
    output
}

#[test]
fn expectations_that_hold_pass() {
    let tests = [
        test("connection", "siem", "event_delivery_test", "expect = \"filtered\""),
        test(
            "names",
            "siem",
            "actors",
            "fields = [{ pointer = \"/event/module\", value = \"ping_one\" }, { pointer = \"/event/severity\", \
             value = \"1\" }]\nabsent = [\"/user/name\"]\nlacks = [\"jdoe\"]\n",
        ),
        test("cef", "cef", "actors", "contains = [\"CEF:0|\"]\nlacks = [\"jdoe\"]"),
        format!(
            "[[tests]]\nname = \"inline\"\nsink = \"cef\"\nsource = \"pingone\"\nevent = '''{}'''\n",
            fixture_text("events/send_response.json")
        ),
    ];
    let output = check(&tests, &[]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    for name in ["connection", "names", "cef", "inline"] {
        assert!(text.contains(&format!("test {name}: ok")), "{text}");
    }
    let none = check(&[], &[]);
    assert!(none.status.success() && String::from_utf8_lossy(&none.stdout).contains("no tests"));
}

#[test]
fn each_expectation_that_does_not_hold_is_named() {
    for (sink, event, expectation, message) in [
        (
            "siem",
            "actors",
            "expect = \"filtered\"",
            "expected filtered, but sink siem gets the event",
        ),
        ("siem", "event_delivery_test", "", "expected delivered, but sink siem filters the event"),
        (
            "siem",
            "actors",
            "fields = [{ pointer = \"/event/module\", value = \"x\" }]",
            "/event/module has another value than \"x\"",
        ),
        (
            "siem",
            "actors",
            "fields = [{ pointer = \"/nowhere\", value = \"x\" }]",
            "/nowhere is absent, but expected \"x\"",
        ),
        ("siem", "actors", "absent = [\"/event\"]", "/event is there, but expected absent"),
        ("cef", "actors", "lacks = [\"CEF:0\"]", "\"CEF:0\" is in the output"),
        ("cef", "actors", "contains = [\"nobody\"]", "\"nobody\" is not in the output"),
        ("cef", "actors", "absent = [\"/event\"]", "the format has no JSON fields"),
        ("cef", "nowhere", "", "nowhere.json cannot be read"),
    ] {
        let output = check(&[test("t", sink, event, expectation)], &[]);
        assert_eq!(output.status.code(), Some(1), "{expectation}: {output:?}");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains("test t: ") && text.contains(message), "{text}");
        assert!(text.contains("1 test of the configuration failed"), "{text}");
    }
    let tests =
        [test("good", "cef", "actors", ""), test("bad", "cef", "actors", "lacks = [\"CEF\"]")];
    let output = check(&tests, &["--json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(
        report["tests"][0],
        serde_json::json!({ "name": "good", "ok": true, "failures": [] })
    );
    assert_eq!(report["tests"][1]["ok"], false);
}

#[test]
fn an_event_that_would_be_quarantined_and_two_events_fail() {
    for (event, message) in [
        ("{}", "the event would be quarantined"),
        ("no event", "the event would be quarantined"),
        ("[]", "the test has 0 events; write one"),
    ] {
        let inline = format!("[[tests]]\nname = \"t\"\nsink = \"cef\"\nevent = '{event}'\n");
        let output = check(&[inline], &[]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains(message), "{event}: {text}");
    }
}

#[test]
fn mistakes_in_a_test_are_mistakes_of_the_configuration() {
    for (test, key, message) in [
        ("sink = \"siem\"\nevent = '{}'", "tests[0].name", "is missing"),
        ("name = \"t\"\nevent = '{}'\nsink = \"x\"", "tests[0].sink", "is not one of the sinks"),
        (
            "name = \"t\"\nevent = '{}'\nsink = \"siem\"\nsource = \"x\"",
            "tests[0].source",
            "is not one of the sources pingone",
        ),
        ("name = \"t\"\nsink = \"siem\"", "tests[0].event", "write either event or event_file"),
        (
            "name = \"t\"\nsink = \"siem\"\nevent = '{}'\nabsent = [\"user\"]",
            "tests[0].absent",
            "is no JSON pointer",
        ),
        (
            "name = \"t\"\nsink = \"siem\"\nevent = '{}'\nexpect = \"filtered\"\nlacks = [\"a\"]",
            "tests[0].expect",
            "a filtered event has no output",
        ),
    ] {
        let output = check(&[format!("[[tests]]\n{test}\n")], &[]);
        assert_eq!(output.status.code(), Some(64), "{output:?}");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains(key) && text.contains(message), "{text}");
    }
}

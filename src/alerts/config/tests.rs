//! Mistakes in `[alerts]`, which never show a URL.

use std::ffi::OsString;

use super::*;
use crate::settings::{Secrets, read};

fn settings(keys: &str) -> Result<Option<AlertsConfig>, String> {
    let environment =
        [("URL", "https://hooks.example.com/T0/SECRET"), ("BAD", "SECRET"), ("KEY", "k3y")];
    let environment =
        environment.map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let text = format!("[alerts]\n{keys}");
    let read = read(&text, None, environment.into_iter(), Secrets::All, AlertsConfig::read);
    read.map_err(|problems| {
        problems.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    })
}

#[test]
fn urls_keys_and_names_are_checked_without_being_shown() {
    let long_name = format!("type = \"json\"\nurl_env = \"URL\"\nname = \"{}\"", "n".repeat(101));
    for (keys, expected) in [
        ("", "type"),
        ("type = \"slak\"\nurl_env = \"URL\"", "did you mean \"slack\""),
        ("type = \"slack\"", "url: is missing; write url_file or url_env"),
        (
            "type = \"json\"\nurl = \"https://x\"\nurl_env = \"URL\"",
            "url: and url_env are both given",
        ),
        ("type = \"slack\"\nurl_env = \"BAD\"", "url_env: is not a URL"),
        ("type = \"slack\"\nurl = \"hooks.example.com/SECRET\"", "url: "),
        ("type = \"pagerduty\"", "routing_key_env"),
        ("type = \"slack\"\nurl_env = \"URL\"\nbearer_env = \"KEY\"", "bearer_env: is no key here"),
        ("type = \"json\"\nurl_env = \"URL\"\nmax_per_hour = 0", "from 1 to 1000"),
        ("type = \"json\"\nurl_env = \"URL\"\nname = \" \"", "name: is not a name of 1 to 100"),
        (&long_name, "name: is not a name of 1 to 100 characters"),
    ] {
        let problems = settings(keys).expect_err(keys);
        assert!(problems.contains(expected), "{keys}: {problems}");
        assert!(!problems.contains("SECRET"), "{problems}");
    }
}

#[test]
fn the_target_shows_no_path() {
    let slack = settings("type = \"slack\"\nurl_env = \"URL\"").expect("valid").expect("there");
    assert_eq!(slack.target(), "https://hooks.example.com/… (slack)");
    let shown = format!("{slack:?}");
    assert!(!shown.contains("SECRET"), "{shown}");
    let pagerduty = settings("type = \"pagerduty\"\nrouting_key_env = \"KEY\"");
    let pagerduty = pagerduty.expect("valid").expect("there");
    assert_eq!(pagerduty.client.url.as_str(), PAGERDUTY);
}

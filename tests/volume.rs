//! `volume`: its sums are those of the delivered lines, and its savings those of the filter in a configuration.

use serde_json::{Value, json};

use crate::support::events::{batch, documented, ids, minted};
use crate::support::service::Home;

const KEEP: &str = "[spool]\nretention = \"1h\"\n";
const OTHER: &str = "[sinks.ecs]\ntype = \"file\"\npath = \"ecs.ndjson\"\nformat = \"ecs\"\n\
     exclude = { types = [\"START_INTERACTION\"] }\n";

fn volume(home: &Home, arguments: &[&str]) -> Value {
    let output = home.run(&[&["volume", "--json"], arguments].concat());
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Returns the row of a group: events, bytes, and the saved ones.
fn row(report: &Value, group: &[&str]) -> [u64; 4] {
    let rows = report["rows"].as_array().expect("rows");
    let row = rows.iter().find(|row| row["group"] == json!(group)).expect("the group");
    ["events", "bytes", "saved_events", "saved_bytes"]
        .map(|key| row[key].as_u64().expect("a number"))
}

/// Returns the number of lines of a file and their bytes, without line breaks.
fn lines(home: &Home, name: &str) -> (u64, u64) {
    let lines = home.lines(name);
    (lines.len() as u64, lines.iter().map(|line| line.len() as u64).sum())
}

#[test]
fn sums_are_those_of_the_delivered_lines() {
    let home = Home::with_two_sinks(&format!("{KEEP}{OTHER}"));
    let service = home.start();
    let events: Value = serde_json::from_str(&documented()).expect("JSON");
    service.post(&events.to_string());
    service.post(&batch(ids(20)));
    for sink in ["one", "ecs"] {
        service.wait_until_settled(sink);
    }
    let filter = "exclude = { types = [\"CUSTOM_ANALYTICS\"] }";
    let report = volume(&home, &["--what-if", filter]);
    assert_eq!(report["events"], 25);
    for (sink, file) in [("one", "one.ndjson"), ("ecs", "ecs.ndjson")] {
        let [events, bytes, saved_events, _] = row(&report, &[sink]);
        assert_eq!((events, bytes), lines(&home, file), "{sink}");
        assert_eq!(saved_events, 21, "{sink}");
    }
    assert_eq!(row(&report, &["ecs"])[0], 24, "its own filter applies");
    let by_type = volume(&home, &["--by", "type", "--what-if", filter]);
    let [events, bytes, saved_events, saved_bytes] =
        row(&by_type, &["DAVINCI_INTERACTION.CUSTOM_ANALYTICS"]);
    assert_eq!((events, bytes), (saved_events, saved_bytes));
    assert_eq!(row(&by_type, &["DAVINCI_INTERACTION.START_INTERACTION"])[2], 0);
    let sum: u64 = by_type["rows"]
        .as_array()
        .expect("rows")
        .iter()
        .filter_map(|row| row["bytes"].as_u64())
        .sum();
    assert_eq!(sum, row(&report, &["one"])[1], "native is as received");
    let both = volume(&home, &["--by", "sink,connector"]);
    let events: u64 = both["rows"]
        .as_array()
        .expect("rows")
        .iter()
        .filter_map(|row| row["events"].as_u64())
        .sum();
    assert_eq!(events, 25 + 25 + 24);
    // The saving is what the filter saves once it is configured.
    drop(service);
    let config = std::fs::read_to_string(home.path("test.toml")).expect("read");
    let filtered =
        config.replace("path = \"one.ndjson\"\n", &format!("path = \"one.ndjson\"\n{filter}\n"));
    std::fs::write(home.path("test.toml"), filtered).expect("written");
    let before = row(&report, &["one"]);
    let after = row(&volume(&home, &[]), &["one"]);
    assert_eq!([after[0], after[1]], [before[0] - before[2], before[1] - before[3]]);
}

#[test]
fn a_value_of_any_length_is_a_group_with_a_short_name() {
    let home = Home::with_two_sinks(KEEP);
    let service = home.start();
    let mut event: Value = serde_json::from_str(&minted("long")).expect("JSON");
    event["action"]["type"] = "x".repeat(70_000).into();
    service.post(&format!("[{event}]"));
    service.wait_until_settled("one");
    let report = volume(&home, &["--by", "type"]);
    let name = format!("{}…", "x".repeat(256));
    assert_eq!(row(&report, &[&name])[0], 1);
    let output = home.run(&["volume", "--by", "type"]);
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains(&name));
}

#[test]
fn a_filter_that_is_none_is_refused() {
    let home = Home::with_two_sinks(KEEP);
    drop(home.start());
    for filter in ["types", "exclude = {}", "", "exclude = { type = [\"X\"] }"] {
        let output = home.run(&["volume", "--what-if", filter]);
        assert_eq!(output.status.code(), Some(64), "{filter}: {output:?}");
    }
    let output = home.run(&["volume"]);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("holds no events"), "{output:?}");
}

#[test]
fn a_filter_that_saves_nothing_is_reported_with_the_reason() {
    let home = Home::new(&format!(
        "{KEEP}[sinks.one]\ntype = \"file\"\npath = \"one.ndjson\"\n\
         exclude = {{ types = [\"DELIVERED_TO_NONE\"] }}\n"
    ));
    let service = home.start();
    service.post(&batch(ids(1)));
    let mut unwanted: Value = serde_json::from_str(&minted("unwanted")).expect("JSON");
    unwanted["action"]["type"] = "DELIVERED_TO_NONE".into();
    service.post(&format!("[{unwanted}]"));
    service.wait_until_settled("one");
    for (types, by, reason) in [
        ("CUSTOM_ANALYTICZ", "type", Some("it leaves out none of the stored events")),
        ("CUSTOM_ANALYTICZ", "sink", Some("it leaves out none of the stored events")),
        ("DELIVERED_TO_NONE", "sink", Some("no sink gets the events")),
        ("DELIVERED_TO_NONE", "type", None),
    ] {
        let filter = format!("exclude = {{ types = [\"{types}\"] }}");
        let arguments = ["--by", by, "--what-if", &filter];
        let finding = volume(&home, &arguments)["finding"].as_str().map(str::to_owned);
        let output = home.run(&[&["volume"], &arguments[..]].concat());
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        match reason {
            Some(reason) => assert!(
                finding.is_some_and(|finding| finding.contains(reason)) && told.contains(reason),
                "{types} {by}: {told}"
            ),
            None => assert!(finding.is_none() && told.is_empty(), "{types} {by}: {told}"),
        }
    }
}

/// The formatter of the standard library panics for a width above `u16::MAX`.
#[test]
fn names_of_any_length_are_cut_in_the_listing() {
    let home = Home::with_two_sinks(KEEP);
    let service = home.start();
    let mut event: Value = serde_json::from_str(&minted("long")).expect("JSON");
    event["action"]["type"] = "é".repeat(70_000).into();
    service.post(&format!("[{event}]"));
    service.wait_until_settled("one");
    let output = home.run(&["volume", "--by", "type,source"]);
    assert!(output.status.success(), "{:?}", output.status);
    let longest =
        String::from_utf8_lossy(&output.stdout).lines().map(|line| line.chars().count()).max();
    assert!(longest.is_some_and(|chars| chars < 400), "{longest:?}");
    let report = volume(&home, &["--by", "type"]);
    let name = report["rows"][0]["group"][0].as_str().expect("a name");
    assert!(
        name.len() <= 256 + '…'.len_utf8() && name.starts_with('é') && name.ends_with('…'),
        "{name}"
    );
}

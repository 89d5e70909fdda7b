//! The `object_store` sink: objects by source and hour, refusals, lost answers, changed settings, and secrets.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::canary::{TOKEN, assert_silent, shown, text};
use crate::support::events::{batch, id, ids};
use crate::support::service::{Home, Service};
use crate::support::targets::bucket::{BUCKET, Bucket, KEY_ID};
use crate::support::targets::{Fault, Target};
use crate::support::wait_for;

/// Returns the configuration of a sink that writes to `bucket`, with more keys.
pub fn config(bucket: &Target<Bucket>, keys: &str) -> String {
    format!(
        "[sinks.archive]\ntype = \"object_store\"\nendpoint = \"{}\"\nprefix = \"siem\"\n\
         s3 = {{ bucket = \"{BUCKET}\", region = \"us-east-1\", access_key = {{ id = \"{KEY_ID}\", secret_env = \"SECRET\" }} }}\n\
         retry = {{ min = \"1ms\", max = \"50ms\" }}\n{keys}\n",
        bucket.url
    )
}

fn home(bucket: &Target<Bucket>, keys: &str) -> Home {
    Home::new(&config(bucket, keys)).with_variables(&[("SECRET", TOKEN)])
}

pub fn sorted(lines: &[String]) -> Vec<String> {
    let mut ids: Vec<String> = lines.iter().map(|line| id(line)).collect();
    ids.sort();
    ids
}

pub fn paused(service: &Service) -> String {
    wait_for("a paused sink", || {
        let state = service.readiness()["sinks"][0].clone();
        (state["state"] == "paused").then(|| state["reason"].as_str().expect("a reason").to_owned())
    })
}

#[test]
fn events_become_one_object_per_source_and_hour_once_they_are_due() {
    let bucket = Target::start(Bucket::default());
    let sources = "[sources.east]\npath = \"/east\"\n[sources.west]\npath = \"/west\"\n";
    let home = home(&bucket, &format!("batch = {{ age = \"1s\" }}\n{sources}"));
    let service = home.start();
    let url = service.url.replace("/webhooks/pingone", "");
    for (path, number) in [("east", 0), ("west", 1), ("east", 2), ("west", 3)] {
        let body = batch([format!("event-{number:04}")]);
        let posted = crate::support::block_on(async {
            reqwest::Client::new().post(format!("{url}/{path}")).body(body).send().await
        });
        assert_eq!(posted.expect("an answer").status(), 200);
    }
    service.wait_until_settled("archive");
    let objects = bucket.lines();
    // The hour may change between the events.
    assert!((2..=4).contains(&objects.len()), "{objects:?}");
    for (name, lines) in &objects {
        let parts: Vec<&str> = name.split('/').collect();
        assert_eq!(parts.len(), 5, "{name}");
        assert!(parts[2].starts_with("dt=2") && parts[3].starts_with("hour="), "{name}");
        let expected = if parts[1] == "source=east" { [0, 2] } else { [1, 3] };
        let expected = expected.map(|number| format!("event-{number:04}"));
        assert!(sorted(lines).iter().all(|id| expected.contains(id)), "{name}: {lines:?}");
        assert!(parts[4].ends_with(".ndjson.zst"), "{name}");
    }
    assert_eq!(sorted(&bucket.all_lines()), ids(4));
    let headers = bucket.state().traffic.headers[0].clone();
    assert_eq!(headers["content-type"], "application/zstd");
    assert!(headers.get("content-encoding").is_none(), "readers go by the name");
}

#[test]
fn a_full_range_is_written_before_it_is_due_and_the_rest_at_shutdown() {
    let bucket = Target::start(Bucket::default());
    let home = home(&bucket, "batch = { age = \"1h\", events = 10 }");
    let service = home.start();
    service.post(&batch(ids(25)));
    wait_for("two objects", || (bucket.state().objects.len() >= 2).then_some(()));
    wait_for("a commit", || (service.lag("archive") == 5.0).then_some(()));
    assert_eq!(bucket.state().objects.len(), 2, "5 events wait");
    let (status, log) = service.terminate();
    assert!(status.success(), "{log}");
    assert_eq!(
        bucket.lines().iter().map(|(_, lines)| lines.len()).collect::<Vec<_>>(),
        [10, 10, 5]
    );
    assert_eq!(sorted(&bucket.all_lines()), ids(25));
}

#[test]
fn filtered_events_are_in_no_object_and_are_counted() {
    let bucket = Target::start(Bucket::default());
    let home = home(&bucket, "batch = { age = \"10ms\" }\ninclude = { types = [\"OTHER\"] }");
    let service = home.start();
    service.post(&batch(ids(3)));
    service.wait_until_settled("archive");
    assert_eq!(bucket.requests(), 0);
    let filtered = "davinci_siem_sink_events_total{result=\"filtered\",sink=\"archive\"}";
    assert_eq!(service.metric(filtered), 3.0);
}

#[test]
fn an_object_whose_confirmation_was_lost_is_not_written_again() {
    let bucket = Target::start(Bucket::default());
    bucket.fail([
        Fault::status(503),
        Fault::StoreAndReset,
        Fault::retry_after(429, "0"),
        Fault::Reset(200),
    ]);
    let home = home(&bucket, "batch = { age = \"10ms\" }");
    let service = home.start();
    service.post(&batch(ids(3)));
    service.wait_until_settled("archive");
    assert_eq!(sorted(&bucket.all_lines()), ids(3));
    assert_eq!(bucket.state().repeated, 1);
    let found = "davinci_siem_sink_findings_total{kind=\"already_stored\",sink=\"archive\"}";
    assert_eq!(service.metric(found), 1.0);
    let delivered = "davinci_siem_sink_events_total{result=\"delivered\",sink=\"archive\"}";
    assert_eq!(service.metric(delivered), 3.0);
}

#[test]
fn a_killed_process_repeats_the_same_object_and_a_changed_configuration_another_one() {
    // A lower limit makes no other object: nothing tells if the former one exists.
    let (format, fewer) = ("format = \"ecs\"\n", "age = \"10ms\", events = 2");
    for (keys, limits, objects) in [("", "", 1), (format, "", 2), ("", fewer, 1)] {
        let is_changed = objects > 1;
        let bucket = Target::start(Bucket::default());
        // The object is stored, and the process waits for the answer until it is killed.
        bucket.fail([Fault::StoreAndReset]);
        let slow = "batch = { age = \"10ms\" }\nretry = { min = \"1h\", max = \"1h\" }";
        let mut toml =
            config(&bucket, "").replace("retry = { min = \"1ms\", max = \"50ms\" }", slow);
        let home = Home::new(&toml).with_variables(&[("SECRET", TOKEN)]);
        let service = home.start();
        service.post(&batch(ids(3)));
        wait_for("an object", || (bucket.state().objects.len() == 1).then_some(()));
        service.kill();
        toml = std::fs::read_to_string(home.path("test.toml")).expect("a file");
        toml.push_str(keys);
        if !limits.is_empty() {
            toml = toml.replace("age = \"10ms\"", limits);
        }
        std::fs::write(home.path("test.toml"), toml).expect("written");
        let service = home.start();
        service.wait_until_settled("archive");
        assert_eq!(bucket.state().objects.len(), objects, "{keys}{limits}");
        let log = service.log();
        assert_eq!(log.contains("configuration has changed while it wrote objects"), is_changed);
        let names: BTreeSet<String> = bucket.lines().into_iter().map(|(name, _)| name).collect();
        let former = log.split("\"former_id\":\"").nth(1).map(|rest| rest[..16].to_owned());
        assert_eq!(former.is_some(), is_changed);
        let is_named = |id: &String| names.iter().any(|name| name.contains(id.as_str()));
        assert!(
            former.iter().all(is_named),
            "the log names the former object: {former:?} {names:?}"
        );
    }
}

#[test]
fn a_missing_bucket_or_a_wrong_key_pauses_the_sink_and_check_says_so() {
    for (before, after, words) in [
        (BUCKET, "another", "bucket another does not exist"),
        (KEY_ID, "AKIAOTHER", "refuses to create an object in archive"),
    ] {
        let bucket = Target::start(Bucket::default());
        let toml = config(&bucket, "batch = { age = \"10ms\" }").replace(before, after);
        let home = Home::new(&toml).with_variables(&[("SECRET", TOKEN)]);
        let service = home.start();
        service.post(&batch(ids(3)));
        let reason = paused(&service);
        assert!(reason.contains(words), "{reason}");
        let output = home.run(&["check", "--connect"]);
        assert!(!output.status.success() && text(&output).contains(words), "{}", text(&output));
        assert!(home.quarantine().is_empty());
        service.kill();
        // The events are kept until an operator has corrected the configuration.
        let toml = std::fs::read_to_string(home.path("test.toml")).expect("a file");
        std::fs::write(home.path("test.toml"), toml.replace(after, before)).expect("written");
        let service = home.start();
        service.wait_until_settled("archive");
        assert_eq!(sorted(&bucket.all_lines()), ids(3));
        let output = home.run(&["check", "--connect"]);
        assert!(text(&output).contains("created the empty object siem/_davinci-siem-probe"));
        let output = home.run(&["check", "--connect"]);
        assert!(output.status.success() && text(&output).contains("of an earlier check exists"));
    }
}

#[test]
fn a_key_file_that_changes_wakes_a_paused_sink() {
    let bucket = Target::start(Bucket::default());
    bucket.fail([Fault::status(403)]);
    let toml = config(&bucket, "batch = { age = \"10ms\" }")
        .replace("secret_env = \"SECRET\"", "secret_file = \"secret\"")
        .replace("max = \"50ms\"", "max = \"1h\"");
    let home = Home::new(&toml);
    std::fs::write(home.path("secret"), "wrong").expect("written");
    let service = home.start();
    service.post(&batch(ids(3)));
    paused(&service);
    std::fs::write(home.path("secret"), TOKEN).expect("written");
    service.wait_until_settled("archive");
    assert_eq!(sorted(&bucket.all_lines()), ids(3));
}

/// The secret and the session token hold the canary, and each answer repeats the request's headers.
#[test]
fn no_secret_is_in_anything_that_the_process_writes() {
    let bucket = Target::start(Bucket::default());
    let echo = format!("<Error><Code>{TOKEN}</Code><Message>{TOKEN}</Message></Error>");
    let faults = |_| Fault::Answer(403, Vec::new(), echo.clone());
    bucket.fail((0..3).map(faults));
    let keys = "batch = { age = \"10ms\" }";
    let secrets = "secret_env = \"SECRET\", session_token_env = \"SECRET\"";
    let text_with_token = config(&bucket, keys).replace("secret_env = \"SECRET\"", secrets);
    let home = Home::new(&text_with_token).with_variables(&[("SECRET", TOKEN)]);
    let service = home.start();
    service.post(&batch(ids(3)));
    service.wait_until_settled("archive");
    let mut written = vec![shown(&service)];
    bucket.fail((0..3).map(faults));
    for arguments in [
        &["sink", "list", "--json"][..],
        &["quarantine", "list", "--json"],
        &["status"],
        &["check"],
        &["check", "--connect"],
    ] {
        written.push(text(&home.run_with(&service, arguments)));
    }
    written.push(service.terminate().1);
    for name in ["spool.db", "spool.db-wal"] {
        let bytes = std::fs::read(home.path("data").join(name)).unwrap_or_default();
        written.push(String::from_utf8_lossy(&bytes).into_owned());
    }
    for said in &written {
        assert_silent(said, TOKEN, "access key");
    }
}

#[test]
fn a_replayed_event_is_written_to_an_object_of_its_own_hour() {
    let bucket = Target::start(Bucket::default());
    let home = home(&bucket, "batch = { age = \"10ms\" }\n[spool]\nretention = \"1h\"");
    let service = home.start();
    service.post(&batch(ids(3)));
    service.wait_until_settled("archive");
    let replay = ["replay", "--sink", "archive", "--from", "1h"];
    let output = home.run_with(&service, &replay);
    assert!(output.status.success(), "{}", text(&output));
    service.wait_until_settled("archive");
    let objects = bucket.lines();
    let hours: BTreeSet<&str> =
        objects.iter().map(|(name, _)| name.rsplit_once('/').expect("a name").0).collect();
    assert!(hours.len() <= 2, "{hours:?}");
    let all: Vec<Value> =
        bucket.all_lines().iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(all.len(), 6, "a replay writes events once more");
}

//! The spool of the running service: its limit, deduplication, damage, and its lock.

use std::collections::HashSet;

use reqwest::{Client, StatusCode};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::events::{batch, documented, id, large};
use crate::support::service::{Home, Service};
use crate::support::{block_on, wait_for};

fn post(service: &Service, body: &str) -> (StatusCode, Value) {
    block_on(async {
        let response =
            Client::new().post(&service.url).body(body.to_owned()).send().await.expect("an answer");
        let status = response.status();
        if status == 503 {
            assert!(response.headers().contains_key("retry-after"), "a 503 says when to come back");
        }
        (status, response.json().await.unwrap_or(Value::Null))
    })
}

#[test]
fn at_its_limit_the_answer_is_503_until_the_sinks_have_caught_up() {
    let home = Home::new(
        "[limits]\nbody = \"512 KiB\"\nin_flight = \"4 MiB\"\n\
         [spool]\nmax_size = \"6 MiB\"\ndedup = { max_ids = 1000 }\n\
         [sinks.out]\ntype = \"file\"\npath = \"directory\"\nretry = { min = \"1ms\", max = \"50ms\" }\n",
    );
    // A directory in place of the file: the sink is paused, its events wait.
    std::fs::create_dir(home.path("directory")).expect("made");
    let service = home.start();
    let mut accepted = Vec::new();
    let refused = loop {
        let id = format!("event-{}", accepted.len());
        let body = large(&id);
        match post(&service, &body) {
            (StatusCode::OK, _) => accepted.push(id),
            (status, answer) => break (status, answer, body),
        }
        assert!(accepted.len() < 100, "6 MiB are full after 60 events of 100 kB");
    };
    assert!(accepted.len() > 20, "{} events fit", accepted.len());
    assert_eq!(
        (refused.0.as_u16(), refused.1),
        (503, json!({"error": "the events could not be stored"}))
    );
    assert_eq!(
        post(&service, &batch(["small".to_owned()])).0,
        503,
        "hysteresis: small ones wait too"
    );
    assert!(service.log().contains("the spool is full"));
    let stats: Value =
        serde_json::from_slice(&home.run(&["spool", "stats", "--json"]).stdout).expect("JSON");
    assert_eq!(stats["head"], accepted.len(), "nothing of a refused batch is kept: {stats}");
    let ready = || service.ask_admin("/readyz").0;
    assert_eq!(ready(), 503);

    std::fs::remove_dir(home.path("directory")).expect("removed");
    let answer =
        wait_for("room", || Some(post(&service, &refused.2)).filter(|(status, _)| *status == 200));
    assert_eq!(answer.1["accepted"], 1, "the repetition is no duplicate: its ids were forgotten");
    wait_for("readiness", || (ready() == 200).then_some(()));
    let lines = wait_for("all of them", || {
        Some(home.lines("directory")).filter(|lines| lines.len() > accepted.len())
    });
    let ids: Vec<String> = lines.iter().map(|line| id(line)).collect();
    assert_eq!(ids[..accepted.len()], accepted, "what was accepted came out, in order");
}

#[test]
fn ids_are_remembered_across_restarts_and_kills() {
    let home = Home::new("[sinks.out]\ntype = \"file\"\npath = \"out.ndjson\"\n");
    let service = home.start();
    assert_eq!(post(&service, &documented()).1["accepted"], 5);
    service.kill();
    let service = home.start();
    assert_eq!(post(&service, &documented()).1["duplicates"], 5, "after SIGKILL");
    assert!(service.terminate().0.success());
    let service = home.start();
    assert_eq!(post(&service, &documented()).1["duplicates"], 5, "after SIGTERM");
    assert!(service.terminate().0.success());
    // SIGKILL may have come between the write and the commit of the cursor: then these lines are there twice.
    let ids: HashSet<String> = home.lines("out.ndjson").iter().map(|line| id(line)).collect();
    assert_eq!(ids.len(), 5);
}

#[test]
fn the_same_event_of_two_sources_is_two_events() {
    let home = Home::new(
        "[sources.a]\npath = \"/a\"\n[sources.b]\npath = \"/b\"\n[sinks.out]\ntype = \"file\"\npath = \"out.ndjson\"\n",
    );
    let mut service = home.start();
    for path in ["/a", "/b"] {
        service.url = format!("http://{}{path}", service.address());
        assert_eq!(post(&service, &documented()).1["accepted"], 5, "{path}");
    }
}

#[test]
fn concurrent_repetitions_of_a_batch_are_accepted_once() {
    let home = Home::new("[sinks.out]\ntype = \"file\"\npath = \"out.ndjson\"\n");
    let service = home.start();
    let body = batch((0..100).map(|number| format!("event-{number}")));
    let accepted: u64 = block_on(async {
        let posts: Vec<_> = (0..8)
            .map(|_| tokio::spawn(Client::new().post(&service.url).body(body.clone()).send()))
            .collect();
        let mut accepted = 0;
        for post in posts {
            let answer: Value =
                post.await.expect("ran").expect("an answer").json().await.expect("JSON");
            assert_eq!(answer["received"], 100);
            accepted += answer["accepted"].as_u64().expect("a number");
        }
        accepted
    });
    assert_eq!(accepted, 100);
}

#[test]
fn a_damaged_chunk_is_kept_aside_and_stops_nothing() {
    let home = Home::new(
        "[sinks.out]\ntype = \"file\"\npath = \"directory\"\nretry = { min = \"1ms\", max = \"50ms\" }\n",
    );
    std::fs::create_dir(home.path("directory")).expect("made");
    let service = home.start();
    for part in ["a", "b", "c"] {
        post(&service, &batch((0..10).map(|number| format!("{part}-{number}"))));
    }
    service.kill();
    // One flipped bit in the body of the middle chunk.
    let store = Connection::open(home.path("data/spool.db")).expect("opened");
    let body: Vec<u8> = store
        .query_row("SELECT body FROM chunks WHERE last = 20", [], |row| row.get(0))
        .expect("a chunk");
    let mut damaged = body.clone();
    damaged[body.len() / 2] ^= 1;
    store.execute("UPDATE chunks SET body = ? WHERE last = 20", [&damaged]).expect("changed");
    drop(store);

    let verified = home.run(&["spool", "verify"]);
    assert_eq!(verified.status.code(), Some(1));
    let report = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(report.contains("events 11 to 20: the chunk does not match its checksum"), "{report}");

    std::fs::remove_dir(home.path("directory")).expect("removed");
    let service = home.start();
    post(&service, &batch(["fresh".to_owned()]));
    let lines =
        wait_for("21 lines", || Some(home.lines("directory")).filter(|lines| lines.len() >= 21));
    let ids: Vec<String> = lines.iter().map(|line| id(line)).collect();
    assert_eq!((ids[9].as_str(), ids[10].as_str(), ids[20].as_str()), ("a-9", "c-0", "fresh"));
    wait_for("the dead letter", || {
        let listed =
            String::from_utf8(home.run(&["quarantine", "list", "--json"]).stdout).expect("UTF-8");
        listed.contains("\"origin\":\"damage\"").then_some(())
    });
    let (_, metrics) = service.ask_admin("/metrics");
    assert!(metrics.contains("davinci_siem_damaged_events_total{sink=\"out\"} 10"), "counted");
    assert!(
        metrics
            .contains("davinci_siem_sink_events_total{result=\"dead_lettered\",sink=\"out\"} 10")
    );
}

#[test]
fn a_file_that_is_not_a_database_is_moved_aside_and_reported() {
    let home = Home::new("[sinks.out]\ntype = \"file\"\npath = \"out.ndjson\"\n");
    std::fs::create_dir(home.path("data")).expect("made");
    std::fs::write(home.path("data/spool.db"), "this is no database, but it may have been one")
        .expect("written");
    let service = home.start();
    assert!(service.log().contains("moved aside"), "{}", service.log());
    assert_eq!(post(&service, &documented()).1["accepted"], 5);
    let ready: Value = serde_json::from_str(&service.ask_admin("/readyz").1).expect("JSON");
    let aside = ready["spool_set_aside"].as_str().expect("a path").to_owned();
    let kept = std::fs::read_to_string(home.path(&aside).join("spool.db")).expect("kept");
    assert!(kept.starts_with("this is no database"));
}

#[test]
fn a_second_process_on_the_same_spool_is_turned_away() {
    let home = Home::new("");
    let service = home.start();
    let (status, log) = home.try_start().err().expect("refused");
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("in use by another process"), "{log}");
    assert_eq!(post(&service, &documented()).1["accepted"], 5, "the first one goes on");
}

#[test]
fn a_layout_of_another_version_is_left_alone() {
    let home = Home::new("");
    home.start().terminate();
    let store = Connection::open(home.path("data/spool.db")).expect("opened");
    store.pragma_update(None, "user_version", 99).expect("changed");
    drop(store);
    // Such a version would have written its layout into the high watermark as well.
    std::fs::remove_file(home.path("data/spool.mark")).expect("removed");
    let (status, log) = home.try_start().err().expect("refused");
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("has layout 99"), "{log}");
}

//! Summaries while the process is killed again and again: each acknowledged event is part of exactly one summary.
//!
//! `INTERACTION_ROUNDS` raises the number of kills, `INTERACTION_SEED` repeats a run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::interactions::event;
use crate::support::service::Home;
use crate::support::{block_on, setting, wait_for};

const ROUNDS: u64 = 12;
const CLIENTS: u64 = 3;

/// Number of acknowledged events by run.
type Acknowledged = Arc<Mutex<BTreeMap<String, u64>>>;

#[test]
fn no_summary_is_lost_or_doubled_however_often_the_process_is_killed() {
    let rounds = setting("INTERACTION_ROUNDS").unwrap_or(ROUNDS);
    let seed = setting("INTERACTION_SEED").unwrap_or_else(|| rand::rng().random());
    println!("INTERACTION_SEED={seed} INTERACTION_ROUNDS={rounds}");
    let home = Home::new(
        "[sinks.out]\ntype = \"file\"\npath = \"out.ndjson\"\n\
         include = { types = [\"DAVINCI_SIEM.INTERACTION\"] }\n\
         [interactions]\nenabled = true\ntimeout = \"200ms\"\nsettle = \"40ms\"\nmemory = \"1 MiB\"\n",
    );
    let acknowledged = Acknowledged::default();
    block_on(kill_again_and_again(&home, &acknowledged, rounds, seed));

    let acknowledged = acknowledged.lock().expect("a lock").clone();
    let expected: u64 = acknowledged.values().sum();
    let service = home.start();
    // Each summary once: copies of the same id come only from deliveries before a kill.
    let found = || {
        let mut by_id: BTreeMap<String, Value> = BTreeMap::new();
        for line in home.lines("out.ndjson") {
            let summary: Value = serde_json::from_str(&line).expect("JSON");
            let id = summary["id"].as_str().expect("an id").to_owned();
            if let Some(first) = by_id.insert(id, summary.clone()) {
                assert_eq!(first, summary, "two summaries have the same id");
            }
        }
        by_id
    };
    let count = |summary: &Value| {
        let flow = &summary["_embedded"]["flowInteractionEvent"];
        flow["summary"]["events"].as_u64().expect("a number")
    };
    let by_id = wait_for("every event in a summary", || {
        let by_id = found();
        let sum: u64 = by_id.values().map(count).sum();
        assert!(sum <= expected, "{sum} events in summaries of {expected} acknowledged ones");
        (sum == expected).then_some(by_id)
    });
    let mut by_run: BTreeMap<String, u64> = BTreeMap::new();
    let mut ranges = BTreeSet::new();
    for summary in by_id.values() {
        let flow = &summary["_embedded"]["flowInteractionEvent"];
        let run = flow["interactionId"].as_str().expect("an id").to_owned();
        *by_run.entry(run).or_default() += count(summary);
        ranges.insert(flow["summary"]["generation"].as_u64().expect("a number"));
    }
    assert_eq!(by_run, acknowledged);
    assert_eq!(ranges.len(), by_id.len(), "no event begins two summaries");
    println!("{expected} events, {} runs, {} summaries", by_run.len(), by_id.len());
    service.wait_until_settled("out");
    let (status, log) = service.terminate();
    assert!(status.success(), "{log}");
    let verified = home.run(&["spool", "verify"]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
}

/// Clients post without pause while the process is killed at random moments and started again.
async fn kill_again_and_again(home: &Home, acknowledged: &Acknowledged, rounds: u64, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let (url, known) = watch::channel(String::new());
    let done = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let random = StdRng::seed_from_u64(random.random());
            let acknowledged = Arc::clone(acknowledged);
            tokio::spawn(post(client, Arc::clone(&done), known.clone(), acknowledged, random))
        })
        .collect();
    for _ in 0..rounds {
        let service = home.start();
        url.send_replace(service.url.clone());
        tokio::time::sleep(Duration::from_micros(random.random_range(0..400_000))).await;
        service.kill();
    }
    let service = home.start();
    done.store(true, Ordering::Relaxed);
    url.send_replace(service.url.clone());
    for client in clients {
        client.await.expect("a client ends well");
    }
    service.kill();
}

/// Posts events of a few runs, each batch until it is acknowledged.
async fn post(
    client: u64,
    done: Arc<AtomicBool>,
    mut url: watch::Receiver<String>,
    acknowledged: Acknowledged,
    mut random: StdRng,
) {
    const NAMES: [&str; 5] = [
        "start_interaction",
        "custom_analytics",
        "receive_request",
        "send_response",
        "send_error_response",
    ];
    let http = Client::builder().timeout(Duration::from_secs(10)).build().expect("a client");
    let mut number = 0_u64;
    while !done.load(Ordering::Relaxed) {
        let mut batch = Vec::new();
        let mut runs: BTreeMap<String, u64> = BTreeMap::new();
        for _ in 0..random.random_range(1..30) {
            number += 1;
            // Some runs are new, some go on, some have been summarised already.
            let run = format!("{client}-{}", number / 40 + random.random_range(0..6));
            let name = NAMES[random.random_range(0..NAMES.len())];
            batch.push(event(name, &format!("{client}-{number}"), &run, "2026-11-30T10:00:00Z"));
            *runs.entry(run).or_default() += 1;
        }
        let body = json!(batch).to_string();
        loop {
            let target = url.borrow_and_update().clone();
            let answer = http.post(&target).body(body.clone()).send().await;
            if answer.is_ok_and(|answer| answer.status() == 200) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let mut acknowledged = acknowledged.lock().expect("a lock");
        for (run, count) in runs {
            *acknowledged.entry(run).or_default() += count;
        }
    }
}

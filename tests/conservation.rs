//! The promise: what was acknowledged comes out of every sink, whatever happens to the process.
//!
//! `CONSERVATION_ROUNDS` raises the number of kills, `CONSERVATION_SEED` repeats a run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::Client;
use serde_json::Value;
use tokio::sync::watch;

use crate::support::oracle::{Batch, Oracle};
use crate::support::service::Home;
use crate::support::{block_on, wait_for};

const CLIENTS: u64 = 4;
const ROUNDS: u64 = 20;

#[test]
fn no_acknowledged_event_is_lost_however_often_the_process_is_killed() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    let rounds = number("CONSERVATION_ROUNDS").unwrap_or(ROUNDS);
    let seed = number("CONSERVATION_SEED").unwrap_or_else(|| rand::rng().random());
    println!("CONSERVATION_SEED={seed} CONSERVATION_ROUNDS={rounds}");
    let home = Home::with_two_sinks("[spool]\nmax_size = \"1 GiB\"\n");
    let oracle = Arc::new(Oracle::default());
    block_on(kill_again_and_again(&home, &oracle, rounds, seed));

    // The faults are over: everything drains, and a fresh event still flows.
    let service = home.start();
    let fresh = oracle.mint(CLIENTS, 1);
    block_on(async {
        let response = Client::new()
            .post(&service.url)
            .body(fresh.body.clone())
            .send()
            .await
            .expect("an answer");
        oracle.acknowledge(&fresh, &response.json().await.expect("JSON"));
    });
    for sink in ["one", "two"] {
        let name = format!("{sink}.ndjson");
        let lines = wait_for("every acknowledged event", || {
            Some(home.lines(&name)).filter(|lines| oracle.is_complete(lines))
        });
        let doubled = oracle.judge(sink, &lines);
        println!(
            "{sink}: {} acknowledged, {} lines, {doubled} doubled",
            oracle.acknowledged(),
            lines.len()
        );
    }
    let (status, log) = service.terminate();
    assert!(status.success(), "{log}");
    let stats = home.run(&["spool", "stats", "--json"]).stdout;
    oracle.judge_doors(&serde_json::from_slice(&stats).expect("JSON"), &["one", "two"]);
    let verified = home.run(&["spool", "verify"]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
}

/// Clients post without end while the process is killed at random moments and started again.
async fn kill_again_and_again(home: &Home, oracle: &Arc<Oracle>, rounds: u64, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let (set_url, url) = watch::channel(String::new());
    let done = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let random = StdRng::seed_from_u64(random.random());
            tokio::spawn(post_until(
                Arc::clone(&done),
                client,
                url.clone(),
                Arc::clone(oracle),
                random,
            ))
        })
        .collect();
    for _ in 0..rounds {
        let service = home.start();
        set_url.send_replace(service.url.clone());
        let before = oracle.acknowledged();
        // Any moment of the cycle: before the first answer, or after hundreds.
        tokio::time::sleep(Duration::from_micros(random.random_range(0..150_000))).await;
        if random.random_bool(0.5) {
            wait_for("an acknowledgement", || (oracle.acknowledged() > before).then_some(()));
        }
        service.kill();
    }
    done.store(true, Ordering::Relaxed);
    let service = home.start();
    set_url.send_replace(service.url.clone());
    for client in clients {
        client.await.expect("a client ends well");
    }
    service.kill();
}

/// One client: as PingOne, the next batch comes when the one before is acknowledged, and not sooner.
async fn post_until(
    done: Arc<AtomicBool>,
    client: u64,
    mut url: watch::Receiver<String>,
    oracle: Arc<Oracle>,
    mut random: StdRng,
) {
    let http = Client::builder().timeout(Duration::from_secs(10)).build().expect("a client");
    while !done.load(Ordering::Relaxed) {
        let size = [1, 3, 20, 100][random.random_range(0..4)];
        let batch = oracle.mint(client, size);
        loop {
            let target = url.borrow_and_update().clone();
            if !target.is_empty()
                && let Some(answer) = attempt(&http, &target, &batch).await
            {
                oracle.acknowledge(&batch, &answer);
                break;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

async fn attempt(http: &Client, url: &str, batch: &Batch) -> Option<Value> {
    let response = http.post(url).body(batch.body.clone()).send().await.ok()?;
    if response.status() != 200 {
        assert_eq!(response.status(), 503, "never a 4xx for a fault of the server");
        return None;
    }
    response.json().await.ok()
}

//! The promise: every acknowledged event reaches every sink, although the process is killed again and again.
//!
//! `CONSERVATION_ROUNDS` raises the number of kills, `CONSERVATION_SEED` repeats a run.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::Client;

use crate::support::clients::Clients;
use crate::support::oracle::Oracle;
use crate::support::service::Home;
use crate::support::{block_on, setting, wait_for};

const CLIENTS: u64 = 4;
const ROUNDS: u64 = 20;

#[test]
fn no_acknowledged_event_is_lost_however_often_the_process_is_killed() {
    let rounds = setting("CONSERVATION_ROUNDS").unwrap_or(ROUNDS);
    let seed = setting("CONSERVATION_SEED").unwrap_or_else(|| rand::rng().random());
    println!("CONSERVATION_SEED={seed} CONSERVATION_ROUNDS={rounds}");
    let home = Home::with_two_sinks("[spool]\nmax_size = \"1 GiB\"\nretention = \"1h\"\n");
    let oracle = Arc::new(Oracle::default());
    block_on(kill_again_and_again(&home, &oracle, rounds, seed));

    // The faults are over: all events must be delivered, and a new event, too.
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
        // Reads the many lines only once, after everything is delivered.
        service.wait_until_settled(sink);
        let lines = home.lines(&name);
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
    let stats = serde_json::from_slice(&stats).expect("JSON");
    oracle.judge_doors(&stats, &["one", "two"]);
    let verified = home.run(&["spool", "verify", "--json"]);
    Oracle::judge_record(
        &serde_json::from_slice(&verified.stdout).expect("JSON"),
        &stats,
        &["one", "two"],
    );
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
}

/// Clients post without pause while the process is killed at random moments and started again.
async fn kill_again_and_again(home: &Home, oracle: &Arc<Oracle>, rounds: u64, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let clients = Clients::start(CLIENTS, oracle, &mut random);
    for _ in 0..rounds {
        let service = home.start();
        clients.post_to(&service);
        let before = oracle.acknowledged();
        // At any moment: before the first answer, or after hundreds.
        tokio::time::sleep(Duration::from_micros(random.random_range(0..150_000))).await;
        if random.random_bool(0.5) {
            wait_for("an acknowledgement", || (oracle.acknowledged() > before).then_some(()));
        }
        service.kill();
    }
    let service = home.start();
    clients.finish(&service).await;
    service.kill();
}

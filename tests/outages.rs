//! The promise while targets misbehave: one is down, one is unstable, one is slow, and one is healthy. Events are
//! acknowledged nevertheless, the healthy sink stays current, and in the end each sink has every event, in order.
//!
//! `CONSERVATION_ROUNDS` and `CONSERVATION_SEED` as for the other conservation test.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::Client;
use tokio::task::JoinSet;

use crate::support::oracle::Oracle;
use crate::support::service::{Home, Service};
use crate::support::targets::Target;
use crate::support::targets::webhook::Webhook;
use crate::support::{block_on, setting};

const CLIENTS: u64 = 4;
const ROUNDS: u64 = 6;

fn hook(name: &str, target: &Target<Webhook>) -> String {
    format!(
        "[sinks.{name}]\ntype = \"http\"\nurl = \"{}/events\"\nbatch = {{ events = 50 }}\n\
         retry = {{ min = \"5ms\", max = \"100ms\" }}\n",
        target.url
    )
}

#[test]
fn every_sink_gets_everything_after_its_outage_and_no_other_suffers() {
    let rounds: u64 = setting("CONSERVATION_ROUNDS").map_or(ROUNDS, |rounds| rounds.min(60));
    let seed = setting("CONSERVATION_SEED").unwrap_or_else(|| rand::rng().random());
    println!("CONSERVATION_SEED={seed} CONSERVATION_ROUNDS={rounds}");
    let mut random = StdRng::seed_from_u64(seed);
    let down = Target::start(Webhook::default());
    let slow = Target::start(Webhook::default());
    let mut flapping = Target::start(Webhook::default());
    let home = Home::new(&format!(
        "[sinks.healthy]\ntype = \"file\"\npath = \"healthy.ndjson\"\n{}{}{}",
        hook("down", &down),
        hook("slow", &slow),
        hook("flapping", &flapping)
    ));
    let oracle = Arc::new(Oracle::default());
    let mut service = home.start();
    let healthy = |target: &Target<Webhook>, status, millis| {
        target.state().traffic.down = status;
        target.state().traffic.delay = Duration::from_millis(millis);
    };
    healthy(&down, None, 0);
    healthy(&slow, None, 0);
    report("all healthy", post_round(&service, &oracle, &mut random));
    for sink in ["healthy", "down", "slow", "flapping"] {
        service.wait_until_settled(sink);
    }
    let before = oracle.acknowledged();
    healthy(&down, Some(503), 0);
    healthy(&slow, None, 150);
    let mut waits = Vec::new();
    for round in 0..rounds {
        if random.random_bool(0.5) {
            flapping.stop();
        }
        waits.extend(post_round(&service, &oracle, &mut random));
        // The failures of the other sinks do not delay it.
        service.wait_until_settled("healthy");
        assert_eq!(service.lag("down"), (oracle.acknowledged() - before) as f64);
        if !flapping.is_running() {
            flapping.restart();
        }
        if round % 2 == 1 {
            service.kill();
            service = home.start();
        }
    }
    report("with outages", waits);
    healthy(&down, None, 0);
    healthy(&slow, None, 0);
    for sink in ["healthy", "down", "slow", "flapping"] {
        service.wait_until_settled(sink);
    }
    assert_eq!(oracle.judge("healthy", &home.lines("healthy.ndjson")), 0, "nothing cut it off");
    for (name, target) in [("down", &down), ("slow", &slow), ("flapping", &flapping)] {
        let lines: Vec<String> = target.state().stored.iter().map(ToString::to_string).collect();
        let doubled = oracle.judge(name, &lines);
        println!("{name}: {} events, {doubled} doubled", lines.len());
    }
    assert!(service.terminate().0.success());
    let stats = home.run(&["spool", "stats", "--json"]).stdout;
    let stats = serde_json::from_slice(&stats).expect("JSON");
    oracle.judge_doors(&stats, &["healthy", "down", "slow", "flapping"]);
    assert!(home.quarantine().is_empty());
}

fn report(what: &str, mut waits: Vec<Duration>) {
    waits.sort();
    println!("{what}: {} batches acknowledged, median {:?}", waits.len(), waits[waits.len() / 2]);
}

/// Waits until each client has a few batches acknowledged. Returns the duration of each.
fn post_round(service: &Service, oracle: &Arc<Oracle>, random: &mut StdRng) -> Vec<Duration> {
    block_on(async {
        let mut clients: JoinSet<Vec<Duration>> = (0..CLIENTS)
            .map(|client| {
                let (oracle, url) = (Arc::clone(oracle), service.url.clone());
                let sizes: Vec<usize> = (0..5).map(|_| random.random_range(1..40)).collect();
                async move {
                    let http = Client::new();
                    let mut waits = Vec::new();
                    for size in sizes {
                        let batch = oracle.mint(client, size);
                        let begun = Instant::now();
                        let post = http.post(&url).body(batch.body.clone());
                        let response = post.send().await.expect("an answer");
                        assert_eq!(response.status(), 200);
                        waits.push(begun.elapsed());
                        oracle.acknowledge(&batch, &response.json().await.expect("JSON"));
                    }
                    waits
                }
            })
            .collect();
        let mut waits = Vec::new();
        while let Some(client) = clients.join_next().await {
            waits.extend(client.expect("a client ends well"));
        }
        waits
    })
}

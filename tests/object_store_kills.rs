//! The promise for archives: although the process is killed again and again, each acknowledged event is in exactly one
//! object.
//!
//! `OBJECT_ROUNDS` raises the number of kills, `OBJECT_SEED` repeats a run.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::object_store::config;
use crate::support::canary::TOKEN;
use crate::support::clients::Clients;
use crate::support::oracle::Oracle;
use crate::support::service::Home;
use crate::support::targets::bucket::Bucket;
use crate::support::targets::{Fault, Target};
use crate::support::{block_on, setting, wait_for};

const CLIENTS: u64 = 4;
const ROUNDS: u64 = 12;

#[test]
fn each_acknowledged_event_is_in_one_object_however_often_the_process_is_killed() {
    let rounds = setting("OBJECT_ROUNDS").unwrap_or(ROUNDS);
    let seed = setting("OBJECT_SEED").unwrap_or_else(|| rand::rng().random());
    println!("OBJECT_SEED={seed} OBJECT_ROUNDS={rounds}");
    let bucket = Target::start(Bucket::default());
    let keys = "timeout = \"300ms\"\nbatch = { bytes = \"40 KiB\", age = \"30ms\" }\n[spool]\nmax_size = \"1 GiB\"";
    let home = Home::new(&config(&bucket, keys)).with_variables(&[("SECRET", TOKEN)]);
    let oracle = Arc::new(Oracle::default());
    block_on(kill_again_and_again(&home, &bucket, &oracle, rounds, seed));

    bucket.state().traffic.faults.clear();
    let service = home.start();
    service.wait_until_settled("archive");
    let lines = bucket.all_lines();
    let doubled = oracle.judge("archive", &lines);
    let (objects, repeated) = counts(&bucket);
    println!(
        "{} acknowledged, {} lines in {objects} objects, {repeated} objects repeated, {doubled} events doubled",
        oracle.acknowledged(),
        lines.len()
    );
    assert_eq!(doubled, 0, "no event is in two objects");
    let (status, log) = service.terminate();
    assert!(status.success(), "{log}");
    let stats = home.run(&["spool", "stats", "--json"]).stdout;
    oracle.judge_doors(&serde_json::from_slice(&stats).expect("JSON"), &["archive"]);
}

/// Returns the number of objects, and of requests for an object that existed.
fn counts(bucket: &Target<Bucket>) -> (usize, usize) {
    let state = bucket.state();
    (state.objects.len(), state.repeated)
}

/// Clients post without pause while the process is killed at random moments, and the bucket loses answers.
async fn kill_again_and_again(
    home: &Home,
    bucket: &Target<Bucket>,
    oracle: &Arc<Oracle>,
    rounds: u64,
    seed: u64,
) {
    let mut random = StdRng::seed_from_u64(seed);
    let clients = Clients::start(CLIENTS, oracle, &mut random);
    for _ in 0..rounds {
        let faults = (0..random.random_range(0..4)).map(|_| match random.random_range(0..4) {
            0 => Fault::status(503),
            1 => Fault::Reset(200),
            2 => Fault::Hang,
            _ => Fault::StoreAndReset,
        });
        bucket.fail(faults.collect::<Vec<_>>());
        let before = bucket.requests();
        let service = home.start();
        clients.post_to(&service);
        // At any moment: before the first object, or after several.
        tokio::time::sleep(Duration::from_micros(random.random_range(0..150_000))).await;
        if random.random_bool(0.5) {
            wait_for("a request", || (bucket.requests() > before).then_some(()));
        }
        service.kill();
        bucket.state().traffic.faults.clear();
    }
    let service = home.start();
    clients.finish(&service).await;
    service.kill();
}

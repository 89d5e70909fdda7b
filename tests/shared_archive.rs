//! The promise for archives where receivers share a spool: each event is in exactly one object, whichever receiver writes
//! it, although receivers are killed and others take over. `SHARED_ARCHIVE_SEED` repeats a run.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::object_store::config;
use crate::support::canary::TOKEN;
use crate::support::events::{batch, id, ids};
use crate::support::nats::Cluster;
use crate::support::receivers::Receivers;
use crate::support::service::Home;
use crate::support::targets::bucket::Bucket;
use crate::support::targets::{Fault, Target};
use crate::support::{setting, wait_for};

#[test]
#[ignore = "needs nats-server; .ci/nats installs it"]
fn each_event_is_in_one_object_whichever_receiver_takes_over() {
    let seed = setting("SHARED_ARCHIVE_SEED").unwrap_or_else(|| rand::rng().random());
    println!("SHARED_ARCHIVE_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let (cluster, bucket) = (Cluster::shipped(1), Target::start(Bucket::default()));
    let home = || {
        let keys = "batch = { bytes = \"20 KiB\", age = \"30ms\" }";
        Home::new(&format!("{}{}", config(&bucket, keys), cluster.spool()))
            .with_variables(&cluster.variables())
            .with_variables(&[("SECRET", TOKEN)])
    };
    let mut receivers = Receivers { homes: [home(), home()], running: [None, None] };
    receivers.restart();
    let all = ids(3000);
    for part in all.chunks(250) {
        bucket.fail([Fault::StoreAndReset, Fault::status(503)]);
        let index = random.random_range(0..2);
        for some in part.chunks(50) {
            receivers.get(index).post(&batch(some.to_vec()));
        }
        // Either the receiver that writes, which the other replaces, or the one that waits.
        let victim = random.random_range(0..2);
        receivers.running[victim].take().expect("it runs").kill();
        receivers.restart();
    }
    bucket.state().traffic.faults.clear();
    let stored = || bucket.all_lines().iter().map(|line| id(line)).collect::<Vec<_>>();
    wait_for("every event", || (stored().len() >= all.len()).then_some(()));
    receivers.get(0).wait_until_settled("archive");
    let mut stored = stored();
    stored.sort();
    assert_eq!(stored, all, "each event once");
    let state = bucket.state();
    println!("{} objects, {} repeated", state.objects.len(), state.repeated);
}

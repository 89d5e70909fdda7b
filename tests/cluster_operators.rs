//! The promise of a shared spool while operators work: the actions of `conservation_operators` at one receiver, while
//! NATS servers and the other receiver are killed and paused.
//!
//! `CLUSTER_OPERATOR_ROUNDS` raises the number of actions, `CLUSTER_OPERATOR_SEED` repeats their order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::conservation_operators::{judge_positions, with_credentials};
use crate::support::clients::Clients;
use crate::support::nats::Cluster;
use crate::support::operator::{Action, LOGIN, Operator, post};
use crate::support::oracle::Oracle;
use crate::support::proxy::Proxy;
use crate::support::service::{Home, Service};
use crate::support::{free_port, runtime, setting, wait_for};

const CLIENTS: u64 = 3;
const ROUNDS: u64 = 8;
const PAUSE: Duration = Duration::from_millis(100);

/// Actions that mean something else here: any number of processes share the spool, and a receiver that is paused for a
/// copy does not keep the other one from writing.
const LEFT_OUT: [Action; 3] =
    [Action::SecondProcess, Action::SecondProcessElsewhere, Action::RotateByCopyAndTruncate];

/// Returns the homes of two receivers, which deliver to the same files in the directory of the first one.
fn homes(cluster: &Cluster) -> [Home; 2] {
    let homes = [0, 1].map(|_| {
        let address = format!("127.0.0.1:{}", free_port());
        Home::with_listen("reload = \"1s\"", "")
            .with_variables(&[("DAVINCI_SIEM__LISTEN__ADDRESS", &address)])
            .with_variables(&cluster.variables())
    });
    let source = |name: &str| {
        format!(
            "[sources.{name}]\npath = \"/webhooks/{name}\"\n\
             basic = [{{ username = \"pingone\", password_file = \"password\" }}]\n"
        )
    };
    let sink = |name: &str| {
        let file = homes[0].path(&format!("{name}.ndjson"));
        format!("[sinks.{name}]\ntype = \"file\"\npath = {file:?}\n")
    };
    let config = format!(
        "{}{}{}{}[limits]\nfailed_logins = 1000000\n{}",
        source("pingone"),
        source("other"),
        sink("one"),
        sink("two"),
        cluster.spool().replace("[spool]\n", "[spool]\nretention = \"1h\"\n"),
    );
    for home in &homes {
        let text = std::fs::read_to_string(home.path("test.toml")).expect("read");
        std::fs::write(home.path("test.toml"), format!("{text}{config}")).expect("written");
        std::fs::write(home.path("password"), LOGIN[1]).expect("written");
        std::fs::write(home.path("second"), "an0ther-Lighthouse-by-the-Sea").expect("written");
    }
    homes
}

fn started(home: &Home) -> Service {
    wait_for("a receiver to start", || home.try_start().ok())
}

/// Sets a flag when it is dropped, also by a failed assertion.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
#[ignore = "needs nats-server and nginx; .ci/nats and .ci/proxies install them"]
fn operators_cause_no_loss_while_servers_and_receivers_fail() {
    let rounds = setting("CLUSTER_OPERATOR_ROUNDS").unwrap_or(ROUNDS);
    let seed = setting("CLUSTER_OPERATOR_SEED").unwrap_or_else(|| rand::rng().random());
    println!("CLUSTER_OPERATOR_SEED={seed} CLUSTER_OPERATOR_ROUNDS={rounds}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut cluster = Cluster::shipped(3);
    let homes = homes(&cluster);
    let second = &homes[1];
    let oracle = Arc::new(Oracle::default());
    let mut operator = Operator::new(&homes[0], &oracle, &mut random).patient();
    let service = started(&homes[0]);
    let mut other = started(&homes[1]);
    let addresses = [&service, &other].map(|it| it.address().parse().expect("an address"));
    let balancer = Proxy::before_two(cluster.directory(), addresses);
    let url = with_credentials(&format!("http://{}/webhooks/pingone", balancer.address));
    let waiting = runtime();
    let clients = waiting.block_on(async { Clients::paced(CLIENTS, PAUSE, &oracle, &mut random) });
    clients.post_to_url(&url);
    let is_over = AtomicBool::new(false);
    let (faults, other, service) = std::thread::scope(|scope| {
        let mut service = service;
        let ending = Ending(&is_over);
        let mut random = StdRng::seed_from_u64(random.random());
        let (cluster, is_over, oracle) = (&mut cluster, &is_over, &oracle);
        let breaking = scope.spawn(move || {
            let mut faults = 0;
            while !is_over.load(Ordering::Relaxed) {
                other = break_something(&mut random, cluster, other, second);
                faults += 1;
                let before = oracle.acknowledged();
                wait_for("an acknowledgement", || (oracle.acknowledged() > before).then_some(()));
            }
            (faults, other)
        });
        let actions = Action::ALL.into_iter().filter(|action| !LEFT_OUT.contains(action));
        let actions: Vec<Action> = actions.collect();
        for round in 0..rounds as usize {
            let before = oracle.acknowledged();
            wait_for("an acknowledgement", || (oracle.acknowledged() > before).then_some(()));
            // A short run does every second action or so, a long one all of them several times.
            let step = (actions.len() / rounds as usize).max(1);
            let action = actions[(round * step + seed as usize % step) % actions.len()];
            println!("round {round}: {action:?}");
            service = operator.act(action, service);
        }
        drop(ending);
        let (faults, other) = breaking.join().expect("the faults end well");
        (faults, other, service)
    });
    cluster.mend();
    waiting.block_on(clients.finish_at(&url));
    let fresh = oracle.mint(CLIENTS, 1);
    wait_for("a fresh event to be taken", || {
        (post(&service, Some(LOGIN), &fresh.body).0 == 200).then_some(())
    });
    ["one", "two"].iter().for_each(|sink| service.wait_until_settled(sink));
    let doubled = oracle.judge("one", &operator.lines_of_one());
    println!("{faults} faults, {} acknowledged, 0 lost", oracle.acknowledged());
    let doubled_of_two = oracle.judge("two", &homes[0].lines("two.ndjson"));
    println!("one: {doubled} doubled; two: {doubled_of_two} doubled, replays included");
    drop(other);
    let stats = homes[0].run(&["spool", "stats", "--json"]).stdout;
    judge_positions(&serde_json::from_slice(&stats).expect("JSON"));
}

/// One fault for a limited time. Returns the other receiver, which may be another process.
fn break_something(
    random: &mut StdRng,
    cluster: &mut Cluster,
    receiver: Service,
    home: &Home,
) -> Service {
    let (node, wait) = (random.random_range(0..3), random.random_range(0..2500));
    let (mut running, is_killed) = (Some(receiver), random.random_bool(0.5));
    match random.random_range(0..4) {
        0 => cluster.nodes[node].kill(),
        1 => cluster.nodes[node].pause(),
        2 => {
            cluster.nodes[node].kill();
            cluster.nodes[(node + 1) % 3].kill();
        }
        _ => {}
    }
    if is_killed && let Some(receiver) = running.take() {
        receiver.kill();
    }
    std::thread::sleep(Duration::from_millis(wait));
    cluster.mend();
    running.unwrap_or_else(|| started(home))
}

//! The JetStream engine with three real servers and two receivers behind a real nginx: the promise holds while servers
//! and receivers fail.
//!
//! `CLUSTER_ROUNDS` is the number of faults, `CLUSTER_PAUSE` the pause after each batch in ms, `CLUSTER_SEED` repeats the
//! kinds of faults of a run.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::support::clients::Clients;
use crate::support::nats::restart::MIDDLE_SERVER;
use crate::support::nats::shipped::Changes;
use crate::support::nats::{Client, Cluster, Node};
use crate::support::oracle::{Batch, Oracle};
use crate::support::proxy::Proxy;
use crate::support::receivers::Receivers;
use crate::support::targets::Target;
use crate::support::targets::webhook::Webhook;
use crate::support::{block_on, runtime, setting, wait_for};

const CLIENTS: u64 = 4;
/// Pause between two batches of a client: about 2,000 events a second in all.
const PAUSE: Duration = Duration::from_millis(50);
const ROUNDS: u64 = 12;
const STREAM: &str = "davinci-siem";

/// Servers, two receivers behind a balancer, and clients that post until the end.
struct Run {
    cluster: Cluster,
    target: Target<Webhook>,
    receivers: Receivers,
    url: String,
    oracle: Arc<Oracle>,
    clients: Clients,
    waiting: Runtime,
    _balancer: Proxy,
}

impl Run {
    /// Starts everything. `program` is the servers' program, unless it is the default one.
    fn start(program: Option<&str>, random: &mut StdRng) -> Run {
        let changes = Changes { program, ..Changes::default() };
        let cluster = Cluster::partitionable_with(3, changes);
        let target = Target::start(Webhook::default());
        let receivers = Receivers::start(&cluster, &target, &[]);
        let balancer = Proxy::before_two(cluster.directory(), receivers.addresses());
        let url = format!("http://{}/webhooks/pingone", balancer.address);
        let (oracle, waiting) = (Arc::new(Oracle::default()), runtime());
        let pause = setting("CLUSTER_PAUSE").map_or(PAUSE, Duration::from_millis);
        let clients = waiting.block_on(async { Clients::paced(CLIENTS, pause, &oracle, random) });
        clients.post_to_url(&url);
        Run { cluster, target, receivers, url, oracle, clients, waiting, _balancer: balancer }
    }

    /// Waits until more than `before` events are acknowledged.
    fn wait_for_more_than(&self, before: usize) {
        wait_for("an acknowledgement", || (self.oracle.acknowledged() > before).then_some(()));
    }

    /// Ends the load, and waits until everything has arrived. Every acknowledged event must be there, in order, and the
    /// totals must add up. Returns the number of deliveries of events that were delivered before, and true if a running
    /// receiver has taken a sink over.
    fn judge(self) -> (usize, bool) {
        let Run { target, receivers, url, oracle, clients, waiting, .. } = self;
        waiting.block_on(clients.finish_at(&url));
        let mut fresh = oracle.mint(CLIENTS, 1);
        wait_for("a fresh event to be taken", || post(&oracle, &url, &mut fresh).then_some(()));
        // The probe is the last event, so all others arrived before it.
        let is_last = |last: &Value| last["id"] == *fresh.ids[0];
        let stored = || target.state().stored.last().is_some_and(is_last).then_some(());
        wait_for("the fresh event to arrive", stored);
        receivers.get(0).wait_until_settled("siem");
        // A server that was away may answer slowly.
        let told = || receivers.homes[0].run(&["spool", "stats", "--json"]);
        let stats: Value = wait_for("the totals", || serde_json::from_slice(&told().stdout).ok());
        println!("{stats}");
        let lines: Vec<String> = target.state().stored.iter().map(ToString::to_string).collect();
        let doubled = oracle.judge("siem", &lines);
        oracle.judge_sink(&stats, "siem");
        assert_eq!(stats["dispositions"]["pingone"]["accepted"], stats["head"], "{stats}");
        let head = stats["head"].as_u64().expect("a number");
        // Events that servers had lost, or that two receivers stored at once: no sink gets the second one.
        let repeated = head - (lines.len() - doubled) as u64;
        println!(
            "{} acknowledged, 0 lost; {} delivered, {doubled} again; {repeated} twice in the stream",
            oracle.acknowledged(),
            lines.len(),
        );
        let has_taken_over =
            |index| receivers.get(index).log().contains("took over the sink from a receiver");
        (doubled, has_taken_over(0) || has_taken_over(1))
    }
}

#[test]
#[ignore = "needs nats-server and nginx; .ci/nats and .ci/proxies install them"]
fn no_acknowledged_event_is_lost_whatever_happens_to_servers_and_receivers() {
    let rounds = setting("CLUSTER_ROUNDS").unwrap_or(ROUNDS);
    let seed = setting("CLUSTER_SEED").unwrap_or_else(|| rand::rng().random());
    println!("CLUSTER_SEED={seed} CLUSTER_ROUNDS={rounds}");
    let mut random = StdRng::seed_from_u64(seed);
    let program = [None, Some(MIDDLE_SERVER)][random.random_range(0..2)];
    let mut run = Run::start(program, &mut random);
    for round in 0..rounds {
        let before = run.oracle.acknowledged();
        let began = Instant::now();
        let fault = break_something(&mut random, &mut run.cluster, &mut run.receivers);
        run.cluster.mend();
        run.receivers.restart();
        // The faults are over: the service must accept and deliver again.
        run.wait_for_more_than(before);
        println!("{round}: {fault}: on again after {:.1} s", began.elapsed().as_secs_f64());
    }
    run.judge();
}

#[test]
#[ignore = "needs nats-server and nginx; .ci/nats and .ci/proxies install them"]
fn servers_are_upgraded_one_after_the_other_while_events_arrive() {
    for program in [None, Some(MIDDLE_SERVER)] {
        let mut run = Run::start(program, &mut StdRng::seed_from_u64(1));
        let before: Vec<String> = run.cluster.nodes.iter().map(Node::version).collect();
        let mut versions = HashSet::new();
        for index in 0..run.cluster.nodes.len() {
            run.wait_for_more_than(run.oracle.acknowledged());
            let (began, node) = (Instant::now(), run.cluster.node(index));
            node.upgrade();
            node.restart_in_order();
            versions.insert(node.version());
            run.wait_for_more_than(run.oracle.acknowledged());
            println!("server {index}: {:.1} s", began.elapsed().as_secs_f64());
        }
        assert!(!before.iter().any(|version| versions.contains(version)), "{before:?}");
        println!("{before:?} to {versions:?}");
        // Each version delivers for a while.
        run.wait_for_more_than(run.oracle.acknowledged() + 500);
        let (doubled, has_taken_over) = run.judge();
        assert!(doubled == 0 || has_taken_over, "without a takeover, each comes once");
    }
}

/// One fault, or two at once, for a limited time.
fn break_something(
    random: &mut StdRng,
    cluster: &mut Cluster,
    receivers: &mut Receivers,
) -> String {
    let wait = Duration::from_millis(random.random_range(0..4000));
    let node = random.random_range(0..3);
    let other = (node + random.random_range(1..3)) % 3;
    let receiver = random.random_range(0..2);
    let what = match random.random_range(0..11) {
        0 => {
            cluster.nodes[node].kill();
            format!("server {node} killed")
        }
        1 => {
            cluster.nodes[node].kill();
            cluster.nodes[other].kill();
            format!("servers {node} and {other} killed")
        }
        2 => {
            cluster.nodes[node].pause();
            format!("server {node} paused")
        }
        3 => {
            cluster.nodes[node].pause();
            cluster.nodes[other].kill();
            format!("server {node} paused, {other} killed")
        }
        4 => {
            receivers.running[receiver].take().expect("it runs").kill();
            format!("receiver {receiver} killed")
        }
        5 => {
            receivers.get(receiver).signal("STOP");
            // Longer than its leases are valid.
            std::thread::sleep(Duration::from_secs(6));
            receivers.get(receiver).signal("CONT");
            format!("receiver {receiver} paused")
        }
        6 => {
            for node in &mut cluster.nodes {
                node.upgrade();
                node.restart();
            }
            "servers restarted one after the other, with the newer version".to_owned()
        }
        7 => {
            let (status, log) = receivers.running[receiver].take().expect("it runs").terminate();
            assert!(status.success(), "{log}");
            format!("receiver {receiver} stopped")
        }
        8 if cluster.cut(node) => {
            // Longer than its connections wait for an answer.
            std::thread::sleep(Duration::from_secs(6));
            format!("server {node} cut off")
        }
        9 if cluster.cut(node) && cluster.cut(other) => {
            std::thread::sleep(Duration::from_secs(6));
            format!("servers {node} and {other} cut off, also from each other")
        }
        _ => {
            cluster.nodes[node].kill();
            receivers.running[receiver].take().expect("it runs").kill();
            format!("server {node} and receiver {receiver} killed")
        }
    };
    std::thread::sleep(wait);
    format!("{what} for {wait:?}")
}

/// Returns true if a batch is accepted.
fn post(oracle: &Oracle, url: &str, batch: &mut Batch) -> bool {
    batch.attempts += 1;
    let answer = block_on(async {
        let response =
            reqwest::Client::new().post(url).body(batch.body.clone()).send().await.ok()?;
        (response.status() == 200).then_some(response.json().await.ok()?)
    });
    answer.map(|answer| oracle.acknowledge(batch, &answer)).is_some()
}

/// Returns the status of a batch's answer.
fn status(url: &str, batch: &Batch) -> u16 {
    block_on(async {
        let response = reqwest::Client::new().post(url).body(batch.body.clone()).send().await;
        response.map_or(0, |response| response.status().as_u16())
    })
}

#[test]
#[ignore = "needs nats-server; .ci/nats installs it"]
fn two_of_three_servers_are_enough_and_one_is_not() {
    let mut cluster = Cluster::shipped(3);
    let target = Target::start(Webhook::default());
    let receivers = Receivers::start(&cluster, &target, &[]);
    let oracle = Oracle::default();
    let url = receivers.get(0).url.clone();
    let mut batch = oracle.mint(0, 20);
    wait_for("a first batch to be taken", || post(&oracle, &url, &mut batch).then_some(()));

    // The most important case: the leader is killed.
    let client = cluster.client();
    let leader = |client: &Client| wait_for("a leader", || client.leader_of(STREAM));
    let first = leader(&client);
    cluster.node_named(&first).kill();
    let (began, mut batch) = (Instant::now(), oracle.mint(0, 20));
    wait_for("two servers to agree", || post(&oracle, &url, &mut batch).then_some(()));
    println!("one of three lost: taken again after {:.1} s", began.elapsed().as_secs_f64());

    let second = leader(&client);
    cluster.node_named(&second).kill();
    let mut batch = oracle.mint(0, 20);
    for _ in 0..4 {
        assert_eq!(status(&url, &batch), 503, "one server of three promises nothing");
    }
    assert_eq!(receivers.get(0).readiness()["ready"], false);
    // Requests that need no server are answered nevertheless.
    assert_eq!(receivers.get(0).metric("davinci_siem_spool_failing"), 1.0);
    let (code, page) = receivers.get(0).ask_admin("/console");
    assert!(code == 200 && page.contains("No events are accepted"), "{page}");
    cluster.node_named(&second).start();
    let began = Instant::now();
    wait_for("two servers again", || post(&oracle, &url, &mut batch).then_some(()));
    println!("two of three again: taken after {:.1} s", began.elapsed().as_secs_f64());
    wait_for("readiness", || (receivers.get(0).readiness()["ready"] == true).then_some(()));
    let lines =
        || -> Vec<String> { target.state().stored.iter().map(ToString::to_string).collect() };
    wait_for("every acknowledged event", || oracle.is_complete(&lines()).then_some(()));
    oracle.judge("siem", &lines());
}

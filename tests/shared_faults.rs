//! Receivers that share a spool: without a majority of the servers, with servers that are slow, and with clocks that are
//! wrong.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::support::events::{batch, ids, large};
use crate::support::machine::Machine;
use crate::support::nats::shipped::Changes;
use crate::support::nats::{Client, Cluster};
use crate::support::receivers::Receivers;
use crate::support::targets::Target;
use crate::support::targets::webhook::Webhook;
use crate::support::wait_for;

/// Posts all bodies at once, alternately to both receivers. Returns the answers.
fn post_at_once(receivers: &Receivers, bodies: &[String]) -> Vec<(u16, String)> {
    std::thread::scope(|scope| {
        let posts = bodies.iter().zip([0, 1].into_iter().cycle());
        let posts: Vec<_> = posts
            .map(|(body, index)| scope.spawn(move || receivers.get(index).try_post(body)))
            .collect();
        posts.into_iter().map(|post| post.join().expect("an answer")).collect()
    })
}

/// Repeats each body until it is acknowledged, and waits until the target has these ids.
fn repeat_until_all_arrive(
    receivers: &Receivers,
    target: &Target<Webhook>,
    bodies: &[String],
    ids: &[String],
) {
    for body in bodies {
        wait_for("a batch", || (receivers.get(0).try_post(body).0 == 200).then_some(()));
    }
    wait_for("every event", || {
        let seen: HashSet<String> = target.state().ids().into_iter().collect();
        ids.iter().all(|id| seen.contains(id)).then_some(())
    });
}

#[test]
#[ignore = "needs nats-server; .ci/nats installs it"]
fn a_lost_majority_makes_receivers_unready_without_a_post_and_posts_are_answered() {
    let (mut cluster, target) = (Cluster::shipped(3), Target::start(Webhook::default()));
    let receivers = Receivers::start(&cluster, &target, &[]);
    let all = ids(480);
    let bodies: Vec<String> = all.chunks(10).map(|part| batch(part.to_vec())).collect();
    receivers.get(0).post(&batch(["before".to_owned()]));
    receivers.get(0).wait_until_settled("siem");
    // Each time with new events: those that were answered with 503 may have been stored since, and count as duplicates.
    for (lost, bodies) in [[0, 1], [1, 2], [2, 0]].into_iter().zip(bodies.chunks(16)) {
        lost.into_iter().for_each(|node| cluster.node(node).kill());
        let began = Instant::now();
        for index in [0, 1] {
            let is_unready = || receivers.get(index).readiness()["ready"] == false;
            wait_for("unreadiness", || is_unready().then_some(()));
        }
        let (unready, began) = (began.elapsed(), Instant::now());
        let answers = post_at_once(&receivers, bodies);
        let statuses: HashSet<u16> = answers.iter().map(|(status, _)| *status).collect();
        assert_eq!(statuses, HashSet::from([503]), "one server of three promises nothing");
        println!("unready after {unready:.1?}; the slowest answer took {:.1?}", began.elapsed());
        cluster.mend();
        for index in [0, 1] {
            let is_ready = || receivers.get(index).readiness()["ready"] == true;
            wait_for("readiness", || is_ready().then_some(()));
        }
    }
    repeat_until_all_arrive(&receivers, &target, &bodies, &all);
}

#[test]
#[ignore = "needs nats-server; .ci/nats installs it"]
fn what_waits_for_servers_that_sync_or_do_not_answer_is_bounded() {
    let changes = Changes { is_synced: true, ..Changes::default() };
    let (cluster, target) = (Cluster::shipped_with(3, changes), Target::start(Webhook::default()));
    let small = [("LIMITS__BODY", "1 MiB"), ("LIMITS__IN_FLIGHT", "2 MiB")];
    let receivers = Receivers::start(&cluster, &target, &small);
    // Batches of 16 connections, each of them synced by the servers.
    let all = ids(3200);
    let bodies: Vec<String> = all.chunks(25).map(|part| batch(part.to_vec())).collect();
    for some in bodies.chunks(16) {
        let answers = post_at_once(&receivers, some);
        assert!(answers.iter().all(|(status, _)| *status == 200), "{answers:?}");
    }

    // Without a majority, bodies wait for their acknowledgements. Those above the limit do not wait.
    [0, 1].into_iter().for_each(|node| cluster.nodes[node].pause());
    let ids_of_large: Vec<String> = (0..100).map(|number| format!("large-{number:03}")).collect();
    let bodies: Vec<String> = ids_of_large.iter().map(|id| large(id)).collect();
    let answers = post_at_once(&receivers, &bodies);
    [0, 1].into_iter().for_each(|node| cluster.nodes[node].resume());
    assert!(answers.iter().all(|(status, _)| *status == 503), "{answers:?}");
    let (at_once, later): (Vec<_>, Vec<_>) =
        answers.iter().partition(|(_, answer)| answer.contains("too many bytes in flight"));
    println!("{} were refused at once, {} after a wait", at_once.len(), later.len());
    assert!(!at_once.is_empty() && !later.is_empty(), "{answers:?}");
    repeat_until_all_arrive(&receivers, &target, &bodies, &[all, ids_of_large].concat());
}

/// Returns sequence and storage time, in ns, of a message that the checkpoint names.
fn checkpoint(client: &Client, part: &str) -> (u64, i64) {
    let subject = "$KV.davinci-siem-sinks.LOG";
    let record = client.last_of_subject("KV_davinci-siem-sinks", subject);
    let mark = record.map(|record| record[part].clone()).unwrap_or_default();
    (mark["sequence"].as_u64().unwrap_or(0), mark["at"].as_i64().unwrap_or(0))
}

#[test]
#[ignore = "needs nats-server and a C compiler; .ci/nats installs the server"]
fn retention_goes_by_the_servers_clocks() {
    const HOURS: i64 = 3_600_000;
    // Clocks that are ahead remove nothing too early, clocks that are behind keep nothing for longer.
    for (ahead, retention, is_kept) in [(3 * HOURS, "1h", true), (-3 * HOURS, "1s", false)] {
        let (cluster, target) = (Cluster::shipped(1), Target::start(Webhook::default()));
        let settings = [("SPOOL__DEDUP__WINDOW", "1s"), ("SPOOL__RETENTION", retention)];
        let receivers = Receivers::start_in(&cluster, &target, &settings, |home| {
            let machine = Machine::of(home);
            machine.set_clock(ahead);
            machine.home
        });
        let (client, mut numbers) = (cluster.client(), 0..);
        let mut post = || {
            let id = numbers.next().map(|number| format!("event-{number}"));
            receivers.get(0).post(&batch(id));
        };
        post();
        wait_for("the event", || (target.state().ids() == ["event-0"]).then_some(()));
        // Both windows go by: events come until the sinks have committed one that is newer by seconds.
        let (_, start) = wait_for("the checkpoint", || {
            Some(checkpoint(&client, "head")).filter(|(_, at)| *at > 0)
        });
        wait_for("newer events", || {
            post();
            let (_, at) = checkpoint(&client, "head");
            (at - start > Duration::from_secs(6).as_nanos() as i64).then_some(())
        });
        receivers.get(0).wait_until_settled("siem");
        match is_kept {
            true => assert_eq!(checkpoint(&client, "trimmed").0, 0, "an hour has not passed"),
            false => wait_for("the removal of the first event", || {
                (checkpoint(&client, "trimmed").0 > 0).then_some(())
            }),
        }
    }
}

//! `spool move` between the embedded engine and JetStream, both ways: killed at any moment, it loses nothing, repeats
//! nothing, and every sink goes on where it was. `MOVE_SEED` repeats a run, `MOVE_BATCHES` is the size of the backlog.

use std::process::{Output, Stdio};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;

use crate::support::events::{batch, id, minted};
use crate::support::nats::Cluster;
use crate::support::service::Home;
use crate::support::targets::Target;
use crate::support::targets::webhook::Webhook;
use crate::support::{setting, wait_for};

const BATCHES: u64 = 40;
const KILLS: u64 = 4;

/// A home whose active configuration is one of three, and the ids that were acknowledged.
struct Mover {
    home: Home,
    target: Target<Webhook>,
    random: StdRng,
    acknowledged: Vec<String>,
    bodies: Vec<String>,
}

impl Mover {
    fn new(cluster: &Cluster) -> Mover {
        let seed = setting("MOVE_SEED").unwrap_or_else(|| rand::rng().random());
        println!("MOVE_SEED={seed}");
        let target = Target::start(Webhook::default());
        let sinks = format!(
            "[sinks.siem]\ntype = \"http\"\nurl = \"{}/events\"\nretry.max = \"1s\"\nbatch.events = 7\n\
             [sinks.copy]\ntype = \"file\"\npath = \"copy.ndjson\"\n",
            target.url
        );
        let home = Home::new(&sinks).with_variables(&cluster.variables());
        let text = std::fs::read_to_string(home.path("test.toml")).expect("a configuration");
        let write =
            |name: &str, text: String| std::fs::write(home.path(name), text).expect("written");
        write("new.toml", format!("{text}{}", cluster.spool()));
        write("back.toml", format!("{text}[spool]\ndirectory = \"back\"\n"));
        write("old.toml", text);
        let random = StdRng::seed_from_u64(seed);
        Mover { home, target, random, acknowledged: Vec::new(), bodies: Vec::new() }
    }

    fn configure(&self, name: &str) {
        std::fs::copy(self.home.path(name), self.home.path("test.toml")).expect("copied");
    }

    fn run(&self, arguments: &[&str]) -> String {
        succeeded(&self.home.run(arguments))
    }

    /// Runs the service: some events are delivered to one sink, none to the other, which is paused, and some entries are
    /// in quarantine.
    fn fill(&mut self, prefix: &str) {
        let service = self.home.start();
        succeeded(&self.home.run_with(&service, &["sink", "pause", "copy"]));
        let batches = setting("MOVE_BATCHES").unwrap_or(BATCHES);
        for number in 0..batches {
            if number == batches / 2 {
                service.wait_until_settled("siem");
                self.target.state().traffic.down = Some(503);
            }
            let count = self.random.random_range(1..20);
            let ids: Vec<String> =
                (0..count).map(|n| format!("{prefix}-{number:04}-{n:02}")).collect();
            if number == 3 {
                self.target.state().poison.insert(ids[0].clone());
            }
            let body = batch(ids.clone());
            service.post(&body);
            self.acknowledged.extend(ids);
            self.bodies.push(body);
            if self.random.random_bool(0.1) {
                let bad =
                    minted(&format!("bad-{prefix}-{number}")).replace("recordedAt", "recorded");
                service.post(&format!("[{bad}]"));
            }
        }
        let (status, log) = service.terminate();
        assert!(status.success(), "{log}");
    }

    /// Moves the spool, and kills the command several times before it ends: after up to `longest` milliseconds, at first
    /// soon, because it may end early.
    fn relocate(&mut self, to: &str, longest: u64) {
        let before = self.stats();
        let entries = self.run(&["quarantine", "export"]);
        let arguments = ["spool", "move", "--to", to];
        let mut killed = 0;
        for attempt in 1..=KILLS {
            let mut command = self.home.command(&arguments);
            let command = command.stdout(Stdio::null()).stderr(Stdio::null());
            let mut child = command.spawn().expect("it starts");
            let most = longest * attempt / KILLS;
            std::thread::sleep(Duration::from_millis(self.random.random_range(5..most)));
            drop(child.kill());
            killed += u64::from(!child.wait().expect("a status").success());
            self.refuse_incomplete(to);
        }
        assert!(killed > 0, "the move was never interrupted");
        let moved = self.run(&arguments);
        println!("killed {killed} times, then: {moved}");
        let again = self.run(&arguments);
        assert!(again.contains("before; nothing was changed"), "{again}");
        // The old spool is as it was, and no service starts with it.
        assert_eq!(self.stats(), before);
        let (_, log) = self.home.try_start().err().expect("the old spool is refused");
        assert!(log.contains("was moved to"), "{log}");
        self.configure(to);
        let after = self.stats();
        for part in ["head", "events", "sinks", "dispositions", "quarantined"] {
            assert_eq!(after[part], before[part], "{part}");
        }
        assert_eq!(contents(&self.run(&["quarantine", "export"])), contents(&entries));
    }

    /// Asserts that no service starts with the new spool while the move is incomplete.
    fn refuse_incomplete(&self, to: &str) {
        if self.home.path("back/moving").exists() {
            let active = std::fs::read(self.home.path("test.toml")).expect("a configuration");
            self.configure(to);
            let (_, log) = self.home.try_start().err().expect("the new spool is refused");
            assert!(log.contains("has not ended"), "{log}");
            std::fs::write(self.home.path("test.toml"), active).expect("written");
        }
    }

    fn stats(&self) -> Value {
        let text = self.run(&["spool", "stats", "--json"]);
        serde_json::from_str(&text).expect("JSON")
    }

    /// Starts the service with everything working: a repetition is recognised, and each sink gets the rest.
    fn deliver(&mut self) {
        self.target.state().traffic.down = None;
        let service = self.home.start();
        let last = self.bodies.last().expect("a batch").clone();
        let answer = service.answer(&last);
        assert_eq!((&answer["accepted"], answer["duplicates"] != 0), (&0.into(), true), "{answer}");
        succeeded(&self.home.run_with(&service, &["sink", "resume", "copy"]));
        let expected = self.acknowledged.len();
        wait_for("every event", || {
            (self.home.lines("copy.ndjson").len() >= expected).then_some(())
        });
        service.wait_until_settled("siem");
        service.wait_until_settled("copy");
        let copied: Vec<String> =
            self.home.lines("copy.ndjson").iter().map(|line| id(line)).collect();
        assert_eq!(copied, self.acknowledged, "each once, in order");
        let poison = self.target.state().poison.clone();
        let expected: Vec<&String> =
            self.acknowledged.iter().filter(|id| !poison.contains(*id)).collect();
        assert_eq!(
            self.target.state().ids().iter().collect::<Vec<_>>(),
            expected,
            "each once, in order"
        );
        let (status, log) = service.terminate();
        assert!(status.success(), "{log}");
    }
}

fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

/// Returns exported entries without their numbers, which a stream assigns anew.
fn contents(exported: &str) -> Vec<Value> {
    let entries = exported.lines().map(|line| {
        let mut entry: Value = serde_json::from_str(line).expect("JSON");
        entry.as_object_mut().expect("an entry").remove("id");
        entry
    });
    entries.collect()
}

#[test]
#[ignore = "needs nats-server; .ci/nats installs it"]
fn a_spool_moves_to_a_stream_and_back_although_the_move_is_killed() {
    let cluster = Cluster::shipped(1);
    let mut mover = Mover::new(&cluster);
    mover.fill("one");
    mover.relocate("new.toml", 160);
    mover.deliver();
    mover.fill("two");
    // A directory has no repeated events: these are delivered to nobody.
    let client = cluster.client();
    client.repeat("davinci-siem", client.last_of("davinci-siem"));
    // It waits twice for two seconds, to see whether a receiver renews its leases.
    mover.relocate("back.toml", 4400);
    mover.deliver();
    mover.run(&["spool", "verify"]);
    println!("{} acknowledged, each delivered once to each sink", mover.acknowledged.len());
}

#[test]
#[ignore = "needs nats-server; .ci/nats installs it"]
fn a_spool_in_use_is_not_moved_and_neither_is_one_into_a_used_stream() {
    let cluster = Cluster::shipped(1);
    let mover = Mover::new(&cluster);
    let refused = |to: &str| {
        let output = mover.home.run(&["spool", "move", "--to", to]);
        assert!(!output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).expect("UTF-8")
    };
    let service = mover.home.start();
    let error = refused("new.toml");
    let holder = format!("in use by another process (pid {})", service.id());
    assert!(error.contains(&holder), "{error}");
    drop(service.terminate());
    assert!(refused("old.toml").contains("the same spool.engine"));

    mover.configure("new.toml");
    // This directory has no events: the other engine may start in it.
    let service = mover.home.start();
    service.post(&batch(["event".to_owned()]));
    let error = refused("back.toml");
    assert!(error.contains("holds the sink") && error.contains("Stop every receiver"), "{error}");
    service.post(&batch(["another".to_owned()]));
    drop(service.terminate());

    mover.configure("old.toml");
    let error = refused("new.toml");
    assert!(error.contains("was used before"), "{error}");
    // The refusal has left no mark.
    drop(mover.home.start().terminate());
}

/// Configures the stream of the same name in another cluster.
fn lead_elsewhere(mover: &mut Mover, cluster: &Cluster, other: &Cluster) {
    let new = std::fs::read_to_string(mover.home.path("new.toml")).expect("read");
    let elsewhere = new.replace(&cluster.spool(), &other.spool());
    assert_ne!(elsewhere, new);
    std::fs::write(mover.home.path("elsewhere.toml"), elsewhere).expect("written");
    mover.configure("elsewhere.toml");
}

#[test]
#[ignore = "needs nats-server; .ci/nats installs it"]
fn a_moved_directory_starts_only_with_the_stream_that_has_its_content() {
    let (cluster, other) = (Cluster::shipped(1), Cluster::shipped(1));
    let mut mover = Mover::new(&cluster);
    mover.fill("one");
    mover.run(&["spool", "move", "--to", "new.toml"]);
    lead_elsewhere(&mut mover, &cluster, &other);
    let (_, log) = mover.home.try_start().err().expect("the other stream is refused");
    assert!(log.contains("does not have the content of the spool"), "{log}");
    mover.configure("new.toml");
    mover.deliver();
}

#[test]
#[ignore = "needs nats-server; .ci/nats installs it"]
fn a_moved_directory_is_moved_to_another_stream_without_its_mark() {
    let (cluster, other) = (Cluster::shipped(1), Cluster::shipped(1));
    let mut mover = Mover::new(&cluster);
    mover.fill("one");
    mover.run(&["spool", "move", "--to", "new.toml"]);
    lead_elsewhere(&mut mover, &cluster, &other);
    drop(mover.home.try_start().err().expect("the other stream is refused"));
    // As the message of the refusal says.
    std::fs::remove_file(mover.home.path("data/spool.moved")).expect("removed");
    mover.configure("old.toml");
    mover.run(&["spool", "move", "--to", "elsewhere.toml"]);
    mover.configure("elsewhere.toml");
    mover.deliver();
}

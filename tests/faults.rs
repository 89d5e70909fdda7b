//! The promise under random faults of machine, disk, clock, target and client.
//!
//! `FAULT_ROUNDS` raises the number of faults, `FAULT_SEED` repeats a run.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use crate::support::clients::Clients;
use crate::support::machine::Machine;
use crate::support::oracle::Oracle;
use crate::support::service::Service;
use crate::support::targets::webhook::Webhook;
use crate::support::targets::{Fault as Trouble, Target};
use crate::support::{runtime, setting, wait_for};

const CLIENTS: u64 = 3;
const ROUNDS: u64 = 40;

const LAST_RECEIVED: &str = "davinci_siem_last_received_timestamp_seconds{source=\"pingone\"}";

/// A fault of the service's environment while clients post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// SIGKILL, then a start.
    Kill,
    /// SIGTERM during requests, then a start.
    Terminate,
    /// SIGSTOP, then SIGCONT.
    Stop,
    /// ENOSPC for a while, from a random write on.
    DiskFull,
    /// EIO at a sync: the process exits and is started again.
    SyncFails,
    SlowDisk,
    /// The clock is set, by up to two days in either direction.
    ClockJumps,
    /// The target gives a few wrong answers.
    TargetTrouble,
    /// The target is down.
    TargetAway,
    /// A client sends a whole batch, disconnects before the answer, and sends it again.
    ClientResets,
}

const FAULTS: [Fault; 10] = [
    Fault::Kill,
    Fault::Terminate,
    Fault::Stop,
    Fault::DiskFull,
    Fault::SyncFails,
    Fault::SlowDisk,
    Fault::ClockJumps,
    Fault::TargetTrouble,
    Fault::TargetAway,
    Fault::ClientResets,
];

#[test]
fn random_faults_lose_no_event() {
    let rounds = setting("FAULT_ROUNDS").unwrap_or(ROUNDS);
    let seed = setting("FAULT_SEED").unwrap_or_else(|| rand::rng().random());
    println!("FAULT_SEED={seed} FAULT_ROUNDS={rounds}");
    let mut target = Target::start(Webhook::default());
    let machine = Machine::with_two_sinks(&format!(
        "[sinks.hook]\ntype = \"http\"\nurl = \"{}/events\"\ntimeout = \"1s\"\n\
         retry = {{ min = \"5ms\", max = \"50ms\" }}\n[spool]\nmax_size = \"1 GiB\"\n",
        target.url
    ));
    let oracle = Arc::new(Oracle::default());
    let runtime = runtime();
    let mut random = StdRng::seed_from_u64(seed);
    let clients = runtime.block_on(async { Clients::start(CLIENTS, &oracle, &mut random) });
    let mut service = machine.home.start();
    for round in 0..rounds {
        clients.post_to(&service);
        let before = oracle.acknowledged();
        // The first rounds contain each fault once.
        let fault = FAULTS.get(round as usize).or_else(|| FAULTS.choose(&mut random));
        let fault = *fault.expect("there are some");
        println!("round {round}: {fault:?}");
        service = suffer(fault, service, &machine, &mut target, &oracle, &mut random);
        clients.post_to(&service);
        wait_for("an acknowledgement after the fault", || {
            (oracle.acknowledged() > before).then_some(())
        });
    }
    runtime.block_on(clients.finish(&service));
    judge(service, &machine, &target, &oracle);
}

/// Causes a fault for a while and ends it. Returns the service, which may be another process.
fn suffer(
    fault: Fault,
    mut service: Service,
    machine: &Machine,
    target: &mut Target<Webhook>,
    oracle: &Oracle,
    random: &mut StdRng,
) -> Service {
    let moment = Duration::from_millis(random.random_range(0..120));
    let pass = || std::thread::sleep(moment);
    match fault {
        Fault::Kill => {
            pass();
            service.kill();
            return machine.home.start();
        }
        Fault::Terminate => {
            pass();
            let (status, log) = service.terminate();
            assert!(status.success(), "{log}");
            return machine.home.start();
        }
        Fault::Stop => {
            service.signal("STOP");
            pass();
            service.signal("CONT");
        }
        Fault::DiskFull => {
            let _full = machine.full_after(random.random_range(0..40));
            pass();
        }
        Fault::SyncFails => {
            let failing = machine.trigger("fail-sync");
            let (status, log) = service.wait();
            assert_eq!(status.code(), Some(1), "{log}");
            drop(failing);
            return machine.home.start();
        }
        Fault::SlowDisk => {
            let _slow = machine.trigger("slow-sync");
            pass();
        }
        Fault::ClockJumps => {
            const DAY: i64 = 86_400_000;
            let ahead = random.random_range(-2 * DAY..2 * DAY);
            machine.set_clock(ahead);
            pass();
            let batch = oracle.mint(CLIENTS, 1);
            oracle.acknowledge(&batch, &service.answer(&batch.body));
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("later");
            let seen = service.metric(LAST_RECEIVED) - now.as_secs_f64();
            let error = (seen - ahead as f64 / 1000.0).abs();
            assert!(error < 3600.0, "the process does not see the machine's clock: {seen}");
        }
        Fault::TargetTrouble => {
            let troubles = (0..4).map(|_| match random.random_range(0..5) {
                0 => Trouble::status([429, 500, 502, 503][random.random_range(0..4)]),
                // Not a 2xx: its status line acknowledges the request, whatever happens to its body.
                1 => Trouble::Reset(503),
                2 => Trouble::StoreAndReset,
                3 => Trouble::Hang,
                _ => Trouble::Answer(503, Vec::new(), "\0\u{fffd}{]\"garbage".repeat(5000)),
            });
            target.fail(troubles.collect::<Vec<_>>());
            pass();
        }
        Fault::TargetAway => {
            target.stop();
            pass();
            target.restart();
        }
        Fault::ClientResets => {
            // No other client has this number, so the oracle expects its events to be acknowledged, too.
            let batch = oracle.mint(CLIENTS, random.random_range(1..50));
            for _ in 0..random.random_range(1..4) {
                send_and_leave(&service, &batch.body);
            }
            oracle.acknowledge(&batch, &service.answer(&batch.body));
        }
    }
    service
}

/// Sends a whole request and does not read the answer.
fn send_and_leave(service: &Service, body: &str) {
    let mut stream = TcpStream::connect(service.address()).expect("connected");
    let head = format!(
        "POST /webhooks/pingone HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + body).as_bytes()).expect("sent");
    stream.shutdown(Shutdown::Both).expect("left");
}

fn judge(service: Service, machine: &Machine, target: &Target<Webhook>, oracle: &Oracle) {
    let fresh = oracle.mint(CLIENTS + 1, 1);
    oracle.acknowledge(&fresh, &service.answer(&fresh.body));
    for sink in ["one", "two", "hook"] {
        service.wait_until_settled(sink);
    }
    for sink in ["one", "two"] {
        let lines = machine.home.lines(&format!("{sink}.ndjson"));
        let doubled = oracle.judge(sink, &lines);
        println!("{sink}: {} acknowledged, {doubled} doubled", oracle.acknowledged());
    }
    let stored: Vec<String> = target.state().stored.iter().map(ToString::to_string).collect();
    println!("hook: {} doubled", oracle.judge("hook", &stored));
    let (status, log) = service.terminate();
    assert!(status.success(), "{log}");
    let stats = machine.home.run(&["spool", "stats", "--json"]).stdout;
    oracle.judge_doors(&serde_json::from_slice(&stats).expect("JSON"), &["one", "two", "hook"]);
    let verified = machine.home.run(&["spool", "verify"]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
}

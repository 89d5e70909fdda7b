//! The promise after a power loss: unsynced bytes and names disappear, and no acknowledged event with them. See
//! `support/power`.
//!
//! `POWER_ROUNDS` is the number of power losses, `POWER_SEED` repeats the random choices.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::support::clients::Clients;
use crate::support::events::{batch, ids};
use crate::support::oracle::Oracle;
use crate::support::power::{Loss, Power, below};
use crate::support::service::{Home, Service, read_lines};
use crate::support::targets::Target;
use crate::support::targets::elastic::Elastic;
use crate::support::targets::webhook::Webhook;
use crate::support::{block_on, setting, wait_for};

const CLIENTS: u64 = 3;
const ROUNDS: u64 = 8;
const SINKS: [&str; 3] = ["plain", "rotated", "indexed"];

/// The service creates all of its directories, so that a power loss can remove them, too.
const DIRECTORIES: &str = "[spool]\ndirectory = \"state/spool\"\nmax_size = \"1 GiB\"\n\
    [sinks.plain]\ntype = \"file\"\npath = \"out/plain/events.ndjson\"\n";
const ROTATED: &str = "[sinks.rotated]\ntype = \"file\"\npath = \"out/rotated/events.ndjson\"\n\
    rotate = { size = \"400 KiB\" }\nbatch = { events = 50 }\n";

/// Returns rounds and seed, and prints them.
fn chance() -> (u64, u64) {
    let rounds = setting("POWER_ROUNDS").unwrap_or(ROUNDS);
    let seed = setting("POWER_SEED").unwrap_or_else(|| rand::rng().random());
    println!("POWER_SEED={seed} POWER_ROUNDS={rounds}");
    (rounds, seed)
}

#[test]
fn no_acknowledged_event_is_lost_however_often_the_power_is_cut() {
    let (rounds, seed) = chance();
    let target = Target::start(Elastic::new("ApiKey a2V5"));
    let indexed = format!(
        "[sinks.indexed]\ntype = \"elasticsearch\"\nendpoint = \"{}\"\nformat = \"native\"\n\
         api_key_env = \"API_KEY\"\nretry = {{ min = \"1ms\", max = \"50ms\" }}\n",
        target.url
    );
    let mut home = Home::new(&format!("{DIRECTORIES}{ROTATED}{indexed}"))
        .with_variables(&[("API_KEY", "a2V5")]);
    let mut power = Power::connect(&mut home, seed);
    let oracle = Arc::new(Oracle::default());
    block_on(cut_again_and_again(&home, &mut power, &oracle, rounds, seed));
    println!("{:?}", power.lost);
    assert!(power.lost.old_blocks > 0, "something was lost");

    // The faults are over: all events must be delivered, and a new event, too.
    let service = home.start();
    drain(&service, &oracle, &SINKS);
    let (status, log) = service.terminate();
    assert!(status.success(), "{log}");
    let stored = target.state().stored.iter().map(|(_, document)| document.clone()).collect();
    for (sink, lines) in [
        ("plain", home.lines("out/plain/events.ndjson")),
        ("rotated", rotated_lines(&home.path("out/rotated"))),
        ("indexed", without_timestamps(stored)),
    ] {
        let doubled = oracle.judge(sink, &lines);
        println!("{sink}: {} lines, {doubled} doubled", lines.len());
        assert!(doubled == 0 || sink != "indexed", "a target that knows ids has nothing twice");
    }
    let stats = home.run(&["spool", "stats", "--json"]).stdout;
    oracle.judge_doors(&serde_json::from_slice(&stats).expect("JSON"), &SINKS);
    judge_spool(&home);
    println!("{} acknowledged", oracle.acknowledged());
}

/// Clients post without pause while the power fails at random moments. Sometimes only the process is killed, and its
/// unsynced bytes may be lost in a later round.
async fn cut_again_and_again(
    home: &Home,
    power: &mut Power,
    oracle: &Arc<Oracle>,
    rounds: u64,
    seed: u64,
) {
    let mut random = StdRng::seed_from_u64(seed);
    let clients = Clients::start(CLIENTS, oracle, &mut random);
    for _ in 0..rounds {
        if random.random_bool(0.25) {
            kill_while_starting(home, &mut random);
            cut_or_stay(power, &mut random);
        }
        let service = home.start();
        clients.post_to(&service);
        let before = oracle.acknowledged();
        tokio::time::sleep(Duration::from_micros(random.random_range(0..150_000))).await;
        // Sometimes long enough for a checkpoint to write the WAL back and restart it.
        let more = [0, 0, 0, 0, 1, 1, 1, 2000][random.random_range(0..8)];
        wait_for("acknowledgements", || (oracle.acknowledged() >= before + more).then_some(()));
        service.kill();
        cut_or_stay(power, &mut random);
    }
    let service = home.start();
    clients.finish(&service).await;
    service.kill();
    power.cut(Loss::Everything);
}

fn cut_or_stay(power: &mut Power, random: &mut StdRng) {
    match random.random_range(0..5) {
        0 => power.stay(),
        1 | 2 => power.cut(Loss::Everything),
        _ => power.cut(Loss::Some),
    }
}

/// Starts the service and kills it before it is ready, or soon after.
fn kill_while_starting(home: &Home, random: &mut StdRng) {
    let mut command = home.command(&["serve"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("the binary starts");
    std::thread::sleep(Duration::from_micros(random.random_range(0..80_000)));
    child.kill().expect("killed");
    child.wait().expect("ended");
}

/// Asserts that the plain file has every acknowledged event, and that the spool is intact.
fn judge_plain(home: &Home, oracle: &Oracle) {
    let service = home.start();
    drain(&service, oracle, &["plain"]);
    assert!(service.terminate().0.success());
    oracle.judge("plain", &home.lines("out/plain/events.ndjson"));
    judge_spool(home);
}

/// Has a new event acknowledged, and waits until each sink has every event.
fn drain(service: &Service, oracle: &Oracle, sinks: &[&str]) {
    let fresh = oracle.mint(CLIENTS, 1);
    oracle.acknowledge(&fresh, &service.answer(&fresh.body));
    sinks.iter().for_each(|sink| service.wait_until_settled(sink));
}

/// Asserts that the spool is intact and that no damage was ever counted.
fn judge_spool(home: &Home) {
    let verified = home.run(&["spool", "verify"]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    assert!(home.quarantine().is_empty());
    let is_aside = |path: &PathBuf| path.to_string_lossy().contains("damaged");
    assert_eq!(below(&home.path("state")).into_iter().find(is_aside), None, "moved aside");
}

#[test]
fn a_spool_outlives_a_power_cut_from_its_first_start_on() {
    let (rounds, seed) = chance();
    let mut random = StdRng::seed_from_u64(seed);
    for round in 0..rounds.div_ceil(2) {
        let mut home = Home::new(DIRECTORIES);
        let mut power = Power::connect(&mut home, random.random());
        // The first round is the simplest case: one start, one answer, one power loss.
        for _ in 0..round.min(4) {
            kill_while_starting(&home, &mut random);
            cut_or_stay(&mut power, &mut random);
        }
        let oracle = Oracle::default();
        let service = home.start();
        let first = oracle.mint(0, 20);
        oracle.acknowledge(&first, &service.answer(&first.body));
        service.kill();
        power.cut(Loss::Everything);
        judge_plain(&home, &oracle);
    }
}

/// Shows that the other tests would detect a missing sync: without it, a sink loses acknowledged events.
#[test]
fn syncs_that_lie_are_found_out() {
    const DIRECTORY: &str = "the directory itself";
    for (lie, expected) in [
        (None, &[][..]),
        (Some("spool.db-wal"), &["later"]),
        (Some("written.ndjson"), &["written"]),
        // The directory contains the names of the files.
        (Some(DIRECTORY), &["written", "later"]),
    ] {
        let target = Target::start(Webhook::default());
        target.state().traffic.down = Some(503);
        let mut home = Home::new(&format!(
            "[spool]\ndirectory = \"state\"\n\
             [sinks.written]\ntype = \"file\"\npath = \"written.ndjson\"\n\
             [sinks.later]\ntype = \"http\"\nurl = \"{}/events\"\n\
             retry = {{ min = \"1ms\", max = \"50ms\" }}\n",
            target.url
        ));
        let mut power = Power::connect(&mut home, 0);
        if let Some(lie) = lie {
            let lie = if lie == DIRECTORY { power.directory() } else { lie.to_owned() };
            home.variables.push(("POWER_LIES".to_owned(), lie));
        }
        let oracle = Oracle::default();
        let service = home.start();
        drain(&service, &oracle, &["written"]);
        service.kill();
        power.cut(Loss::Everything);

        target.state().traffic.down = None;
        let service = home.start();
        drain(&service, &oracle, &["written", "later"]);
        let hooked: Vec<String> = target.state().stored.iter().map(ToString::to_string).collect();
        let losers: Vec<&str> = [("written", home.lines("written.ndjson")), ("later", hooked)]
            .into_iter()
            .filter(|(_, lines)| !oracle.is_complete(lines))
            .map(|(sink, _)| sink)
            .collect();
        assert_eq!(losers, expected, "where {lie:?} is not synced");
    }
}

/// Posts, and disconnects once the sync is held.
fn post_and_leave(service: &Service, power: &Power, body: String) {
    power.hold();
    block_on(async {
        let post = tokio::spawn(reqwest::Client::new().post(&service.url).body(body).send());
        wait_for("a sync that is held", || power.is_held().then_some(()));
        assert!(!post.is_finished(), "it was answered before it was synced");
        post.abort();
    });
}

/// The spool reports no loss of events that were not acknowledged and that only a killed process had read.
#[test]
fn unacknowledged_events_are_not_reported_as_lost() {
    let mut home = Home::new(DIRECTORIES).with_variables(&[("POWER_HOLDS", "spool.db-wal")]);
    let mut power = Power::connect(&mut home, 0);
    let service = home.start();
    post_and_leave(&service, &power, batch(ids(20)));
    service.kill();
    power.stay();
    home.start().kill();
    power.cut(Loss::Everything);
    let service = home.start();
    assert_eq!(service.metric("davinci_siem_spool_lost_events"), 0.0);
    assert!(service.terminate().0.success());
    judge_spool(&home);
}

/// The process is killed between a write and its sync, and the power fails later.
#[test]
fn a_repetition_is_acknowledged_when_the_first_try_is_on_disk() {
    let mut home = Home::new(DIRECTORIES).with_variables(&[("POWER_HOLDS", "spool.db-wal")]);
    let mut power = Power::connect(&mut home, 0);
    let oracle = Oracle::default();
    let batch = oracle.mint(0, 20);
    let service = home.start();
    post_and_leave(&service, &power, batch.body.clone());
    service.kill();
    power.stay();
    let service = home.start();
    let answer = service.answer(&batch.body);
    assert_eq!(answer["duplicates"], 20, "it was written: {answer}");
    oracle.acknowledge(&batch, &answer);
    service.kill();
    power.cut(Loss::Everything);
    let service = home.start();
    drain(&service, &oracle, &["plain"]);
    oracle.judge("plain", &home.lines("out/plain/events.ndjson"));
}

#[test]
fn a_checkpoint_may_be_cut_short() {
    let (rounds, seed) = chance();
    let mut home = Home::new(DIRECTORIES).with_variables(&[("POWER_HOLDS", "spool.db")]);
    let mut power = Power::connect(&mut home, seed);
    let oracle = Arc::new(Oracle::default());
    block_on(async {
        let clients = Clients::start(CLIENTS, &oracle, &mut StdRng::seed_from_u64(seed));
        for round in 0..rounds.div_ceil(4) {
            let service = home.start();
            power.hold();
            clients.post_to(&service);
            // Its pages are written and none of them is synced.
            wait_for("a sync that is held", || power.is_held().then_some(()));
            service.kill();
            power.cut(if round == 0 { Loss::Everything } else { Loss::Some });
        }
        let service = home.start();
        clients.finish(&service).await;
        service.kill();
        power.cut(Loss::Everything);
    });
    println!("{:?}", power.lost);
    judge_plain(&home, &oracle);
}

#[test]
fn a_file_is_synced_before_it_is_rotated() {
    let mut home = Home::new(
        "[sinks.out]\ntype = \"file\"\npath = \"out/events.ndjson\"\n\
         rotate = { size = \"10 KiB\", gzip = false }\n",
    )
    .with_variables(&[("POWER_HOLDS", "events.ndjson")]);
    let mut power = Power::connect(&mut home, 0);
    let service = home.start();
    service.post(&batch(["first".to_owned()]));
    service.wait_until_settled("out");
    power.hold();
    service.post(&batch(ids(6)));
    wait_for("a sync that is held", || power.is_held().then_some(()));
    service.kill();
    power.stay();
    // The repeated events find too little room, so the repair moves the torn bytes aside.
    let service = home.start();
    let events = || {
        let mut files = below(&home.path("out"));
        files
            .retain(|path| path.file_name().is_some_and(|name| name.as_encoded_bytes()[0] == b'e'));
        files
    };
    wait_for("rotation", || (events().len() > 1).then_some(()));
    service.kill();
    power.cut(Loss::Everything);
    // Its name has a time in place of the other one's ending.
    let rotated = events().into_iter().min().expect("a file");
    assert_eq!(read_lines(&rotated).len(), 7, "{}", rotated.display());
}

/// The journal contains every change: if no sync counts, a power loss restores exactly the state before.
#[test]
fn a_cut_undoes_every_change_since_the_last_sync() {
    let mut home = Home::new(&format!("{DIRECTORIES}{ROTATED}"));
    let mut power = Power::connect(&mut home, 0);
    let work = |home: &Home, prefix: &str| {
        let service = home.start();
        for round in 0..4 {
            service.post(&batch(ids(300).iter().map(|id| format!("{prefix}-{round}-{id}"))));
        }
        let compressed =
            || below(&home.path("out")).iter().any(|path| path.to_string_lossy().ends_with("gz"));
        wait_for("a compressed file", || compressed().then_some(()));
        service.kill();
    };
    work(&home, "before");
    power.cut(Loss::Everything);
    let before = snapshot(home.directory.path());
    home.variables.push(("POWER_LIES".to_owned(), String::new()));
    work(&home, "after");
    assert_ne!(snapshot(home.directory.path()), before);
    power.cut(Loss::Everything);
    let after = snapshot(home.directory.path());
    for path in before.keys().chain(after.keys()) {
        assert!(before.get(path) == after.get(path), "{} is not what it was", path.display());
    }
}

/// Returns the content of each file, except SQLite's shared memory; `None` for each directory.
fn snapshot(directory: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let is_compared = |path: &PathBuf| !path.to_string_lossy().ends_with("-shm");
    let content = |path: &PathBuf| path.is_file().then(|| std::fs::read(path).expect("read"));
    below(directory)
        .into_iter()
        .filter(is_compared)
        .map(|path| (path.clone(), content(&path)))
        .collect()
}

/// Returns the lines of a rotating sink, oldest first. If a file exists both plain and compressed, the plain one was
/// about to be removed, and only the compressed one counts.
fn rotated_lines(directory: &Path) -> Vec<String> {
    let plain = |path: PathBuf| match path.extension() {
        Some(ending) if ending == "gz" => Some(path.with_extension("")),
        Some(ending) if ending == "ndjson" => Some(path),
        _ => None,
    };
    let files: BTreeSet<PathBuf> = below(directory).into_iter().filter_map(plain).collect();
    let lines = |path: &PathBuf| {
        if path.exists() {
            return read_lines(path);
        }
        let compressed = std::fs::File::open(path.with_added_extension("gz")).expect("a file");
        let mut text = String::new();
        MultiGzDecoder::new(compressed).read_to_string(&mut text).expect("whole gzip files only");
        text.lines().map(str::to_owned).collect()
    };
    files.iter().flat_map(lines).collect()
}

/// Returns the documents as they were sent, without `@timestamp`, which the sink adds for data streams.
fn without_timestamps(documents: Vec<serde_json::Value>) -> Vec<String> {
    documents
        .into_iter()
        .map(|mut document| {
            document.as_object_mut().expect("an object").remove("@timestamp");
            document.to_string()
        })
        .collect()
}

//! Read-only commands: beside a loaded service they change no event's way, and beside an idle or stopped service they
//! change no byte, time or name in state and output.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::support::clients::Clients;
use crate::support::oracle::Oracle;
use crate::support::service::{Home, Service};
use crate::support::{runtime, setting, wait_for};

/// All read-only commands, with the arguments that make them read most.
const COMMANDS: [&[&str]; 14] = [
    &["check"],
    &["check", "--connect"],
    &["check", "--connect", "--json"],
    &["spool", "verify"],
    &["spool", "verify", "--json"],
    &["spool", "stats"],
    &["quarantine", "list"],
    &["quarantine", "show", "1"],
    &["trace", "event-0001"],
    &["status"],
    &["drift"],
    &["health"],
    &["sink", "list"],
    &["map", "events.json"],
];

/// Rounds of all commands beside the loaded service.
const ROUNDS: u64 = 3;

fn home(config: &str) -> Home {
    let home = Home::with_two_sinks(&format!(
        "[sinks.rotated]\ntype = \"file\"\npath = \"logs/rotated.ndjson\"\n\
         rotate = {{ size = \"200 KiB\", gzip = false }}\n\
         [sinks.linked]\ntype = \"file\"\npath = \"link.ndjson\"\n{config}"
    ));
    std::os::unix::fs::symlink("logs/linked.ndjson", home.path("link.ndjson")).expect("linked");
    fs::write(home.path("events.json"), crate::support::events::documented()).expect("written");
    home
}

/// Returns kind, length, modification time, inode and bytes of each name below a directory.
fn snapshot(directory: &Path) -> BTreeMap<String, (u64, i64, i64, u64, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            let metadata = fs::symlink_metadata(&path).expect("metadata");
            let bytes =
                if metadata.is_file() { fs::read(&path).expect("read") } else { Vec::new() };
            if metadata.is_dir() {
                directories.push(path.clone());
            }
            let is_same = (metadata.len(), metadata.mtime(), metadata.mtime_nsec(), metadata.ino());
            let (length, seconds, nanos, inode) = is_same;
            found.insert(path.display().to_string(), (length, seconds, nanos, inode, bytes));
        }
    }
    found
}

/// Runs every command; those that query the service reach it at `admin`. Returns their output.
fn look(home: &Home, admin: Option<&str>) -> Vec<(String, bool)> {
    let run = |arguments: &&[&str]| {
        let mut command = home.command(arguments);
        if let Some(admin) = admin {
            command.env("DAVINCI_SIEM__ADMIN__ADDRESS", admin);
        }
        let output = command.output().expect("the binary runs");
        let text = [output.stdout, output.stderr].concat();
        (String::from_utf8_lossy(&text).into_owned(), output.status.success())
    };
    COMMANDS.iter().map(run).collect()
}

fn admin(service: &Service) -> String {
    service.admin.strip_prefix("http://").expect("a URL").to_owned()
}

fn assert_unchanged(home: &Home, admin: Option<&str>) {
    let before = snapshot(home.directory.path());
    for _ in 0..2 {
        look(home, admin);
    }
    let after = snapshot(home.directory.path());
    let names = |found: &BTreeMap<String, _>| found.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&before), names(&after), "no name came or went");
    for (name, file) in &before {
        assert!(after.get(name) == Some(file), "{name} has changed");
    }
}

#[test]
fn beside_an_idle_and_a_stopped_service_nothing_changes() {
    let home = home("");
    let service = home.start();
    service.post(&crate::support::events::batch(crate::support::events::ids(300)));
    service.post("[{\"id\":\"refused\"}]");
    for sink in ["one", "two", "rotated", "linked"] {
        service.wait_until_settled(sink);
    }
    // The spool logs nothing once it is idle.
    let data = home.path("data");
    let mut last = snapshot(&data);
    wait_for("an idle spool", || {
        std::thread::sleep(std::time::Duration::from_millis(1500));
        let now = snapshot(&data);
        std::mem::replace(&mut last, now.clone()).eq(&now).then_some(())
    });
    assert_unchanged(&home, Some(&admin(&service)));
    assert!(service.terminate().0.success());
    assert_unchanged(&home, None);
    // The output agrees with the state.
    let looked = look(&home, None);
    let verified = COMMANDS.iter().position(|command| *command == ["spool", "verify"]);
    assert!(looked[verified.expect("listed")].1, "{looked:?}");
    // Also after a crash.
    let service = home.start();
    service.post(&crate::support::events::batch(["after".to_owned()]));
    service.kill();
    assert_unchanged(&home, None);
    // Before the first start there are no files, and the commands create none.
    let new = self::home("[sinks.deep]\ntype = \"file\"\npath = \"new/deep/out.ndjson\"\n");
    assert_unchanged(&new, None);
}

#[test]
fn beside_a_loaded_service_no_event_is_torn_or_missing() {
    let rounds = setting("CONSERVATION_ROUNDS").unwrap_or(ROUNDS).min(20);
    let seed = setting("CONSERVATION_SEED").unwrap_or_else(rand::random);
    println!("CONSERVATION_SEED={seed} CONSERVATION_ROUNDS={rounds}");
    let home = Arc::new(home(""));
    let service = home.start();
    let runtime = runtime();
    let oracle = Arc::new(Oracle::default());
    let clients = runtime.block_on(async {
        let clients = Clients::start(4, &oracle, &mut StdRng::seed_from_u64(seed));
        clients.post_to(&service);
        clients
    });
    let is_over = Arc::new(AtomicBool::new(false));
    let lookers: Vec<_> = (0..2)
        .map(|_| {
            let (home, admin, is_over) = (Arc::clone(&home), admin(&service), Arc::clone(&is_over));
            std::thread::spawn(move || {
                let mut done = 0;
                // At least this number of rounds, whatever their duration.
                while done < rounds || !is_over.load(Ordering::Relaxed) {
                    for (command, (text, is_good)) in COMMANDS.iter().zip(look(&home, Some(&admin)))
                    {
                        let is_about_all = command[0] == "check" || command[0] == "spool";
                        assert!(is_good || !is_about_all, "{command:?}: {text}");
                    }
                    done += 1;
                    is_over.fetch_or(done >= rounds, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for looker in lookers {
        looker.join().expect("looked");
    }
    runtime.block_on(clients.finish(&service));
    for sink in ["one", "two", "rotated", "linked"] {
        service.wait_until_settled(sink);
    }
    assert!(!service.log().contains("torn"), "nobody tore or cut anything");
    let rotated = fs::read_dir(home.path("logs")).expect("a directory");
    let mut rotated: Vec<_> = rotated.map(|entry| entry.expect("an entry").file_name()).collect();
    rotated.sort();
    let rotated = rotated.iter().map(|name| name.to_string_lossy().into_owned());
    // The file itself comes last: `rotated-2…` sorts before `rotated.ndjson`.
    let rotated: Vec<String> = rotated
        .filter(|name| name.starts_with("rotated"))
        .flat_map(|name| home.lines(&format!("logs/{name}")))
        .collect();
    for (sink, lines) in [
        ("one", home.lines("one.ndjson")),
        ("two", home.lines("two.ndjson")),
        ("rotated", rotated),
        ("linked", home.lines("logs/linked.ndjson")),
    ] {
        assert_eq!(oracle.judge(sink, &lines), 0, "{sink}: no event comes twice");
    }
}

/// A target that accepts connections and never answers, and a pipe without a reader.
#[test]
fn every_probe_ends() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = silent.local_addr().expect("an address");
    let home = Home::new(&format!(
        "[sinks.pipe]\ntype = \"file\"\npath = \"pipe\"\n\
         [sinks.http]\ntype = \"http\"\nurl = \"http://{address}/\"\ntimeout = \"10m\"\n"
    ));
    assert!(Command::new("mkfifo").arg(home.path("pipe")).status().expect("mkfifo").success());
    let mut check = home.command(&["check", "--connect"]);
    let mut check =
        check.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
    let ended = wait_for("the end of the check", || check.try_wait().expect("a status"));
    assert_eq!(ended.code(), Some(1));
    let output = check.wait_with_output().expect("its output");
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(text.contains("pipe is a pipe that can be written while a process reads it"), "{text}");
    assert!(text.contains("sink http: no answer within 10 s"), "{text}");
}

//! Reloads and restarts with random files while batches arrive: no request fails, and each sink gets each event.
//!
//! `RELOAD_LOAD_ROUNDS` is the number of files, `RELOAD_LOAD_SEED` repeats a run.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::Client;

use crate::support::events::batch;
use crate::support::service::{Home, Service};
use crate::support::{runtime, setting, wait_for};

const APPLIED: &str = "davinci_siem_reloads_total{result=\"applied\"}";
const REFUSED: &str = "davinci_siem_reloads_total{result=\"refused\"}";
const FILTERED: &str = "davinci_siem_sink_events_total{result=\"filtered\",sink=\"two\"}";
const CLIENTS: u64 = 3;

/// Changes the text of a configuration.
type ConfigEdit = fn(&str) -> String;

/// A change of the file, and the result of its reload.
const CHANGES: [(&str, ConfigEdit, &str); 12] = [
    ("nothing", |base| format!("{base}# a comment\n"), APPLIED),
    ("strictness", |base| base.replace("path = \"/a\"", "path = \"/a\"\nstrict = true"), APPLIED),
    ("allowed networks", |base| base.replace("10.0.0.0/8", "192.168.0.0/16"), APPLIED),
    (
        "a filter",
        |base| {
            base.replace("\"two.ndjson\"", "\"two.ndjson\"\nexclude = { types = [\"DAVINCI*\"] }")
        },
        APPLIED,
    ),
    (
        "a format",
        |base| base.replace("\"two.ndjson\"", "\"two.ndjson\"\nformat = \"cef\""),
        APPLIED,
    ),
    ("limits", |base| format!("{base}[limits]\nbody = \"1 MiB\"\n"), APPLIED),
    (
        "an added sink",
        |base| base.replace(NEW, "").replace("[sinks.one]", &format!("{NEW}[sinks.one]")),
        APPLIED,
    ),
    ("a removed sink", |base| base.replace(TWO, ""), REFUSED),
    ("a renamed sink", |base| base.replace("[sinks.two]", "[sinks.three]"), REFUSED),
    ("an empty file", |_| String::new(), REFUSED),
    ("bad syntax", |base| format!("{base}[sinks\n"), REFUSED),
    ("half a file", |base| base[..base.len() / 2].to_owned(), REFUSED),
];

const NEW: &str = "[sinks.new]\ntype = \"file\"\npath = \"new.ndjson\"\n";

const TWO: &str = "[sinks.two]\ntype = \"file\"\npath = \"two.ndjson\"\n";

/// Posts batches of unique events until `is_over`. Each must be acknowledged.
async fn post(url: String, is_over: Arc<AtomicBool>, next: Arc<AtomicU64>) {
    let client = Client::new();
    while !is_over.load(Ordering::Relaxed) {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let body = batch((0..5).map(|part| format!("load-{number}-{part}")));
        let answer = client.post(&url).body(body).send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
    }
}

fn reloads(service: &Service) -> (f64, f64) {
    (service.metric(APPLIED), service.metric(REFUSED))
}

/// Returns the number of lines of a file, and the ids in them, in whatever format.
fn delivered(home: &Home, file: &str) -> (usize, HashSet<String>) {
    let lines = home.lines(file);
    let id = |line: &String| {
        let begin = ["load-", "later-"].iter().find_map(|prefix| line.find(prefix));
        let rest = &line[begin.expect("an id")..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        rest[..end.unwrap_or(rest.len())].to_owned()
    };
    (lines.len(), lines.iter().map(id).collect())
}

#[test]
fn reloads_under_load_fail_no_request_and_lose_no_event() {
    let rounds = setting("RELOAD_LOAD_ROUNDS").unwrap_or(12);
    let seed = setting("RELOAD_LOAD_SEED").unwrap_or_else(rand::random);
    println!("RELOAD_LOAD_ROUNDS={rounds} RELOAD_LOAD_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let home = Home::with_listen(
        "reload = \"1h\"",
        &format!(
            "[spool]\nretention = \"1h\"\n[sources.a]\npath = \"/a\"\nallow_from = [\"127.0.0.0/8\", \"10.0.0.0/8\"]\n\
             {TWO}[sinks.one]\ntype = \"file\"\npath = \"one.ndjson\"\n"
        ),
    );
    let mut base = std::fs::read_to_string(home.path("test.toml")).expect("read");
    let write = |text: &str| {
        std::fs::write(home.path("next.toml"), text).expect("written");
        std::fs::rename(home.path("next.toml"), home.path("test.toml")).expect("replaced");
    };
    let service = home.start();
    let (is_over, next) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let runtime = runtime();
    let url = format!("http://{}/a", service.address());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| runtime.spawn(post(url.clone(), Arc::clone(&is_over), Arc::clone(&next))))
        .collect();
    let mut counts = (0.0, 0.0);
    wait_for("the first events", || (next.load(Ordering::Relaxed) > 10).then_some(()));
    for round in 0..rounds {
        // Each change once, then at random.
        let index = usize::try_from(round).expect("small");
        let index =
            if index < CHANGES.len() { index } else { random.random_range(0..CHANGES.len()) };
        let (name, change, expected) = CHANGES[index];
        if name == "an added sink" {
            // No reload removes it again.
            base = change(&base);
        }
        for (text, expected) in [(change(&base), expected), (base.clone(), APPLIED)] {
            write(&text);
            let before = reloads(&service);
            service.signal("HUP");
            let after = wait_for(name, || Some(reloads(&service)).filter(|now| *now != before));
            let result = if after.0 > before.0 { APPLIED } else { REFUSED };
            assert_eq!(result, expected, "{name}:\n{}", service.log());
            counts = after;
        }
    }
    is_over.store(true, Ordering::Relaxed);
    for client in clients {
        runtime.block_on(client).expect("every request was acknowledged");
    }
    let posted = next.load(Ordering::Relaxed) as usize * 5;
    ["one", "two", "new"].iter().for_each(|sink| service.wait_until_settled(sink));
    println!("{posted} events, {} applied and {} refused reloads", counts.0, counts.1);
    let filtered = service.metric(FILTERED) as usize;
    for (file, filtered) in [("one.ndjson", 0), ("two.ndjson", filtered), ("new.ndjson", 0)] {
        let (lines, ids) = delivered(&home, file);
        let expected = posted - filtered;
        assert_eq!((lines, ids.len()), (expected, expected), "{file}: each event once");
    }
    assert!(filtered > 0, "two.ndjson: the filter was in force for some events");
    assert!(home.lines("two.ndjson").iter().any(|line| line.starts_with("CEF:")));
    let lines_of_two = delivered(&home, "two.ndjson").0;
    // The cursors of added, removed and renamed sinks, after a restart.
    drop(service);
    write(&base.replace("[sinks.two]", "[sinks.three]").replace("two.ndjson", "three.ndjson"));
    let service = home.start();
    let more = batch((0..5).map(|part| format!("later-{part}")));
    let answer = runtime
        .block_on(Client::new().post(format!("http://{}/a", service.address())).body(more).send());
    assert_eq!(answer.expect("an answer").status(), 200);
    ["one", "three"].iter().for_each(|sink| service.wait_until_settled(sink));
    assert_eq!(
        delivered(&home, "three.ndjson").1.len(),
        posted + 5,
        "a new name starts with the oldest"
    );
    assert_eq!(delivered(&home, "two.ndjson").0, lines_of_two);
    drop(service);
    write(&base);
    let service = home.start();
    service.wait_until_settled("two");
    let (lines, ids) = delivered(&home, "two.ndjson");
    assert_eq!(
        (lines, ids.len()),
        (lines_of_two + 5, lines_of_two + 5),
        "a sink that returns continues at its cursor"
    );
}

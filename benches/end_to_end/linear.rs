//! CPU per event with ten times as much of something.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use davinci_siem::spool::{Batch, DedupKey, NewEvent, Spool, SpoolConfig};

use crate::load::{self, Plan, Until};
use crate::servers::{FILE, Kind, Server};

/// Events that are sent where their number is not what changes.
const EVENTS: u64 = 200_000;

/// What is measured: its name, and how much there is of each.
struct Case {
    name: &'static str,
    events: u64,
    flows: usize,
    /// Ids that the window holds before.
    window: u64,
}

const CASES: [Case; 6] = [
    Case { name: "events", events: EVENTS / 2, flows: 5, window: 0 },
    Case { name: "10 × events", events: EVENTS * 5, flows: 5, window: 0 },
    Case { name: "flows", events: EVENTS, flows: 50, window: 0 },
    Case { name: "10 × flows", events: EVENTS, flows: 500, window: 0 },
    Case { name: "window", events: EVENTS, flows: 5, window: 900_000 },
    Case { name: "10 × window", events: EVENTS, flows: 5, window: 9_000_000 },
];

/// Prints CPU seconds per million events, medians over rounds, and how pairs of them compare.
pub(crate) fn measure(rounds: u64) {
    let mut measured: [Vec<f64>; 6] = Default::default();
    for _ in 0..rounds {
        for (case, costs) in CASES.iter().zip(&mut measured) {
            costs.push(cost(case));
        }
    }
    println!("| case | CPU s/M events |\n| --- | ---: |");
    let medians = measured.map(|mut costs| {
        costs.sort_by(f64::total_cmp);
        costs[costs.len() / 2]
    });
    for (case, median) in CASES.iter().zip(medians) {
        println!("| {} | {median:.1} |", case.name);
    }
    for (index, name) in ["events", "flows", "window"].iter().enumerate() {
        let change = 100.0 * (medians[2 * index + 1] / medians[2 * index] - 1.0);
        println!("ten times the {name}: {change:+.0} % CPU per event");
    }
}

fn cost(case: &Case) -> f64 {
    let directory = tempfile::tempdir().expect("a directory");
    fill(directory.path(), case.window);
    let server = Server::start_in(directory.path(), Kind::Durable, FILE);
    server.wait_until_idle();
    let before = server.usage();
    let requests = case.events / 500;
    let plan = Plan { flows: case.flows, ..Plan::new(500, 1, Until::Requests(requests)) };
    load::run(server.address, plan);
    server.wait_until_idle();
    (server.usage().cpu - before.cpu).as_secs_f64() / (case.events as f64 / 1e6)
}

/// Makes a spool that remembers ids, and has nothing else.
fn fill(directory: &Path, ids: u64) {
    let settings = SpoolConfig {
        engine: davinci_siem::spool::Engine::Embedded,
        directory: directory.join("data"),
        sync: false,
        ..davinci_siem::config::parse("", None, std::iter::empty()).expect("defaults").spool
    };
    let spool = Spool::open(&settings, davinci_siem::app::system_clock()).expect("a spool");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let event = |number: u64| NewEvent {
        key: DedupKey::new("window", &number.to_string(), (0, 0)),
        bytes: Bytes::from_static(b"{}"),
    };
    for first in (0..ids).step_by(500) {
        let batch = Batch {
            source: Arc::from("window"),
            received_at: davinci_siem::app::system_clock()(),
            events: (first..first + 500).map(event).collect(),
            ..Batch::default()
        };
        runtime.block_on(spool.append(batch.prepare())).expect("stored");
    }
    spool.close();
}

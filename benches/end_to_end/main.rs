//! The whole way, measured against a floor: `cargo bench --bench end_to_end`.
//!
//! | argument | what is measured |
//! | --- | --- |
//! | (none) | in each round, interleaved and with the same load: the real binary with its durable spool and a file sink; a bare handler that reads the body and answers 200 (the floor); the same service without syncing |
//! | `steady` | whether the file sink keeps up with a given rate |
//! | `memory` | memory with many clients, with a full dedup window and with a backlog; the cold start with both |
//! | `onlookers` | the real binary while nobody looks at it, and while metrics, console and tail are read |
//! | `other` | the real binary against the one that `OTHER` names, as another tree built it |
//! | `cluster` | one receiver and two that share a JetStream spool of three servers, against the embedded engine |
//! | `linear` | CPU per event with ten times the events, the flows and the window |
//!
//! `ROUNDS` (5; 15 for pairs), `SECONDS` of load (2 per cell; 300 for `steady`), `CASES` (all, or for example `500x1`) and
//! `RATE` (100,000 events per second) change a run.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a benchmark")]

mod cluster;
mod linear;
mod load;
mod memory;
mod pairs;
mod report;
mod servers;
mod steady;

use load::{Plan, Until};
use report::Cell;
use servers::{Kind, Server};

/// Events per request, connections.
const CASES: [(usize, usize); 9] =
    [(1, 1), (1, 16), (1, 64), (20, 1), (20, 16), (20, 64), (500, 1), (500, 16), (500, 64)];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(role) = arguments.first().filter(|role| role.starts_with("serve-")) {
        return servers::serve(role, &arguments[1..]);
    }
    // For the client that asks whether the sink has everything.
    drop(rustls::crypto::ring::default_provider().install_default());
    let mode = arguments.iter().find(|argument| !argument.starts_with("--"));
    match mode.map(String::as_str) {
        None => table(),
        Some("steady") => steady::measure(number("RATE", 100_000), number("SECONDS", 300)),
        Some("memory") => memory::measure(),
        Some("linear") => linear::measure(number("ROUNDS", 3)),
        Some("onlookers") => pairs::onlookers(),
        Some("other") => pairs::other(),
        Some("cluster") => cluster::measure(),
        Some(other) => {
            println!("{other:?} is none of: steady, memory, linear, onlookers, other, cluster");
        }
    }
}

/// A setting of this run.
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// The cases that `CASES` names, or else `default` does; all of them if neither does.
fn chosen(default: &str) -> impl Iterator<Item = (usize, usize)> {
    let chosen = std::env::var("CASES").unwrap_or_else(|_| default.to_owned());
    CASES.into_iter().filter(move |(events, connections)| {
        chosen.is_empty() || chosen.split(',').any(|case| case == format!("{events}x{connections}"))
    })
}

fn table() {
    let (rounds, seconds) = (number("ROUNDS", 5) as usize, number("SECONDS", 2));
    for case in chosen("") {
        let mut cells: Vec<[Cell; 3]> = Vec::new();
        for round in 0..rounds {
            // Each begins as often as the others.
            let mut kinds = [Kind::Durable, Kind::Floor, Kind::Unsynced];
            kinds.rotate_left(round % 3);
            let mut measured = kinds.map(|kind| (kind, measure(kind, case, seconds)));
            measured.sort_by_key(|(kind, _)| *kind);
            cells.push(measured.map(|(_, cell)| cell));
        }
        report::print(case, &cells);
    }
}

/// One server, loaded for a while.
fn measure(kind: Kind, (events, connections): (usize, usize), seconds: u64) -> Cell {
    let server = Server::start(kind);
    let before = server.usage();
    let plan = Plan::new(events, connections, Until::Seconds(seconds));
    let load = load::run(server.address, plan);
    server.wait_until_delivered();
    Cell::new(&load, events, &before, &server.usage())
}

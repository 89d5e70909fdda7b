//! The whole path of events, measured against floors: `cargo bench --bench end_to_end`.
//!
//! | argument | measurement |
//! | --- | --- |
//! | (none) | in each round, interleaved and with the same load: the real binary with its durable spool and a file sink; the durable floor and the bare floor ([`floors`]); the same service without syncing |
//! | `timeline` | time of each step between the head of a request and its answer |
//! | `formats` | time in which a backlog leaves, by format, and with two formatted sinks at once |
//! | `transports` | TLS and compressed bodies against plain ones |
//! | `compare` | the real binary against another program ([`compare`]) |
//! | `steady` | lag of the file sink and memory at a given rate |
//! | `memory` | memory with many clients, with a full dedup window and with a backlog; the cold start with both |
//! | `onlookers` | the real binary while nobody looks at it, and while metrics, console and tail are read |
//! | `other` | the real binary against the one that `OTHER` names, as another tree built it |
//! | `cluster` | one receiver and two that share a JetStream spool of three servers, against the embedded engine |
//! | `linear` | CPU per event with ten times the events, the flows and the window |
//!
//! `ROUNDS` (5; 15 for pairs), `SECONDS` of load (2 per cell; 300 for `steady`), `CASES` (all, or for example `500x1`),
//! `EVENTS` (200,000 of the backlog of `formats`; 500 per request of `timeline`) and `RATE` (100,000 events per second)
//! change a run.

#![expect(clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "a benchmark")]

mod cluster;
mod compare;
mod floors;
mod formats;
mod linear;
mod load;
mod memory;
mod pairs;
mod report;
mod request;
mod servers;
mod steady;
mod timeline;
mod tls;
mod transports;

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
        Some("timeline") => {
            timeline::measure(number("EVENTS", 500) as usize, number("SECONDS", 5));
        }
        Some("formats") => formats::measure(number("ROUNDS", 5), number("EVENTS", 200_000)),
        Some("transports") => transports::measure(),
        Some("compare") => compare::measure(),
        Some(other) => {
            println!("{other:?} is no mode; the head of benches/end_to_end/main.rs lists them");
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
    let kinds = [Kind::Durable, Kind::DurableFloor, Kind::BareFloor, Kind::Unsynced];
    report::print_head();
    for case in chosen("") {
        let mut rows: Vec<Vec<Cell>> = Vec::new();
        for round in 0..rounds {
            // Each begins as often as the others.
            let mut order = kinds;
            order.rotate_left(round % kinds.len());
            let mut measured = order.map(|kind| (kind, measure_kind(kind, case, seconds)));
            measured.sort_by_key(|(kind, _)| *kind);
            rows.push(measured.map(|(_, cell)| cell).to_vec());
        }
        let (events, connections) = case;
        report::print(&format!("{events} × {connections}"), &kinds.map(Kind::name), &rows);
    }
}

/// Loads one server for some seconds, and waits for its sinks.
fn measure_kind(kind: Kind, (events, connections): (usize, usize), seconds: u64) -> Cell {
    let server = Server::start(kind);
    let before = server.usage();
    let plan = Plan::new(events, connections, Until::Seconds(seconds));
    let load = load::run(server.address, plan);
    server.wait_until_delivered();
    Cell::new(&load, events, &before, &server.usage())
}

//! The whole way, measured against a floor: `cargo bench --bench end_to_end`.
//!
//! In each round, interleaved and with the same load: the real binary with its durable spool and a file
//! sink; a bare handler that reads the body and answers 200 (the floor); the same service without
//! syncing. Prints a table of medians, and ratios taken within each round.
//!
//! `ROUNDS` (5), `SECONDS` of load per cell (2) and `CASES` (all, or for example `500x1`) change a run.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a benchmark")]

mod load;
mod report;
mod servers;

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
    let number = |name: &str, default: usize| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (rounds, seconds) = (number("ROUNDS", 5), number("SECONDS", 2));
    let chosen = std::env::var("CASES").unwrap_or_default();
    let is_chosen = |(events, connections): &(usize, usize)| {
        chosen.is_empty() || chosen.split(',').any(|case| case == format!("{events}x{connections}"))
    };
    for case in CASES.into_iter().filter(is_chosen) {
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
fn measure(kind: Kind, (events, connections): (usize, usize), seconds: usize) -> Cell {
    let server = Server::start(kind);
    let before = server.usage();
    let mut load = load::run(server.address, events, connections, seconds);
    server.wait_until_delivered();
    let after = server.usage();
    load.latencies.sort_unstable();
    Cell::new(&load, events, &before, &after)
}

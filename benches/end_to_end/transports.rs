//! TLS connections and compressed bodies against plain ones.

use crate::load::{self, Plan, Transport, Until};
use crate::report::{self, Cell};
use crate::servers::{FILE, Kind, Server};
use crate::{chosen, number, tls};

const TRANSPORTS: [(&str, Transport); 3] =
    [("plain", Transport::Plain), ("TLS", Transport::Tls), ("gzip", Transport::Gzip)];

/// Requests of one measurement, over all connections.
const REQUESTS: u64 = 320;

/// Prints a row for each transport, medians over rounds. All send the same number of requests.
pub(crate) fn measure() {
    let rounds = number("ROUNDS", 5) as usize;
    report::print_head();
    for (events, connections) in chosen("500x1,500x16") {
        let mut rows: Vec<Vec<Cell>> = Vec::new();
        for round in 0..rounds {
            let mut order = [0, 1, 2];
            order.rotate_left(round % 3);
            let mut cells =
                order.map(|index| (index, cell(TRANSPORTS[index].1, events, connections)));
            cells.sort_by_key(|(index, _)| *index);
            rows.push(cells.map(|(_, cell)| cell).to_vec());
        }
        let names = TRANSPORTS.map(|(name, _)| name);
        report::print(&format!("{events} × {connections}"), &names, &rows);
    }
}

fn cell(transport: Transport, events: usize, connections: usize) -> Cell {
    let more = if transport == Transport::Tls { tls::LISTENER } else { "" };
    let server = Server::start_with(Kind::Durable, &format!("{more}{FILE}"));
    let until = Until::Requests(REQUESTS / connections as u64);
    let plan = Plan { transport, ..Plan::new(events, connections, until) };
    let before = server.usage();
    let load = load::run(server.address, plan);
    server.wait_until_delivered();
    Cell::new(&load, events, &before, &server.usage())
}

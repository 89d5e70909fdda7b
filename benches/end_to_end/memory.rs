//! Memory at its bounds, and the start with full ones.

use std::time::{Duration, Instant};

use crate::load::{self, Load, Plan, Until};
use crate::servers::{FILE, Kind, Server};

/// A target that is away.
const AWAY: &str =
    "[sinks.away]\ntype = \"http\"\nurl = \"http://127.0.0.1:1/\"\nstart = \"now\"\n";

/// What the spool may take, so that nothing is refused before the backlog is there.
const SPOOL: &str = "[spool]\nmax_size = \"20 GiB\"\n";

/// Events in each half of the window, which holds ten millions, and in the backlog.
const HALF: u64 = 5_000_000;

/// Loads the real binary to its bounds, one after the other, and prints its memory.
pub(crate) fn measure() {
    {
        let server = Server::start(Kind::Durable);
        let load = load::run(server.address, Plan::new(500, 64, Until::Seconds(10)));
        show("64 clients, 500 events each, at once", &server, &load);
        server.wait_until_delivered();
    }
    let directory = tempfile::tempdir().expect("a directory");
    {
        let server = Server::start_in(directory.path(), Kind::Durable, &format!("{SPOOL}{FILE}"));
        let plan = Plan { is_small: true, ..Plan::new(500, 4, Until::Requests(HALF / 2000)) };
        let load = load::run(server.address, plan);
        server.wait_until_delivered();
        show("5 million ids in the window", &server, &load);
    }
    {
        let server = Server::start_in(directory.path(), Kind::Durable, &format!("{SPOOL}{AWAY}"));
        let load = load::run(server.address, Plan::new(500, 4, Until::Requests(HALF / 2000)));
        show("10 million ids, 5 million events of backlog", &server, &load);
    }
    // It was killed: nothing was closed.
    let begun = Instant::now();
    let server = Server::start_in(directory.path(), Kind::Durable, &format!("{SPOOL}{AWAY}"));
    let load = load::run(server.address, Plan::new(500, 1, Until::Requests(1)));
    println!("from the start of the process to the first 200: {:.2?}", begun.elapsed());
    show("after that start", &server, &load);
    drop(server);
    let sinks = format!("{SPOOL}{FILE}");
    let server = Server::start_in(directory.path(), Kind::Durable, &sinks);
    let begun = Instant::now();
    let backlog = server.lag();
    while server.lag() > 0 {
        std::thread::sleep(Duration::from_millis(200));
    }
    let rate = backlog as f64 / begun.elapsed().as_secs_f64();
    println!("a backlog of {backlog} events went to a file at {rate:.0} events/s");
    show("after that", &server, &load);
}

fn show(case: &str, server: &Server, load: &Load) {
    let usage = server.usage();
    println!(
        "{case}: {} MiB resident at most, {} MiB now ({} requests, {:.0} s)",
        usage.resident >> 20,
        usage.resident_now >> 20,
        load.requests,
        load.wall.as_secs_f64(),
    );
}

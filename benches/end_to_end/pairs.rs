//! Two servers under the same load, round by round in changing order: what being looked at costs, and what
//! another build does.

use std::time::Duration;

use crate::load::{self, Plan, Until};
use crate::report::{self, Cell};
use crate::servers::{Kind, Server};
use crate::{chosen, measure_kind, number};

/// What is measured unless `CASES` says otherwise: what PingOne sends, and a little of many.
const CASES: &str = "500x1,20x16";

/// The real binary while nobody looks at it; and while a Prometheus reads its metrics every second, a browser
/// its console every two, and somebody follows its tail.
pub(crate) fn onlookers() {
    pairs(["unseen", "looked at"], |index, case, seconds| match index {
        0 => measure_kind(Kind::Durable, case, seconds),
        _ => measure_looked_at(case, seconds),
    });
}

/// The real binary, and the one that `OTHER` names.
pub(crate) fn other() {
    pairs(["other", "own"], |index, case, seconds| {
        measure_kind([Kind::Other, Kind::Durable][index], case, seconds)
    });
}

fn pairs(names: [&str; 2], measure: impl Fn(usize, (usize, usize), u64) -> Cell) {
    let (rounds, seconds) = (number("ROUNDS", 15), number("SECONDS", 2));
    for case in chosen(CASES) {
        let mut cells: Vec<[Cell; 2]> = Vec::new();
        for round in 0..rounds {
            // The order changes: the second finds the machine as the first has left it.
            let first = measure((round % 2) as usize, case, seconds);
            let second = measure((1 - round % 2) as usize, case, seconds);
            cells.push(if round % 2 == 0 { [first, second] } else { [second, first] });
        }
        report::print_pair(names, case, &cells);
    }
}

fn measure_looked_at((events, connections): (usize, usize), seconds: u64) -> Cell {
    let server = Server::start(Kind::Durable);
    let admin = server.admin.expect("an address");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.spawn(read_every(1, format!("http://{admin}/metrics")));
    runtime.spawn(read_every(2, format!("http://{admin}/console")));
    runtime.spawn(async move {
        let mut answer = reqwest::get(format!("http://{admin}/api/tail")).await.expect("an answer");
        while answer.chunk().await.expect("more").is_some() {}
    });
    let before = server.usage();
    let plan = Plan::new(events, connections, Until::Seconds(seconds));
    let load = load::run(server.address, plan);
    server.wait_until_delivered();
    let after = server.usage();
    runtime.shutdown_background();
    Cell::new(&load, events, &before, &after)
}

async fn read_every(seconds: u64, url: String) {
    let mut ticks = tokio::time::interval(Duration::from_secs(seconds));
    loop {
        ticks.tick().await;
        let answer = reqwest::get(&url).await.expect("an answer");
        answer.bytes().await.expect("all of it");
    }
}

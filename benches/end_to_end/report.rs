//! Medians over rounds, and ratios within each round.

use std::time::Duration;

use crate::load::Load;
use crate::servers::Usage;

/// Result of one server under one load.
#[derive(Clone)]
pub(crate) struct Cell {
    requests: f64,
    pub(crate) events: f64,
    p50: f64,
    p99: f64,
    max: f64,
    /// CPU seconds per million events.
    pub(crate) cpu: f64,
    /// Bytes written per byte of the bodies.
    written: f64,
    resident: f64,
    /// CPU seconds of the NATS servers per million events.
    cluster: f64,
}

impl Cell {
    pub(crate) fn new(load: &Load, events: usize, before: &Usage, after: &Usage) -> Cell {
        let requests = load.requests as f64 / load.wall.as_secs_f64();
        let percentile = |part: f64| {
            let index = (load.latencies.len() as f64 * part) as usize;
            let index = index.min(load.latencies.len().saturating_sub(1));
            load.latencies.get(index).map_or(0.0, |micros| f64::from(*micros) / 1000.0)
        };
        let millions = (load.requests as f64) * events as f64 / 1e6;
        Cell {
            requests,
            events: requests * events as f64,
            p50: percentile(0.5),
            p99: percentile(0.99),
            max: percentile(1.0),
            cpu: (after.cpu - before.cpu).as_secs_f64() / millions,
            written: (after.written - before.written) as f64 / load.payload as f64,
            resident: after.resident as f64 / f64::from(1 << 20),
            cluster: 0.0,
        }
    }

    /// Adds what the NATS servers have used.
    pub(crate) fn with_cluster(mut self, cpu: Duration, millions: f64) -> Cell {
        self.cluster = cpu.as_secs_f64() / millions;
        self
    }
}

pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Prints the head of the table that [`print`] fills.
pub(crate) fn print_head() {
    println!(
        "| case | server | requests/s | events/s | p50 ms | p99 ms | max ms | CPU s/M events | \
         RSS MiB | written/payload | events/s, of the first | p99, of the first |\n\
         | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    );
}

/// Prints one row for each server, in the order of `names`. The last columns are medians of the ratios within each
/// round: the first server's value divided by this one's.
pub(crate) fn print(case: &str, names: &[&str], rounds: &[Vec<Cell>]) {
    for (index, name) in names.iter().enumerate() {
        let of = |value: fn(&Cell) -> f64| median(rounds.iter().map(|round| value(&round[index])));
        let ratio = |value: fn(&Cell) -> f64| {
            median(rounds.iter().map(|round| value(&round[0]) / value(&round[index])))
        };
        println!(
            "| {case} | {name} | {:.0} | {:.0} | {:.2} | {:.2} | {:.2} | {:.1} | {:.0} | {:.2} | {:.0} % | {:.1} |",
            of(|cell| cell.requests),
            of(|cell| cell.events),
            of(|cell| cell.p50),
            of(|cell| cell.p99),
            of(|cell| cell.max),
            of(|cell| cell.cpu),
            of(|cell| cell.resident),
            of(|cell| cell.written),
            100.0 * ratio(|cell| cell.events),
            ratio(|cell| cell.p99),
        );
    }
}

/// The rows of one case: the embedded engine, one receiver, two receivers, in this order in each round.
pub(crate) fn print_receivers((events, connections): (usize, usize), rounds: &[[Cell; 3]]) {
    println!(
        "| case | spool | events/s | of embedded | p99 ms | servers, CPU s/M events |\n\
         | --- | --- | ---: | ---: | ---: | ---: |"
    );
    for (index, name) in ["embedded", "one receiver", "two receivers"].iter().enumerate() {
        let of = |value: fn(&Cell) -> f64| median(rounds.iter().map(|round| value(&round[index])));
        let ratio = median(rounds.iter().map(|round| round[index].events / round[0].events));
        println!(
            "| {events} × {connections} | {name} | {:.0} | {ratio:.2} | {:.1} | {:.2} |",
            of(|cell| cell.events),
            of(|cell| cell.p99),
            of(|cell| cell.cluster),
        );
    }
}

/// The rows of two servers, and what the second does for each one that the first does.
pub(crate) fn print_pair(
    names: [&str; 2],
    (events, connections): (usize, usize),
    rounds: &[[Cell; 2]],
) {
    println!(
        "| case | server | events/s | p99 ms | CPU s/M events |\n| --- | --- | ---: | ---: | ---: |"
    );
    for (index, name) in names.iter().enumerate() {
        let of = |value: fn(&Cell) -> f64| median(rounds.iter().map(|round| value(&round[index])));
        println!(
            "| {events} × {connections} | {name} | {:.0} | {:.2} | {:.2} |",
            of(|cell| cell.events),
            of(|cell| cell.p99),
            of(|cell| cell.cpu),
        );
    }
    let ratio = |of: fn(&Cell) -> f64| {
        let mut ratios: Vec<f64> =
            rounds.iter().map(|round| of(&round[1]) / of(&round[0])).collect();
        ratios.sort_by(f64::total_cmp);
        let at = |part: usize| ratios.get(ratios.len() * part / 4).copied().unwrap_or_default();
        format!("{:.3} ({:.3} to {:.3})", at(2), at(1), at(3))
    };
    println!(
        "| {events} × {connections} | ratio, its middle half | {} | {} | {} |",
        ratio(|cell| cell.events),
        ratio(|cell| cell.p99),
        ratio(|cell| cell.cpu),
    );
    // What else runs on the machine can only add to it.
    let [first, second] = [0, 1]
        .map(|index| rounds.iter().map(|round| round[index].cpu).fold(f64::INFINITY, f64::min));
    println!(
        "| {events} × {connections} | least CPU of all rounds | | | {first:.2} and {second:.2}: {:.3} |",
        second / first
    );
}

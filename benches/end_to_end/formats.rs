//! The time in which a backlog leaves, by format, and with two formatted sinks at once.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::load::{self, Plan, Until};
use crate::report::median;
use crate::servers::{Kind, Server};

/// A target that is away while the backlog is received.
const AWAY: &str = "[sinks.away]\ntype = \"http\"\nurl = \"http://127.0.0.1:1/\"\n";

const CASES: [&[&str]; 6] =
    [&["native"], &["ecs"], &["ocsf"], &["cef"], &["leef"], &["ecs", "ocsf"]];

/// Prints events per second and CPU seconds per million events of each case, medians over the rounds. `FORMATS`
/// chooses cases, for example `native,ecs+ocsf`.
pub(crate) fn measure(rounds: u64, events: u64) {
    let chosen = std::env::var("FORMATS").unwrap_or_default();
    let is_chosen =
        |case: &&&[&str]| chosen.is_empty() || chosen.split(',').any(|name| name == case.join("+"));
    let cases: Vec<&[&str]> = CASES.iter().filter(is_chosen).copied().collect();
    let backlog = tempfile::tempdir().expect("a directory");
    let server = Server::start_in(backlog.path(), Kind::Durable, AWAY);
    load::run(server.address, Plan::new(500, 1, Until::Requests(events / 500)));
    drop(server);
    let mut measured: Vec<Vec<(f64, f64)>> = vec![Vec::new(); cases.len()];
    for _ in 0..rounds {
        for (case, results) in cases.iter().zip(&mut measured) {
            results.push(drain(backlog.path(), case, events));
        }
    }
    println!(
        "| formats | events/s | CPU s/M events | of the first |\n| --- | ---: | ---: | ---: |"
    );
    for (case, results) in cases.iter().zip(&measured) {
        let ratios = results.iter().zip(&measured[0]).map(|(own, first)| own.0 / first.0);
        println!(
            "| {} | {:.0} | {:.1} | {:.2} |",
            case.join(" and "),
            median(results.iter().map(|result| result.0)),
            median(results.iter().map(|result| result.1)),
            median(ratios),
        );
    }
}

/// Drains a copy of the backlog into a file for each format. Returns events per second and CPU seconds per million
/// events; with two sinks an event counts once.
fn drain(backlog: &Path, formats: &[&str], events: u64) -> (f64, f64) {
    let directory = tempfile::tempdir().expect("a directory");
    fs::create_dir(directory.path().join("data")).expect("created");
    for entry in fs::read_dir(backlog.join("data")).expect("a directory") {
        let file = entry.expect("an entry").path();
        let name = file.file_name().expect("a name");
        fs::copy(&file, directory.path().join("data").join(name)).expect("copied");
    }
    let sink = |format: &&str| {
        format!(
            "[sinks.{format}]\ntype = \"file\"\npath = \"{format}.out\"\nformat = \"{format}\"\n"
        )
    };
    let sinks: String = formats.iter().map(sink).collect();
    let begun = Instant::now();
    let server = Server::start_in(directory.path(), Kind::Durable, &sinks);
    while server.lag() > 0 {
        std::thread::sleep(Duration::from_millis(20));
    }
    let wall = begun.elapsed();
    let cpu = server.usage().cpu.as_secs_f64();
    (events as f64 / wall.as_secs_f64(), cpu / (events as f64 / 1e6))
}

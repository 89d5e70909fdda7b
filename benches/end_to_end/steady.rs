//! A steady rate for some minutes: whether the sink keeps up, and memory stays.

use std::time::{Duration, Instant};

use crate::load::{self, Plan, Until};
use crate::servers::{Kind, Server};

const EVENTS: usize = 500;
const CONNECTIONS: usize = 16;

/// How often the server is looked at.
const LOOK: Duration = Duration::from_secs(10);

/// Sends `rate` events per second and prints, every ten seconds, what the file sink lags behind.
pub(crate) fn measure(rate: u64, seconds: u64) {
    let server = Server::start(Kind::Durable);
    let plan = Plan {
        rate: Some(rate as f64 / (EVENTS * CONNECTIONS) as f64),
        ..Plan::new(EVENTS, CONNECTIONS, Until::Seconds(seconds))
    };
    println!("| second | lag of the file sink, events | RSS MiB |\n| ---: | ---: | ---: |");
    let address = server.address;
    let sender = std::thread::spawn(move || load::run(address, plan));
    let begun = Instant::now();
    while !sender.is_finished() {
        std::thread::sleep(LOOK.min(Duration::from_secs(seconds)));
        let resident = server.usage().resident_now >> 20;
        println!("| {} | {} | {resident} |", begun.elapsed().as_secs(), server.lag());
    }
    let load = sender.join().expect("sent");
    server.wait_until_delivered();
    let events = (load.requests * EVENTS as u64) as f64;
    let cpu = server.usage().cpu.as_secs_f64();
    println!(
        "received {:.0} events/s of {rate}; p99 of an answer {:.1} ms; {:.1} CPU s/M events; RSS at most {} MiB",
        events / load.wall.as_secs_f64(),
        f64::from(load.latencies[load.latencies.len() * 99 / 100]) / 1000.0,
        cpu / events * 1e6,
        server.usage().resident >> 20,
    );
}

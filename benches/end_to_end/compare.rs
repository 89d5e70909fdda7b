//! The real binary against another program that receives the same requests and writes every event as a line of a
//! file:
//!
//! | variable | meaning |
//! | --- | --- |
//! | `PEER_COMMAND` | command line that starts the peer, run by `sh` in an empty directory |
//! | `PEER_ADDRESS` | address and port on which it accepts HTTP, for example `127.0.0.1:9000` |
//! | `PEER_PATH` | path of the requests (`/`) |
//! | `PEER_FILE` | absolute path of the file that it writes; removed before each round |
//!
//! The peer has to answer 200. Its CPU time includes its children that have ended, and the time until the file has a
//! line for each event.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::load::{self, Plan, Until};
use crate::report::{self, Cell};
use crate::servers::{Kind, usage_of};
use crate::{chosen, measure_kind, number};

/// A running peer, ended when dropped.
struct Peer {
    child: Child,
    _directory: tempfile::TempDir,
}

pub(crate) fn measure() {
    let (rounds, seconds) = (number("ROUNDS", 5) as usize, number("SECONDS", 2));
    report::print_head();
    for case in chosen("500x1,500x16") {
        let mut rows = Vec::new();
        for round in 0..rounds {
            let mut order = [true, false];
            order.rotate_left(round % 2);
            let mut cells = order.map(|is_own| {
                let cell = if is_own {
                    measure_kind(Kind::Durable, case, seconds)
                } else {
                    measure_peer(case, seconds)
                };
                (!is_own, cell)
            });
            cells.sort_by_key(|(is_peer, _)| *is_peer);
            rows.push(cells.map(|(_, cell)| cell).to_vec());
        }
        let (events, connections) = case;
        report::print(&format!("{events} × {connections}"), &["davinci-siem", "peer"], &rows);
    }
}

fn variable(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("set {name}; benches/end_to_end/compare.rs says to what"))
}

fn measure_peer((events, connections): (usize, usize), seconds: u64) -> Cell {
    let file = variable("PEER_FILE");
    drop(std::fs::remove_file(&file));
    let address: SocketAddr = variable("PEER_ADDRESS").parse().expect("an address and a port");
    let path = std::env::var("PEER_PATH").unwrap_or_else(|_| "/".to_owned());
    let peer = Peer::start(address);
    let before = usage_of(peer.child.id());
    // One short text for each round; the plan is copied to every connection.
    let plan =
        Plan { path: path.leak(), ..Plan::new(events, connections, Until::Seconds(seconds)) };
    let load = load::run(address, plan);
    let begun = Instant::now();
    // Requests of the warm-up are delivered, too.
    let wanted = load.requests * events as u64;
    while lines(&file) < wanted {
        assert!(begun.elapsed() < Duration::from_mins(2), "{file} has less than {wanted} lines");
        std::thread::sleep(Duration::from_millis(20));
    }
    Cell::new(&load, events, &before, &usage_of(peer.child.id()))
}

fn lines(file: &str) -> u64 {
    let Ok(mut file) = std::fs::File::open(file) else { return 0 };
    let (mut block, mut lines) = (vec![0; 1 << 20], 0);
    while let Ok(length @ 1..) = file.read(&mut block) {
        lines += memchr::memchr_iter(b'\n', &block[..length]).count() as u64;
    }
    lines
}

impl Peer {
    fn start(address: SocketAddr) -> Peer {
        let directory = tempfile::tempdir().expect("a directory");
        let child = Command::new("sh")
            .args(["-c", &format!("exec {}", variable("PEER_COMMAND"))])
            .current_dir(directory.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("sh runs");
        let peer = Peer { child, _directory: directory };
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(30), "the peer accepts no connections");
            std::thread::sleep(Duration::from_millis(50));
        }
        peer
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.child.kill().expect("ended");
        self.child.wait().expect("ended");
    }
}

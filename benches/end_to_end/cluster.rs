//! One receiver and two that share a JetStream spool of three servers, against the embedded engine under the
//! same load, round by round. Needs nats-server; `.ci/nats` unpacks Debian 13's. `SYNC=always` has the servers sync
//! every message, as `deploy/jetstream` has them.
//!
//! Everything runs on one machine: what three servers and two receivers would have to themselves elsewhere,
//! they share here.

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use crate::load::{self, Load, Plan, Until};
use crate::report::{self, Cell};
use crate::servers::{FILE, Kind, Server};
use crate::{chosen, number};

/// Three servers; ended when dropped.
struct Cluster {
    children: Vec<Child>,
    urls: String,
    _directory: TempDir,
}

pub(crate) fn measure() {
    let cluster = Cluster::start();
    let (rounds, seconds) = (number("ROUNDS", 5), number("SECONDS", 3));
    for case in chosen("500x1,500x16") {
        let mut cells: Vec<[Cell; 3]> = Vec::new();
        for round in 0..rounds {
            let mut order = [0, 1, 2];
            order.rotate_left((round % 3) as usize);
            let mut measured =
                order.map(|receivers| (receivers, cell(&cluster, receivers, case, seconds)));
            measured.sort_by_key(|(receivers, _)| *receivers);
            cells.push(measured.map(|(_, cell)| cell));
        }
        report::print_receivers(case, &cells);
    }
}

/// So many receivers, each with its own connections; the embedded engine where there is none.
fn cell(
    cluster: &Cluster,
    receivers: usize,
    (events, connections): (usize, usize),
    seconds: u64,
) -> Cell {
    static STREAM: AtomicU64 = AtomicU64::new(0);
    let config = match receivers {
        0 => FILE.to_owned(),
        _ => format!(
            "{FILE}[spool]\nengine = \"jetstream\"\nmax_size = \"2 GiB\"\ndedup = {{ window = \"2m\" }}\n\
             [spool.jetstream]\nservers = {}\nstream = \"bench-{}\"\n",
            cluster.urls,
            STREAM.fetch_add(1, Ordering::Relaxed)
        ),
    };
    let directories: Vec<TempDir> =
        (0..receivers.max(1)).map(|_| tempfile::tempdir().expect("a directory")).collect();
    let servers: Vec<Server> = directories
        .iter()
        .map(|directory| Server::start_in(directory.path(), Kind::Durable, &config))
        .collect();
    let before: Vec<_> = servers.iter().map(Server::usage).collect();
    let plan = Plan::new(events, connections, Until::Seconds(seconds));
    let loads: Vec<Load> = std::thread::scope(|scope| {
        let loads: Vec<_> =
            servers.iter().map(|server| scope.spawn(|| load::run(server.address, plan))).collect();
        loads.into_iter().map(|load| load.join().expect("a load")).collect()
    });
    let after = servers[0].usage();
    let mut loads = loads.into_iter();
    let mut sum = loads.next().expect("a load");
    for load in loads {
        sum.requests += load.requests;
        sum.payload += load.payload;
        sum.latencies.extend(load.latencies);
    }
    sum.latencies.sort_unstable();
    Cell::new(&sum, events, &before[0], &after)
}

impl Cluster {
    fn start() -> Cluster {
        let directory = tempfile::tempdir().expect("a directory");
        let free = || {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            listener.local_addr().expect("an address")
        };
        let ports: Vec<[SocketAddr; 2]> = (0..3).map(|_| [free(), free()]).collect();
        let list = |index: usize| {
            let urls: Vec<String> =
                ports.iter().map(|ports| format!("\"nats://{}\"", ports[index])).collect();
            format!("[{}]", urls.join(", "))
        };
        let sync =
            std::env::var("SYNC").map_or(String::new(), |sync| format!(", sync_interval: {sync}"));
        let children = ports.iter().enumerate().map(|(index, [client, route])| {
            let store = directory.path().join(format!("n{index}"));
            let text = format!(
                "server_name: n{index}\nlisten: \"{client}\"\n\
                 jetstream {{ store_dir: {store:?}, max_file_store: 100GB{sync} }}\n\
                 cluster {{ name: bench, listen: \"{route}\", routes: {} }}\n",
                list(1)
            );
            let config = directory.path().join(format!("n{index}.conf"));
            std::fs::write(&config, text).expect("written");
            Command::new("/opt/davinci-siem-nats/usr/sbin/nats-server")
                .arg("-c")
                .arg(config)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("nats-server runs; .ci/nats unpacks it")
        });
        let children = children.collect();
        // A leader takes a few seconds to be found.
        std::thread::sleep(Duration::from_secs(8));
        Cluster { children, urls: list(0), _directory: directory }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in &mut self.children {
            child.kill().expect("ended");
            child.wait().expect("ended");
        }
    }
}

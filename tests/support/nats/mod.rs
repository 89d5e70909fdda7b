//! Real NATS servers with JetStream: Debian 13's, from `.ci/nats`, each with all its files in one directory.

pub mod client;
pub mod impostor;
pub mod namespace;
pub mod operator;
pub mod restart;
pub mod shipped;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use async_nats::{ConnectOptions, jetstream};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{block_on, free_port, runtime, wait_for};
pub use client::{Client, Stored};
use namespace::Network;
use shipped::{Changes, Ports, Shipped, TEST_PASSWORD, TEST_USER};

/// Default program; `NATS_SERVER` names another.
const SERVER: &str = "/opt/davinci-siem-nats/usr/sbin/nats-server";

/// A version that answers pull requests differently, also from `.ci/nats`.
pub const NEWER_SERVER: &str = "/opt/davinci-siem-nats/newer/nats-server";

/// Timeout within which new servers must find each other, and the number of attempts.
const FORMATION: Duration = Duration::from_secs(15);
const FORMATIONS: usize = 5;

/// Lines of a server's log that a failed test prints.
const LOGGED: usize = 20;

/// One server or a cluster, killed on drop.
pub struct Cluster {
    pub nodes: Vec<Node>,
    /// The shipped configuration, if the servers use it.
    shipped: Option<Shipped>,
    directory: TempDir,
    /// Namespaces of the servers, if each has its own.
    network: Option<Network>,
}

/// A running, paused or killed server; always on the same ports.
pub struct Node {
    name: String,
    program: PathBuf,
    scheme: &'static str,
    address: String,
    /// Network namespace, unless it is the one of the test.
    namespace: Option<String>,
    port: u16,
    monitor: u16,
    directory: PathBuf,
    child: Option<Child>,
}

impl Cluster {
    /// Starts `count` servers without users. Returns once a stream can be created on all of them.
    pub fn start(count: usize) -> Cluster {
        Cluster::start_with(count, "")
    }

    /// Does the same as [`start`](Cluster::start), with more configuration for each server.
    pub fn start_with(count: usize, more: &str) -> Cluster {
        Cluster::formed(|| Cluster::of_new(count, more))
    }

    /// Starts `count` servers with the configuration of `deploy/jetstream`, its users and permissions included.
    pub fn shipped(count: usize) -> Cluster {
        Cluster::shipped_with(count, Changes::default())
    }

    /// Does the same as [`shipped`](Cluster::shipped), with changes.
    pub fn shipped_with(count: usize, changes: Changes<'_>) -> Cluster {
        Cluster::formed(|| Cluster::of_shipped(count, changes, None))
    }

    /// Does the same as [`shipped_with`](Cluster::shipped_with), with a network namespace for each server where root can
    /// create them.
    pub fn partitionable_with(count: usize, changes: Changes<'_>) -> Cluster {
        Cluster::formed(|| Cluster::of_shipped(count, changes, Network::new(count)))
    }

    /// Cuts a server off from everything else. Returns false if the servers have no namespaces.
    pub fn cut(&self, index: usize) -> bool {
        self.network.as_ref().map(|network| network.cut(index)).is_some()
    }

    /// Lets the receivers publish to a denied subject again. Returns when it is in effect.
    pub fn grant(&self, subject: &str) {
        for node in &self.nodes {
            shipped::grant(&node.directory, subject);
            node.reload();
        }
    }

    /// Takes a subject from the permissions of the receivers. Returns when it is in effect.
    pub fn deny(&self, subject: &str) {
        for node in &self.nodes {
            shipped::deny(&node.directory, subject);
            node.reload();
        }
    }

    /// About one of fifty new clusters does not form: the servers connect to each other at the same time, close
    /// connections as duplicates, and one stays unknown to the leader, or no leader is elected (seen in 2.10.27). That
    /// is not a subject of these tests, so new servers are started. A leader that knows all others may still refuse a
    /// stream on all of them for a moment ("peer offline"), so one is created and deleted.
    fn formed(make: impl Fn() -> Cluster) -> Cluster {
        for _ in 0..FORMATIONS {
            let mut cluster = make();
            cluster.nodes.iter_mut().for_each(Node::spawn);
            let began = Instant::now();
            while began.elapsed() < FORMATION {
                if cluster.is_formed() && cluster.stores_a_stream() {
                    return cluster;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            eprintln!("{} servers did not find each other: new ones begin", cluster.nodes.len());
        }
        panic!("no servers find each other");
    }

    fn of_new(count: usize, more: &str) -> Cluster {
        let directory = tempfile::tempdir().expect("a directory");
        let routes: Vec<u16> = (0..count).map(|_| free_port()).collect();
        let urls: Vec<String> = routes.iter().map(|p| format!("nats://127.0.0.1:{p}")).collect();
        let scheme = if more.contains("tls {") { "tls" } else { "nats" };
        let nodes = routes.iter().enumerate().map(|(index, route)| {
            let cluster = match count {
                1 => String::new(),
                _ => format!(
                    "cluster {{ name: test, listen: \"127.0.0.1:{route}\", routes: {urls:?} }}\n"
                ),
            };
            let node = Node::new(directory.path(), index, scheme, None);
            node.configure(&format!("{cluster}{more}"));
            node
        });
        Cluster { nodes: nodes.collect(), shipped: None, directory, network: None }
    }

    fn of_shipped(count: usize, changes: Changes<'_>, network: Option<Network>) -> Cluster {
        let directory = tempfile::tempdir().expect("a directory");
        let nodes = (0..count).map(|index| {
            let mut node = Node::new(directory.path(), index, "tls", changes.program);
            if let Some(network) = &network {
                node.address = network.address(index);
                node.namespace = Some(network.namespace(index));
            }
            node
        });
        let nodes: Vec<Node> = nodes.collect();
        let route = |node: &Node| (node.address.clone(), free_port());
        let routes: Vec<(String, u16)> = nodes.iter().map(route).collect();
        let shipped = Shipped::new(directory.path(), routes.clone(), changes);
        for (node, (address, route)) in nodes.iter().zip(routes) {
            let ports = Ports { client: node.port, monitor: node.monitor, route };
            shipped.write(&node.directory, &address, ports);
        }
        Cluster { nodes, shipped: Some(shipped), directory, network }
    }

    /// Returns true if every server is healthy and the leader knows all others.
    fn is_formed(&self) -> bool {
        let others = self.nodes.len() - 1;
        let is_there = |peer: &Value| peer["current"] == true && peer["offline"] != true;
        let knows_all = |told: &Value| {
            let replicas = told["meta_cluster"]["replicas"].as_array();
            replicas.is_some_and(|peers| peers.len() == others && peers.iter().all(is_there))
        };
        self.nodes.iter().all(Node::is_healthy)
            && (others == 0
                || self
                    .nodes
                    .iter()
                    .filter_map(|node| node.monitored("/jsz"))
                    .any(|t| knows_all(&t)))
    }

    /// Returns true if a stream can be created on all servers.
    fn stores_a_stream(&self) -> bool {
        self.nodes.len() == 1 || self.client().can_create_stream(self.nodes.len())
    }

    /// Returns the directory of all its files.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Starts, continues or connects each server that was killed, paused or cut off.
    pub fn mend(&mut self) {
        self.network.iter().for_each(Network::mend);
        for node in &mut self.nodes {
            node.resume();
            if node.child.is_none() {
                node.spawn();
            }
        }
        self.nodes.iter().for_each(Node::wait_until_healthy);
    }

    /// Returns the addresses of the servers, also while they do not run, as a TOML list.
    pub fn urls(&self) -> String {
        format!("{:?}", self.nodes.iter().map(Node::url).collect::<Vec<_>>())
    }

    /// Returns the spool configuration of a receiver with these servers, as TOML.
    pub fn spool(&self) -> String {
        let replicas = self.nodes.len();
        let login = self.shipped.as_ref().map(Shipped::login).unwrap_or_default();
        format!(
            "[spool]\nengine = \"jetstream\"\nmax_size = \"1 GiB\"\n\
             [spool.jetstream]\nservers = {}\nreplicas = {replicas}\n{login}",
            self.urls(),
        )
    }

    /// Returns the variables that [`spool`](Cluster::spool) names.
    pub fn variables(&self) -> Vec<(&'static str, &'static str)> {
        self.shipped.iter().map(Shipped::variable).collect()
    }

    pub fn node(&mut self, index: usize) -> &mut Node {
        &mut self.nodes[index]
    }

    /// Returns the server with this name.
    pub fn node_named(&mut self, name: &str) -> &mut Node {
        self.nodes.iter_mut().find(|node| node.name == name).expect("a node")
    }

    /// Returns a client of all servers with all permissions.
    pub fn client(&self) -> Client {
        let runtime = runtime();
        let urls: Vec<String> = self.nodes.iter().map(Node::url).collect();
        let options = match &self.shipped {
            None => ConnectOptions::new(),
            Some(shipped) => {
                ConnectOptions::with_user_and_password(TEST_USER.into(), TEST_PASSWORD.into())
                    .add_root_certificates(shipped.ca.clone())
            }
        };
        let context = runtime
            .block_on(async { jetstream::new(options.connect(urls).await.expect("connected")) });
        Client { context, runtime }
    }
}

impl Node {
    fn new(directory: &Path, index: usize, scheme: &'static str, program: Option<&str>) -> Node {
        let name = format!("node-{index}");
        let directory = directory.join(&name);
        fs::create_dir(&directory).expect("a directory");
        let chosen = || std::env::var_os("NATS_SERVER").unwrap_or_else(|| SERVER.into());
        let program = program.map_or_else(|| chosen().into(), PathBuf::from);
        let (port, monitor) = (free_port(), free_port());
        let (address, namespace) = ("127.0.0.1".to_owned(), None);
        Node { name, program, scheme, address, namespace, port, monitor, directory, child: None }
    }

    fn configure(&self, more: &str) {
        let Node { name, port, monitor, directory, .. } = self;
        let store = directory.join("store");
        let text = format!(
            "server_name: {name}\nlisten: \"127.0.0.1:{port}\"\nhttp: \"127.0.0.1:{monitor}\"\n\
             jetstream {{ store_dir: {store:?}, max_memory_store: 64MB, max_file_store: 20GB }}\n{more}\n"
        );
        fs::write(directory.join("nats.conf"), text).expect("written");
    }

    fn spawn(&mut self) {
        let log = File::options().create(true).append(true).open(self.directory.join("log"));
        let mut command = match &self.namespace {
            None => Command::new(&self.program),
            Some(namespace) => {
                // `ip` becomes the server: a signal to the child reaches it.
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace]).arg(&self.program);
                command
            }
        };
        let child = command
            .arg("-c")
            .arg(self.directory.join("nats.conf"))
            .env("SERVER_NAME", &self.name)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.expect("a log"))
            .spawn();
        self.child = Some(child.expect("nats-server is installed: see .ci/nats"));
    }

    /// Starts it again without waiting until it is healthy, which it may not be alone.
    pub fn start(&mut self) {
        self.spawn();
    }

    /// Returns an answer of the server's monitoring; `None` without one.
    fn monitored(&self, path: &str) -> Option<Value> {
        let url = format!("http://{}:{}{path}", self.address, self.monitor);
        block_on(async {
            let answer = reqwest::get(url).await.ok()?.error_for_status().ok()?;
            answer.json().await.ok()
        })
    }

    fn is_healthy(&self) -> bool {
        self.monitored("/healthz").is_some()
    }

    fn wait_until_healthy(&self) {
        wait_for(&self.name, || self.is_healthy().then_some(()));
    }

    pub fn url(&self) -> String {
        format!("{}://{}:{}", self.scheme, shipped::host(&self.address), self.port)
    }

    /// Sends SIGKILL. Does nothing if it does not run.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("killed");
            child.wait().expect("ended");
        }
    }

    /// Starts it again, after killing it if it runs. Returns once it is healthy.
    pub fn restart(&mut self) {
        self.kill();
        self.spawn();
        self.wait_until_healthy();
    }

    /// Makes its next start one of the newer version.
    pub fn upgrade(&mut self) {
        self.program = NEWER_SERVER.into();
    }

    /// Pauses it with all its connections open.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    pub fn resume(&self) {
        self.signal("CONT");
    }

    /// Has it read its configuration again, and waits until it has.
    fn reload(&self) {
        let reloads = || self.log().matches("Reloaded server configuration").count();
        let before = reloads();
        self.signal("HUP");
        wait_for("a reload of the server", || (reloads() > before).then_some(()));
    }

    fn signal(&self, name: &str) {
        let Some(child) = &self.child else { return };
        let id = child.id().to_string();
        let arguments = [&format!("-{name}"), &id];
        assert!(Command::new("kill").args(arguments).status().expect("kill runs").success());
    }

    /// Returns the directory of all its files; its store is in `store`.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns its log of all its runs.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.directory.join("log")).unwrap_or_default()).into()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let is_health = |line: &&str| line.contains("Healthcheck failed");
            let health = log.lines().rfind(is_health).unwrap_or_default();
            let lines: Vec<&str> = log.lines().filter(|line| !is_chatter(line)).collect();
            let last = &lines[lines.len().saturating_sub(LOGGED)..];
            eprintln!("--- the end of {}'s log\n{health}\n{}", self.name, last.join("\n"));
        }
    }
}

/// Returns true for lines that a server logs for every consumer and every failed health check.
fn is_chatter(line: &str) -> bool {
    line.contains("new consumer leader") || line.contains("Healthcheck failed")
}

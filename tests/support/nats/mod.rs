//! Real NATS servers with JetStream: Debian 13's, from `.ci/nats`, each with all its files in one folder.

pub mod impostor;
pub mod operator;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use async_nats::jetstream;
use futures_util::StreamExt;
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::support::{block_on, free_port, runtime, wait_for};

/// `NATS_SERVER` names another.
const SERVER: &str = "/opt/davinci-siem-nats/usr/sbin/nats-server";

/// How long servers that start for the first time may take to find each other, and how often they begin.
const FORMATION: Duration = Duration::from_secs(15);
const FORMATIONS: usize = 5;

/// Lines of a server's log that a failed test shows.
const LOGGED: usize = 20;

/// One server, or several that form a cluster. Killed on drop.
pub struct Cluster {
    pub nodes: Vec<Node>,
    folder: TempDir,
}

/// One server, running, paused or killed; always on the same ports.
pub struct Node {
    name: String,
    scheme: &'static str,
    port: u16,
    monitor: u16,
    folder: PathBuf,
    child: Option<Child>,
}

impl Cluster {
    /// Starts `count` servers; returns when a stream can be made on all of them.
    pub fn start(count: usize) -> Cluster {
        Cluster::start_with(count, "")
    }

    /// As [`start`](Cluster::start), with more for the configuration of each.
    ///
    /// Of about fifty clusters whose servers start together, one does not form: they dial each other at
    /// once, close what they take for a connection too many, and one stays unknown to the leader, or
    /// there is no leader (seen of 2.10.27). That is none of what the tests are about: new ones begin.
    pub fn start_with(count: usize, more: &str) -> Cluster {
        for _ in 0..FORMATIONS {
            let mut cluster = Cluster::of_new(count, more);
            cluster.nodes.iter_mut().for_each(Node::spawn);
            let began = Instant::now();
            while began.elapsed() < FORMATION {
                if cluster.is_formed() {
                    return cluster;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            eprintln!("{count} servers did not find each other: new ones begin");
        }
        panic!("no {count} servers find each other");
    }

    fn of_new(count: usize, more: &str) -> Cluster {
        let folder = tempfile::tempdir().expect("a folder");
        let routes: Vec<u16> = (0..count).map(|_| free_port()).collect();
        let urls: Vec<String> = routes.iter().map(|p| format!("nats://127.0.0.1:{p}")).collect();
        let nodes = routes.iter().enumerate().map(|(index, route)| {
            let cluster = match count {
                1 => String::new(),
                _ => format!(
                    "cluster {{ name: test, listen: \"127.0.0.1:{route}\", routes: {urls:?} }}\n"
                ),
            };
            Node::new(folder.path(), index, &format!("{cluster}{more}"))
        });
        Cluster { nodes: nodes.collect(), folder }
    }

    /// Whether every server is in order, and the leader knows all the others.
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

    /// Where all of its files are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Has each server run again that was killed or paused.
    pub fn mend(&mut self) {
        for node in &mut self.nodes {
            node.resume();
            if node.child.is_none() {
                node.spawn();
            }
        }
        self.nodes.iter().for_each(Node::wait_until_healthy);
    }

    /// Where the servers listen, also while they do not run, as a list of TOML.
    pub fn urls(&self) -> String {
        format!("{:?}", self.nodes.iter().map(Node::url).collect::<Vec<_>>())
    }

    pub fn node(&mut self, index: usize) -> &mut Node {
        &mut self.nodes[index]
    }

    /// The one with this name.
    pub fn node_named(&mut self, name: &str) -> &mut Node {
        self.nodes.iter_mut().find(|node| node.name == name).expect("a node")
    }

    /// A client of all servers, without credentials.
    pub fn client(&self) -> Client {
        let runtime = runtime();
        let urls: Vec<String> = self.nodes.iter().map(Node::url).collect();
        let context = runtime.block_on(async {
            jetstream::new(async_nats::connect(urls).await.expect("connected"))
        });
        Client { context, runtime }
    }
}

impl Node {
    fn new(folder: &Path, index: usize, more: &str) -> Node {
        let name = format!("node-{index}");
        let folder = folder.join(&name);
        fs::create_dir(&folder).expect("a folder");
        let (port, monitor) = (free_port(), free_port());
        let store = folder.join("store");
        let text = format!(
            "server_name: {name}\nlisten: \"127.0.0.1:{port}\"\nhttp: \"127.0.0.1:{monitor}\"\n\
             jetstream {{ store_dir: {store:?}, max_memory_store: 64MB, max_file_store: 20GB }}\n{more}\n"
        );
        fs::write(folder.join("nats.conf"), text).expect("written");
        let scheme = if more.contains("tls {") { "tls" } else { "nats" };
        Node { name, scheme, port, monitor, folder, child: None }
    }

    fn spawn(&mut self) {
        let log = File::options().create(true).append(true).open(self.folder.join("log"));
        let program = std::env::var_os("NATS_SERVER").unwrap_or_else(|| SERVER.into());
        let child = Command::new(program)
            .arg("-c")
            .arg(self.folder.join("nats.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.expect("a log"))
            .spawn();
        self.child = Some(child.expect("nats-server is installed: see .ci/nats"));
    }

    /// Starts it again, without waiting until it is in order: alone it may not be.
    pub fn start(&mut self) {
        self.spawn();
    }

    /// What the server's own monitoring says; nothing if it does not answer.
    fn monitored(&self, path: &str) -> Option<Value> {
        let url = format!("http://127.0.0.1:{}{path}", self.monitor);
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
        format!("{}://localhost:{}", self.scheme, self.port)
    }

    /// SIGKILL; nothing if it does not run.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("killed");
            child.wait().expect("ended");
        }
    }

    /// Starts it again, killed before if it runs; returns when it is in order.
    pub fn restart(&mut self) {
        self.kill();
        self.spawn();
        self.wait_until_healthy();
    }

    /// Stands still, with all its connections open.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    pub fn resume(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let Some(child) = &self.child else { return };
        let id = child.id().to_string();
        let arguments = [&format!("-{name}"), &id];
        assert!(Command::new("kill").args(arguments).status().expect("kill runs").success());
    }

    /// Where all of its files are, what it stores in `store`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What it has logged in all its runs.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.join("log")).unwrap_or_default()).into()
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

/// What a server says of every consumer, and of every look at its health.
fn is_chatter(line: &str) -> bool {
    line.contains("new consumer leader") || line.contains("Healthcheck failed")
}

/// Makes streams, and reads what is in them.
pub struct Client {
    context: jetstream::Context,
    runtime: Runtime,
}

/// A message in a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    pub subject: String,
    pub headers: async_nats::HeaderMap,
    pub body: String,
}

impl Stored {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.as_str())
    }
}

impl Client {
    /// Makes a stream.
    pub fn stream(&self, config: jetstream::stream::Config) {
        self.runtime.block_on(self.context.create_stream(config)).expect("a stream");
    }

    /// Which server leads a stream.
    pub fn leader_of(&self, stream: &str) -> Option<String> {
        self.runtime.block_on(async {
            let stream = self.context.get_stream(stream).await.ok()?;
            stream.cached_info().cluster.clone()?.leader
        })
    }

    pub fn delete(&self, stream: &str) {
        self.runtime.block_on(async {
            self.context.delete_stream(stream).await.expect("deleted");
        });
    }

    pub fn purge(&self, stream: &str) {
        self.runtime.block_on(async {
            let stream = self.context.get_stream(stream).await.expect("a stream");
            stream.purge().await.expect("purged");
        });
    }

    /// Messages in a stream.
    pub fn count(&self, stream: &str) -> u64 {
        self.runtime.block_on(async {
            match self.context.get_stream(stream).await {
                Ok(stream) => stream.cached_info().state.messages,
                Err(_) => 0,
            }
        })
    }

    /// The number of the last message that was ever in a stream.
    pub fn last(&self, stream: &str) -> u64 {
        self.runtime.block_on(async {
            let stream = self.context.get_stream(stream).await.expect("a stream");
            stream.cached_info().state.last_sequence
        })
    }

    /// Everything that is in a stream, in its order.
    pub fn messages(&self, stream: &str) -> Vec<Stored> {
        let count = self.count(stream);
        self.runtime.block_on(async {
            let stream = self.context.get_stream(stream).await.expect("a stream");
            let config = jetstream::consumer::pull::OrderedConfig::default();
            let consumer = stream.create_consumer(config).await.expect("a consumer");
            let messages = consumer.messages().await.expect("messages");
            let read = messages.take(usize::try_from(count).expect("few")).map(|message| {
                let message = message.expect("a message");
                Stored {
                    subject: message.subject.to_string(),
                    headers: message.headers.clone().unwrap_or_default(),
                    body: String::from_utf8(message.payload.to_vec()).expect("UTF-8"),
                }
            });
            read.collect().await
        })
    }
}

//! A real nats-server with JetStream (Debian's, from `.ci/nats`), or several of them as one cluster: private
//! instances, with all their files in one folder.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::{free_port, wait_for};

/// Where Debian's package puts it.
const PROGRAM: &str = "/usr/sbin/nats-server";

/// Servers of one cluster; ended on drop.
#[derive(Debug)]
pub struct Cluster {
    folder: TempDir,
    pub nodes: Vec<Node>,
}

/// One server.
#[derive(Debug)]
pub struct Node {
    pub name: String,
    port: u16,
    monitor: u16,
    config: PathBuf,
    child: Option<Child>,
    is_stopped: bool,
}

impl Cluster {
    /// Starts so many servers and waits until JetStream works.
    pub fn start(count: usize) -> Cluster {
        Cluster::with_options(count, "")
    }

    /// As [`start`](Cluster::start), with more lines for each server's configuration.
    pub fn with_options(count: usize, options: &str) -> Cluster {
        let folder = tempfile::tempdir().expect("a folder");
        let ports: Vec<[u16; 3]> =
            (0..count).map(|_| [free_port(), free_port(), free_port()]).collect();
        let routes: Vec<String> =
            ports.iter().map(|[_, _, route]| format!("nats://127.0.0.1:{route}")).collect();
        let routes = routes.join(", ");
        let node = |(index, [port, monitor, route]): (usize, &[u16; 3])| {
            let (name, store) = (format!("n{index}"), folder.path().join(format!("n{index}")));
            let store = store.display();
            // One server alone is no cluster: it would wait for others.
            let cluster = match count {
                1 => String::new(),
                _ => format!(
                    "cluster {{ name: test, listen: \"127.0.0.1:{route}\", routes: [{routes}] }}\n"
                ),
            };
            let text = format!(
                "server_name: {name}\nlisten: \"127.0.0.1:{port}\"\nhttp: \"127.0.0.1:{monitor}\"\n\
                 jetstream {{ store_dir: \"{store}\", max_file_store: 20GB }}\n{cluster}{options}\n"
            );
            let config = folder.path().join(format!("{name}.conf"));
            fs::write(&config, text).expect("written");
            let (port, monitor) = (*port, *monitor);
            Node { name, port, monitor, config, child: None, is_stopped: false }
        };
        let mut nodes: Vec<Node> = ports.iter().enumerate().map(node).collect();
        nodes.iter_mut().for_each(Node::restart);
        let cluster = Cluster { folder, nodes };
        cluster.wait_until_ready();
        cluster
    }

    /// Waits until each running server says that JetStream works, which takes a leader.
    #[track_caller]
    pub fn wait_until_ready(&self) {
        for node in self.nodes.iter().filter(|node| node.is_running()) {
            wait_for(&format!("{} to be ready", node.name), || node.is_healthy().then_some(()));
        }
    }

    /// For `servers` in a configuration.
    pub fn urls(&self) -> String {
        let urls: Vec<String> =
            self.nodes.iter().map(|node| format!("\"nats://127.0.0.1:{}\"", node.port)).collect();
        format!("[{}]", urls.join(", "))
    }

    /// Which server leads a stream.
    pub fn leader(&self, stream: &str) -> usize {
        wait_for("a leader", || {
            let told = self.nodes.iter().filter(|node| node.is_running());
            let mut told = told.filter_map(|node| node.ask("jsz?streams=1"));
            told.find_map(|text| {
                let value: serde_json::Value = serde_json::from_str(&text).ok()?;
                let accounts = value["account_details"].as_array()?;
                let streams =
                    accounts.iter().filter_map(|account| account["stream_detail"].as_array());
                let found = streams.flatten().find(|found| found["name"] == stream)?;
                let leader = found["cluster"]["leader"].as_str()?;
                self.nodes.iter().position(|node| node.name == leader && node.is_running())
            })
        })
    }

    /// Makes a stream as somebody else would.
    pub fn make_stream(&self, name: &str, config: &serde_json::Value) {
        use std::io::{BufRead, BufReader, Write};
        let server = std::net::TcpStream::connect(("127.0.0.1", self.nodes[0].port));
        let mut server = server.expect("connected");
        let payload = config.to_string();
        let length = payload.len();
        write!(
            server,
            "CONNECT {{\"verbose\":false}}\r\nSUB answer 1\r\n\
             PUB $JS.API.STREAM.CREATE.{name} answer {length}\r\n{payload}\r\n"
        )
        .expect("sent");
        let mut lines = BufReader::new(server).lines().map_while(Result::ok);
        lines.find(|line| line.starts_with("MSG answer")).expect("an answer");
        let answer = lines.next().expect("its text");
        assert!(!answer.contains("\"error\""), "{answer}");
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Node {
    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("killed");
            child.wait().expect("ended");
        }
        self.is_stopped = false;
    }

    /// Starts it where it is not running.
    pub fn restart(&mut self) {
        if self.child.is_some() {
            return;
        }
        let log = self.config.with_extension("log");
        let log = File::options().create(true).append(true).open(log).expect("a log");
        let child = Command::new(PROGRAM)
            .arg("-c")
            .arg(&self.config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("nats-server runs; .ci/nats installs it");
        self.child = Some(child);
    }

    /// SIGSTOP: it is there, and does not answer.
    pub fn pause(&mut self) {
        self.signal("STOP");
        self.is_stopped = self.child.is_some();
    }

    /// SIGCONT.
    pub fn resume(&mut self) {
        self.signal("CONT");
        self.is_stopped = false;
    }

    pub fn is_running(&self) -> bool {
        self.child.is_some() && !self.is_stopped
    }

    fn signal(&self, name: &str) {
        if let Some(child) = &self.child {
            let arguments = [format!("-{name}"), child.id().to_string()];
            assert!(Command::new("kill").args(arguments).status().expect("kill runs").success());
        }
    }

    fn is_healthy(&self) -> bool {
        self.ask("healthz").is_some_and(|text| text.contains("\"ok\""))
    }

    fn ask(&self, path: &str) -> Option<String> {
        let url = format!("http://127.0.0.1:{}/{path}", self.monitor);
        super::block_on(async move {
            let client = reqwest::Client::builder().timeout(std::time::Duration::from_secs(5));
            let answer = client.build().ok()?.get(url).send().await.ok()?;
            answer.text().await.ok()
        })
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.resume();
        self.kill();
    }
}

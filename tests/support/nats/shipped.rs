//! The servers' configuration of `deploy/jetstream`, as it is shipped. A test changes addresses, paths and
//! certificates, and adds one user, for itself.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::certificates::Certificates;

const TEXT: &str = include_str!("../../../deploy/jetstream/nats-server.conf");

/// A user who may do everything. The receivers' user may delete or purge no stream.
pub const TEST_USER: &str = "test";
pub const TEST_PASSWORD: &str = "test-password";

const PASSWORD: &str = "receivers-password";

/// Changes of what is shipped that a test asks for.
#[derive(Default, Clone, Copy)]
pub struct Changes<'a> {
    /// Subjects that the receivers may not publish to.
    pub denied: &'a [&'a str],
    /// Another `max_payload`.
    pub max_payload: Option<&'a str>,
    /// Another nats-server.
    pub program: Option<&'a str>,
}

/// What the servers of a cluster share, and their receivers.
pub struct Shipped {
    pub ca: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
    /// Ports of all servers, for each other.
    routes: Vec<u16>,
    text: String,
}

/// Ports of one server: for clients, for monitoring and for other servers.
#[derive(Clone, Copy)]
pub struct Ports {
    pub client: u16,
    pub monitor: u16,
    pub route: u16,
}

impl Shipped {
    /// Makes certificates below `directory`.
    pub fn new(directory: &Path, routes: Vec<u16>, changes: Changes<'_>) -> Shipped {
        let certificates = Certificates::new(directory, "nats");
        let issued = certificates.issue("localhost", |_| ());
        let user = format!("{{ user: {TEST_USER}, password: \"{TEST_PASSWORD}\" }}");
        let text = replaced(TEXT, "  users: [\n", &format!("  users: [\n    {user}\n"));
        // Tests end processes, and no machine loses its power.
        let text = replaced(&text, "  sync_interval: always\n", "");
        let text = match changes.max_payload {
            None => text,
            Some(size) => replaced(&text, "max_payload: 36MB", &format!("max_payload: {size}")),
        };
        let without = |text: String, subject: &&str| {
            replaced(&text, &format!("\"{subject}\"\n"), &format!("{}\n", denied(subject)))
        };
        let text = changes.denied.iter().fold(text, without);
        let Certificates { ca, .. } = certificates;
        Shipped { ca, certificate: issued.certificate, key: issued.key, routes, text }
    }

    /// The receivers' keys of `[spool.jetstream]`, but for the servers.
    pub fn login(&self) -> String {
        format!(
            "basic = {{ username = \"davinci-siem\", password_env = \"NATS_PASSWORD\" }}\n\
             tls = {{ ca = {:?} }}\n",
            self.ca
        )
    }

    /// The variable that [`login`](Shipped::login) names.
    pub fn variable(&self) -> (&'static str, &'static str) {
        ("NATS_PASSWORD", PASSWORD)
    }

    /// Writes `nats.conf` of one server into its directory, with everything that it names.
    pub fn write(&self, directory: &Path, ports: Ports) {
        let secrets = directory.join("secrets");
        fs::create_dir(&secrets).expect("a directory");
        let password = format!("password: \"{PASSWORD}\"\n");
        fs::write(secrets.join("password.conf"), password).expect("written");
        for (own, name) in
            [(&self.ca, "ca.crt"), (&self.certificate, "tls.crt"), (&self.key, "tls.key")]
        {
            fs::copy(own, secrets.join(name)).expect("copied");
        }
        let Ports { client, monitor, route } = ports;
        let directory_name = directory.display();
        let text = [
            ("/etc/nats/", format!("{directory_name}/")),
            ("/var/lib/nats", format!("{directory_name}/store")),
            ("0.0.0.0:4222", format!("127.0.0.1:{client}")),
            ("0.0.0.0:8222", format!("127.0.0.1:{monitor}")),
            ("0.0.0.0:6222", format!("127.0.0.1:{route}")),
        ]
        .iter()
        .fold(self.text.clone(), |text, (shipped, own)| replaced(&text, shipped, own));
        let text = match self.routes[..] {
            // One server alone is no cluster.
            [_] => text.split("\ncluster {").next().expect("the beginning").to_owned(),
            _ => {
                let shipped = [1, 2, 3].map(|number| format!("nats://nats-{number}:6222"));
                let own = self.routes.iter().map(|port| format!("nats://localhost:{port}"));
                let own: Vec<String> = own.collect();
                replaced(&text, &format!("{shipped:?}"), &format!("{own:?}"))
            }
        };
        fs::write(directory.join("nats.conf"), text).expect("written");
    }
}

/// Subjects that the receivers may publish to.
pub fn allowed() -> Vec<&'static str> {
    let (_, list) = TEXT.split_once("publish: [").expect("a list");
    let (list, _) = list.split_once(']').expect("its end");
    let subject = |line: &'static str| line.trim().strip_prefix('"')?.strip_suffix('"');
    list.lines().filter_map(subject).collect()
}

/// The line that stands for a subject which is denied.
fn denied(subject: &str) -> String {
    format!("# \"{subject}\" is denied")
}

/// Adds a subject to the permissions again. The server has to read its configuration anew.
pub fn grant(directory: &Path, subject: &str) {
    let file = directory.join("nats.conf");
    let text = fs::read_to_string(&file).expect("a configuration");
    fs::write(file, replaced(&text, &denied(subject), &format!("\"{subject}\""))).expect("written");
}

/// Removes a subject from the permissions. The server has to read its configuration anew.
pub fn deny(directory: &Path, subject: &str) {
    let file = directory.join("nats.conf");
    let text = fs::read_to_string(&file).expect("a configuration");
    let text = replaced(&text, &format!("\"{subject}\"\n"), &format!("{}\n", denied(subject)));
    fs::write(file, text).expect("written");
}

/// `text` with every `shipped` replaced. There has to be one.
fn replaced(text: &str, shipped: &str, own: &str) -> String {
    assert!(text.contains(shipped), "the shipped configuration has no {shipped:?}");
    text.replace(shipped, own)
}

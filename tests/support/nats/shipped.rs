//! The servers' configuration of `deploy/jetstream`, unchanged except for addresses, paths, certificates and one more
//! user.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::SanType;

use crate::support::certificates::Certificates;

const TEXT: &str = include_str!("../../../deploy/jetstream/nats-server.conf");

/// A user with all permissions. The receivers' user may not delete or purge a stream.
pub const TEST_USER: &str = "test";
pub const TEST_PASSWORD: &str = "test-password";

const PASSWORD: &str = "receivers-password";

/// Changes of the shipped configuration.
#[derive(Default, Clone, Copy)]
pub struct Changes<'a> {
    /// Subjects that the receivers may not publish to.
    pub denied: &'a [&'a str],
    /// Another `max_payload`.
    pub max_payload: Option<&'a str>,
    /// Another nats-server.
    pub program: Option<&'a str>,
    /// Keeps `sync_interval: always`.
    pub is_synced: bool,
}

/// Configuration that the servers of a cluster and their receivers share.
pub struct Shipped {
    pub ca: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
    /// Address and cluster port of each server.
    routes: Vec<(String, u16)>,
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
    /// Creates certificates below `directory`.
    pub fn new(directory: &Path, routes: Vec<(String, u16)>, changes: Changes<'_>) -> Shipped {
        let certificates = Certificates::new(directory, "nats");
        let issued = certificates.issue("localhost", |parameters| {
            let addresses = routes.iter().map(|(address, _)| address.parse().expect("an address"));
            parameters.subject_alt_names.extend(addresses.map(SanType::IpAddress));
        });
        let user = format!("{{ user: {TEST_USER}, password: \"{TEST_PASSWORD}\" }}");
        let text = replaced(TEXT, "  users: [\n", &format!("  users: [\n    {user}\n"));
        // Most tests kill processes; no machine loses its power, so syncing every message is not necessary.
        let text = match changes.is_synced {
            true => text,
            false => replaced(&text, "  sync_interval: always\n", ""),
        };
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

    /// Returns the receivers' keys of `[spool.jetstream]`, except the servers.
    pub fn login(&self) -> String {
        format!(
            "basic = {{ username = \"davinci-siem\", password_env = \"NATS_PASSWORD\" }}\n\
             tls = {{ ca = {:?} }}\n",
            self.ca
        )
    }

    /// Returns the variable that [`login`](Shipped::login) names.
    pub fn variable(&self) -> (&'static str, &'static str) {
        ("NATS_PASSWORD", PASSWORD)
    }

    /// Writes `nats.conf` of one server into its directory, with all files that it names.
    pub fn write(&self, directory: &Path, address: &str, ports: Ports) {
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
            ("0.0.0.0:4222", format!("{address}:{client}")),
            ("0.0.0.0:8222", format!("{address}:{monitor}")),
            ("0.0.0.0:6222", format!("{address}:{route}")),
        ]
        .iter()
        .fold(self.text.clone(), |text, (shipped, own)| replaced(&text, shipped, own));
        let text = match self.routes[..] {
            // A single server is not a cluster.
            [_] => text.split("\ncluster {").next().expect("the beginning").to_owned(),
            _ => {
                let shipped = [1, 2, 3].map(|number| format!("nats://nats-{number}:6222"));
                let own = self.routes.iter();
                let own = own.map(|(address, port)| format!("nats://{}:{port}", host(address)));
                let own: Vec<String> = own.collect();
                replaced(&text, &format!("{shipped:?}"), &format!("{own:?}"))
            }
        };
        fs::write(directory.join("nats.conf"), text).expect("written");
    }
}

/// Returns the name by which clients and servers reach an address: the certificate contains both.
pub fn host(address: &str) -> &str {
    if address == "127.0.0.1" { "localhost" } else { address }
}

/// Returns the subjects that the receivers may publish to.
pub fn allowed() -> Vec<&'static str> {
    let (_, list) = TEXT.split_once("publish: [").expect("a list");
    let (list, _) = list.split_once(']').expect("its end");
    let subject = |line: &'static str| line.trim().strip_prefix('"')?.strip_suffix('"');
    list.lines().filter_map(subject).collect()
}

/// Returns the line that replaces a denied subject.
fn denied(subject: &str) -> String {
    format!("# \"{subject}\" is denied")
}

/// Restores the permission for a subject. The server must read its configuration again.
pub fn grant(directory: &Path, subject: &str) {
    replace(directory, &denied(subject), &format!("\"{subject}\""));
}

/// Removes a subject from the permissions. Takes effect when the server reads its configuration.
pub fn deny(directory: &Path, subject: &str) {
    replace(directory, &format!("\"{subject}\"\n"), &format!("{}\n", denied(subject)));
}

/// Replaces a part of the configuration. Takes effect when the server reads its configuration.
pub fn replace(directory: &Path, text: &str, by: &str) {
    let file = directory.join("nats.conf");
    let configured = fs::read_to_string(&file).expect("a configuration");
    fs::write(file, replaced(&configured, text, by)).expect("written");
}

/// Replaces the single occurrence of `shipped` in `text`.
fn replaced(text: &str, shipped: &str, own: &str) -> String {
    assert!(text.contains(shipped), "the shipped configuration has no {shipped:?}");
    text.replace(shipped, own)
}

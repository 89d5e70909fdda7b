//! The `object_store` sink against real stores: SeaweedFS and moto for S3, Azurite for Azure Blob Storage. An outage, a
//! restart of the service in the middle, and every event compared by the clouds' own clients.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::events::{batch, equal, id, ids, minted};
use crate::support::service::{Home, Service};
use crate::support::targets::bucket::{BUCKET, KEY_ID};
use crate::support::{free_port, wait_for};

/// Directory in which `.ci/object-stores` installs the stores.
const PLACE: &str = "/opt/object-stores";

/// The secret that the clients use, too.
const SECRET: &str = crate::support::canary::TOKEN;

/// Key of Azurite's account, which its documentation publishes.
const AZURITE_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A store as a child process, killed on drop.
struct Peer {
    kind: &'static str,
    url: String,
    command: Vec<String>,
    child: Option<Child>,
    directory: tempfile::TempDir,
}

impl Peer {
    fn start(kind: &'static str) -> Peer {
        let directory = tempfile::tempdir().expect("a directory");
        let data = directory.path().display().to_string();
        let (port, host) = (free_port(), "127.0.0.1");
        let venv = |program: &str| format!("{PLACE}/venv/bin/{program}");
        let command = match kind {
            "moto" => format!("{} -H {host} -p {port}", venv("moto_server")),
            "azure" => format!(
                "node {PLACE}/node_modules/azurite/dist/src/blob/main.js --blobHost {host} --blobPort {port} \
                 --location {data} --silent --skipApiVersionCheck"
            ),
            _ => seaweedfs(&venv("weed"), &data, port),
        };
        let path = if kind == "azure" { "/devstoreaccount1" } else { "" };
        let mut peer = Peer {
            kind,
            url: format!("http://{host}:{port}{path}"),
            command: command.split_whitespace().map(str::to_owned).collect(),
            child: None,
            directory,
        };
        peer.restart();
        wait_for("a bucket", || peer.client("create", peer.directory.path()).then_some(()));
        peer
    }

    fn restart(&mut self) {
        let log = std::fs::File::create(self.directory.path().join("peer.log")).expect("a file");
        let child = Command::new(&self.command[0])
            .args(&self.command[1..])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .spawn()
            .expect("the store starts: .ci/object-stores installs it");
        self.child = Some(child);
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("killed");
            child.wait().expect("ended");
        }
    }

    /// Sends a signal to the store.
    fn signal(&self, name: &str) {
        let id = self.child.as_ref().expect("running").id().to_string();
        assert!(
            Command::new("kill").args([format!("-{name}"), id]).status().expect("kill").success()
        );
    }

    /// Runs the cloud's own client. Returns true if it succeeds.
    fn client(&self, action: &str, directory: &Path) -> bool {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/object_store_peers/client.py");
        let output = Command::new(format!("{PLACE}/venv/bin/python"))
            .args([script, self.kind, &self.url, action, BUCKET])
            .arg(directory)
            .output();
        output.expect("the client runs: .ci/object-stores installs it").status.success()
    }

    /// Returns the lines of all objects, as the cloud's own client reads them.
    fn lines(&self) -> (usize, Vec<String>) {
        let directory = tempfile::tempdir().expect("a directory");
        assert!(self.client("dump", directory.path()));
        let mut directories = vec![directory.path().to_owned()];
        let (mut objects, mut lines) = (0, Vec::new());
        while let Some(directory) = directories.pop() {
            for entry in directory.read_dir().expect("a directory") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    directories.push(path);
                    continue;
                }
                objects += 1;
                let content = zstd::decode_all(std::fs::File::open(path).expect("a file"));
                let text = String::from_utf8(content.expect("zstd")).expect("UTF-8");
                lines.extend(text.lines().map(str::to_owned));
            }
        }
        (objects, lines)
    }

    fn home(&self) -> Home {
        let store = match self.kind {
            "azure" => format!(
                "azure = {{ account = \"devstoreaccount1\", container = \"{BUCKET}\", account_key_env = \"SECRET\" }}"
            ),
            _ => format!(
                "s3 = {{ bucket = \"{BUCKET}\", region = \"us-east-1\", access_key = {{ id = \"{KEY_ID}\", secret_env = \"SECRET\" }} }}"
            ),
        };
        let secret = if self.kind == "azure" { AZURITE_KEY } else { SECRET };
        Home::new(&format!(
            "[sinks.archive]\ntype = \"object_store\"\nendpoint = \"{}\"\nprefix = \"siem/davinci\"\ntimeout = \"2s\"\n\
             retry = {{ min = \"10ms\", max = \"200ms\" }}\nbatch = {{ age = \"50ms\", bytes = \"100 KiB\" }}\n{store}\n",
            self.url
        ))
        .with_variables(&[("SECRET", secret)])
    }
}

/// Returns the command line of SeaweedFS. Each of its servers opens a second port, by default 10,000 above the first:
/// there the system may have given it to another process.
fn seaweedfs(program: &str, data: &str, port: u16) -> String {
    let address = "127.0.0.1";
    let mut command = format!(
        "{program} server -dir={data} -ip={address} -ip.bind={address} -s3 -s3.port={port} -s3.port.iceberg=0 \
         -s3.port.lance=0 -s3.port.grpc={}",
        free_port()
    );
    for server in ["master", "volume", "filer"] {
        command += &format!(" -{server}.port={} -{server}.port.grpc={}", free_port(), free_port());
    }
    command
}

impl Drop for Peer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.directory.path().join("peer.log"));
            eprintln!("--- the store's log\n{}", log.unwrap_or_default());
        }
        self.kill();
    }
}

fn post(service: &Service, numbers: std::ops::Range<usize>) {
    let all = ids(numbers.end);
    for ids in all[numbers].chunks(50) {
        service.post(&batch(ids.iter().cloned()));
    }
}

fn failing(service: &Service) {
    wait_for("a failure", || {
        (service.readiness()["sinks"][0]["state"] == "retrying").then_some(())
    });
}

/// `outage` begins an outage, and `recovery` ends it.
fn survives(kind: &'static str, outage: fn(&mut Peer), recovery: fn(&mut Peer)) {
    let mut peer = Peer::start(kind);
    let home = peer.home();
    let service = home.start();
    post(&service, 0..500);
    wait_for("an object", || (service.lag("archive") < 500.0).then_some(()));
    outage(&mut peer);
    post(&service, 500..1000);
    failing(&service);
    service.kill();
    let service = home.start();
    failing(&service);
    recovery(&mut peer);
    post(&service, 1000..1500);
    service.wait_until_settled("archive");
    let (objects, lines) = peer.lines();
    println!("{kind}: {objects} objects, {} events", lines.len());
    let mut found: Vec<String> = lines.iter().map(|line| id(line)).collect();
    found.sort();
    assert_eq!(found, ids(1500), "{kind}: each event once");
    assert!(lines.iter().all(|line| equal(line, &minted(&id(line)))), "{kind}: unchanged");
    assert!(home.quarantine().is_empty());
    let check = home.run(&["check", "--connect"]);
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
}

#[test]
#[ignore = "needs SeaweedFS, which .ci/object-stores installs"]
fn seaweedfs_is_killed_and_has_every_event_once() {
    survives("seaweedfs", Peer::kill, Peer::restart);
}

#[test]
#[ignore = "needs Azurite, which .ci/object-stores installs"]
fn azurite_hangs_and_has_every_event_once() {
    // Azurite writes its list of objects only now and then, so a kill would lose some.
    survives("azure", |peer| peer.signal("STOP"), |peer| peer.signal("CONT"));
}

#[test]
#[ignore = "needs moto, which .ci/object-stores installs"]
fn moto_hangs_and_has_every_event_once() {
    // moto keeps objects in memory only.
    survives("moto", |peer| peer.signal("STOP"), |peer| peer.signal("CONT"));
}

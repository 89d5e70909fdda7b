//! The `kafka` sink against an independent broker with SASL: tansu 0.6, which implements Kafka's protocol and stores
//! records in SQLite. Its authors are not those of librdkafka, so it finds errors that librdkafka's own cluster cannot.
//! (Its options for TLS exclude each other.)

use std::fs::File;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rdkafka::config::ClientConfig;
use tempfile::TempDir;

use crate::kafka::{Stored, TOPIC, probe, stored, wait_until};
use crate::support::events::{batch, equal, ids, minted};
use crate::support::service::Home;
use crate::support::{free_port, wait_for};

const USER: &str = "davinci-siem";
const PASSWORD: &str = "canary-of-the-broker";

/// A broker that knows one user and one topic; killed when dropped.
struct Broker {
    directory: TempDir,
    port: u16,
    child: Child,
}

/// `.ci/kafka` builds it; `TANSU` names another program.
fn tansu() -> Command {
    let path = std::env::var_os("TANSU")
        .map_or_else(|| PathBuf::from("/opt/davinci-siem-kafka/bin/tansu"), PathBuf::from);
    Command::new(path)
}

impl Broker {
    fn start() -> Broker {
        let directory = tempfile::tempdir().expect("a directory");
        let port = free_port();
        // Creates the topic and the user without authentication, then starts again with it.
        let child = spawn(&directory, port, &[]);
        let mut broker = Broker { directory, port, child };
        let address = format!("tcp://localhost:{port}");
        for arguments in [
            &["topic", "create", "--broker", &address, TOPIC][..],
            &["user", "create", "--broker", &address, USER, PASSWORD],
        ] {
            let output = tansu().args(arguments).output().expect("it runs");
            assert!(output.status.success(), "{arguments:?}: {output:?}");
        }
        broker.restart();
        broker
    }

    /// Kills the broker and starts it with the stored records.
    fn restart(&mut self) {
        self.kill();
        self.child = spawn(&self.directory, self.port, &["--authentication"]);
    }

    fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
    }

    fn home(&self, password: &str) -> Home {
        let home = Home::new(&format!(
            "[sinks.kafka]\ntype = \"kafka\"\nbrokers = [\"localhost:{}\"]\ntopic = \"{TOPIC}\"\n\
             transport = \"tcp\"\nretry = {{ min = \"1ms\", max = \"100ms\" }}\nbatch = {{ events = 50 }}\n\
             sasl = {{ mechanism = \"SCRAM-SHA-512\", username = \"{USER}\", password_file = \"secret\" }}\n",
            self.port
        ));
        std::fs::write(home.path("secret"), password).expect("written");
        home
    }

    fn stored(&self) -> Vec<Stored> {
        stored(
            ClientConfig::new()
                .set("bootstrap.servers", format!("localhost:{}", self.port))
                .set("security.protocol", "sasl_plaintext")
                .set("sasl.mechanism", "SCRAM-SHA-512")
                .set("sasl.username", USER)
                .set("sasl.password", PASSWORD),
        )
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Waits until the broker accepts connections.
fn spawn(directory: &TempDir, port: u16, more: &[&str]) -> Child {
    let log = File::options().create(true).append(true).open(directory.path().join("broker.log"));
    let address = format!("tcp://localhost:{port}");
    let child = tansu()
        .args(["broker", "--listener-url", &address, "--advertised-listener-url", &address])
        .args(["--storage-engine", "sqlite://records.db"])
        .args(more)
        .current_dir(directory.path())
        .stdout(log.expect("a log"))
        .stderr(Stdio::null())
        .spawn()
        .expect("tansu runs; .ci/kafka builds it");
    wait_for("the broker", || TcpStream::connect(("127.0.0.1", port)).ok());
    child
}

#[test]
#[ignore = "needs tansu (.ci/kafka)"]
fn a_broker_gets_each_record_once_and_in_order_though_it_is_killed() {
    let mut broker = Broker::start();
    let home = broker.home(PASSWORD);
    let (is_good, said) = probe(&home);
    assert!(is_good && said.contains("topic pingone-davinci has 3 partitions"), "{said}");
    let service = home.start();
    let all = ids(3000);
    for (number, part) in all.chunks(500).enumerate() {
        service.post(&batch(part.iter().cloned()));
        if number % 2 == 1 {
            broker.restart();
        }
    }
    broker.kill();
    wait_until(&service, "retrying", "");
    broker.restart();
    service.wait_until_settled("kafka");
    let stored = broker.stored();
    let found: Vec<&str> = stored.iter().map(|it| it.headers["event_id"].as_str()).collect();
    assert_eq!(found, all, "one run, one partition, each once, in order");
    let Stored { key, headers, body, partition } = &stored[7];
    assert!(stored.iter().all(|stored| stored.partition == *partition));
    assert!(equal(body, &minted("event-0007")));
    let event: serde_json::Value = serde_json::from_str(body).expect("JSON");
    let run = &event["_embedded"]["flowInteractionEvent"]["interactionId"];
    assert_eq!(key.as_deref(), run.as_str());
    assert_eq!(headers["content-type"], "application/json");
    assert!(home.quarantine().is_empty());
    assert!(!service.log().contains(PASSWORD));
}

#[test]
#[ignore = "needs tansu (.ci/kafka)"]
fn a_password_that_a_broker_does_not_know_pauses_the_sink_until_it_is_corrected() {
    let broker = Broker::start();
    let home = broker.home("another");
    let service = home.start();
    service.post(&batch(ids(20)));
    wait_until(&service, "paused", "the brokers refuse the credentials");
    std::fs::write(home.path("secret"), PASSWORD).expect("written");
    assert!(home.run_with(&service, &["sink", "resume", "kafka"]).status.success());
    service.wait_until_settled("kafka");
    assert_eq!(broker.stored().len(), 20);
}

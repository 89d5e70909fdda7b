//! The `kafka` sink against librdkafka's mock cluster: brokers in this process that speak the protocol, store records,
//! and fail on request. They support neither TLS nor SASL; for these, the tests have minimal brokers of their own.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{Offset, TopicPartitionList};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::support::certificates::Certificates;
use crate::support::events::{batch, documented, equal, id, ids, large, minted};
use crate::support::service::{Home, Service};
use crate::support::{PATIENCE, runtime, wait_for};

pub(crate) const TOPIC: &str = "pingone-davinci";
const PARTITIONS: i32 = 3;
const QUICK: &str = "retry = { min = \"1ms\", max = \"100ms\" }\n";
const PATIENT: &[(&str, &str)] = &[("DAVINCI_SIEM__SINKS__KAFKA__RETRY__MAX", "1h")];

struct Brokers(MockCluster<'static, DefaultProducerContext>);

/// A record as a consumer gets it.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) key: Option<String>,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
    pub(crate) partition: i32,
}

impl Brokers {
    fn start() -> Brokers {
        let cluster = MockCluster::new(3).expect("a cluster");
        cluster.create_topic(TOPIC, PARTITIONS, 3).expect("a topic");
        Brokers(cluster)
    }

    fn home(&self, more: &str) -> Home {
        let brokers: Vec<String> =
            self.0.bootstrap_servers().split(',').map(str::to_owned).collect();
        Home::new(&format!(
            "[sinks.kafka]\ntype = \"kafka\"\nbrokers = {brokers:?}\ntopic = \"{TOPIC}\"\n\
             transport = \"tcp\"\n{QUICK}{more}\n"
        ))
    }

    /// Lets the next produce requests fail.
    fn fail(&self, errors: &[RDKafkaRespErr]) {
        self.0.request_errors(RDKafkaApiKey::Produce, errors);
    }

    fn stored(&self) -> Vec<Stored> {
        stored(ClientConfig::new().set("bootstrap.servers", self.0.bootstrap_servers()))
    }

    fn ids(&self) -> Vec<String> {
        self.stored().iter().map(|stored| id(&stored.body)).collect()
    }
}

/// Returns all records of the topic, partition by partition, in order.
pub(crate) fn stored(config: &mut ClientConfig) -> Vec<Stored> {
    let consumer: BaseConsumer = config.set("group.id", "test").create().expect("a consumer");
    let mut stored = Vec::new();
    for partition in 0..PARTITIONS {
        let wait = Duration::from_secs(60);
        let (low, high) = consumer.fetch_watermarks(TOPIC, partition, wait).expect("watermarks");
        let mut assigned = TopicPartitionList::new();
        assigned.add_partition_offset(TOPIC, partition, Offset::Beginning).expect("a partition");
        consumer.assign(&assigned).expect("assigned");
        for _ in low..high {
            let poll = || consumer.poll(Duration::from_millis(100));
            let message = wait_for("a message", poll).expect("a message");
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
            let headers = message.headers().expect("headers").iter();
            stored.push(Stored {
                key: message.key().map(text),
                headers: headers
                    .map(|header| (header.key.to_owned(), text(header.value.expect("a value"))))
                    .collect(),
                body: text(message.payload().expect("a body")),
                partition: message.partition(),
            });
        }
    }
    stored
}

pub(crate) fn wait_until(service: &Service, state: &str, said: &str) {
    wait_for(said, || {
        let sink = service.readiness()["sinks"][0].clone();
        let reason = sink["reason"].as_str().unwrap_or_default().to_owned();
        (sink["state"] == state && reason.contains(said)).then_some(())
    });
}

pub(crate) fn probe(home: &Home) -> (bool, String) {
    let output = home.run(&["check", "--connect"]);
    let said = String::from_utf8(output.stdout).expect("UTF-8")
        + &String::from_utf8(output.stderr).expect("UTF-8");
    (output.status.success(), said)
}

#[test]
fn batches_arrive_whole_if_they_are_compressed_with_gzip() {
    let brokers = Brokers::start();
    let home = brokers.home("compression = \"gzip\"\n");
    let service = home.start();
    service.post(&batch(ids(50)));
    service.wait_until_settled("kafka");
    let mut found: Vec<String> =
        brokers.stored().into_iter().map(|stored| stored.headers["event_id"].clone()).collect();
    found.sort_unstable();
    assert_eq!(found, ids(50));
}

#[test]
fn events_arrive_with_their_keys_and_names() {
    let brokers = Brokers::start();
    let home = brokers.home("compression = \"zstd\"\n");
    let (is_good, said) = probe(&home);
    assert!(is_good && said.contains("topic pingone-davinci has 3 partitions"), "{said}");
    let service = home.start();
    service.post(&documented());
    service.post(&batch(ids(1000)));
    service.wait_until_settled("kafka");
    let stored = brokers.stored();
    assert_eq!(stored.len(), 1005);
    let minted_ones: Vec<&Stored> =
        stored.iter().filter(|stored| stored.headers["event_id"].starts_with("event-")).collect();
    let found: Vec<&str> = minted_ones.iter().map(|it| it.headers["event_id"].as_str()).collect();
    assert_eq!(found, ids(1000), "one run, one partition, each once, in order");
    let Stored { key, headers, body, partition } = minted_ones[7];
    assert!(minted_ones.iter().all(|stored| stored.partition == *partition));
    let event: serde_json::Value = serde_json::from_str(body).expect("JSON");
    assert!(equal(body, &minted("event-0007")));
    assert_eq!(
        key.as_deref(),
        event["_embedded"]["flowInteractionEvent"]["interactionId"].as_str()
    );
    assert_eq!(headers["action_type"], "DAVINCI_INTERACTION.CUSTOM_ANALYTICS");
    assert_eq!(headers["schema"], "native");
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(headers["event_uid"].len(), 40);
}

#[test]
fn transient_broker_errors_are_retried_until_they_end() {
    for error in [
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
    ] {
        let brokers = Brokers::start();
        let home = brokers.home("batch = { events = 50 }\n");
        brokers.fail(&[error; 3]);
        let service = home.start();
        service.post(&batch(ids(200)));
        service.wait_until_settled("kafka");
        assert_eq!(brokers.ids(), ids(200), "{error:?}: each once, in order");
        assert!(home.quarantine().is_empty());
    }
}

#[test]
fn an_event_that_is_too_large_becomes_a_dead_letter_and_the_others_arrive() {
    let brokers = Brokers::start();
    let home = brokers.home("max_size = \"50 kB\"\ncompression = \"none\"\n");
    let service = home.start();
    let big = large("big");
    let big = big.trim_matches(['[', ']']);
    service.post(&format!("[{},{big},{}]", minted("event-0000"), minted("event-0001")));
    service.wait_until_settled("kafka");
    assert_eq!(brokers.ids(), ids(2));
    let entries = home.quarantine();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0]["target"]["code"], "MessageSizeTooLarge");
}

#[test]
fn a_batch_that_a_broker_finds_too_large_is_halved_and_a_single_event_becomes_a_dead_letter() {
    for (set, dead) in [(50, 0), (1, 1)] {
        let brokers = Brokers::start();
        let home = brokers.home(&format!("batch = {{ events = {set} }}\n"));
        brokers.fail(&[RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE]);
        let service = home.start();
        service.post(&batch(ids(100)));
        service.wait_until_settled("kafka");
        assert_eq!(brokers.ids(), ids(100)[dead..], "sets of {set}: each once, in order");
        assert_eq!(home.quarantine().len(), dead, "sets of {set}");
    }
}

#[test]
fn a_missing_permission_pauses_the_sink_and_drops_nothing() {
    let brokers = Brokers::start();
    let home = brokers.home("").with_variables(PATIENT);
    brokers.fail(&[RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED]);
    let service = home.start();
    service.post(&batch(ids(20)));
    wait_until(&service, "paused", "give this user the permissions");
    assert!(home.run_with(&service, &["sink", "resume", "kafka"]).status.success());
    service.wait_until_settled("kafka");
    assert_eq!(brokers.ids(), ids(20), "each once, in order");
    assert!(home.quarantine().is_empty());
}

#[test]
fn a_user_who_may_not_write_idempotently_pauses_the_sink() {
    let brokers = Brokers::start();
    let home = brokers.home("").with_variables(PATIENT);
    let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED;
    brokers.0.request_errors(RDKafkaApiKey::InitProducerId, &[refused]);
    let service = home.start();
    service.post(&batch(ids(20)));
    wait_until(&service, "paused", "give this user the permissions");
    assert!(home.run_with(&service, &["sink", "resume", "kafka"]).status.success());
    service.wait_until_settled("kafka");
    assert_eq!(brokers.ids(), ids(20), "each once, in order");
}

#[test]
fn a_topic_that_is_missing_pauses_the_sink_before_a_record_is_late() {
    let brokers = Brokers::start();
    let unknown = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    brokers.0.topic_error(TOPIC, unknown).expect("set");
    let home = brokers.home("timeout = \"6s\"\n").with_variables(PATIENT);
    let service = home.start();
    service.post(&batch(ids(20)));
    wait_until(&service, "paused", "make the topic, or correct topic");
}

#[test]
fn brokers_that_are_away_are_waited_for() {
    let brokers = Brokers::start();
    let home = brokers.home("timeout = \"2s\"\n");
    let service = home.start();
    service.post(&batch(ids(20)));
    service.wait_until_settled("kafka");
    for broker in 1..=3 {
        brokers.0.broker_down(broker).expect("down");
    }
    service.post(&batch(ids(40).into_iter().skip(20)));
    wait_until(&service, "retrying", "within 2s");
    let (is_good, said) = probe(&home);
    assert!(!is_good, "{said}");
    for broker in 1..=3 {
        brokers.0.broker_up(broker).expect("up");
    }
    service.wait_until_settled("kafka");
    let mut found = brokers.ids();
    // Records that were in flight at their timeout may be stored twice.
    found.dedup();
    assert_eq!(found, ids(40));
    let complaints = service.log().matches("\"message\":\"kafka\"").count();
    assert!(complaints < 20, "{complaints} lines of one cause");
}

#[test]
fn an_unknown_topic_is_reported() {
    let brokers = Brokers::start();
    let unknown = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    brokers.0.topic_error(TOPIC, unknown).expect("set");
    let (is_good, said) = probe(&brokers.home(""));
    assert!(!is_good && said.contains("make the topic, or correct topic"), "{said}");
}

/// Starts a broker that requests credentials, and accepts all or none. Returns its port, and a channel with the
/// credentials and the later requests that it gets, which it does not answer.
pub(crate) fn sasl_broker(
    runtime: &tokio::runtime::Runtime,
    mechanism: &'static str,
    accepts: bool,
    tls: Option<TlsAcceptor>,
) -> (u16, std::sync::mpsc::Receiver<Vec<u8>>) {
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (shown, sees) = std::sync::mpsc::channel();
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            match &tls {
                None => answer_sign_in(stream, mechanism, accepts, shown.clone()).await,
                Some(tls) => {
                    let Ok(stream) = tls.accept(stream).await else { continue };
                    answer_sign_in(stream, mechanism, accepts, shown.clone()).await;
                }
            }
        }
    });
    (port, sees)
}

/// Answers the requests of one connection until it ends.
async fn answer_sign_in(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    mechanism: &'static str,
    accepts: bool,
    shown: std::sync::mpsc::Sender<Vec<u8>>,
) {
    while let Ok(length) = stream.read_u32().await {
        let mut request = vec![0; length as usize];
        stream.read_exact(&mut request).await.expect("a request");
        let (key, version) = ((request[0], request[1]), request[3]);
        let mut answer = request[4..8].to_vec();
        match key {
            // ApiVersions: answers its first version only, and the versions of the later requests.
            (0, 18) if version > 0 => answer.extend([0, 35, 0, 0, 0, 0]),
            (0, 18) => {
                answer.extend([0, 0, 0, 0, 0, 5]);
                for (api, newest) in [(0, 7), (3, 4), (17, 1), (18, 0), (36, 0)] {
                    answer.extend([0, api, 0, 0, 0, newest]);
                }
            }
            // SaslHandshake: one mechanism.
            (0, 17) => {
                answer.extend([0, 0, 0, 0, 0, 1, 0, mechanism.len() as u8]);
                answer.extend(mechanism.as_bytes());
            }
            // SaslAuthenticate: accepted or refused, without a message.
            (0, 36) => {
                drop(shown.send(request));
                let error = if accepts { 0 } else { 58 };
                answer.extend([0, error, 0xff, 0xff, 0, 0, 0, 0]);
            }
            _ => {
                drop(shown.send(request));
                continue;
            }
        }
        stream.write_u32(answer.len() as u32).await.expect("written");
        stream.write_all(&answer).await.expect("written");
        stream.flush().await.expect("written");
    }
}

#[test]
fn refused_credentials_pause_the_sink_at_once() {
    let runtime = runtime();
    let (port, sees) = sasl_broker(&runtime, "PLAIN", false, None);
    let home = Home::new(&format!(
        "[sinks.kafka]\ntype = \"kafka\"\nbrokers = [\"localhost:{port}\"]\ntopic = \"t\"\n\
         transport = \"tcp\"\ntimeout = \"1h\"\n{QUICK}sasl = {{ mechanism = \"PLAIN\", \
         username = \"davinci\", password_file = \"secret\" }}\n"
    ));
    let home = home.with_variables(PATIENT);
    std::fs::write(home.path("secret"), "canary-1\n").expect("written");
    let service = home.start();
    service.post(&batch(ids(20)));
    // Before the timeout: the records would get neither an acknowledgement nor a refusal.
    wait_until(&service, "paused", "the brokers refuse the credentials");
    let has_shown = |secret: &str| {
        let pair = format!("\0davinci\0{secret}");
        wait_for("the credentials", || {
            sees.try_iter().any(|shown| shown.ends_with(pair.as_bytes())).then_some(())
        });
    };
    has_shown("canary-1");
    std::fs::write(home.path("secret"), "canary-2\n").expect("written");
    has_shown("canary-2");
    wait_until(&service, "paused", "the brokers refuse the credentials");
    assert!(!service.log().contains("canary"));
    let (is_good, said) = probe(&home);
    assert!(!is_good && said.contains("the brokers refuse the credentials"), "{said}");
}

#[test]
fn both_sides_show_their_certificates() {
    let directory = tempfile::tempdir().expect("a directory");
    let certificates = Certificates::new(directory.path(), "own");
    let strangers = Certificates::new(directory.path(), "strangers");
    let acceptor = certificates.acceptor(true);
    let runtime = runtime();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    // The broker sends nothing after the TLS handshake.
    let (shaken, shakes) = std::sync::mpsc::channel();
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let shake = acceptor.accept(stream).await.map(drop);
            // Only the first certificate is needed.
            drop(shaken.send(shake));
        }
    });
    let home = |tls: String| {
        Home::new(&format!(
            "[sinks.kafka]\ntype = \"kafka\"\nbrokers = [\"localhost:{port}\"]\ntopic = \"t\"\n\
             timeout = \"2s\"\ntls = {tls}\n"
        ))
    };
    let (ca, own, key) = (&certificates.ca, &certificates.client, &certificates.client_key);
    let good = home(format!("{{ ca = {ca:?}, certificate = {own:?}, key = {key:?} }}"));
    assert!(!probe(&good).0);
    shakes.recv_timeout(PATIENCE).expect("a connection").expect("a handshake");
    let wrong = home(format!("{{ ca = {:?} }}", strangers.ca));
    let (is_good, said) = probe(&wrong);
    assert!(!is_good && said.contains("certificate verify failed"), "{said}");
    let unreadable = home(format!("{{ ca = {key:?} }}"));
    assert!(probe(&unreadable).1.contains("holds no usable certificate"));
}

//! The `syslog` sink against real receivers: rsyslog and syslog-ng, over TCP and TLS, stopped and started again.
//! `docs/sinks/syslog.md` says which messages may be lost or sent twice.

use std::collections::HashMap;

use serde_json::Value;

use crate::support::events::{self, minted_with};
use crate::support::service::{Home, Service};
use crate::support::syslog_peer::{Framing, Kind, Peer, Transport};
use crate::support::wait_for;

const EVENTS: usize = 10_000;
const PER_BATCH: usize = 500;

const NASTY: &str = "quotes \" brackets []{} back\\slash\nline\ttab \u{7f} \u{1f600} é";

const VARIANTS: [(Kind, Transport, Framing); 5] = [
    (Kind::Rsyslog, Transport::Tcp, Framing::OctetCounted),
    (Kind::Rsyslog, Transport::Tls, Framing::OctetCounted),
    (Kind::SyslogNg, Transport::Tcp, Framing::OctetCounted),
    (Kind::SyslogNg, Transport::Tls, Framing::OctetCounted),
    (Kind::SyslogNg, Transport::Tcp, Framing::LineFeed),
];

struct Bench {
    peer: Peer,
    service: Service,
    sent: HashMap<String, Value>,
    posted: usize,
    _home: Home,
    _directory: tempfile::TempDir,
}

impl Bench {
    fn new((kind, transport, framing): (Kind, Transport, Framing)) -> Bench {
        let directory = tempfile::tempdir().expect("a directory");
        let peer = Peer::start(kind, transport, framing, directory.path());
        let more = match (transport, framing) {
            (Transport::Tls, _) => format!("tls = {{ ca = {:?} }}\n", peer.ca()),
            (Transport::Tcp, Framing::LineFeed) => {
                "transport = \"tcp\"\nframing = \"lf\"\n".to_owned()
            }
            (Transport::Tcp, Framing::OctetCounted) => "transport = \"tcp\"\n".to_owned(),
        };
        let home = Home::new(&format!(
            "[sinks.syslog]\ntype = \"syslog\"\naddress = \"localhost:{}\"\n\
             retry = {{ min = \"5ms\", max = \"100ms\" }}\n{more}",
            peer.address().port()
        ));
        let service = home.start();
        Bench { peer, service, sent: HashMap::new(), posted: 0, _home: home, _directory: directory }
    }

    fn post(&mut self, count: usize) {
        for _ in 0..count / PER_BATCH {
            let mut texts = Vec::with_capacity(PER_BATCH);
            for _ in 0..PER_BATCH {
                let id = format!("event-{:05}", self.posted);
                let text = minted_with(&id, NASTY);
                self.sent.insert(id, serde_json::from_str(&text).expect("JSON"));
                texts.push(text);
                self.posted += 1;
            }
            self.service.post(&format!("[{}]", texts.join(",")));
        }
    }

    fn resent(&self) -> u64 {
        let name = "davinci_siem_sink_findings_total{kind=\"resent\",sink=\"syslog\"}";
        self.service.metric(name) as u64
    }

    fn is_settled(&self) -> bool {
        self.service.metric("davinci_siem_sink_lag_events{sink=\"syslog\"}") == 0.0
    }

    /// Compares received and sent messages. Returns the number of missing and of duplicate ones.
    fn judge(&self) -> (usize, usize) {
        let messages = self.peer.messages();
        let mut seen: HashMap<String, usize> = HashMap::new();
        for message in &messages {
            let id = events::id(message);
            let arrived: Value = serde_json::from_str(message).expect("JSON");
            assert_eq!(Some(&arrived), self.sent.get(&id), "{id} was changed");
            *seen.entry(id).or_default() += 1;
        }
        (self.sent.len() - seen.len(), messages.len() - seen.len())
    }
}

#[test]
#[ignore = "needs rsyslog and syslog-ng; .ci/syslog-peers installs them"]
fn ten_thousand_events_arrive_whole_though_the_receiver_is_restarted() {
    for variant in VARIANTS {
        let mut bench = Bench::new(variant);
        bench.post(EVENTS / 2);
        bench.peer.wait_for(EVENTS / 2);
        for record in bench.peer.records() {
            assert!(
                record.starts_with("<86>1 2024-02-15T16:07:03.947000Z pingone davinci-siem - ")
            );
            assert!(record.contains(" CUSTOM_ANALYTICS [davinci@32473 id=\"event-"), "{record}");
        }
        bench.peer.stop();
        bench.post(EVENTS / 4);
        bench.peer.restart();
        bench.post(EVENTS / 4);
        wait_for("the other half", || (bench.judge().0 == 0).then_some(()));
        let (missing, doubled) = bench.judge();
        println!("{variant:?}: {missing} missing, {doubled} doubled, {} resent", bench.resent());
        assert_eq!((missing, bench.posted), (0, EVENTS));
        assert!(doubled as u64 <= bench.resent(), "{variant:?}: every repetition is counted");
    }
}

#[test]
#[ignore = "needs rsyslog and syslog-ng; .ci/syslog-peers installs them"]
fn a_receiver_that_is_stopped_under_full_load_loses_nothing_that_is_sent_again() {
    for variant in VARIANTS {
        let mut bench = Bench::new(variant);
        bench.post(EVENTS / 2);
        // Once the first messages have arrived, most others are still in flight.
        wait_for("a message", || (!bench.peer.messages().is_empty()).then_some(()));
        bench.peer.stop();
        bench.peer.restart();
        bench.post(EVENTS / 2);
        wait_for("the sink", || bench.is_settled().then_some(()));
        wait_for("all of them", || (bench.judge().0 == 0).then_some(()));
        let (missing, doubled) = bench.judge();
        println!("{variant:?}: {missing} missing, {doubled} doubled, {} resent", bench.resent());
        assert!(doubled as u64 <= bench.resent(), "{variant:?}: every repetition is counted");
    }
}

#[test]
#[ignore = "needs rsyslog and syslog-ng; .ci/syslog-peers installs them"]
fn the_end_of_the_service_loses_nothing() {
    for variant in VARIANTS {
        let mut bench = Bench::new(variant);
        bench.post(EVENTS / 4);
        bench.service.signal_end();
        let (status, log) = bench.service.wait();
        assert!(status.success(), "{log}");
        assert!(!log.contains("grace period is over"), "{log}");
        wait_for("the events", || (bench.judge() == (0, 0)).then_some(()));
    }
}

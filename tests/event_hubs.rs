//! Azure Event Hubs by the sink `kafka`: access tokens of Microsoft Entra ID reach a broker that wants them. The broker
//! is minimal: librdkafka's mock cluster knows no SASL, and Microsoft's emulator cannot be installed here.

use std::sync::mpsc::Receiver;

use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::kafka::{probe, sasl_broker, wait_until};
use crate::support::canary::{TOKEN, assert_silent};
use crate::support::certificates::Certificates;
use crate::support::events::{batch, ids};
use crate::support::service::Home;
use crate::support::targets::Target;
use crate::support::targets::azure::{CLIENT, Issuer, TENANT};
use crate::support::{runtime, wait_for};

const QUICK: &str = "retry = { min = \"1ms\", max = \"100ms\" }\n";

fn issuer() -> Target<Issuer> {
    // The default audience is the host of the brokers.
    Target::start(Issuer { audience: "https://localhost".to_owned(), ..Issuer::new() })
}

/// A broker with TLS: a sink sends no access token without encryption.
struct Broker {
    port: u16,
    /// Requests with tokens, and those after the sign-in.
    sees: Receiver<Vec<u8>>,
    certificates: Certificates,
    _directory: TempDir,
}

impl Broker {
    fn start(runtime: &Runtime, accepts: bool) -> Broker {
        let directory = tempfile::tempdir().expect("a directory");
        let certificates = Certificates::new(directory.path(), "own");
        let tls = Some(certificates.acceptor(false));
        let (port, sees) = sasl_broker(runtime, "OAUTHBEARER", accepts, tls);
        Broker { port, sees, certificates, _directory: directory }
    }

    fn home(&self, issuer: &Target<Issuer>, more: &str) -> Home {
        let Broker { port, certificates, .. } = self;
        let home = Home::new(&format!(
            "[sinks.hub]\ntype = \"kafka\"\nprofile = \"event_hubs\"\nbrokers = [\"localhost:{port}\"]\n\
             topic = \"t\"\ntls = {{ ca = {:?} }}\n{QUICK}{more}\n[sinks.hub.entra]\nauthority = \"{}\"\n\
             client_secret = {{ tenant_id = \"{TENANT}\", client_id = \"{CLIENT}\", secret_file = \"secret\" }}\n",
            certificates.ca, issuer.url
        ));
        std::fs::write(home.path("secret"), TOKEN).expect("written");
        home
    }
}

/// Waits for a request that contains a text.
fn wait_for_request(sees: &Receiver<Vec<u8>>, name: &str, text: &[u8]) {
    let contains = |request: Vec<u8>| request.windows(text.len()).any(|part| part == text);
    wait_for(name, || sees.try_iter().any(contains).then_some(()));
}

#[test]
fn a_token_reaches_the_broker_and_is_requested_once() {
    let (runtime, issuer) = (runtime(), issuer());
    let broker = Broker::start(&runtime, true);
    let home = broker.home(&issuer, "");
    let service = home.start();
    service.post(&batch(ids(3)));
    let shown = format!("auth=Bearer eyJ1.{TOKEN}\u{1}");
    wait_for_request(&broker.sees, "the token", shown.as_bytes());
    // The client goes on only if it takes itself for authenticated: it requests the topic's metadata.
    wait_for_request(&broker.sees, "a request for the topic", b"\0\x01t");
    assert_eq!(issuer.state().issued, 1);
    assert!(issuer.state().requested[0].contains("scope=https://localhost/.default"));
    assert_silent(&service.log(), TOKEN, "the log");
}

#[test]
fn a_refused_token_pauses_the_sink_and_is_replaced() {
    let (runtime, issuer) = (runtime(), issuer());
    let broker = Broker::start(&runtime, false);
    let home = broker.home(&issuer, "");
    let service = home.start();
    service.post(&batch(ids(3)));
    wait_until(&service, "paused", "the brokers refuse the credentials; correct sasl or entra");
    wait_for("a second token", || {
        let is_other = |request: Vec<u8>| {
            let text = String::from_utf8_lossy(&request);
            text.contains("auth=Bearer eyJ") && !text.contains("auth=Bearer eyJ1.")
        };
        broker.sees.try_iter().any(is_other).then_some(())
    });
    let (is_good, said) = probe(&home);
    assert!(!is_good && said.contains("the brokers refuse the credentials"), "{said}");
}

#[test]
fn a_refused_secret_pauses_the_sink_until_it_is_corrected() {
    let (runtime, issuer) = (runtime(), issuer());
    let broker = Broker::start(&runtime, true);
    let home =
        broker.home(&issuer, "").with_variables(&[("DAVINCI_SIEM__SINKS__HUB__RETRY__MAX", "1h")]);
    std::fs::write(home.path("secret"), "canary-of-entra").expect("written");
    let service = home.start();
    service.post(&batch(ids(3)));
    wait_until(&service, "paused", "no access token");
    let (is_good, said) = probe(&home);
    assert!(!is_good && said.contains("no access token"), "{said}");
    std::fs::write(home.path("secret"), TOKEN).expect("written");
    wait_for_request(&broker.sees, "the token", TOKEN.as_bytes());
    assert_silent(&service.log(), "canary-of-entra", "the log");
}

#[test]
fn an_issuer_that_is_away_is_waited_for() {
    let (runtime, issuer) = (runtime(), issuer());
    let broker = Broker::start(&runtime, true);
    issuer.state().traffic.down = Some(503);
    let home = broker.home(&issuer, "timeout = \"1s\"");
    let service = home.start();
    service.post(&batch(ids(3)));
    wait_until(&service, "retrying", "no access token");
    issuer.state().traffic.down = None;
    wait_for_request(&broker.sees, "the token", TOKEN.as_bytes());
}

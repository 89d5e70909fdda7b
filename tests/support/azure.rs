//! A service whose sink `sentinel` delivers to fakes of Azure, and events of a given age.

use chrono::{TimeDelta, Utc};
use serde_json::Value;
use tokio_rustls::TlsAcceptor;

use super::canary::TOKEN;
use super::events::minted;
use super::service::{Home, Service};
use super::targets::Target;
use super::targets::azure::{CLIENT, Ingestion, Issuer, RULE, TENANT};
use super::wait_for;

/// Waits that suit a test.
pub const QUICK: &str = "retry = { min = \"1ms\", max = \"100ms\" }\n";

/// The issuer of tokens and the Logs Ingestion API.
pub struct Azure {
    pub issuer: Target<Issuer>,
    pub ingestion: Target<Ingestion>,
}

impl Azure {
    pub fn start() -> Azure {
        Azure::start_with(|| None)
    }

    /// As [`start`](Azure::start), with TLS.
    pub fn start_with(tls: impl Fn() -> Option<TlsAcceptor>) -> Azure {
        let issuer = Target::start_with(Issuer::new(), tls());
        let ingestion = Ingestion::new(issuer.state().tokens.clone());
        issuer.state().url = issuer.url.clone();
        Azure { issuer, ingestion: Target::start_with(ingestion, tls()) }
    }

    /// A home whose sink signs in with a client secret.
    pub fn home(&self, more: &str) -> Home {
        self.home_with(QUICK, &format!("{}{more}", client_secret("secret_env = \"SECRET\"")))
    }

    /// A home whose sink has these keys.
    pub fn home_with(&self, retry: &str, keys: &str) -> Home {
        let home = Home::new(&format!(
            "[sinks.sentinel]\ntype = \"sentinel\"\nendpoint = \"{}\"\nrule_id = \"{RULE}\"\n\
             authority = \"{}\"\n{retry}{keys}",
            self.ingestion.url, self.issuer.url
        ));
        home.with_variables(&[("SECRET", TOKEN)])
    }

    pub fn issued(&self) -> usize {
        self.issuer.state().issued
    }

    pub fn ids(&self) -> Vec<String> {
        self.ingestion.state().ids()
    }
}

/// The key of an app registration, whose secret is at `origin`.
pub fn client_secret(origin: &str) -> String {
    format!("client_secret = {{ tenant_id = \"{TENANT}\", client_id = \"{CLIENT}\", {origin} }}\n")
}

/// The key of a federated identity with every name.
pub fn workload_identity() -> String {
    format!(
        "workload_identity = {{ tenant_id = \"{TENANT}\", client_id = \"{CLIENT}\", token_file = \"token\" }}\n"
    )
}

/// Events that happened `age` ago.
pub fn aged(ids: impl IntoIterator<Item = String>, age: TimeDelta) -> String {
    let time = (Utc::now() - age).to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    let events = ids.into_iter().map(|id| {
        let mut event: Value = serde_json::from_str(&minted(&id)).expect("JSON");
        event["recordedAt"] = time.clone().into();
        event["_embedded"]["flowInteractionEvent"]["tsEms"] = time.clone().into();
        event.to_string()
    });
    format!("[{}]", events.collect::<Vec<_>>().join(","))
}

pub fn fresh(ids: impl IntoIterator<Item = String>) -> String {
    aged(ids, TimeDelta::zero())
}

/// The reason for which the sink is paused, once it is.
pub fn paused(service: &Service) -> String {
    wait_for("the pause", || {
        let sink = service.readiness()["sinks"][0].clone();
        (sink["state"] == "paused").then(|| sink["reason"].as_str().unwrap_or_default().to_owned())
    })
}

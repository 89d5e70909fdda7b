//! Checks of this service, by requests as PingOne sends them.
//!
//! The body of each POST is an empty array: a request with valid credentials is answered 200, and nothing is stored.

use std::path::PathBuf;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use reqwest::tls::TlsInfo;
use reqwest::{Client, RequestBuilder, Response};
use serde::Deserialize;
use serde_json::Value;
use url::{Host, Url};

use super::finding::CheckResult;
use super::webhook::shown;
use crate::admin::AdminConfig;
use crate::cli::admin_client::{AdminClient, AdminTarget};
use crate::error_chain::connection_failure;
use crate::http_client::peer;
use crate::listener::Certificate;
use crate::receive::{Credential, SourceConfig};
use crate::tls::{self, TlsConfig};

const TIMEOUT: Duration = Duration::from_secs(10);

/// Remaining validity of a certificate below which the check finds a problem.
const RENEWAL_DAYS: i64 = 14;

const REACHABLE: &str = "reachable";
const CERTIFICATE: &str = "certificate";
const CREDENTIALS: &str = "credentials";

/// Probe of one source's webhook.
pub(super) struct Probe<'a> {
    pub(super) url: Url,
    /// PEM file with the authorities that PingOne trusts; the system's without it.
    pub(super) authorities: Option<PathBuf>,
    pub(super) source: &'a SourceConfig,
}

/// Body of a 200 of the webhook.
#[derive(Deserialize)]
struct CountedAnswer {
    received: u64,
}

/// Checks that the running service takes batches.
pub(super) async fn readiness(admin: &AdminConfig) -> CheckResult {
    const CHECK: &str = "service ready";
    let read = async {
        let client = AdminClient::new(&AdminTarget::at(admin.address))?;
        let answer = client.send(client.get("/readyz")).await?;
        client.json::<Value>(answer).await
    };
    match read.await {
        Ok(state) if state["ready"] == true => CheckResult::ok(CHECK, "the service is ready"),
        Ok(state) => CheckResult::problem(
            CHECK,
            format!("not ready: {}", state["reason"].as_str().unwrap_or("no reason given")),
            "See docs/runbook.md, \"PingOne gets no 200\"",
        ),
        Err(failure) => match failure.message() {
            Some(message) => CheckResult::problem(
                CHECK,
                message,
                "Start the service, or run doctor on its machine",
            ),
            None => CheckResult::skipped(CHECK, "the answer was cut off"),
        },
    }
}

impl Probe<'_> {
    /// Sends PingOne's probe, and a batch without events with each credential of the source.
    pub(super) async fn examine(&self, checks: &mut Vec<CheckResult>) {
        let client = match self.client() {
            Ok(client) => client,
            Err(message) => {
                checks.push(CheckResult::problem(REACHABLE, message, "Correct --cacert"));
                return;
            }
        };
        let answer = match self.send(client.head(self.url.clone())).await {
            Ok(answer) => answer,
            Err(problem) => {
                checks.push(problem);
                return;
            }
        };
        checks.push(CheckResult::ok(REACHABLE, format!("{} answers", shown(&self.url))));
        checks.push(self.certificate(&answer));
        checks.push(probe_answer(answer.status().as_u16()));
        if !is_private(&self.url) && !self.source.credentials.is_empty() {
            let reason = "no credential is sent over http, where anyone on the way could read it";
            checks.push(CheckResult::skipped(CREDENTIALS, reason));
            return;
        }
        for credential in &self.source.credentials {
            if let Some(check) = self.credential(&client, credential).await {
                checks.push(check);
            }
        }
        if self.source.credentials.is_empty() {
            let post = client.post(self.url.clone()).body("[]");
            checks.push(self.accepted(post, "without credentials").await);
        }
    }

    fn client(&self) -> Result<Client, String> {
        let mut builder = Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .tls_info(true)
            .no_proxy();
        if self.url.scheme() == "https" {
            let settings = TlsConfig { ca: self.authorities.clone(), certificate: None };
            let mut tls = tls::client_config(&settings).map_err(|error| error.to_string())?;
            tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            builder = builder.tls_backend_preconfigured(tls);
        } else {
            builder = builder.tls_certs_only([]);
        }
        builder.build().map_err(|_| "no HTTP client can be made".to_owned())
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, CheckResult> {
        request.send().await.map_err(|error| {
            let message = connection_failure(&error.without_url(), &peer(&self.url));
            if message.starts_with("TLS: ") {
                return CheckResult::problem(CERTIFICATE, &*message, certificate_fix(&message));
            }
            let fix = "Correct DNS, the firewall and the port in the webhook's URL, and see that the service listens";
            CheckResult::problem(REACHABLE, message, fix)
        })
    }

    fn certificate(&self, answer: &Response) -> CheckResult {
        let info = answer.extensions().get::<TlsInfo>();
        let der = info.and_then(TlsInfo::peer_certificate);
        let Some(certificate) = der.and_then(|der| Certificate::read(der).ok()) else {
            return match self.url.scheme() {
                "https" => CheckResult::skipped(CERTIFICATE, "the certificate cannot be read"),
                _ => CheckResult::problem(
                    CERTIFICATE,
                    "the URL is not https, which PingOne requires",
                    "Set listen.tls, or put a proxy with TLS in front of the service",
                ),
            };
        };
        expiry(certificate.expires, Utc::now().timestamp())
    }

    /// Posts a batch without events with a credential. `None` for a client certificate, whose key only PingOne has.
    async fn credential(&self, client: &Client, credential: &Credential) -> Option<CheckResult> {
        let post = client.post(self.url.clone()).body("[]");
        let (post, name) = match credential {
            Credential::Basic { username, password } => {
                let post = post.basic_auth(username, Some(password.expose()));
                (post, format!("of user {username:?}"))
            }
            Credential::Header { name, value } => {
                (post.header(name, value.expose()), format!("in the header {name}"))
            }
            Credential::Certificate(_) => return None,
        };
        Some(self.accepted(post, &name).await)
    }

    async fn accepted(&self, post: RequestBuilder, name: &str) -> CheckResult {
        let answer = match self.send(post).await {
            Ok(answer) => answer,
            Err(problem) => return problem,
        };
        let status = answer.status().as_u16();
        let counted: Option<CountedAnswer> = answer.json().await.ok();
        post_answer(status, counted.is_some_and(|counted| counted.received == 0), name)
    }
}

/// Returns true if nobody on the way can read a request.
fn is_private(url: &Url) -> bool {
    url.scheme() == "https"
        || match url.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            _ => false,
        }
}

fn probe_answer(status: u16) -> CheckResult {
    const CHECK: &str = "connection test";
    match status {
        200 => CheckResult::ok(CHECK, "PingOne's probe (HEAD) is answered with 200"),
        404 => CheckResult::problem(
            CHECK,
            "PingOne's probe (HEAD) is answered with 404: no source has the path of this URL",
            "Correct the webhook's URL, sources.NAME.path, or the path that the proxy passes on",
        ),
        _ => CheckResult::problem(
            CHECK,
            format!("PingOne's probe (HEAD) is answered with {status}"),
            "See that the proxy passes HEAD requests on to the service",
        ),
    }
}

fn post_answer(status: u16, is_own: bool, credential: &str) -> CheckResult {
    match status {
        200 if is_own => CheckResult::ok(
            CREDENTIALS,
            format!("a POST with the credential {credential} is accepted"),
        ),
        200 => CheckResult::problem(
            CREDENTIALS,
            "another program answers a POST with 200: PingOne would consider its events delivered, and they would be lost",
            "Let the proxy pass the path on to the service (deploy/README.md)",
        ),
        401 => CheckResult::problem(
            CREDENTIALS,
            format!("the running service refuses the credential {credential} (401)"),
            "Reload or restart the service with this configuration, and see that the proxy passes Authorization on",
        ),
        403 => CheckResult::problem(
            CREDENTIALS,
            "the service does not accept this machine's address (403)",
            "Run doctor from an address in sources.NAME.allow_from; PingOne's addresses must be in it, too",
        ),
        429 => CheckResult::problem(
            CREDENTIALS,
            "too many wrong credentials from this address (429)",
            "Wait a minute, and correct the credentials of the sender",
        ),
        status => CheckResult::problem(
            CREDENTIALS,
            format!("a POST is answered with {status}"),
            "See docs/runbook.md, \"PingOne gets no 200\"",
        ),
    }
}

fn certificate_fix(message: &str) -> &'static str {
    match message {
        message if message.ends_with("is not trusted") => {
            "Send the whole chain in listen.tls.certificate; upload a private authority to PingOne, and name it here with --cacert"
        }
        message if message.ends_with("has expired") => "Renew the certificate",
        message if message.ends_with("is for another name") => {
            "Issue the certificate for the host name of the webhook's URL"
        }
        message if message.contains("asks for a client certificate") => {
            "PingOne needs an outbound mTLS key; doctor has none and cannot test further"
        }
        _ => "Correct listen.tls, or the proxy's TLS settings",
    }
}

/// Judges the end of a certificate's validity; both times are in seconds since the Unix epoch.
fn expiry(expires: i64, now: i64) -> CheckResult {
    let days =
        TimeDelta::seconds(expires.saturating_sub(now).clamp(0, i64::from(i32::MAX))).num_days();
    match days {
        days if days < RENEWAL_DAYS => CheckResult::problem(
            CERTIFICATE,
            format!("the certificate expires in {days} days"),
            "Renew it: PingOne sends nothing to a service with an expired certificate",
        ),
        days => CheckResult::ok(CERTIFICATE, format!("chain and name are valid, for {days} days")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::CheckState;
    use super::*;

    #[test]
    fn only_the_own_answer_is_an_acceptance() {
        let state = |status, is_own| post_answer(status, is_own, "x").state;
        assert_eq!(state(200, true), CheckState::Ok);
        for (status, is_own) in
            [(200, false), (204, true), (401, false), (403, false), (503, false)]
        {
            assert_eq!(state(status, is_own), CheckState::Problem, "{status}");
        }
        assert_eq!(probe_answer(200).state, CheckState::Ok);
        assert_eq!(probe_answer(404).state, CheckState::Problem);
    }

    #[test]
    fn a_certificate_that_ends_soon_is_a_problem() {
        let day = 86_400;
        for (days, state) in [
            (-1, CheckState::Problem),
            (13, CheckState::Problem),
            (14, CheckState::Ok),
            (365, CheckState::Ok),
        ] {
            assert_eq!(expiry(1000 + days * day, 1000).state, state, "{days}");
        }
    }
}

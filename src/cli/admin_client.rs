//! HTTP client of the running service's admin listener.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use super::{CommandFailure, known};
use crate::admin::access::USERNAME;
use crate::admin::operations;
use crate::admin::{AdminConfig, OPERATION_HEADER};
use crate::error_chain::connection_failure;
use crate::http_client;
use crate::secret::{Form, Secret};
use crate::tls::{self, TlsConfig};

/// Timeout of one request; a retry from quarantine waits for stable storage.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Client of an admin listener.
pub(super) struct AdminClient {
    client: Client,
    base: String,
    /// Address and port.
    peer: String,
    password: Option<Secret>,
}

/// Admin listener of a service, and the password for it.
pub(super) struct AdminTarget {
    /// URL without a slash at its end.
    base: String,
    /// Host and port.
    peer: String,
    password: Option<Secret>,
}

impl AdminTarget {
    /// Returns the listener of `[admin]`, on this machine.
    pub(super) fn of(admin: &AdminConfig) -> AdminTarget {
        AdminTarget { password: admin.password.clone(), ..AdminTarget::at(admin.address) }
    }

    /// Returns the listener at an address, for endpoints that need no password.
    pub(super) fn at(address: SocketAddr) -> AdminTarget {
        let peer = reachable(address).to_string();
        AdminTarget { base: format!("http://{peer}"), peer, password: None }
    }

    /// Returns the listener at a URL, with the password in a file. Neither comes from a configuration, so that no
    /// password goes to another service than its own.
    pub(super) fn new(
        url: &Url,
        password_file: Option<&Path>,
    ) -> Result<AdminTarget, CommandFailure> {
        let read = |file| Secret::from_file(file, Form::Line);
        let password = password_file.map(read).transpose().map_err(|error| {
            CommandFailure::Usage(format!("davinci-siem: --admin-password-file {error}"))
        })?;
        let base = url.as_str().trim_end_matches('/').to_owned();
        Ok(AdminTarget { base, peer: http_client::peer(url), password })
    }
}

impl AdminClient {
    pub(super) fn new(target: &AdminTarget) -> Result<AdminClient, CommandFailure> {
        let mut builder = Client::builder()
            .timeout(REQUEST_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy();
        if target.base.starts_with("https:") {
            let tls = tls::client_config(&TlsConfig::default())?;
            builder = builder.tls_backend_preconfigured(tls);
        } else {
            builder = builder.tls_certs_only([]);
        }
        let AdminTarget { base, peer, password } = target;
        Ok(AdminClient {
            client: builder.build()?,
            base: base.clone(),
            peer: peer.clone(),
            password: password.clone(),
        })
    }

    pub(super) fn get(&self, path: &str) -> RequestBuilder {
        self.with_password(self.client.get(format!("{}{path}", self.base)))
    }

    pub(super) fn post(&self, path: &str) -> RequestBuilder {
        self.with_password(self.client.post(format!("{}{path}", self.base)))
    }

    fn with_password(&self, request: RequestBuilder) -> RequestBuilder {
        let request = request.header(OPERATION_HEADER, "1");
        match &self.password {
            Some(password) => request.basic_auth(USERNAME, Some(password.expose())),
            None => request,
        }
    }

    /// Refuses a sink that the running service does not have.
    pub(super) async fn check_sink(&self, option: &str, name: &str) -> Result<(), CommandFailure> {
        let status: Value = self.request(self.get("/api/status")).await?;
        let sinks = status["sinks"].as_array().into_iter().flatten();
        let names = sinks.filter_map(|sink| sink["sink"].as_str().map(str::to_owned)).collect();
        known::check(option, name, &names)
    }

    /// Sends a request and parses the body of its answer.
    pub(super) async fn request<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
    ) -> Result<T, CommandFailure> {
        self.json(self.send_ok(request).await?).await
    }

    /// Parses the body of an answer.
    pub(super) async fn json<T: DeserializeOwned>(
        &self,
        answer: Response,
    ) -> Result<T, CommandFailure> {
        answer.json().await.map_err(|error| {
            let failure = connection_failure(&error.without_url(), &self.peer);
            CommandFailure::Failed(format!("the answer is not one of davinci-siem: {failure}"))
        })
    }

    /// Sends a request. Returns `Err` with the service's message unless the status is 2xx.
    pub(super) async fn send_ok(
        &self,
        request: RequestBuilder,
    ) -> Result<Response, CommandFailure> {
        let response = self.send(request).await?;
        self.ok(response).await
    }

    /// Returns an answer with status 2xx. Returns `Err` with the service's message for any other.
    pub(super) async fn ok(&self, response: Response) -> Result<Response, CommandFailure> {
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let failure: Option<operations::ErrorResponse> = response.json().await.ok();
        let message = failure
            .map_or_else(|| format!("the service answered {status}"), |failure| failure.error);
        Err(CommandFailure::Failed(message))
    }

    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Response, CommandFailure> {
        request.send().await.map_err(|error| {
            let failure = connection_failure(&error, &self.peer);
            CommandFailure::Failed(format!(
                "the service cannot be reached: {failure}. Is it running, and is admin.address the one \
                 it uses? Give its configuration with -c, or its address with --admin-url"
            ))
        })
    }
}

/// Replaces an unspecified address (`0.0.0.0`, `::`) by loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    SocketAddr::new(ip, address.port())
}

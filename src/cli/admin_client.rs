//! Talks to the admin listener of the running service.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Failure, known};
use crate::admin::AdminConfig;
use crate::admin::OPERATION_HEADER;
use crate::admin::access::USERNAME;
use crate::admin::operations;
use crate::error_chain::connection_failure;
use crate::secret::Secret;

/// How long the service may take to answer: a retry waits for stable storage.
const PATIENCE: Duration = Duration::from_secs(30);

/// The admin listener as seen from this machine.
pub(super) struct AdminClient {
    client: Client,
    base: String,
    /// Address and port.
    peer: String,
    password: Option<Secret>,
}

impl AdminClient {
    pub(super) fn new(admin: &AdminConfig) -> Result<AdminClient, Failure> {
        let password = admin.password.clone();
        Ok(AdminClient { password, ..AdminClient::without_password(admin.address)? })
    }

    /// For what is open to whoever reaches the listener.
    pub(super) fn without_password(address: SocketAddr) -> Result<AdminClient, Failure> {
        let client = Client::builder().timeout(PATIENCE).no_proxy().build()?;
        let peer = reachable(address).to_string();
        Ok(AdminClient { client, base: format!("http://{peer}"), peer, password: None })
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
    pub(super) async fn check_sink(&self, option: &str, name: &str) -> Result<(), Failure> {
        let status: Value = self.ask(self.get("/api/status")).await?;
        let sinks = status["sinks"].as_array().into_iter().flatten();
        let names = sinks.filter_map(|sink| sink["sink"].as_str().map(str::to_owned)).collect();
        known::check(option, name, &names)
    }

    /// Sends an operation and reads its answer.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
    ) -> Result<T, Failure> {
        self.json(self.succeed(request).await?).await
    }

    /// Reads an answer.
    pub(super) async fn json<T: DeserializeOwned>(&self, answer: Response) -> Result<T, Failure> {
        answer.json().await.map_err(|error| {
            let failure = connection_failure(&error.without_url(), &self.peer);
            Failure::Failed(format!("the service does not answer as davinci-siem does: {failure}"))
        })
    }

    /// Sends a request that has to succeed.
    pub(super) async fn succeed(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let response = self.send(request).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let failure: Option<operations::Failure> = response.json().await.ok();
        let message = failure
            .map_or_else(|| format!("the service answered {status}"), |failure| failure.error);
        Err(Failure::Failed(message))
    }

    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        request.send().await.map_err(|error| {
            let failure = connection_failure(&error, &self.peer);
            Failure::Failed(format!(
                "the service cannot be reached: {failure}. Is it running, and is admin.address the one \
                 it uses? Give its configuration with -c"
            ))
        })
    }
}

/// An address to connect to where a listener is bound to all of them.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    SocketAddr::new(ip, address.port())
}

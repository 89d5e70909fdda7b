//! Requests for tokens, by each kind of identity.

use std::time::{SystemTime, UNIX_EPOCH};

use http::HeaderMap;
use tokio::time::Instant;
use url::Url;
use url::form_urlencoded::Serializer;

use super::answer;
use super::config::{EntraConfig, EntraIdentity};
use crate::http_client::{Compression, HttpClient, HttpClientConfig, RequestError, below, peer};
use crate::oauth::{AccessToken, TokenError, TokenIssuer};
use crate::secret::{Form, Secret};
use crate::tls::TlsConfig;

const FORM: &str = "application/x-www-form-urlencoded";

/// Proof of a federated identity (RFC 7523 §2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Requests tokens of one identity.
#[derive(Debug)]
pub(crate) struct TokenClient {
    requests: HttpClient,
    config: EntraConfig,
    url: Url,
}

impl TokenClient {
    /// Creates a client with the timeouts of `target`. Its proxy and certificates are used for Microsoft Entra ID, too,
    /// but not for a managed identity, whose endpoint is on the same machine. Opens no connection.
    ///
    /// # Errors
    /// Returns an error if a certificate or secret cannot be read.
    pub(crate) fn open(
        config: &EntraConfig,
        target: &HttpClientConfig,
    ) -> Result<TokenClient, RequestError> {
        let (url, client, headers) = match &config.identity {
            EntraIdentity::ClientSecret { tenant_id, .. }
            | EntraIdentity::Workload { tenant_id, .. } => {
                let url = below(&config.authority, &format!("/{tenant_id}/oauth2/v2.0/token"));
                // The origin only: the client takes segments of a path for secrets.
                let client = HttpClientConfig {
                    url: config.authority.clone(),
                    compression: Compression::None,
                    ..target.clone()
                };
                (url, client, HeaderMap::new())
            }
            EntraIdentity::Managed(managed) => {
                let url = managed.url(&config.audience);
                let client = HttpClientConfig {
                    url: url.clone(),
                    tls: TlsConfig::default(),
                    proxy: None,
                    allows_private: true,
                    compression: Compression::None,
                    ..target.clone()
                };
                (url, client, managed.headers()?)
            }
        };
        let requests = HttpClient::open(&client, headers)?;
        Ok(TokenClient { requests, config: config.clone(), url })
    }

    /// Returns the body of a request; `None` for a managed identity, whose request is a GET. Reads the client secret or
    /// the other issuer's token from its file, since it may have been replaced.
    fn form(&self) -> Result<Option<String>, TokenError> {
        let scope = format!("{}/.default", self.config.audience);
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials").append_pair("scope", &scope);
        match &self.config.identity {
            EntraIdentity::Managed(_) => return Ok(None),
            EntraIdentity::ClientSecret { client_id, secret, .. } => {
                form.append_pair("client_id", &client_id.to_string());
                form.append_pair("client_secret", secret.reread()?.expose());
            }
            EntraIdentity::Workload { client_id, token_file, .. } => {
                form.append_pair("client_id", &client_id.to_string());
                form.append_pair("client_assertion_type", ASSERTION_TYPE);
                let assertion = Secret::from_file(token_file, Form::Header)?;
                form.append_pair("client_assertion", assertion.expose());
            }
        }
        Ok(Some(form.finish()))
    }
}

impl TokenIssuer for TokenClient {
    async fn request(&self) -> Result<AccessToken, TokenError> {
        let sent_at = Instant::now();
        let form = self.form()?;
        let is_managed = form.is_none();
        let answer = match form {
            None => self.requests.get(&self.url).await?,
            Some(form) => {
                self.requests.post(&self.url, FORM, HeaderMap::new(), form.into_bytes()).await?
            }
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        answer::token(&answer, &peer(&self.url), is_managed, sent_at, now)
    }
}

//! Requests for tokens, by each kind of identity.

use std::time::{SystemTime, UNIX_EPOCH};

use chrono::Utc;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;
use url::Url;

use super::answer::{self, Issuer};
use super::config::{GoogleConfig, MetadataServer};
use super::credentials::{self, ExternalAccount, GoogleCredentials};
use crate::http_client::{Compression, HttpClient, HttpClientConfig, below, parse_url, peer};
use crate::oauth::{AccessToken, TokenError, TokenIssuer};
use crate::secret::Secret;
use crate::tls::TlsConfig;

const FORM: &str = "application/x-www-form-urlencoded";

/// Requests tokens of one identity.
#[derive(Debug)]
pub(crate) struct GoogleTokenClient {
    identity: GoogleConfig,
    /// Connection of the target, whose timeouts, proxy and certificates apply to Google's issuers, too.
    target: HttpClientConfig,
}

impl GoogleTokenClient {
    /// Creates a client. Opens no connection and reads no file.
    pub(crate) fn new(identity: &GoogleConfig, target: &HttpClientConfig) -> GoogleTokenClient {
        GoogleTokenClient { identity: identity.clone(), target: target.clone() }
    }

    /// Requests a token of the metadata server, which is on the same machine: without proxy and TLS.
    async fn token_of_server(&self, server: &MetadataServer) -> Result<AccessToken, TokenError> {
        let path = format!(
            "/computeMetadata/v1/instance/service-accounts/{}/token",
            server.service_account
        );
        let url = below(&server.url, &path);
        let settings = HttpClientConfig {
            url: server.url.clone(),
            tls: TlsConfig::default(),
            proxy: None,
            allows_private: true,
            compression: Compression::None,
            ..self.target.clone()
        };
        let flavor =
            (HeaderName::from_static("metadata-flavor"), HeaderValue::from_static("Google"));
        let requests = HttpClient::open(&settings, HeaderMap::from_iter([flavor]))?;
        let sent_at = Instant::now();
        let answer = requests.get(&url).await?;
        answer::token(&answer, Issuer::Metadata, &peer(&url), sent_at, Utc::now())
    }

    /// Requests a token with the content of a credentials file, which is read again.
    async fn token_of_account(&self, secret: &Secret) -> Result<AccessToken, TokenError> {
        let refused = |message: String| TokenError::Refused { message };
        match credentials::read(secret).map_err(refused)? {
            GoogleCredentials::ServiceAccount(key) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                let form = credentials::assertion_form(&key, now.as_secs()).map_err(refused)?;
                self.post_form(&key.token_uri, form, Issuer::ServiceAccount).await
            }
            GoogleCredentials::ExternalAccount(account) => {
                let form = credentials::exchange_form(&account).map_err(refused)?;
                let token = self.post_form(&account.token_url, form, Issuer::Exchange).await?;
                self.impersonated(&account, token).await
            }
        }
    }

    async fn post_form(
        &self,
        url: &str,
        form: String,
        issuer: Issuer,
    ) -> Result<AccessToken, TokenError> {
        let (requests, url) = self.connection(url)?;
        let sent_at = Instant::now();
        let answer = requests.post(&url, FORM, HeaderMap::new(), form.into_bytes()).await?;
        answer::token(&answer, issuer, &peer(&url), sent_at, Utc::now())
    }

    /// Returns the token of the service account that a federated identity acts as; its own token if it acts as none.
    async fn impersonated(
        &self,
        account: &ExternalAccount,
        own: AccessToken,
    ) -> Result<AccessToken, TokenError> {
        let Some(url) = &account.service_account_impersonation_url else { return Ok(own) };
        let (requests, url) = self.connection(url)?;
        let headers = HeaderMap::from_iter([(AUTHORIZATION, own.authorization)]);
        let body = credentials::impersonation_body();
        let sent_at = Instant::now();
        let answer = requests.post(&url, "application/json", headers, body).await?;
        answer::token(&answer, Issuer::Impersonation, &peer(&url), sent_at, Utc::now())
    }

    /// Returns a client for a URL in the credentials file.
    fn connection(&self, url: &str) -> Result<(HttpClient, Url), TokenError> {
        let url = parse_url(url).map_err(|problem| TokenError::Refused {
            message: format!("no access token: a URL in the credentials {problem}"),
        })?;
        // The origin only: the client takes segments of a path for secrets.
        let mut origin = url.clone();
        origin.set_path("/");
        origin.set_query(None);
        let settings =
            HttpClientConfig { url: origin, compression: Compression::None, ..self.target.clone() };
        Ok((HttpClient::open(&settings, HeaderMap::new())?, url))
    }
}

impl TokenIssuer for GoogleTokenClient {
    async fn request(&self) -> Result<AccessToken, TokenError> {
        match &self.identity {
            GoogleConfig::Credentials(secret) => self.token_of_account(secret).await,
            GoogleConfig::Metadata(server) => self.token_of_server(server).await,
        }
    }
}

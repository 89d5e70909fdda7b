//! Access tokens of Microsoft Entra ID for librdkafka, which asks for them on its own threads (`OAUTHBEARER`).

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rdkafka::client::OAuthToken;

use super::KafkaSinkConfig;
use crate::azure::{TokenCache, TokenClient, TokenError};
use crate::http_client::{Compression, HttpClientConfig};
use crate::sinks::Reason;

/// Timeout of a request for a token.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(10);

/// Origin of the access tokens of one sink.
#[derive(Debug)]
pub(super) struct TokenSource {
    client: TokenClient,
    cache: Arc<TokenCache>,
}

impl TokenSource {
    /// Creates the origin of the tokens, if the sink signs in. Opens no connection.
    ///
    /// # Errors
    /// Returns an error if a certificate or secret cannot be read.
    pub(super) fn open(settings: &KafkaSinkConfig) -> Result<Option<TokenSource>, Reason> {
        let Some(entra) = &settings.entra else { return Ok(None) };
        let target = HttpClientConfig {
            url: entra.authority.clone(),
            timeout: TOKEN_TIMEOUT,
            connect_timeout: TOKEN_TIMEOUT,
            tls: settings.tls.clone(),
            proxy: None,
            allows_private: true,
            compression: Compression::None,
        };
        let client = TokenClient::open(entra, &target)?;
        Ok(Some(TokenSource { client, cache: Arc::clone(&settings.tokens) }))
    }

    /// Returns an access token. Blocks while it is requested.
    ///
    /// # Errors
    /// Returns the reason why there is no token.
    pub(super) fn token(&self) -> Result<OAuthToken, TokenError> {
        // A thread and a runtime of its own: the caller may be a thread of librdkafka, or of a runtime, which may not
        // block on itself.
        let token = std::thread::scope(|scope| {
            let request = || {
                let runtime =
                    tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
                Some(runtime.block_on(self.cache.token(&self.client)))
            };
            scope.spawn(request).join().ok().flatten()
        });
        let failed = || TokenError::Unavailable {
            message: "no access token: no thread could be started".to_owned(),
            after: None,
        };
        let token = token.unwrap_or_else(|| Err(failed()))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let expiry = now.saturating_add(token.lifetime()).as_millis();
        Ok(OAuthToken {
            token: token.text().to_owned(),
            // Event Hubs reads the identity from the token; librdkafka wants a name all the same.
            principal_name: "davinci-siem".to_owned(),
            lifetime_ms: i64::try_from(expiry).unwrap_or(i64::MAX),
        })
    }
}

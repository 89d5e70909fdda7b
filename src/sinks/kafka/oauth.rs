//! Access tokens of Microsoft Entra ID for librdkafka, which asks for them on its own threads (`OAUTHBEARER`).

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rdkafka::client::OAuthToken;

use super::KafkaSinkConfig;
use crate::azure::TokenClient;
use crate::http_client::{Compression, HttpClientConfig};
use crate::oauth::{AccessToken, TokenCache, TokenError};
use crate::sinks::Reason;

/// Timeout of a request for a token.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(10);

/// Origin of the access tokens of one sink.
#[derive(Debug)]
pub(super) struct TokenSource {
    client: TokenClient,
    cache: Arc<TokenCache>,
    /// Token that the brokers were shown last.
    shown: Mutex<Option<AccessToken>>,
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
        let cache = Arc::clone(&settings.tokens);
        Ok(Some(TokenSource { client, cache, shown: Mutex::default() }))
    }

    /// Returns an access token. Blocks while it is requested.
    ///
    /// # Errors
    /// Returns the reason why there is no token.
    pub(super) fn token(&self) -> Result<OAuthToken, TokenError> {
        // A thread and a runtime of its own: the caller may be a thread of librdkafka, or of a runtime, which may not
        // block on itself.
        let token = thread::scope(|scope| {
            let request = || {
                let runtime =
                    tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
                Some(runtime.block_on(self.cache.token(&self.client)))
            };
            // No panic if there is no thread: it would unwind into the C code of the caller.
            let thread = thread::Builder::new().spawn_scoped(scope, request).ok()?;
            thread.join().ok().flatten()
        });
        let failed = || TokenError::Unavailable {
            message: "no access token: no thread could be started".to_owned(),
            after: None,
        };
        let token = token.unwrap_or_else(|| Err(failed()))?;
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(token.clone());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let expiry = now.saturating_add(token.lifetime()).as_millis();
        Ok(OAuthToken {
            token: token.text().to_owned(),
            // Event Hubs reads the identity from the token; librdkafka wants a name all the same.
            principal_name: "davinci-siem".to_owned(),
            lifetime_ms: i64::try_from(expiry).unwrap_or(i64::MAX),
        })
    }

    /// Forgets the token that the brokers were shown last, which they have refused. The next one is requested.
    pub(super) fn refuse(&self) {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(token) = shown {
            self.cache.forget(&token);
        }
    }
}

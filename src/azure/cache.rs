//! Cache of one sink's access token, shared by all connections of the sink.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::answer::{AccessToken, TokenError};
use super::request::TokenClient;

/// Time between two attempts to renew a token that is still valid.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(30);

/// The current token. At most one request for a token is under way at a time.
#[derive(Debug, Default)]
pub(crate) struct TokenCache {
    current: Mutex<Option<AccessToken>>,
    /// Held during a request for a token.
    renewal: tokio::sync::Mutex<()>,
}

impl TokenCache {
    /// Returns the current token, or a new one shortly before it expires. While a valid token cannot be renewed, it
    /// remains in use.
    ///
    /// # Errors
    /// Returns the reason why there is no token.
    pub(crate) async fn token(&self, client: &TokenClient) -> Result<AccessToken, TokenError> {
        let now = Instant::now();
        let Some(token) = self.get().filter(|token| now < token.expires_at) else {
            return self.replace(None, client).await;
        };
        if now < token.renew_at {
            return Ok(token);
        }
        // Another connection is renewing the token, or has just done so.
        let Ok(_renewal) = self.renewal.try_lock() else { return Ok(token) };
        let Some(token) = self.get().filter(|token| token.renew_at <= now) else {
            return Ok(self.get().unwrap_or(token));
        };
        Ok(match client.request().await {
            Ok(renewed) => self.set(renewed),
            Err(_) => self.set(AccessToken { renew_at: now + RENEWAL_INTERVAL, ..token }),
        })
    }

    /// Returns another token than `refused`, which the target does not accept. Requests one, unless another connection
    /// has done so already.
    ///
    /// # Errors
    /// Returns the reason why there is no other token.
    pub(crate) async fn renewed(
        &self,
        refused: &AccessToken,
        client: &TokenClient,
    ) -> Result<AccessToken, TokenError> {
        self.replace(Some(refused), client).await
    }

    async fn replace(
        &self,
        refused: Option<&AccessToken>,
        client: &TokenClient,
    ) -> Result<AccessToken, TokenError> {
        let _renewal = self.renewal.lock().await;
        let is_refused = |token: &AccessToken| {
            refused.is_some_and(|refused| refused.authorization == token.authorization)
        };
        let other = self.get().filter(|token| !is_refused(token));
        match other.filter(|token| Instant::now() < token.expires_at) {
            Some(token) => Ok(token),
            None => client.request().await.map(|token| self.set(token)),
        }
    }

    fn get(&self) -> Option<AccessToken> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, token: AccessToken) -> AccessToken {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        *current = Some(token.clone());
        token
    }
}

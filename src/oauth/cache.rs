//! Cache of one sink's access token, shared by all connections of the sink.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::token::{AccessToken, TokenError};

/// Issuer of the tokens of one identity.
pub(crate) trait TokenIssuer {
    /// Requests a token.
    ///
    /// # Errors
    /// Returns the reason why there is no token.
    fn request(&self) -> impl Future<Output = Result<AccessToken, TokenError>> + Send;
}

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
    pub(crate) async fn token(&self, source: &impl TokenIssuer) -> Result<AccessToken, TokenError> {
        let now = Instant::now();
        let Some(token) = self.get().filter(|token| now < token.expires_at) else {
            return self.replace(None, source).await;
        };
        if now < token.renew_at {
            return Ok(token);
        }
        // Another connection is renewing the token, or has just done so.
        let Ok(_renewal) = self.renewal.try_lock() else { return Ok(token) };
        let Some(token) = self.get().filter(|token| token.renew_at <= now) else {
            return Ok(self.get().unwrap_or(token));
        };
        Ok(match source.request().await {
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
        source: &impl TokenIssuer,
    ) -> Result<AccessToken, TokenError> {
        self.replace(Some(refused), source).await
    }

    /// Forgets a token that the target does not accept, so that the next one is requested.
    #[cfg(feature = "kafka")]
    pub(crate) fn forget(&self, refused: &AccessToken) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        drop(current.take_if(|token| token.authorization == refused.authorization));
    }

    async fn replace(
        &self,
        refused: Option<&AccessToken>,
        source: &impl TokenIssuer,
    ) -> Result<AccessToken, TokenError> {
        let _renewal = self.renewal.lock().await;
        let is_refused = |token: &AccessToken| {
            refused.is_some_and(|refused| refused.authorization == token.authorization)
        };
        let other = self.get().filter(|token| !is_refused(token));
        match other.filter(|token| Instant::now() < token.expires_at) {
            Some(token) => Ok(token),
            None => source.request().await.map(|token| self.set(token)),
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

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn token(text: &'static str, renewal: i64, expiry: i64) -> AccessToken {
        let now = Instant::now();
        let at = |seconds: i64| match u64::try_from(seconds) {
            Ok(seconds) => now + Duration::from_secs(seconds),
            Err(_) => now,
        };
        let authorization = HeaderValue::from_static(text);
        AccessToken { authorization, renew_at: at(renewal), expires_at: at(expiry) }
    }

    /// An issuer that refuses every request.
    struct Refusing;

    impl TokenIssuer for Refusing {
        async fn request(&self) -> Result<AccessToken, TokenError> {
            Err(TokenError::Refused { message: "no".to_owned() })
        }
    }

    #[tokio::test]
    async fn a_valid_token_stays_in_use_while_it_cannot_be_renewed() {
        let cache = TokenCache::default();
        cache.set(token("Bearer a", -1, 3600));
        for _ in 0..2 {
            let found = cache.token(&Refusing).await.expect("still valid");
            assert_eq!(found.authorization, "Bearer a");
            let next = cache.get().expect("a token").renew_at;
            assert!(next > Instant::now(), "it is not requested again at once");
        }
        cache.set(token("Bearer a", -1, -1));
        assert!(matches!(cache.token(&Refusing).await, Err(TokenError::Refused { .. })), "expired");
    }

    #[tokio::test]
    async fn a_refused_token_is_replaced_unless_another_one_is_there() {
        let cache = TokenCache::default();
        let refused = token("Bearer a", 3000, 3600);
        cache.set(refused.clone());
        assert!(cache.renewed(&refused, &Refusing).await.is_err(), "a request that fails");
        cache.set(token("Bearer b", 3000, 3600));
        let found = cache.renewed(&refused, &Refusing).await.expect("the other one");
        assert_eq!(found.authorization, "Bearer b");
    }

    #[cfg(feature = "kafka")]
    #[test]
    fn only_the_refused_token_is_forgotten() {
        let cache = TokenCache::default();
        let refused = token("Bearer a", 3000, 3600);
        cache.set(token("Bearer b", 3000, 3600));
        cache.forget(&refused);
        assert!(cache.get().is_some(), "another one");
        cache.set(refused.clone());
        cache.forget(&refused);
        assert!(cache.get().is_none());
    }
}

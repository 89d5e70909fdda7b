//! An access token with its lifetime, or the reason for its absence.

use std::time::Duration;

use http::HeaderValue;
use tokio::time::Instant;

use crate::http_client::{RequestError, secret_header};
use crate::secret::SecretError;

/// Longest time before its expiry at which a token is renewed.
const RENEWAL_MARGIN: Duration = Duration::from_mins(5);

/// Upper bound of a token's lifetime: no token is used longer, whatever its answer says.
const MAX_LIFETIME: Duration = Duration::from_hours(48);

/// Access token, as the header that carries it.
#[derive(Debug, Clone)]
pub(crate) struct AccessToken {
    /// Value of `Authorization`, marked sensitive.
    pub(crate) authorization: HeaderValue,
    /// Time from which a new token is requested.
    pub(crate) renew_at: Instant,
    /// Time from which the token is not used any more.
    pub(crate) expires_at: Instant,
}

impl AccessToken {
    /// Returns a bearer token that was requested at `sent_at`.
    ///
    /// # Errors
    /// Returns an error if a header cannot carry the token.
    pub(crate) fn new(
        token: &str,
        lifetime: Duration,
        sent_at: Instant,
    ) -> Result<AccessToken, RequestError> {
        let lifetime = lifetime.min(MAX_LIFETIME);
        Ok(AccessToken {
            authorization: secret_header(&format!("Bearer {token}"))?,
            // A token with a short life is renewed in the middle of it, not at once.
            renew_at: sent_at + lifetime.saturating_sub(RENEWAL_MARGIN).max(lifetime / 2),
            expires_at: sent_at + lifetime,
        })
    }

    /// Returns the token itself, for protocols without HTTP headers.
    #[cfg(feature = "kafka")]
    pub(crate) fn text(&self) -> &str {
        let header = self.authorization.to_str().unwrap_or_default();
        header.strip_prefix("Bearer ").unwrap_or_default()
    }

    /// Returns the time for which the token is still valid.
    #[cfg(feature = "kafka")]
    pub(crate) fn lifetime(&self) -> Duration {
        self.expires_at.saturating_duration_since(Instant::now())
    }
}

/// Reason why there is no token. The message holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TokenError {
    /// A later request may succeed.
    Unavailable {
        /// Message for operators.
        message: String,
        /// Waiting time that the issuer requests.
        after: Option<Duration>,
    },
    /// No request succeeds until an operator changes something.
    Refused {
        /// Message for operators.
        message: String,
    },
}

impl From<RequestError> for TokenError {
    fn from(error: RequestError) -> TokenError {
        let RequestError { message, is_permanent, .. } = error;
        let message = format!("no access token: {message}");
        match is_permanent {
            true => TokenError::Refused { message },
            false => TokenError::Unavailable { message, after: None },
        }
    }
}

impl From<SecretError> for TokenError {
    fn from(error: SecretError) -> TokenError {
        TokenError::Refused { message: format!("no access token: {error}") }
    }
}

//! Access tokens of Microsoft Entra ID, as the library asks for them.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use object_store::CredentialProvider;
use object_store::azure::AzureCredential;
use thiserror::Error;

use crate::azure::{EntraConfig, TokenClient};
use crate::http_client::HttpClientConfig;
use crate::oauth::{AccessToken, TokenCache, TokenError};
use crate::sinks::{Reason, Verdict};

/// Gives the library the current token of a sink, and remembers the reason if there is none.
#[derive(Debug)]
pub(super) struct EntraTokens {
    tokens: Arc<TokenCache>,
    client: TokenClient,
    state: Mutex<EntraTokenState>,
}

#[derive(Debug, Default)]
struct EntraTokenState {
    /// Token of the last request.
    used: Option<AccessToken>,
    /// True if the store has refused `used`.
    is_refused: bool,
    failure: Option<TokenError>,
}

/// Error for the library, which is never shown.
#[derive(Debug, Error)]
#[error("no access token")]
struct NoToken;

impl EntraTokens {
    /// Creates the provider. Opens no connection.
    ///
    /// # Errors
    /// Returns an error if a certificate or secret cannot be read.
    pub(super) fn open(
        entra: &EntraConfig,
        tokens: &Arc<TokenCache>,
        target: &HttpClientConfig,
    ) -> Result<EntraTokens, Reason> {
        let client = TokenClient::open(entra, target)?;
        Ok(EntraTokens { tokens: Arc::clone(tokens), client, state: Mutex::default() })
    }

    /// Notes that the store has refused the last token. The next request is made with another one.
    pub(super) fn refuse(&self) {
        self.state().is_refused = true;
    }

    /// Returns the verdict that follows from a missing token, once.
    pub(super) fn take_failure(&self) -> Option<Verdict> {
        self.state().failure.take().map(Verdict::from)
    }

    async fn token(&self) -> Result<AzureCredential, TokenError> {
        let refused = {
            let mut state = self.state();
            let is_refused = std::mem::take(&mut state.is_refused);
            state.used.take().filter(|_| is_refused)
        };
        let token = match refused {
            Some(refused) => self.tokens.renewed(&refused, &self.client).await?,
            None => self.tokens.token(&self.client).await?,
        };
        let text = token.authorization.to_str().unwrap_or_default();
        let bearer = text.strip_prefix("Bearer ").unwrap_or(text).to_owned();
        self.state().used = Some(token);
        Ok(AzureCredential::BearerToken(bearer))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, EntraTokenState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CredentialProvider for EntraTokens {
    type Credential = AzureCredential;

    fn get_credential<'s, 'f>(&'s self) -> BoxFuture<'f, object_store::Result<Arc<AzureCredential>>>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(async {
            match self.token().await {
                Ok(credential) => Ok(Arc::new(credential)),
                Err(error) => {
                    self.state().failure = Some(error);
                    let source = Box::new(NoToken);
                    Err(object_store::Error::Generic { store: "Microsoft Entra ID", source })
                }
            }
        })
    }
}

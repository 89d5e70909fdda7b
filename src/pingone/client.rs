//! Requests to PingOne's API: with a token, one after the other, at a limited rate, with retries.

use std::time::Duration;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use thiserror::Error;
use tokio::time::{Instant, sleep, sleep_until};

use super::config::PingOneConfig;
use super::page::Page;
use super::token::{self, CredentialPosition, TokenVerdict};
use super::verdict::{AnswerVerdict, verdict, wait};
use crate::http_client::{Answer, HttpClient, HttpClientConfig, RequestError, below};

/// Attempts of one request that PingOne answers with an error.
const MAX_ATTEMPTS: u32 = 8;

/// Attempts of one request without an answer.
const MAX_UNANSWERED: u32 = 4;

/// Reason why PingOne's API gives no answer. No message holds a secret or a text of PingOne.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum PingOneError {
    /// No token is issued.
    #[error("{0}")]
    Credentials(String),
    /// The worker application may not read the object.
    #[error("{0}")]
    Forbidden(String),
    /// The environment does not have the object.
    #[error("{0}")]
    Unsupported(String),
    /// A later request may succeed.
    #[error("{0}")]
    Unavailable(String),
    /// The answer is not the documented one.
    #[error("{0}")]
    Unexpected(String),
}

impl PingOneError {
    /// Returns the error of a request without an answer.
    pub(super) fn unreachable(error: &RequestError) -> PingOneError {
        PingOneError::Unavailable(format!("PingOne cannot be reached: {error}"))
    }
}

/// Client of one environment.
#[derive(Debug)]
pub(crate) struct PingOneClient {
    config: PingOneConfig,
    auth: HttpClient,
    /// Position of the credentials that the application accepts, as far as known.
    position: CredentialPosition,
    session: Option<ApiSession>,
    /// Earliest start of the next request.
    next: Instant,
    /// True if no request is repeated.
    is_impatient: bool,
}

/// Client with a token.
#[derive(Debug)]
struct ApiSession {
    http: HttpClient,
    renew_at: Instant,
}

impl PingOneClient {
    /// Creates a client. Opens no connection.
    ///
    /// # Errors
    /// A certificate or secret cannot be read.
    pub(crate) fn open(config: &PingOneConfig) -> Result<PingOneClient, RequestError> {
        let settings = HttpClientConfig { url: config.auth_url.clone(), ..config.api.clone() };
        Ok(PingOneClient {
            auth: HttpClient::open(&settings, HeaderMap::new())?,
            config: config.clone(),
            position: CredentialPosition::Header,
            session: None,
            next: Instant::now(),
            is_impatient: false,
        })
    }

    /// Returns the same client, which repeats no request.
    pub(crate) fn impatient(self) -> PingOneClient {
        PingOneClient { is_impatient: true, ..self }
    }

    /// Reads one page of the list `name` at `path` below the environment.
    ///
    /// # Errors
    /// See [`PingOneError`].
    pub(crate) async fn page(
        &mut self,
        path: &str,
        query: &str,
        name: &str,
    ) -> Result<Page, PingOneError> {
        let body = self.get(path, query, name).await?;
        Page::read(&body, name).ok_or_else(|| {
            PingOneError::Unexpected(format!("PingOne's answer is no list of {name}"))
        })
    }

    async fn get(
        &mut self,
        path: &str,
        query: &str,
        object: &str,
    ) -> Result<Vec<u8>, PingOneError> {
        let path = format!("/v1/environments/{}{path}", self.config.environment);
        let mut url = below(&self.config.api.url, &path);
        url.set_query(Some(query).filter(|query| !query.is_empty()));
        let mut is_renewed = false;
        let mut attempt = 0;
        loop {
            self.turn().await;
            let answer = self.session().await?.http.get(&url).await;
            let most = if answer.is_ok() { MAX_ATTEMPTS } else { MAX_UNANSWERED };
            let (pause, error) = match answer.map(|answer| judged(answer, object, attempt)) {
                Ok((AnswerVerdict::Success, body)) => return Ok(body),
                Ok((AnswerVerdict::RenewToken, _)) if !is_renewed => {
                    is_renewed = true;
                    self.session = None;
                    continue;
                }
                Ok((AnswerVerdict::RenewToken, _)) => {
                    return Err(PingOneError::Forbidden(format!(
                        "PingOne refuses a new access token in the request for {object}: correct pingone.region"
                    )));
                }
                Ok((AnswerVerdict::Retry(pause, error), _)) => (pause, error),
                Ok((AnswerVerdict::Failed(error), _)) => return Err(error),
                Err(error) if error.is_permanent => {
                    return Err(PingOneError::unreachable(&error));
                }
                Err(error) => (wait(None, attempt), PingOneError::unreachable(&error)),
            };
            attempt = self.next_attempt(attempt, most, error)?;
            sleep(pause).await;
        }
    }

    /// Returns the client with a valid token.
    async fn session(&mut self) -> Result<&ApiSession, PingOneError> {
        let is_valid = |session: &ApiSession| Instant::now() < session.renew_at;
        if !self.session.as_ref().is_some_and(is_valid) {
            self.session = Some(self.begin_session().await?);
        }
        // Set above.
        self.session.as_ref().ok_or_else(|| PingOneError::Unexpected("no token".to_owned()))
    }

    async fn begin_session(&mut self) -> Result<ApiSession, PingOneError> {
        let mut other = Some(CredentialPosition::Body).filter(|other| *other != self.position);
        let mut attempt = 0;
        loop {
            self.turn().await;
            match token::request(&self.auth, &self.config, self.position, attempt).await? {
                TokenVerdict::Issued(token) => {
                    let headers = HeaderMap::from_iter([(AUTHORIZATION, token.authorization)]);
                    let http = HttpClient::open(&self.config.api, headers)
                        .map_err(|error| PingOneError::unreachable(&error))?;
                    return Ok(ApiSession { http, renew_at: token.renew_at });
                }
                TokenVerdict::InvalidClient => match other.take() {
                    Some(other) => self.position = other,
                    None => {
                        return Err(PingOneError::Credentials(
                            "PingOne refuses the worker application's credentials: correct pingone.client_id and \
                             pingone.client_secret"
                                .to_owned(),
                        ));
                    }
                },
                TokenVerdict::Retry(pause, error) => {
                    attempt = self.next_attempt(attempt, MAX_UNANSWERED, error)?;
                    sleep(pause).await;
                }
                TokenVerdict::Failed(error) => return Err(error),
            }
        }
    }

    /// Waits until the next request may start.
    async fn turn(&mut self) {
        sleep_until(self.next).await;
        self.next = following(self.next, Instant::now(), self.config.request_interval);
    }

    /// Returns the number of the next attempt, or the error after the last one of `most`.
    fn next_attempt(
        &self,
        attempt: u32,
        most: u32,
        error: PingOneError,
    ) -> Result<u32, PingOneError> {
        match attempt + 1 < most && !self.is_impatient {
            true => Ok(attempt + 1),
            false => Err(error),
        }
    }
}

fn judged(answer: Answer, object: &str, attempt: u32) -> (AnswerVerdict, Vec<u8>) {
    (verdict(&answer, object, attempt), answer.body)
}

/// Returns the earliest start of the request after one that starts at `now`. Time without requests is not made up.
fn following(due: Instant, now: Instant, interval: Duration) -> Instant {
    due.max(now) + interval
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn requests_keep_their_distance_and_no_pause_is_made_up() {
        let (start, interval) = (Instant::now(), Duration::from_millis(286));
        let at = |millis: u64| start + Duration::from_millis(millis);
        // The request starts late, on time, or after a long pause.
        for (due, now, next) in [(0, 10, 296), (286, 286, 572), (286, 9000, 9286)] {
            assert_eq!(following(at(due), at(now), interval), at(next));
        }
    }
}

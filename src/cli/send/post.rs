//! Posts one batch until the answer is 200, and sums up all answers.

use std::fmt;
use std::io::Write;
use std::time::{Duration, Instant};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{StatusCode, header};
use serde::{Deserialize, Serialize};
use url::Url;

use super::super::CommandFailure;
use super::super::output::{count, rate, safe};
use super::SendArguments;
use crate::deliver::Backoff;
use crate::error_chain::{connection_failure, io_message, is_permanent};
use crate::http_client::peer;
use crate::tls::{self, TlsConfig};

/// Timeout of one attempt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(60);

const MIN_BACKOFF: Duration = Duration::from_millis(250);
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// Default of `--give-up-after`, longer than a restart of the service.
const GIVE_UP_AFTER: Duration = Duration::from_mins(5);

pub(super) struct WebhookClient {
    client: reqwest::Client,
    url: Url,
    /// URL without query and credentials, for messages.
    target: String,
    /// Host and port.
    peer: String,
    headers: HeaderMap,
    basic: Option<(String, String)>,
    gzip: bool,
    is_like_pingone: bool,
    give_up_after: Option<Duration>,
}

/// Body of a 200.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(super) struct PostAnswer {
    accepted: u64,
    duplicates: u64,
    quarantined: u64,
}

/// Result of one batch.
#[derive(Debug)]
pub(super) struct PostOutcome {
    pub(super) end: PostEnd,
    retries: u64,
}

/// End of the attempts at one batch.
#[derive(Debug)]
pub(super) enum PostEnd {
    /// Answered with 200.
    Accepted(PostAnswer),
    /// Given up after `give_up_after`, with the last failure.
    GivenUp(String),
    /// Failed for a reason that concerns every batch and that no retry can change.
    Permanent(String),
}

/// Failure of one attempt.
enum AttemptError {
    /// A retry may succeed, after this time if the service sent `Retry-After`.
    Transient(String, Option<Duration>),
    /// A retry fails until an operator acts.
    Permanent(String),
}

impl WebhookClient {
    pub(super) fn new(arguments: &SendArguments) -> Result<WebhookClient, CommandFailure> {
        let usage = |message: String| CommandFailure::Usage(format!("davinci-siem: {message}"));
        let url = webhook(&arguments.url).map_err(usage)?;
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if arguments.gzip {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        if let Some(name) = &arguments.header {
            let value = secret("header", &arguments.header_file, &arguments.header_env)?;
            let name: HeaderName =
                name.parse().map_err(|_| usage(format!("{name:?} is not a header name")))?;
            let mut value = HeaderValue::from_str(&value)
                .map_err(|_| usage(format!("the value for {name} cannot be sent in a header")))?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let basic = match &arguments.user {
            Some(user) => Some((
                user.clone(),
                secret("password", &arguments.password_file, &arguments.password_env)?,
            )),
            None => None,
        };
        let mut builder = reqwest::Client::builder()
            .timeout(ATTEMPT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none());
        if url.scheme() == "https" {
            let settings = TlsConfig { ca: arguments.cacert.clone(), certificate: None };
            let mut tls = tls::client_config(&settings)
                .map_err(|error| usage(format!("{error} (--cacert names a CA file)")))?;
            tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            builder = builder.tls_backend_preconfigured(tls);
        } else {
            builder = builder.tls_certs_only([]);
        }
        let given = arguments.give_up_after.map(Into::into);
        let is_like_pingone = arguments.like_pingone;
        let peer = peer(&url);
        Ok(WebhookClient {
            client: builder.build()?,
            target: format!("{}://{peer}{}", url.scheme(), url.path()),
            peer,
            url,
            headers,
            basic,
            gzip: arguments.gzip,
            is_like_pingone,
            give_up_after: given.or((!is_like_pingone).then_some(GIVE_UP_AFTER)),
        })
    }

    /// Posts a body, the same bytes each time, until the answer is 200. Calls `on_failure` before each retry with the
    /// reason, the number of attempts so far, and the wait.
    pub(super) async fn post(
        &self,
        body: &Bytes,
        on_failure: impl Fn(&str, u32, Duration),
    ) -> PostOutcome {
        let started = Instant::now();
        let body = if self.gzip { compressed(body) } else { body.clone() };
        let mut backoff = Backoff::new(MIN_BACKOFF, MAX_BACKOFF);
        loop {
            let retries = backoff.attempts().into();
            let (failure, requested) = match self.attempt(body.clone()).await {
                Ok(answer) => return PostOutcome { end: PostEnd::Accepted(answer), retries },
                Err(AttemptError::Permanent(failure)) if !self.is_like_pingone => {
                    return PostOutcome { end: PostEnd::Permanent(failure), retries };
                }
                Err(AttemptError::Permanent(failure)) => (failure, None),
                Err(AttemptError::Transient(failure, requested)) => (failure, requested),
            };
            let wait = backoff.next_wait(requested, &mut rand::rng());
            if self.give_up_after.is_some_and(|limit| started.elapsed() + wait > limit) {
                return PostOutcome { end: PostEnd::GivenUp(failure), retries };
            }
            on_failure(&failure, backoff.attempts(), wait);
            tokio::time::sleep(wait).await;
        }
    }

    async fn attempt(&self, body: Bytes) -> Result<PostAnswer, AttemptError> {
        let mut request =
            self.client.post(self.url.clone()).headers(self.headers.clone()).body(body);
        if let Some((user, password)) = &self.basic {
            request = request.basic_auth(user, Some(password));
        }
        let target = &self.target;
        let response = request.send().await.map_err(|error| self.unreachable(error))?;
        let status = response.status();
        let requested = response
            .headers()
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(Duration::from_secs);
        if status == StatusCode::OK {
            let text = response.bytes().await.map_err(|error| self.unreachable(error))?;
            return serde_json::from_slice(&text).map_err(|_| {
                AttemptError::Permanent(format!(
                    "{target} answered 200, but is not davinci-siem; correct --url"
                ))
            });
        }
        let text = response.text().await.unwrap_or_default();
        let text: String = text.trim_end().chars().take(200).collect();
        let failure = format!("{target} answered {status}: {}", safe(&text));
        match advice(status) {
            Some(advice) => Err(AttemptError::Permanent(format!("{failure}. {advice}"))),
            None => Err(AttemptError::Transient(failure, requested)),
        }
    }

    fn unreachable(&self, error: reqwest::Error) -> AttemptError {
        let error = error.without_url();
        let failure = connection_failure(&error, &self.peer);
        let failure = format!("{} cannot be reached: {failure}", self.target);
        if !is_permanent(&error) {
            return AttemptError::Transient(failure, None);
        }
        let advice = match failure.contains("an authority that is not trusted") {
            true => ". Give the CA's certificate with --cacert FILE",
            false => ". Correct --url",
        };
        AttemptError::Permanent(failure + advice)
    }
}

/// Returns advice for a status that no retry can change; `None` if a retry may succeed.
fn advice(status: StatusCode) -> Option<&'static str> {
    Some(match status.as_u16() {
        300..=399 => "Redirects are not followed: give the final URL with --url",
        401 => {
            "Give the credentials with --user and --password-file, or --header and --header-file"
        }
        403 => "This address or client is not allowed: see allow_from and client_ca of the service",
        404 => "No source has this path: correct --url",
        405 => "The path does not accept POST: correct --url",
        413 => "The body is too large: send fewer events with --batch",
        408 | 425 | 429 => return None,
        400..=499 | 501 | 505 => "A retry would fail too",
        _ => return None,
    })
}

/// Parses the URL of a webhook. A malformed one is not quoted in full, because it may contain credentials.
fn webhook(text: &str) -> Result<Url, String> {
    let is_http = |url: &Url| matches!(url.scheme(), "http" | "https");
    let url = Url::parse(text).ok().filter(is_http);
    let example = || {
        let host = text.split(['?', '#']).next().unwrap_or_default();
        let host = host.rsplit('@').next().unwrap_or_default();
        let host = host.split_once("://").map_or(host, |(_, rest)| rest).trim_start_matches('/');
        let path = if host.contains('/') { "" } else { "/webhooks/pingone" };
        let is_named = !host.is_empty() && !host.starts_with('/');
        is_named.then(|| Url::parse(&format!("http://{host}{path}")).ok()).flatten()
    };
    url.ok_or_else(|| match example() {
        Some(example) => format!("--url is not an http:// or https:// URL; give {example}"),
        None => "--url is not an http:// or https:// URL; give for example \
                 http://127.0.0.1:8080/webhooks/pingone"
            .to_owned(),
    })
}

fn compressed(body: &Bytes) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let written = encoder.write_all(body).and_then(|()| encoder.finish());
    // Writing to memory does not fail.
    Bytes::from(written.unwrap_or_default())
}

fn secret(
    what: &str,
    file: &Option<std::path::PathBuf>,
    variable: &Option<String>,
) -> Result<String, CommandFailure> {
    if let Some(path) = file {
        let text = std::fs::read_to_string(path).map_err(|error| {
            CommandFailure::Failed(format!(
                "{} cannot be read: {}",
                path.display(),
                io_message(&error)
            ))
        })?;
        return Ok(text.trim_end_matches(['\r', '\n']).to_owned());
    }
    let usage = |message: String| CommandFailure::Usage(format!("davinci-siem: {message}"));
    let name =
        variable.as_ref().ok_or_else(|| usage(format!("give --{what}-file or --{what}-env")))?;
    std::env::var(name).map_err(|_| usage(format!("the variable {name} is not set")))
}

/// Sum of all answers.
#[derive(Debug, Default, Serialize)]
pub(super) struct SendSummary {
    pub(super) batches: u64,
    pub(super) events: u64,
    pub(super) accepted: u64,
    pub(super) duplicates: u64,
    pub(super) quarantined: u64,
    pub(super) retries: u64,
    pub(super) given_up: u64,
    pub(super) seconds: f64,
    pub(super) events_per_second: f64,
}

impl SendSummary {
    pub(super) fn add(&mut self, outcome: &PostOutcome, events: u64) {
        self.batches += 1;
        self.events += events;
        self.retries += outcome.retries;
        match outcome.end {
            PostEnd::Accepted(answer) => {
                self.accepted += answer.accepted;
                self.duplicates += answer.duplicates;
                self.quarantined += answer.quarantined;
            }
            PostEnd::GivenUp(_) | PostEnd::Permanent(_) => self.given_up += 1,
        }
    }

    pub(super) fn finish(&mut self, elapsed: Duration) {
        self.seconds = elapsed.as_secs_f64();
        self.events_per_second = self.events as f64 / self.seconds.max(f64::EPSILON);
    }
}

impl fmt::Display for SendSummary {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SendSummary { accepted, duplicates, quarantined, retries, .. } = self;
        write!(
            out,
            "{} in {}: {accepted} accepted, {}, {quarantined} quarantined; {}; {:.1} s, {}",
            count(self.events, "event"),
            count(self.batches, "batch"),
            count(*duplicates, "duplicate"),
            count(*retries, "retry"),
            self.seconds,
            rate(self.events_per_second)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_malformed_url_is_answered_with_a_suggestion() {
        for (text, written) in [
            ("localhost:8080", "give http://localhost:8080/webhooks/pingone"),
            ("localhost:8080/hook", "give http://localhost:8080/hook"),
            ("ftp://siem/hook", "give http://siem/hook"),
            ("//siem:1", "give http://siem:1/webhooks/pingone"),
            ("", "give for example http://127.0.0.1:8080/webhooks/pingone"),
            ("http://", "give for example http://127.0.0.1:8080/webhooks/pingone"),
            ("me:canary@siem?key=canary", "give http://siem/webhooks/pingone"),
        ] {
            let message = webhook(text).expect_err(text);
            assert!(message.ends_with(written) && !message.contains("canary"), "{message}");
        }
        assert!(webhook("https://siem/hook").is_ok());
    }

    #[test]
    fn only_transient_failures_are_retried() {
        let permanent = |code: u16| advice(StatusCode::from_u16(code).expect("a status")).is_some();
        for code in [301, 307, 400, 401, 403, 404, 405, 411, 413, 415, 421, 501, 505] {
            assert!(permanent(code), "{code}");
        }
        for code in [408, 425, 429, 500, 502, 503, 504, 204] {
            assert!(!permanent(code), "{code}");
        }
    }
}

//! One batch to the service, until it is answered with 200; and the sum of all answers.

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

use super::super::Failure;
use super::super::output::{count, rate, safe};
use super::Arguments;
use crate::deliver::Backoff;
use crate::error_chain::{connection_failure, io_message, is_permanent};
use crate::http_client::peer;
use crate::tls::{self, Tls};

/// How long one attempt may take.
const PATIENCE: Duration = Duration::from_secs(60);

const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How long a batch is repeated, unless it is told otherwise or acts like PingOne: a service that starts has
/// answered by then.
const GIVE_UP_AFTER: Duration = Duration::from_mins(5);

pub(super) struct Client {
    client: reqwest::Client,
    url: Url,
    /// Of the URL, what may be shown.
    target: String,
    /// Host and port.
    peer: String,
    headers: HeaderMap,
    basic: Option<(String, String)>,
    gzip: bool,
    is_like_pingone: bool,
    give_up_after: Option<Duration>,
}

/// What a 200 says.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(super) struct Answer {
    accepted: u64,
    duplicates: u64,
    quarantined: u64,
}

/// What became of one batch.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) end: End,
    repetitions: u64,
}

/// How the attempts at one batch ended.
#[derive(Debug)]
pub(super) enum End {
    /// It was answered with 200.
    Taken(Answer),
    /// The time for it was over; the last failure.
    GivenUp(String),
    /// No repetition would end otherwise, for any batch.
    Hopeless(String),
}

/// Why an attempt failed.
enum Failed {
    /// Another may succeed, after so long if the service said so.
    Transient(String, Option<Duration>),
    /// Somebody has to change something first.
    Permanent(String),
}

impl Client {
    pub(super) fn new(arguments: &Arguments) -> Result<Client, Failure> {
        let usage = |message: String| Failure::Usage(format!("davinci-siem: {message}"));
        let url = webhook(&arguments.url).map_err(usage)?;
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if arguments.gzip {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        if let Some(name) = &arguments.header {
            let value = secret("header", &arguments.header_file, &arguments.header_env)?;
            let name: HeaderName =
                name.parse().map_err(|_| usage(format!("{name:?} is no header name")))?;
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
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none());
        if url.scheme() == "https" {
            let settings = Tls { ca: arguments.cacert.clone(), certificate: None };
            let mut tls = tls::client_config(&settings)
                .map_err(|error| usage(format!("{error} (an authority is named with --cacert)")))?;
            tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            builder = builder.tls_backend_preconfigured(tls);
        } else {
            builder = builder.tls_certs_only([]);
        }
        let given = arguments.give_up_after.map(Into::into);
        let is_like_pingone = arguments.like_pingone;
        let peer = peer(&url);
        Ok(Client {
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

    /// Posts a body, the same bytes each time, until it is answered with 200. `on_failure` is told
    /// why it has to be repeated, how often it was tried, and when it is tried next.
    pub(super) async fn post(
        &self,
        body: &Bytes,
        on_failure: impl Fn(&str, u32, Duration),
    ) -> Outcome {
        let begun = Instant::now();
        let body = if self.gzip { compressed(body) } else { body.clone() };
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        loop {
            let repetitions = backoff.attempts().into();
            let (failure, asked) = match self.attempt(body.clone()).await {
                Ok(answer) => return Outcome { end: End::Taken(answer), repetitions },
                Err(Failed::Permanent(failure)) if !self.is_like_pingone => {
                    return Outcome { end: End::Hopeless(failure), repetitions };
                }
                Err(Failed::Permanent(failure)) => (failure, None),
                Err(Failed::Transient(failure, asked)) => (failure, asked),
            };
            let wait = backoff.next_wait(asked, &mut rand::rng());
            if self.give_up_after.is_some_and(|limit| begun.elapsed() + wait > limit) {
                return Outcome { end: End::GivenUp(failure), repetitions };
            }
            on_failure(&failure, backoff.attempts(), wait);
            tokio::time::sleep(wait).await;
        }
    }

    async fn attempt(&self, body: Bytes) -> Result<Answer, Failed> {
        let mut request =
            self.client.post(self.url.clone()).headers(self.headers.clone()).body(body);
        if let Some((user, password)) = &self.basic {
            request = request.basic_auth(user, Some(password));
        }
        let target = &self.target;
        let response = request.send().await.map_err(|error| self.unreachable(error))?;
        let status = response.status();
        let asked = response
            .headers()
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(Duration::from_secs);
        if status == StatusCode::OK {
            let text = response.bytes().await.map_err(|error| self.unreachable(error))?;
            return serde_json::from_slice(&text).map_err(|_| {
                Failed::Permanent(format!(
                    "{target} answered 200, but not as davinci-siem does; correct --url"
                ))
            });
        }
        let text = response.text().await.unwrap_or_default();
        let text: String = text.trim_end().chars().take(200).collect();
        let failure = format!("{target} answered {status}: {}", safe(&text));
        match advice(status) {
            Some(advice) => Err(Failed::Permanent(format!("{failure}. {advice}"))),
            None => Err(Failed::Transient(failure, asked)),
        }
    }

    fn unreachable(&self, error: reqwest::Error) -> Failed {
        let error = error.without_url();
        let failure = connection_failure(&error, &self.peer);
        let failure = format!("{} cannot be reached: {failure}", self.target);
        if !is_permanent(&error) {
            return Failed::Transient(failure, None);
        }
        let advice = match failure.contains("an authority that is not trusted") {
            true => ". Name the authority's certificate with --cacert FILE",
            false => ". Correct --url",
        };
        Failed::Permanent(failure + advice)
    }
}

/// What to do about a status that a repetition meets again; `None` where a later one may succeed.
fn advice(status: StatusCode) -> Option<&'static str> {
    Some(match status.as_u16() {
        300..=399 => "It redirects, which is not followed: give the final URL with --url",
        401 => {
            "Give the credentials with --user and --password-file, or --header and --header-file"
        }
        403 => "This address or client may not send: see allow_from and client_ca of the service",
        404 => "No source has this path: correct --url",
        405 => "Nothing takes POST requests there: correct --url",
        413 => "The body is too large: send fewer events with --batch",
        408 | 425 | 429 => return None,
        400..=499 | 501 | 505 => "A repetition would be answered likewise",
        _ => return None,
    })
}

/// The URL of a webhook. A text that is none is not repeated in full: it may hold credentials.
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
        Some(example) => format!("--url is no URL with http:// or https://; write {example}"),
        None => "--url is no URL with http:// or https://; write for example \
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
) -> Result<String, Failure> {
    if let Some(path) = file {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Failure::Failed(format!("{} cannot be read: {}", path.display(), io_message(&error)))
        })?;
        return Ok(text.trim_end_matches(['\r', '\n']).to_owned());
    }
    let usage = |message: String| Failure::Usage(format!("davinci-siem: {message}"));
    let name =
        variable.as_ref().ok_or_else(|| usage(format!("give --{what}-file or --{what}-env")))?;
    std::env::var(name).map_err(|_| usage(format!("the variable {name} is not set")))
}

/// The sum of all answers.
#[derive(Debug, Default, Serialize)]
pub(super) struct Summary {
    pub(super) batches: u64,
    pub(super) events: u64,
    pub(super) accepted: u64,
    pub(super) duplicates: u64,
    pub(super) quarantined: u64,
    pub(super) repetitions: u64,
    pub(super) given_up: u64,
    pub(super) seconds: f64,
    pub(super) events_per_second: f64,
}

impl Summary {
    pub(super) fn add(&mut self, outcome: &Outcome, events: u64) {
        self.batches += 1;
        self.events += events;
        self.repetitions += outcome.repetitions;
        match outcome.end {
            End::Taken(answer) => {
                self.accepted += answer.accepted;
                self.duplicates += answer.duplicates;
                self.quarantined += answer.quarantined;
            }
            End::GivenUp(_) | End::Hopeless(_) => self.given_up += 1,
        }
    }

    pub(super) fn finish(&mut self, elapsed: Duration) {
        self.seconds = elapsed.as_secs_f64();
        self.events_per_second = self.events as f64 / self.seconds.max(f64::EPSILON);
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { accepted, duplicates, quarantined, repetitions, .. } = self;
        write!(
            out,
            "{} in {}: {accepted} accepted, {}, {quarantined} quarantined; {}; {:.1} s, {}",
            count(self.events, "event"),
            count(self.batches, "batch"),
            count(*duplicates, "duplicate"),
            count(*repetitions, "repetition"),
            self.seconds,
            rate(self.events_per_second)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_is_none_is_answered_with_one() {
        for (text, written) in [
            ("localhost:8080", "write http://localhost:8080/webhooks/pingone"),
            ("localhost:8080/hook", "write http://localhost:8080/hook"),
            ("ftp://siem/hook", "write http://siem/hook"),
            ("//siem:1", "write http://siem:1/webhooks/pingone"),
            ("", "write for example http://127.0.0.1:8080/webhooks/pingone"),
            ("http://", "write for example http://127.0.0.1:8080/webhooks/pingone"),
            ("me:canary@siem?key=canary", "write http://siem/webhooks/pingone"),
        ] {
            let message = webhook(text).expect_err(text);
            assert!(message.ends_with(written) && !message.contains("canary"), "{message}");
        }
        assert!(webhook("https://siem/hook").is_ok());
    }

    #[test]
    fn only_what_may_change_by_itself_is_repeated() {
        let permanent = |code: u16| advice(StatusCode::from_u16(code).expect("a status")).is_some();
        for code in [301, 307, 400, 401, 403, 404, 405, 411, 413, 415, 421, 501, 505] {
            assert!(permanent(code), "{code}");
        }
        for code in [408, 425, 429, 500, 502, 503, 504, 204] {
            assert!(!permanent(code), "{code}");
        }
    }
}

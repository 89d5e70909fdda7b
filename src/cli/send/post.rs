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

use super::super::{Failure, with_causes};
use super::Arguments;
use crate::deliver::Backoff;

/// How long one attempt may take.
const PATIENCE: Duration = Duration::from_secs(60);

const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

pub(super) struct Client {
    client: reqwest::Client,
    url: String,
    headers: HeaderMap,
    basic: Option<(String, String)>,
    gzip: bool,
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
    /// `None` when it was given up.
    answer: Option<Answer>,
    repetitions: u64,
}

impl Client {
    pub(super) fn new(arguments: &Arguments) -> Result<Client, Failure> {
        let usage = |message: String| Failure::Usage(format!("davinci-siem: {message}"));
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
        Ok(Client {
            client: reqwest::Client::builder()
                .timeout(PATIENCE)
                .redirect(reqwest::redirect::Policy::none())
                .build()?,
            url: arguments.url.clone(),
            headers,
            basic,
            gzip: arguments.gzip,
            give_up_after: arguments.give_up_after.map(Into::into),
        })
    }

    /// Posts a body, the same bytes each time, until it is answered with 200. `on_failure` is told
    /// why it has to be repeated, and when.
    pub(super) async fn post(&self, body: &Bytes, on_failure: impl Fn(&str, Duration)) -> Outcome {
        let begun = Instant::now();
        let body = if self.gzip { compressed(body) } else { body.clone() };
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        loop {
            let (failure, asked) = match self.attempt(body.clone()).await {
                Ok(answer) => {
                    return Outcome {
                        answer: Some(answer),
                        repetitions: backoff.attempts().into(),
                    };
                }
                Err(failure) => failure,
            };
            let wait = backoff.next_wait(asked, &mut rand::rng());
            if self.give_up_after.is_some_and(|limit| begun.elapsed() + wait > limit) {
                eprintln!("gave up: {failure}");
                return Outcome { answer: None, repetitions: backoff.attempts().into() };
            }
            on_failure(&failure, wait);
            tokio::time::sleep(wait).await;
        }
    }

    async fn attempt(&self, body: Bytes) -> Result<Answer, (String, Option<Duration>)> {
        let mut request = self.client.post(&self.url).headers(self.headers.clone()).body(body);
        if let Some((user, password)) = &self.basic {
            request = request.basic_auth(user, Some(password));
        }
        let url = &self.url;
        let unreachable = |error: reqwest::Error| {
            (format!("{url} cannot be reached: {}", with_causes(&error)), None)
        };
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        if status == StatusCode::OK {
            return response.json().await.map_err(|error| {
                (format!("{url} answered 200, but not as davinci-siem does: {error}"), None)
            });
        }
        let asked = response
            .headers()
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        let text = response.text().await.unwrap_or_default();
        let text: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
        Err((format!("{url} answered {status}: {text}"), asked.map(Duration::from_secs)))
    }
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
            Failure::Failed(format!("{} cannot be read: {error}", path.display()))
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
        match outcome.answer {
            Some(answer) => {
                self.accepted += answer.accepted;
                self.duplicates += answer.duplicates;
                self.quarantined += answer.quarantined;
            }
            None => self.given_up += 1,
        }
    }

    pub(super) fn finish(&mut self, elapsed: Duration) {
        self.seconds = elapsed.as_secs_f64();
        self.events_per_second = self.events as f64 / self.seconds.max(f64::EPSILON);
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { batches, events, accepted, duplicates, quarantined, .. } = self;
        write!(
            out,
            "{events} events in {batches} batches: {accepted} accepted, {duplicates} duplicates, \
             {quarantined} quarantined; {} repetitions; {:.1} s, {:.0} events/s",
            self.repetitions, self.seconds, self.events_per_second
        )
    }
}

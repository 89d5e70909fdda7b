//! `datadog`: the logs intake of Datadog.
//!
//! A request is a JSON array of logs. Datadog accepts or refuses it as a whole and recognises no repetition:
//! `event_uid` is the same in each copy of an event.

mod answer;
mod config;
mod encode;

use std::path::PathBuf;

use chrono::{DateTime, TimeDelta, Utc};
use http::{HeaderMap, HeaderName};
use url::Url;

use super::{
    BatchDefaults, Deliver, Item, Reason, Rendered, Report, SinkFinding, SinkType, Verdict,
};
use crate::format::Format;
use crate::http_client::{HttpClient, HttpClientConfig, below, secret_header};
use crate::settings::Section;
pub(crate) use config::DatadogSinkConfig;

/// Age of an event above which it is sent without its time, and distance into the future. Datadog accepts times of the
/// last 18 hours, and up to two hours ahead; one hour is left for the way and for clocks that differ.
/// <https://docs.datadoghq.com/api/latest/logs/#send-logs>
const MAX_AGE: TimeDelta = TimeDelta::hours(17);
const MAX_AHEAD: TimeDelta = TimeDelta::hours(1);

const API_KEY: HeaderName = HeaderName::from_static("dd-api-key");

impl SinkType for DatadogSinkConfig {
    const NAME: &'static str = "datadog";
    // Datadog accepts 1000 logs and 5 MB in a request, before compression.
    // https://docs.datadoghq.com/api/latest/logs/#send-logs
    const BATCH: BatchDefaults = BatchDefaults { events: "1000", bytes: "4 MB" };
    const IS_ORDERED: bool = false;

    type Sink = Datadog;

    fn read(section: &mut Section<'_>, format: Format) -> Option<DatadogSinkConfig> {
        config::read(section, format)
    }

    fn files(&self) -> Vec<PathBuf> {
        let key = self.api_key.file().map(PathBuf::from);
        self.client.files().into_iter().chain(key).collect()
    }

    fn target(&self) -> String {
        format!("{}, {}", self.client.origin(), self.service)
    }

    fn encode(&self, rendered: Rendered<'_>) -> Result<(Vec<u8>, Option<SinkFinding>), Reason> {
        Ok(encode::encode(self, rendered))
    }

    fn open(&self) -> Result<Datadog, Reason> {
        Datadog::open(self)
    }
}

/// A target of `type = "datadog"`.
#[derive(Debug)]
pub(crate) struct Datadog {
    requests: HttpClient,
    intake: Url,
    /// The validation of a key is at another host.
    api: HttpClient,
    validation: Url,
    is_own_endpoint: bool,
}

impl Datadog {
    pub(super) fn open(settings: &DatadogSinkConfig) -> Result<Datadog, Reason> {
        let key = settings.api_key.reread()?;
        let headers = HeaderMap::from_iter([(API_KEY, secret_header(key.expose())?)]);
        let api = HttpClientConfig { url: settings.validation.clone(), ..settings.client.clone() };
        Ok(Datadog {
            requests: HttpClient::open(&settings.client, headers.clone())?,
            intake: below(&settings.client.url, "/api/v2/logs"),
            api: HttpClient::open(&api, headers)?,
            validation: settings.validation.clone(),
            is_own_endpoint: settings.is_own_endpoint,
        })
    }
}

/// Returns true if Datadog would not keep the time of a log that arrives at `now`.
fn is_out_of_range(item: &Item, now: DateTime<Utc>) -> bool {
    encode::time_of(&item.payload).is_some_and(|time| {
        let age = now.signed_duration_since(time);
        age > MAX_AGE || age < -MAX_AHEAD
    })
}

/// Returns the JSON array of the logs, those of `late` without their time.
fn body(items: &[Item], late: &[bool]) -> Vec<u8> {
    let size = items.iter().map(|item| item.payload.len() + 1).sum::<usize>() + 2;
    let mut body = Vec::with_capacity(size);
    body.push(b'[');
    for (index, (item, is_late)) in items.iter().zip(late).enumerate() {
        if index > 0 {
            body.push(b',');
        }
        if *is_late {
            body.push(b'{');
            body.extend_from_slice(encode::without_time(&item.payload));
        } else {
            body.extend_from_slice(&item.payload);
        }
    }
    body.push(b']');
    body
}

impl Deliver for Datadog {
    async fn deliver(&mut self, items: &[Item]) -> Report {
        let now = Utc::now();
        let late: Vec<bool> = items.iter().map(|item| is_out_of_range(item, now)).collect();
        let body = body(items, &late);
        let posted = self.requests.post(&self.intake, "application/json", HeaderMap::new(), body);
        let verdict = match posted.await {
            Ok(answer) => answer::verdict(&answer),
            Err(error) => error.into(),
        };
        let is_delivered = verdict == Verdict::Delivered;
        let replaced = late.iter().filter(|is_late| is_delivered && **is_late).count() as u64;
        Report::all(items, verdict).with(SinkFinding::TimeReplaced, replaced)
    }

    /// Asks Datadog if the API key is valid.
    async fn probe(&mut self) -> Result<String, Reason> {
        let answer = self.api.get(&self.validation).await?;
        answer::probed(&answer, self.is_own_endpoint)
    }
}

#[cfg(test)]
mod tests;

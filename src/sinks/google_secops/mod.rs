//! `google_secops`: raw logs for Google Security Operations, by the method `logs.import` of the Chronicle API.
//! <https://cloud.google.com/chronicle/docs/reference/rest/v1beta/projects.locations.instances.logTypes.logs/import>
//!
//! Google accepts or refuses a request as a whole. It drops a request with the same content as an earlier one: a retry
//! sends the same bytes.

mod config;

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{SecondsFormat, TimeDelta};
use serde::Serialize;
use url::Url;

use super::google_api::{GoogleAdvice, GoogleApi, failure};
use super::{
    BatchDefaults, Deliver, Item, Reason, Rendered, Report, SinkFinding, SinkType, Verdict,
};
use crate::format::Format;
use crate::http_client::Answer;
use crate::settings::Section;
pub(crate) use config::GoogleSecopsSinkConfig;

impl SinkType for GoogleSecopsSinkConfig {
    const NAME: &'static str = "google_secops";
    // Google accepts about 4 MB in a request; the older ingestion API accepted 1 MB.
    const BATCH: BatchDefaults = BatchDefaults { events: "1000", bytes: "900 kB" };
    const IS_ORDERED: bool = false;
    const DEFAULT_FORMAT: Format = Format::Ocsf;

    type Sink = GoogleSecops;

    fn read(section: &mut Section<'_>, _: Format) -> Option<GoogleSecopsSinkConfig> {
        config::read(section)
    }

    /// A raw log may be any text: its parser depends on the log type.
    fn refuses_lines(&self) -> Option<&'static str> {
        None
    }

    fn files(&self) -> Vec<PathBuf> {
        self.client.files().into_iter().chain(self.identity.files()).collect()
    }

    fn target(&self) -> String {
        format!("{}, {}", self.client.origin(), self.log_type)
    }

    fn encode(&self, rendered: Rendered<'_>) -> Result<(Vec<u8>, Option<SinkFinding>), Reason> {
        Ok((encode(self, &rendered), None))
    }

    fn open(&self) -> Result<GoogleSecops, Reason> {
        let api = GoogleApi::open(&self.client, &self.identity, &self.tokens)?;
        Ok(GoogleSecops { api, logs: self.logs.clone(), forwarder: self.forwarder.clone() })
    }
}

/// A target of `type = "google_secops"`.
#[derive(Debug)]
pub(crate) struct GoogleSecops {
    api: GoogleApi,
    logs: Url,
    forwarder: Option<String>,
}

/// `Log` of the API.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RawLog<'a> {
    data: String,
    log_entry_time: String,
    collection_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment_namespace: Option<&'a str>,
    labels: RawLogLabels<'a>,
}

#[derive(Serialize)]
struct RawLogLabels<'a> {
    event_uid: RawLogLabel<'a>,
    source: RawLogLabel<'a>,
}

#[derive(Serialize)]
struct RawLogLabel<'a> {
    value: &'a str,
}

/// Returns the log of an event. The API requires a time of collection after that of the event: `recordedAt`, or a
/// millisecond later than the event.
fn encode(settings: &GoogleSecopsSinkConfig, rendered: &Rendered<'_>) -> Vec<u8> {
    let Rendered { line, event, source } = rendered;
    let time = event.time();
    let later = time.checked_add_signed(TimeDelta::milliseconds(1)).unwrap_or(time);
    let collected = event.envelope().recorded_at.max(later);
    let text =
        |time: chrono::DateTime<chrono::Utc>| time.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    let log = RawLog {
        data: STANDARD.encode(line),
        log_entry_time: text(time),
        collection_time: text(collected),
        environment_namespace: settings.namespace.as_deref(),
        labels: RawLogLabels {
            event_uid: RawLogLabel { value: &event.uid(source) },
            source: RawLogLabel { value: source },
        },
    };
    // Texts cannot fail to serialize.
    serde_json::to_vec(&log).unwrap_or_default()
}

impl GoogleSecops {
    /// Sends the logs in one request. A single log that is refused with a word of [`OF_THE_REQUEST`] is compared with an
    /// empty list, since the answer may quote the log.
    async fn import(&self, items: &[Item]) -> Result<Verdict, Verdict> {
        let answer = self.api.post(&self.logs, self.body(items)).await?;
        Ok(match (verdict(&answer), word_of_the_request(&answer)) {
            (Verdict::Split { reason }, Some(word)) if items.len() == 1 => {
                let probed = self.api.post(&self.logs, self.body(&[])).await?;
                verdict_of_one(word, reason, &probed)
            }
            (verdict, _) => verdict,
        })
    }

    fn body(&self, items: &[Item]) -> Vec<u8> {
        let size = items.iter().map(|item| item.payload.len() + 1).sum::<usize>() + 256;
        let mut body = Vec::with_capacity(size);
        body.extend_from_slice(b"{\"inlineSource\":{");
        if let Some(forwarder) = &self.forwarder {
            // A name of plain characters needs no escapes.
            body.extend_from_slice(format!("\"forwarder\":\"{forwarder}\",").as_bytes());
        }
        body.extend_from_slice(b"\"logs\":[");
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                body.push(b',');
            }
            body.extend_from_slice(&item.payload);
        }
        body.extend_from_slice(b"]}}");
        body
    }
}

/// Words of a 400 whose cause is the configuration and no log, unless the answer quotes the log.
const OF_THE_REQUEST: [&str; 5] = ["forwarder", "log type", "log_type", "logtype", "customer"];

/// Returns the verdict for all logs of a request.
fn verdict(answer: &Answer) -> Verdict {
    let texts = GoogleAdvice {
        role: "grant chronicle.logs.import to the identity, for example with the role Chronicle API Editor",
        resource: "there is no such instance or log type; correct project, location, instance or log_type",
    };
    match failure(answer, texts) {
        Some(verdict) => verdict,
        None if answer.is_torn() => Verdict::Retry {
            after: answer.retry_after,
            reason: answer.reason("the answer broke off", None),
        },
        None if answer.is_whole && is_empty_object(answer) => Verdict::Delivered,
        None => Verdict::Fatal {
            reason: answer
                .reason("the answer is not one of the Chronicle API; correct endpoint", None),
        },
    }
}

/// Returns the verdict for a log that was refused alone with a word of [`OF_THE_REQUEST`]. `probed` is the answer to an
/// empty list: only if it has the same word, the configuration is the cause.
fn verdict_of_one(word: &str, reason: Reason, probed: &Answer) -> Verdict {
    match verdict(probed) {
        Verdict::Split { .. } if word_of_the_request(probed) == Some(word) => {
            Verdict::Fatal { reason: of_the_configuration(reason) }
        }
        Verdict::Split { .. } | Verdict::Delivered => Verdict::Rejected { reason },
        other => other,
    }
}

fn of_the_configuration(reason: Reason) -> Reason {
    let message = format!("{}: correct log_type, forwarder or instance", reason.message);
    Reason { message, ..reason }
}

/// Returns the word of [`OF_THE_REQUEST`] in the message of a 400.
fn word_of_the_request(answer: &Answer) -> Option<&'static str> {
    #[derive(serde::Deserialize)]
    struct ImportRefusal {
        error: ImportRefusalMessage,
    }
    #[derive(serde::Deserialize)]
    struct ImportRefusalMessage {
        message: String,
    }
    let read = serde_json::from_slice::<ImportRefusal>(&answer.body).ok()?;
    let message = read.error.message.to_lowercase();
    let word = OF_THE_REQUEST.into_iter().find(|word| message.contains(word));
    word.filter(|_| answer.status == 400)
}

/// Returns true for a response without fields, or without a body.
fn is_empty_object(answer: &Answer) -> bool {
    let body = answer.body.trim_ascii();
    body.is_empty()
        || serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(body)
            .is_ok_and(|map| map.is_empty())
}

impl Deliver for GoogleSecops {
    async fn deliver(&mut self, items: &[Item]) -> Report {
        let verdict = self.import(items).await.unwrap_or_else(|verdict| verdict);
        Report::all(items, verdict)
    }

    /// Gets an access token, and imports an empty list of logs.
    async fn probe(&mut self) -> Result<String, Reason> {
        let answer =
            self.api.post(&self.logs, self.body(&[])).await.map_err(Verdict::into_reason)?;
        match verdict(&answer) {
            Verdict::Delivered => Ok("it accepts the identity for this instance".to_owned()),
            Verdict::Split { reason } if word_of_the_request(&answer).is_some() => {
                Err(of_the_configuration(reason))
            }
            Verdict::Split { .. } if answer.status == 400 => Ok(
                "it accepts the identity for this instance, and refuses the empty list of the check (HTTP 400)".to_owned(),
            ),
            other => Err(other.into_reason()),
        }
    }
}

#[cfg(test)]
mod tests;

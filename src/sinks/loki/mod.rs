//! `loki`: the push API of Grafana Loki.
//!
//! Loki ignores an entry that its stream has already, with the same time and text. The same event always makes the
//! same entry, so that repetitions leave no duplicates. A request that Loki refuses may be stored in part.

mod config;
mod encode;

use std::path::PathBuf;

use http::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::{
    BatchDefaults, Deliver, Item, Reason, Rendered, Report, SinkFinding, SinkType, Verdict,
};
use crate::format::Format;
use crate::http_client::{self, Answer, Class, HttpClient, advice, below, class_of};
use crate::settings::Section;
pub(crate) use config::LokiSinkConfig;

const TENANT: HeaderName = HeaderName::from_static("x-scope-orgid");

impl SinkType for LokiSinkConfig {
    const NAME: &'static str = "loki";
    const BATCH: BatchDefaults = BatchDefaults { events: "1000", bytes: "1 MB" };
    const IS_ORDERED: bool = false;

    type Sink = Loki;

    fn read(section: &mut Section<'_>, _: Format) -> Option<LokiSinkConfig> {
        config::read(section)
    }

    fn refuses_lines(&self) -> Option<&'static str> {
        None
    }

    fn files(&self) -> Vec<PathBuf> {
        self.client.files().into_iter().chain(self.authorization.file()).collect()
    }

    fn target(&self) -> String {
        self.client.origin()
    }

    fn encode(&self, rendered: Rendered<'_>) -> Result<(Vec<u8>, Option<SinkFinding>), Reason> {
        Ok((encode::encode(self, rendered), None))
    }

    fn open(&self) -> Result<Loki, Reason> {
        Loki::open(self)
    }
}

/// A target of `type = "loki"`.
#[derive(Debug)]
pub(crate) struct Loki {
    requests: HttpClient,
    push: Url,
}

impl Loki {
    pub(super) fn open(settings: &LokiSinkConfig) -> Result<Loki, Reason> {
        let mut headers = http_client::headers(&[], &settings.authorization)?;
        if let Some(tenant) = &settings.tenant {
            let value = HeaderValue::from_str(tenant);
            headers.insert(TENANT, value.map_err(|error| Reason::new(error.to_string()))?);
        }
        Ok(Loki {
            requests: HttpClient::open(&settings.client, headers)?,
            push: below(&settings.client.url, config::PUSH),
        })
    }

    async fn push(&self, items: &[Item]) -> Verdict {
        let body = encode::body(items);
        match self.requests.post(&self.push, "application/json", HeaderMap::new(), body).await {
            Ok(answer) => verdict(&answer),
            Err(error) => error.into(),
        }
    }
}

impl Deliver for Loki {
    async fn deliver(&mut self, items: &[Item]) -> Report {
        Report::all(items, self.push(items).await)
    }

    /// Pushes no stream: Loki checks credentials and tenant before it refuses or accepts that.
    async fn probe(&mut self) -> Result<String, Reason> {
        match self.push(&[]).await {
            Verdict::Delivered => Ok("accepts an empty request".to_owned()),
            Verdict::Split { reason } => {
                let status = reason.status.unwrap_or_default();
                Ok(format!("answers (HTTP {status} to an empty request)"))
            }
            verdict => Err(verdict.into_reason()),
        }
    }
}

/// Returns the verdict for all entries of a request.
fn verdict(answer: &Answer) -> Verdict {
    let status = answer.status;
    let reason = |words: &str| answer.reason(format!("Loki answered HTTP {status}{words}"), None);
    match (status, class_of(status)) {
        // Loki's own status. With 200, Loki may drop the entries of a blocked tenant.
        (204, _) => Verdict::Delivered,
        (_, Class::Success | Class::Refused) if answer.is_page() => answer.page_verdict(),
        // The tenant is blocked, and nothing is stored.
        (260, _) => Verdict::Retry {
            after: answer.retry_after,
            reason: reason(": ingestion is blocked for this tenant; unblock it in Loki"),
        },
        (_, Class::Success) => {
            Verdict::Fatal { reason: reason(": this is not an answer of Loki; correct endpoint") }
        }
        (_, Class::Retry) => Verdict::Retry { after: answer.retry_after, reason: reason("") },
        (_, Class::Refused) if forbids_metadata(&answer.body) => Verdict::Fatal {
            reason: reason(
                ": structured metadata is disallowed; allow it in Loki, or set structured_metadata = false",
            ),
        },
        // Loki explains each refusal in a line of text. A proxy refuses the request; Loki has not received it.
        (_, Class::Refused) if !is_explained(&answer.body) => Verdict::Retry {
            after: answer.retry_after,
            reason: reason(": something before Loki refuses the request"),
        },
        (_, Class::TooLarge | Class::Refused) => Verdict::Split { reason: reason("") },
        (_, Class::Fatal) => Verdict::Fatal { reason: reason(&format!(": {}", advice(status))) },
    }
}

fn is_explained(body: &[u8]) -> bool {
    let body = body.trim_ascii_start();
    !body.is_empty() && !body.starts_with(b"<")
}

/// Returns true if Loki stores no entry with structured metadata, whatever the entry is.
fn forbids_metadata(body: &[u8]) -> bool {
    let text = b"includes structured metadata, but this feature is disallowed";
    memchr::memmem::find(body, text).is_some()
}

#[cfg(test)]
mod tests;

//! `http`: POST requests with a JSON array, one line per event, or one event each.
//!
//! The target accepts or refuses a request as a whole: `deliver` splits a refused batch. Requests can be
//! signed as [Standard Webhooks](https://www.standardwebhooks.com) describes.

mod config;
mod signature;

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderValue};
use url::Url;

use super::{
    BatchDefaults, Deliver, Item, Reason, Rendered, Report, SinkFinding, SinkType, Verdict,
};
use crate::format::Format;
use crate::http_client::{self, Answer, Class, HttpClient, advice, class_of};
use crate::secret::{Secret, SecretError};
use crate::settings::Section;
pub(crate) use config::{BodyShape, HttpSinkConfig};

impl SinkType for HttpSinkConfig {
    const NAME: &'static str = "http";
    const BATCH: BatchDefaults = BatchDefaults { events: "100", bytes: "1 MiB" };
    const IS_ORDERED: bool = false;
    const SENDS_LINES: bool = true;

    type Sink = Http;

    fn read(section: &mut Section<'_>, _: Format) -> Option<HttpSinkConfig> {
        config::read(section)
    }

    fn refuses_lines(&self) -> Option<&'static str> {
        let advice = "leave it out, or set body = \"ndjson\" or \"single\"";
        (self.body == BodyShape::Array).then_some(advice)
    }

    fn files(&self) -> Vec<PathBuf> {
        let headers = self.headers.iter().filter_map(|header| header.file());
        let keys = self.signing_keys.iter().filter_map(|key| key.file().map(PathBuf::from));
        let files = self.client.files().into_iter().chain(self.authorization.file());
        files.chain(headers).chain(keys).collect()
    }

    fn target(&self) -> String {
        self.client.origin()
    }

    fn encode(&self, rendered: Rendered<'_>) -> Result<(Vec<u8>, Option<SinkFinding>), Reason> {
        Ok((rendered.line, None))
    }

    fn open(&self) -> Result<Http, Reason> {
        Http::open(self)
    }
}

/// A target of `type = "http"`.
#[derive(Debug)]
pub(crate) struct Http {
    requests: HttpClient,
    url: Url,
    body: BodyShape,
    signing_keys: Vec<Secret>,
}

impl Http {
    pub(super) fn open(settings: &HttpSinkConfig) -> Result<Http, Reason> {
        let headers = http_client::headers(&settings.headers, &settings.authorization)?;
        let keys: Result<_, SecretError> =
            settings.signing_keys.iter().map(Secret::reread).collect();
        Ok(Http {
            requests: HttpClient::open(&settings.client, headers)?,
            url: settings.client.url.clone(),
            body: settings.body,
            signing_keys: keys?,
        })
    }

    async fn post(&self, items: &[Item]) -> Verdict {
        let (body, content_type) = body(self.body, items);
        let headers = match self.signature(items, &body) {
            Ok(headers) => headers,
            Err(reason) => return Verdict::Fatal { reason },
        };
        match self.requests.post(&self.url, content_type, headers, body).await {
            Ok(answer) => verdict(&answer),
            Err(error) => error.into(),
        }
    }

    fn signature(&self, items: &[Item], body: &[u8]) -> Result<HeaderMap, Reason> {
        if self.signing_keys.is_empty() {
            return Ok(HeaderMap::new());
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let id = signature::id_of(items);
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("webhook-id", id.clone()),
            ("webhook-timestamp", now.to_string()),
            ("webhook-signature", signature::sign(&self.signing_keys, &id, now, body)?),
        ] {
            let value = HeaderValue::try_from(value);
            headers.insert(name, value.map_err(|error| Reason::new(error.to_string()))?);
        }
        Ok(headers)
    }
}

impl Deliver for Http {
    async fn deliver(&mut self, items: &[Item]) -> Report {
        if self.body != BodyShape::Single {
            return Report::all(items, self.post(items).await);
        }
        let mut verdicts = Vec::with_capacity(items.len());
        for item in items {
            let verdict = match self.post(std::slice::from_ref(item)).await {
                // The request had only this event.
                Verdict::Split { reason } => Verdict::Rejected { reason },
                verdict => verdict,
            };
            let stops = matches!(verdict, Verdict::Retry { .. } | Verdict::Fatal { .. });
            verdicts.push(verdict);
            if stops {
                // Later events must not overtake this one.
                break;
            }
        }
        verdicts.resize(items.len(), Verdict::NotTried);
        verdicts.into()
    }

    /// Requests the URL without a POST, which would be an event: any answer shows that the target is up.
    async fn probe(&mut self) -> Result<String, Reason> {
        match self.requests.get(&self.url).await {
            Ok(answer) if matches!(answer.status, 300..=399 | 401 | 403 | 407 | 410) => {
                Err(answer.reason(advice(answer.status), None))
            }
            Ok(answer) => Ok(format!("answers (HTTP {} to a GET)", answer.status)),
            Err(error) => Err(error.into()),
        }
    }
}

/// Returns the body and its content type.
fn body(shape: BodyShape, items: &[Item]) -> (Vec<u8>, &'static str) {
    let (open, separator, close, content_type) = match shape {
        BodyShape::Array => ("[", ",", "]", "application/json"),
        BodyShape::Ndjson => ("", "\n", "\n", "application/x-ndjson"),
        BodyShape::Single => ("", "", "", "application/json"),
    };
    let size = items.iter().map(|item| item.payload.len() + 1).sum::<usize>() + 1;
    let mut body = Vec::with_capacity(size);
    body.extend_from_slice(open.as_bytes());
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            body.extend_from_slice(separator.as_bytes());
        }
        body.extend_from_slice(&item.payload);
    }
    body.extend_from_slice(close.as_bytes());
    (body, content_type)
}

/// Returns the verdict for all items of a request.
fn verdict(answer: &Answer) -> Verdict {
    let status = answer.status;
    match class_of(status) {
        Class::Success => Verdict::Delivered,
        Class::Retry => Verdict::Retry {
            after: answer.retry_after,
            reason: answer.reason(format!("the target answered HTTP {status}"), None),
        },
        Class::Fatal => Verdict::Fatal {
            reason: answer
                .reason(format!("the target answered HTTP {status}: {}", advice(status)), None),
        },
        Class::TooLarge | Class::Refused => Verdict::Split {
            reason: answer.reason(format!("the target answered HTTP {status}"), None),
        },
    }
}

#[cfg(test)]
mod tests;

//! `http`: POST requests with a JSON array, one line per event, or one event each.
//!
//! The target accepts or refuses a request as a whole: `deliver` splits a refused batch. Requests can be
//! signed as [Standard Webhooks](https://www.standardwebhooks.com) describes, or by one HMAC header. A [`profile`]
//! holds the defaults of one receiver.

mod body;
mod config;
mod profile;
mod signature;

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderValue};

use super::{
    BatchDefaults, Deliver, Item, Reason, Rendered, Report, SinkFinding, SinkType, Verdict,
};
use crate::format::Format;
use crate::http_client::{self, Answer, Class, HttpClient, advice, class_of};
use crate::secret::{Secret, SecretError};
use crate::settings::Section;
pub(crate) use config::{BodyShape, HttpSinkConfig};
use profile::{Envelope, HttpProfile};

impl SinkType for HttpSinkConfig {
    const NAME: &'static str = "http";
    const BATCH: BatchDefaults = profile::GENERIC.batch;
    const IS_ORDERED: bool = false;

    type Sink = Http;

    fn read(section: &mut Section<'_>, format: Format) -> Option<HttpSinkConfig> {
        config::read(section, format)
    }

    fn batch(&self) -> BatchDefaults {
        self.profile.batch
    }

    fn sends_lines(&self) -> bool {
        self.profile.envelope == Envelope::Plain
    }

    fn refuses_lines(&self) -> Option<&'static str> {
        let advice = "leave it out, or set body = \"lines\" or \"single\"";
        let is_json = self.body == BodyShape::Array && self.profile.envelope == Envelope::Plain;
        is_json.then_some(advice)
    }

    fn files(&self) -> Vec<PathBuf> {
        let headers = self.headers.iter().filter_map(|header| header.file());
        let hmac = self.hmac.iter().map(|hmac| &hmac.key);
        let secrets = self.signing_keys.iter().chain(hmac).chain(&self.secret_url);
        let secrets = secrets.filter_map(|secret| secret.file().map(PathBuf::from));
        let files = self.client.files().into_iter().chain(self.authorization.file());
        files.chain(headers).chain(secrets).collect()
    }

    fn target(&self) -> String {
        self.client.origin()
    }

    fn encode(&self, rendered: Rendered<'_>) -> Result<(Vec<u8>, Option<SinkFinding>), Reason> {
        Ok((body::encode(self.profile.envelope, rendered), None))
    }

    fn open(&self) -> Result<Http, Reason> {
        Http::open(self)
    }
}

/// A target of `type = "http"`.
#[derive(Debug)]
pub(crate) struct Http {
    requests: HttpClient,
    /// Settings, with the URL that was read last.
    settings: HttpSinkConfig,
    signing_keys: Vec<Secret>,
    hmac_key: Option<Secret>,
}

impl Http {
    pub(super) fn open(settings: &HttpSinkConfig) -> Result<Http, Reason> {
        let headers = http_client::headers(&settings.headers, &settings.authorization)?;
        let keys: Result<_, SecretError> =
            settings.signing_keys.iter().map(Secret::reread).collect();
        let hmac_key = settings.hmac.as_ref().map(|hmac| hmac.key.reread()).transpose()?;
        let mut settings = settings.clone();
        let secret_url = settings.secret_url.as_ref().map(Secret::reread).transpose()?;
        if let Some(secret) = &secret_url {
            settings.client.url = config::parse_secret_url(secret, settings.profile)
                .map_err(|problem| Reason::new(format!("the URL in its file {problem}")))?;
        }
        let mut requests = HttpClient::open(&settings.client, headers)?;
        if let Some(secret) = &secret_url {
            requests = requests.with_secret_url(secret.expose(), &settings.client.url);
        }
        Ok(Http { requests, settings, signing_keys: keys?, hmac_key })
    }

    async fn post(&self, items: &[Item]) -> Verdict {
        let HttpSinkConfig { client, body, profile, content_type, success, .. } = &self.settings;
        let body = body::body(*body, profile.envelope, items);
        let headers = match self.signature(items, &body) {
            Ok(headers) => headers,
            Err(reason) => return Verdict::Fatal { reason },
        };
        match self.requests.post(&client.url, content_type, headers, body).await {
            Ok(answer) => verdict(&answer, success, profile),
            Err(error) => error.into(),
        }
    }

    fn signature(&self, items: &[Item], body: &[u8]) -> Result<HeaderMap, Reason> {
        let mut headers = HeaderMap::new();
        if let (Some(hmac), Some(key)) = (&self.settings.hmac, &self.hmac_key) {
            headers.insert(hmac.header.clone(), signature::hmac(hmac, key, body)?);
        }
        if self.signing_keys.is_empty() {
            return Ok(headers);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let id = signature::id_of(items);
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
        if self.settings.body != BodyShape::Single {
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
        match self.requests.get(&self.settings.client.url).await {
            Ok(answer) if matches!(answer.status, 300..=399 | 401 | 403 | 407 | 410) => {
                Err(answer.reason(advice(answer.status), None))
            }
            Ok(answer) => Ok(format!("answers (HTTP {} to a GET)", answer.status)),
            Err(error) => Err(error.into()),
        }
    }
}

/// Returns the verdict for all items of a request. `success` lists the statuses of success; empty: every 2xx. The
/// receivers of the profiles answer with no page; any other target may call a text HTML.
fn verdict(answer: &Answer, success: &[u64], profile: &HttpProfile) -> Verdict {
    let status = answer.status;
    let is_page =
        || if *profile == profile::GENERIC { answer.is_markup() } else { answer.is_page() };
    match class_of(status) {
        Class::Success | Class::Refused if is_page() => answer.page_verdict(),
        Class::Success if success.is_empty() || success.contains(&status.into()) => {
            Verdict::Delivered
        }
        // Another service answers at this URL, or the target has not stored the events.
        Class::Success => Verdict::Fatal {
            reason: answer.reason(
                format!("the target answered HTTP {status}, which is not listed in success; correct url or success"),
                None,
            ),
        },
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

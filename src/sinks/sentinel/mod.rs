//! `sentinel`: the Logs Ingestion API of Azure Monitor, which fills a table of Microsoft Sentinel.
//!
//! A request is a JSON array of records for one stream of a data collection rule. Azure accepts or refuses it as a
//! whole and recognises no repetition: `RecordUid` is the same in each copy of an event.

mod answer;
mod config;
mod encode;

use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use url::Url;

use super::{
    BatchDefaults, Deliver, Item, Reason, Rendered, Report, SinkFinding, SinkType, Verdict,
};
use crate::azure::TokenClient;
use crate::format::Format;
use crate::http_client::{Answer, HttpClient, RequestError, below};
use crate::oauth::{AccessToken, TokenCache};
use crate::settings::Section;
pub(crate) use config::{OldEvents, SentinelSinkConfig};

/// Age of an event above which Azure may replace its time. The limit is 2 days before the receipt; one hour is left
/// for the way and for clocks that differ.
/// <https://learn.microsoft.com/azure/azure-monitor/logs/log-standard-columns#timegenerated>
const MAX_AGE: TimeDelta = TimeDelta::hours(47);

impl SinkType for SentinelSinkConfig {
    const NAME: &'static str = "sentinel";
    // Azure accepts 1 MB (1,048,576 bytes) in a request, before compression.
    // https://learn.microsoft.com/azure/azure-monitor/fundamentals/service-limits#logs-ingestion-api
    const BATCH: BatchDefaults = BatchDefaults { events: "1000", bytes: "900 kB" };
    const IS_ORDERED: bool = false;
    const DEFAULT_FORMAT: Format = Format::Ecs;

    type Sink = Sentinel;

    fn read(section: &mut Section<'_>, format: Format) -> Option<SentinelSinkConfig> {
        config::read(section, format)
    }

    fn files(&self) -> Vec<PathBuf> {
        self.client.files().into_iter().chain(self.entra.file()).collect()
    }

    fn target(&self) -> String {
        format!("{}, {}", self.client.origin(), self.stream)
    }

    fn encode(&self, rendered: Rendered<'_>) -> Result<(Vec<u8>, Option<SinkFinding>), Reason> {
        Ok(encode::encode(self.format, rendered))
    }

    fn open(&self) -> Result<Sentinel, Reason> {
        Sentinel::open(self)
    }
}

/// A target of `type = "sentinel"`.
#[derive(Debug)]
pub(crate) struct Sentinel {
    requests: HttpClient,
    upload: Url,
    tokens: Arc<TokenCache>,
    identity: TokenClient,
    old_events: OldEvents,
}

impl Sentinel {
    pub(super) fn open(settings: &SentinelSinkConfig) -> Result<Sentinel, Reason> {
        Ok(Sentinel {
            requests: HttpClient::open(&settings.client, HeaderMap::new())?,
            upload: upload_url(settings),
            tokens: Arc::clone(&settings.tokens),
            identity: TokenClient::open(&settings.entra, &settings.client)?,
            old_events: settings.old_events,
        })
    }

    /// Returns the verdict for records that are sent in one request.
    async fn deliver_together(&self, records: &[&Item]) -> Verdict {
        if records.is_empty() {
            return Verdict::NotTried;
        }
        match self.upload(records).await {
            Ok(answer) => answer::verdict(&answer),
            Err(verdict) => verdict,
        }
    }

    /// Sends the records once. After a 401 or 403, sends them a second time with another token: the credential may have
    /// been replaced by that of another identity.
    async fn upload(&self, records: &[&Item]) -> Result<Answer, Verdict> {
        let token = self.tokens.token(&self.identity).await?;
        let answer = self.post(&token, records).await?;
        if !matches!(answer.status, 401 | 403) {
            return Ok(answer);
        }
        let token = self.tokens.renewed(&token, &self.identity).await?;
        Ok(self.post(&token, records).await?)
    }

    async fn post(&self, token: &AccessToken, records: &[&Item]) -> Result<Answer, RequestError> {
        let headers = HeaderMap::from_iter([(AUTHORIZATION, token.authorization.clone())]);
        self.requests.post(&self.upload, "application/json", headers, body(records)).await
    }
}

/// Returns the URL that receives the records.
fn upload_url(settings: &SentinelSinkConfig) -> Url {
    let SentinelSinkConfig { rule_id, stream, .. } = settings;
    let path = format!("/dataCollectionRules/{rule_id}/streams/{stream}");
    let mut url = below(&settings.client.url, &path);
    url.set_query(Some("api-version=2023-01-01"));
    url
}

/// Returns the JSON array of the records.
fn body(records: &[&Item]) -> Vec<u8> {
    let size = records.iter().map(|item| item.payload.len() + 1).sum::<usize>() + 2;
    let mut body = Vec::with_capacity(size);
    body.push(b'[');
    for (index, item) in records.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        body.extend_from_slice(&item.payload);
    }
    body.push(b']');
    body
}

/// Returns true if Azure would replace the time of a record that arrives at `now`.
fn is_too_old(item: &Item, now: DateTime<Utc>) -> bool {
    encode::time_of(&item.payload).is_some_and(|time| now.signed_duration_since(time) > MAX_AGE)
}

impl Deliver for Sentinel {
    async fn deliver(&mut self, items: &[Item]) -> Report {
        let now = Utc::now();
        let old: Vec<bool> = items.iter().map(|item| is_too_old(item, now)).collect();
        let is_sent = |is_old: bool| !is_old || self.old_events == OldEvents::Send;
        let sent = items.iter().zip(&old).filter(|(_, is_old)| is_sent(**is_old));
        let records: Vec<&Item> = sent.map(|(item, _)| item).collect();
        let verdict = self.deliver_together(&records).await;
        let is_replaced = |is_old: bool| is_old && is_sent(is_old) && verdict == Verdict::Delivered;
        let replaced = old.iter().filter(|is_old| is_replaced(**is_old)).count() as u64;
        let verdict_of = |is_old: bool| match is_sent(is_old) {
            true => verdict.clone(),
            false => Verdict::TooOld { reason: too_old() },
        };
        let verdicts: Vec<Verdict> = old.iter().map(|is_old| verdict_of(*is_old)).collect();
        Report::from(verdicts).with(SinkFinding::TimeReplaced, replaced)
    }

    /// Gets an access token, and sends an empty list of records.
    async fn probe(&mut self) -> Result<String, Reason> {
        let answer = self.upload(&[]).await.map_err(Verdict::into_reason)?;
        answer::probed(&answer)
    }
}

fn too_old() -> Reason {
    Reason::new("Azure would replace the time of an event that is older than 47 h")
}

#[cfg(test)]
mod tests;

//! `splunk_hec`: Splunk's HTTP Event Collector, and other collectors with its protocol.
//!
//! Events go to `/services/collector/event` or the path of the [`profile`], each in an envelope of its own
//! ([`encode`]). [`answer`] interprets Splunk's codes, or the statuses of others; [`acknowledge`] waits for Splunk's
//! indexers.
//! <https://help.splunk.com/en/splunk-enterprise/get-started/get-data-in/get-data-with-http-event-collector>

mod acknowledge;
pub(super) mod answer;
mod config;
mod encode;
mod profile;

use std::path::PathBuf;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use url::Url;
use uuid::Uuid;

use super::{
    BatchDefaults, Deliver, Item, Reason, Rendered, Report, SinkFinding, SinkType, Verdict, lines,
};
use crate::format::Format;
use crate::http_client::{Authorization, HttpClient, authorization, below};
use crate::settings::Section;
use acknowledge::{Acknowledged, Unpolled};
use answer::Reply;
pub(crate) use config::{AcknowledgementConfig, SplunkHecSinkConfig};
use profile::Answers;

const CHANNEL: HeaderName = HeaderName::from_static("x-splunk-request-channel");

impl SinkType for SplunkHecSinkConfig {
    const NAME: &'static str = "splunk_hec";
    const BATCH: BatchDefaults = profile::SPLUNK.batch;
    const IS_ORDERED: bool = false;

    type Sink = SplunkHec;

    fn read(section: &mut Section<'_>, format: Format) -> Option<SplunkHecSinkConfig> {
        config::read(section, format)
    }

    fn batch(&self) -> BatchDefaults {
        self.profile.batch
    }

    fn files(&self) -> Vec<PathBuf> {
        let token = self.token.file().map(PathBuf::from);
        self.client.files().into_iter().chain(token).collect()
    }

    fn target(&self) -> String {
        self.client.origin()
    }

    fn encode(&self, rendered: Rendered<'_>) -> Result<(Vec<u8>, Option<SinkFinding>), Reason> {
        Ok((encode::encode(self, rendered), None))
    }

    fn open(&self) -> Result<SplunkHec, Reason> {
        SplunkHec::open(self)
    }

    async fn reopen(&self, sink: &mut SplunkHec) -> Result<(), Reason> {
        sink.reopen(self)
    }
}

/// A target of `type = "splunk_hec"`.
#[derive(Debug)]
pub(crate) struct SplunkHec {
    requests: HttpClient,
    base: Url,
    /// Path of the requests with events.
    path: String,
    answers: Answers,
    acknowledgement: Option<AcknowledgementConfig>,
    /// Channel of this sink's requests: a new id after each start.
    channel: Uuid,
    unpolled: Option<Unpolled>,
}

impl SplunkHec {
    pub(super) fn open(settings: &SplunkHecSinkConfig) -> Result<SplunkHec, Reason> {
        let token = Authorization::Token(settings.scheme, settings.token.clone());
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization(&token)? {
            headers.insert(AUTHORIZATION, value);
        }
        Ok(SplunkHec {
            requests: HttpClient::open(&settings.client, headers)?,
            base: settings.client.url.clone(),
            path: settings.path.clone(),
            answers: settings.profile.answers,
            acknowledgement: settings.acknowledgement,
            channel: Uuid::new_v4(),
            unpolled: None,
        })
    }

    /// Reads credentials and certificates again. The sink keeps its channel.
    pub(super) fn reopen(&mut self, settings: &SplunkHecSinkConfig) -> Result<(), Reason> {
        self.requests = SplunkHec::open(settings)?.requests;
        Ok(())
    }

    async fn post(&self, path: &str, body: Vec<u8>) -> Result<Reply, Verdict> {
        let mut headers = HeaderMap::new();
        if self.acknowledgement.is_some()
            && let Ok(channel) = HeaderValue::try_from(self.channel.to_string())
        {
            headers.insert(CHANNEL, channel);
        }
        let url = below(&self.base, path);
        let answer = self.requests.post(&url, "application/json", headers, body).await?;
        Ok(Reply::read(answer))
    }
}

impl SplunkHec {
    /// Returns the report for items that the collector has accepted, once they are acknowledged.
    async fn acknowledged(
        &mut self,
        ack_id: Option<u64>,
        items: &[Item],
        settings: AcknowledgementConfig,
        report: Report,
    ) -> Report {
        let count = items.len() as u64;
        // Sending them again without acknowledgements would duplicate them forever.
        let Some(ack_id) = ack_id else { return report.with(SinkFinding::Unacknowledged, count) };
        match self.wait_for(ack_id, settings).await {
            Acknowledged::Yes => report,
            Acknowledged::Disabled => report.with(SinkFinding::Unacknowledged, count),
            Acknowledged::Refused(reason) => {
                let positions = items.iter().map(|item| item.position).collect();
                self.unpolled = Some(Unpolled { ack_id, positions });
                Report::all(items, Verdict::Fatal { reason })
            }
            Acknowledged::Expired(reason) => {
                Report::all(items, Verdict::Retry { after: None, reason })
                    .with(SinkFinding::AcknowledgementExpired, count)
            }
        }
    }
}

impl Deliver for SplunkHec {
    async fn deliver(&mut self, items: &[Item]) -> Report {
        let positions = || items.iter().map(|item| item.position).collect::<Vec<_>>();
        if let Some(settings) = self.acknowledgement
            && let Some(Unpolled { ack_id, .. }) =
                self.unpolled.take_if(|unpolled| unpolled.positions == positions())
        {
            return self
                .acknowledged(Some(ack_id), items, settings, Report::all(items, Verdict::Delivered))
                .await;
        }
        let reply = match self.post(&self.path, lines(items)).await {
            Ok(reply) => reply,
            Err(verdict) => return Report::all(items, verdict),
        };
        let report = match self.answers {
            Answers::Codes => answer::report(&reply, items.len()),
            Answers::Statuses | Answers::StatusesWithBody => {
                let has_body = self.answers == Answers::StatusesWithBody;
                Report::all(items, answer::verdict_by_status(&reply, has_body))
            }
        };
        let Some(settings) = self.acknowledgement else { return report };
        if report.verdicts.iter().all(|verdict| *verdict == Verdict::Delivered) {
            return self.acknowledged(reply.ack_id, items, settings, report).await;
        }
        // The events before the invalid one have no acknowledgement of their own: only a repetition gets one.
        let unconfirmed = |verdict| match verdict {
            Verdict::Delivered => Verdict::NotTried,
            other => other,
        };
        Report { verdicts: report.verdicts.into_iter().map(unconfirmed).collect(), ..report }
    }

    /// Requests Splunk's health, and tests the token: with a valid one, the answer to an empty request is "no data".
    /// Sends only the empty request to another collector.
    async fn probe(&mut self) -> Result<String, Reason> {
        if self.answers != Answers::Codes {
            let posted = self.post(&self.path, Vec::new()).await.map_err(Verdict::into_reason)?;
            let has_body = self.answers == Answers::StatusesWithBody;
            return answer::probed_by_status(&posted, has_body);
        }
        let health = self.requests.get(&below(&self.base, "/services/collector/health")).await;
        let health = Reply::read(health?);
        if health.code != Some(answer::HEALTHY) {
            return Err(health.reason("the collector says that it is not healthy"));
        }
        let posted = self.post(&self.path, Vec::new()).await;
        let posted = posted.map_err(Verdict::into_reason)?;
        match posted.code {
            Some(answer::NO_DATA) => Ok("healthy, and it knows the token".to_owned()),
            _ => Err(posted.reason("the collector does not take this token")),
        }
    }
}

#[cfg(test)]
mod tests;

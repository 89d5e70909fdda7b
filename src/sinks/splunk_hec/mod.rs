//! `splunk_hec`: Splunk's HTTP Event Collector.
//!
//! Events go to `/services/collector/event`, each in an envelope of its own ([`envelope`]); what the
//! collector's codes mean is in [`answer`]; waiting for the indexers is in [`acknowledge`].
//! <https://help.splunk.com/en/splunk-enterprise/get-started/get-data-in/get-data-with-http-event-collector>

mod acknowledge;
pub(super) mod answer;
mod envelope;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use url::Url;
use uuid::Uuid;

use super::{Deliver, Item, Reason, Report, SinkFinding, Verdict, lines};
use crate::config::{self, Authorization, SplunkHecSink};
use crate::http_client::{HttpClient, authorization, below};
use acknowledge::{Acknowledged, Unasked};
use answer::Reply;
pub(super) use envelope::encode;

const CHANNEL: HeaderName = HeaderName::from_static("x-splunk-request-channel");

/// A target of `type = "splunk_hec"`.
#[derive(Debug)]
pub struct SplunkHec {
    requests: HttpClient,
    base: Url,
    acknowledgement: Option<config::Acknowledgement>,
    /// Names this sink's requests to the collector; a new one after each start.
    channel: Uuid,
    unasked: Option<Unasked>,
}

impl SplunkHec {
    pub(super) fn open(settings: &SplunkHecSink) -> Result<SplunkHec, Reason> {
        let token = settings.token.clone().map(|token| Authorization::Token("Splunk", token));
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization(&token.unwrap_or(Authorization::None))? {
            headers.insert(AUTHORIZATION, value);
        }
        Ok(SplunkHec {
            requests: HttpClient::open(&settings.client, headers)?,
            base: settings.client.url.clone(),
            acknowledgement: settings.acknowledgement,
            channel: Uuid::new_v4(),
            unasked: None,
        })
    }

    /// Reads credentials and certificates again. What the collector knows of this sink stays.
    pub(super) fn reopen(&mut self, settings: &SplunkHecSink) -> Result<(), Reason> {
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
    /// What becomes of items that the collector has taken: the report, once they are acknowledged.
    async fn acknowledged(
        &mut self,
        ack_id: Option<u64>,
        items: &[Item],
        settings: config::Acknowledgement,
        report: Report,
    ) -> Report {
        let count = items.len() as u64;
        // To send them again without an acknowledgement would double them for ever.
        let Some(ack_id) = ack_id else { return report.with(SinkFinding::Unacknowledged, count) };
        match self.wait_for(ack_id, settings).await {
            Acknowledged::Yes => report,
            Acknowledged::Disabled => report.with(SinkFinding::Unacknowledged, count),
            Acknowledged::Refused(reason) => {
                let positions = items.iter().map(|item| item.position).collect();
                self.unasked = Some(Unasked { ack_id, positions });
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
            && let Some(Unasked { ack_id, .. }) =
                self.unasked.take_if(|unasked| unasked.positions == positions())
        {
            return self
                .acknowledged(Some(ack_id), items, settings, Report::all(items, Verdict::Delivered))
                .await;
        }
        let reply = match self.post("/services/collector/event", lines(items)).await {
            Ok(reply) => reply,
            Err(verdict) => return Report::all(items, verdict),
        };
        let report = answer::report(&reply, items.len());
        let Some(settings) = self.acknowledgement else { return report };
        if report.verdicts.iter().all(|verdict| *verdict == Verdict::Delivered) {
            return self.acknowledged(reply.ack_id, items, settings, report).await;
        }
        // What was taken before the bad event has no id to ask for: only a repetition is confirmed.
        let unconfirmed = |verdict| match verdict {
            Verdict::Delivered => Verdict::NotTried,
            other => other,
        };
        Report { verdicts: report.verdicts.into_iter().map(unconfirmed).collect(), ..report }
    }

    /// Asks for the collector's health, and whether it knows the token: with a good one, an empty
    /// request has "no data".
    async fn probe(&mut self) -> Result<String, Reason> {
        let health = self.requests.get(&below(&self.base, "/services/collector/health")).await;
        let health = Reply::read(health?);
        if health.code != Some(answer::HEALTHY) {
            return Err(health.reason("the collector says that it is not healthy"));
        }
        let posted = self.post("/services/collector/event", Vec::new()).await;
        let posted = posted.map_err(Verdict::into_reason)?;
        match posted.code {
            Some(answer::NO_DATA) => Ok("healthy, and it knows the token".to_owned()),
            _ => Err(posted.reason("the collector does not take this token")),
        }
    }
}

#[cfg(test)]
mod tests;

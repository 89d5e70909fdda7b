//! Events that `reconcile` has fetched from PingOne: decoded, redacted, deduplicated and counted like received ones.
//!
//! Each gets the field `origin` with the value `reconcile`, so that a SIEM can tell why it is late.

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use thiserror::Error;

use super::ingest::{Context, Ingest};
use super::state::ReceiverConfig;
use crate::event::OutcomeWords;
use crate::metrics::SharedMetrics;
use crate::observe::Observer;
use crate::redact::Redaction;
use crate::spool::{AppendError, Clock, Receipt, Spool};

/// First field of a fetched event.
const MARKED: &str = "{\"origin\":\"reconcile\"";

/// Request id of fetched events in logs and quarantine.
const REQUEST_ID: &str = "reconcile";

/// Reason why fetched events are not stored.
#[derive(Debug, Error)]
pub(crate) enum FetchedError {
    /// No source has this name.
    #[error("unknown source {0:?}; known are {1}")]
    UnknownSource(String, String),
    /// The body is not a document of PingOne's API.
    #[error("the body is no document with _embedded.activities, as PingOne's API sends it")]
    Malformed,
    /// The spool could not store them.
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// Stores fetched events through the service's own spool.
pub(crate) struct FetchedIntake {
    spool: Arc<Spool>,
    sources: Vec<String>,
    outcomes: Arc<OutcomeWords>,
    redaction: Option<Arc<Redaction>>,
    metrics: SharedMetrics,
    observer: Arc<Observer>,
    clock: Clock,
}

#[derive(Deserialize)]
struct FetchedDocument<'a> {
    #[serde(borrow, rename = "_embedded")]
    embedded: FetchedEvents<'a>,
}

#[derive(Deserialize)]
struct FetchedEvents<'a> {
    #[serde(borrow)]
    activities: Vec<&'a RawValue>,
}

impl FetchedIntake {
    /// Creates the intake for the sources of this name.
    pub(crate) fn new(
        spool: Arc<Spool>,
        sources: Vec<String>,
        config: ReceiverConfig,
        metrics: SharedMetrics,
        observer: Arc<Observer>,
        clock: Clock,
    ) -> FetchedIntake {
        let ReceiverConfig { outcomes, redact, .. } = config;
        let redaction = redact.as_ref().map(Redaction::new).map(Arc::new);
        FetchedIntake { spool, sources, outcomes, redaction, metrics, observer, clock }
    }

    /// Stores the events of a document of PingOne's API. An element that is no valid event goes to quarantine.
    ///
    /// # Errors
    ///
    /// See [`FetchedError`]. Nothing is stored, unless the spool cannot tell.
    pub(crate) async fn take_in(&self, source: &str, body: &[u8]) -> Result<Receipt, FetchedError> {
        if !self.sources.iter().any(|known| known == source) {
            return Err(FetchedError::UnknownSource(source.to_owned(), self.sources.join(", ")));
        }
        let document: FetchedDocument<'_> =
            serde_json::from_slice(body).map_err(|_| FetchedError::Malformed)?;
        let events: Vec<String> =
            document.embedded.activities.iter().map(|event| marked(event.get())).collect();
        let received_at = (self.clock)();
        let context = Context {
            source: Arc::from(source),
            received_at,
            request_id: Arc::from(REQUEST_ID),
            // The API's events have other fields than the webhook's; they are no reason for a quarantine.
            strict: false,
            outcomes: Arc::clone(&self.outcomes),
            redaction: self.redaction.clone(),
        };
        let body = Bytes::from(format!("[{}]", events.join(",")));
        let mut ingested =
            Ingest::new(context).finish(&body).map_err(|_| FetchedError::Malformed)?;
        let batch = std::mem::take(&mut ingested.batch);
        let receipt = self.spool.append(batch.prepare()).await?;
        let count = |result: &str, number: u64| {
            self.metrics.events.with_label_values(&[source, result]).inc_by(number);
        };
        count("accepted", receipt.accepted);
        count("duplicate", receipt.duplicates);
        count("quarantined", receipt.quarantined);
        self.metrics.reconcile_fetched.with_label_values(&[source]).inc_by(receipt.accepted);
        for reason in &ingested.refusals {
            self.metrics.quarantined.with_label_values(&[reason.as_str()]).inc();
        }
        for (kind, number) in ingested.summaries.findings() {
            self.metrics.findings.with_label_values(&[kind.as_str()]).inc_by(number);
        }
        self.observer.stored(source, received_at, &ingested.summaries, &receipt.repeated);
        Ok(receipt)
    }
}

impl std::fmt::Debug for FetchedIntake {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("FetchedIntake").field("sources", &self.sources).finish_non_exhaustive()
    }
}

/// Returns an element with the mark. An element that is no object stays as it is, and is refused.
fn marked(element: &str) -> String {
    let Some(rest) = element.strip_prefix('{') else { return element.to_owned() };
    let comma = if rest.trim_start().starts_with('}') { "" } else { "," };
    format!("{MARKED}{comma}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode;

    #[test]
    fn a_marked_element_is_the_same_event() {
        let event = r#"{ "id":"a","recordedAt":"2024-01-01T00:00:00Z","action":{"type":"X"}}"#;
        let text = marked(event);
        let typed = decode::event(text.as_bytes()).expect("an event");
        assert_eq!(typed.event.envelope().id, "a");
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value["origin"], "reconcile");
        let plain = decode::event(event.as_bytes()).expect("an event").findings;
        assert_eq!(typed.findings, plain, "the mark is no finding");
        for (element, expected) in [
            ("{}", "{\"origin\":\"reconcile\"}"),
            ("{ }", "{\"origin\":\"reconcile\" }"),
            ("7", "7"),
        ] {
            assert_eq!(marked(element), expected);
        }
    }
}

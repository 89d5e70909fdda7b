//! Indexer acknowledgement: an event counts as delivered when the indexers have it.
//!
//! The collector numbers the accepted requests of a channel. It reports `true` for a number once; `false` means not yet,
//! unknown or forgotten, and the sink cannot know which. After a timeout, it sends the events again.

use std::collections::HashMap;

use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::answer::{self, Reply};
use super::{AcknowledgementConfig, SplunkHec};
use crate::http_client::{Class, class_of};
use crate::sinks::Reason;

#[derive(Deserialize)]
struct AckAnswer {
    acks: HashMap<String, bool>,
}

/// An accepted request whose acknowledgement could not be requested. The collector has its events: the next attempt
/// requests the acknowledgement again and does not send them.
#[derive(Debug)]
pub(super) struct Unpolled {
    pub(super) ack_id: u64,
    pub(super) positions: Vec<u64>,
}

/// Result of waiting for an acknowledgement.
pub(super) enum Acknowledged {
    /// The indexers have its events.
    Yes,
    /// The token has no acknowledgement: the sink only knows that the collector has accepted the events.
    Disabled,
    /// The collector refuses the request until an operator changes something.
    Refused(Reason),
    /// The timeout has passed without an acknowledgement.
    Expired(Reason),
}

impl SplunkHec {
    /// Waits until request `id` is acknowledged.
    pub(super) async fn wait_for(&self, id: u64, settings: AcknowledgementConfig) -> Acknowledged {
        let deadline = Instant::now() + settings.timeout;
        let mut last_error = String::new();
        loop {
            sleep(settings.interval).await;
            let path = "/services/collector/ack";
            // A failed request says nothing about the events, so only the timeout counts.
            match self.post(path, format!("{{\"acks\":[{id}]}}").into_bytes()).await {
                Ok(reply) if is_acknowledged(&reply, id) => return Acknowledged::Yes,
                Ok(reply) if reply.code == Some(answer::ACKNOWLEDGEMENT_IS_DISABLED) => {
                    return Acknowledged::Disabled;
                }
                Ok(reply)
                    if class_of(reply.answer.status) == Class::Fatal || is_refused(&reply) =>
                {
                    let message = "the collector accepted the events and refuses the requests for their \
                                   acknowledgement; correct Splunk or the proxy before it, or \
                                   leave acknowledgement out";
                    return Acknowledged::Refused(reply.reason(message));
                }
                Ok(reply) if reply.answer.status != 200 => {
                    last_error =
                        format!("; the last request failed (HTTP {})", reply.answer.status);
                }
                Ok(_) => last_error.clear(),
                Err(verdict) => last_error = format!("; {}", verdict.into_reason()),
            }
            if Instant::now() >= deadline {
                let message =
                    format!("the indexers did not acknowledge the events in time{last_error}");
                return Acknowledged::Expired(Reason::late(message));
            }
        }
    }
}

/// Returns true for codes that mean that the token or the channel may not request acknowledgements.
fn is_refused(reply: &Reply) -> bool {
    matches!(reply.code, Some(1..=4 | 10 | 11 | 16 | 21 | 22 | 28))
}

fn is_acknowledged(reply: &Reply, id: u64) -> bool {
    let acks: Result<AckAnswer, _> = serde_json::from_slice(&reply.answer.body);
    acks.is_ok_and(|AckAnswer { acks }| acks.get(&id.to_string()) == Some(&true))
}

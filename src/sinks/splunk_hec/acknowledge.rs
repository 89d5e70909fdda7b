//! Indexer acknowledgement: an event counts as delivered when the indexers have it.
//!
//! Each accepted request has a number within the channel. An answer of `true` is given once; `false`
//! means not yet, unknown, or forgotten, which cannot be told apart: after a time, the events are
//! sent again.

use std::collections::HashMap;

use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::answer::{self, Reply};
use super::{AcknowledgementConfig, SplunkHec};
use crate::http_client::{Class, class_of};
use crate::sinks::Reason;

#[derive(Deserialize)]
struct Acks {
    acks: HashMap<String, bool>,
}

/// An accepted request whose acknowledgement could not be asked for. Its events are with the collector:
/// when they come again, they are asked for again and not sent.
#[derive(Debug)]
pub(super) struct Unasked {
    pub(super) ack_id: u64,
    pub(super) positions: Vec<u64>,
}

/// Result of waiting for an acknowledgement.
pub(super) enum Acknowledged {
    /// The indexers have its events.
    Yes,
    /// This token has no acknowledgement: that the collector took the events is all there is to know.
    Disabled,
    /// The collector does not let us ask, until somebody changes something.
    Refused(Reason),
    /// Nobody knows.
    Expired(Reason),
}

impl SplunkHec {
    /// Waits until request `id` is acknowledged.
    pub(super) async fn wait_for(&self, id: u64, settings: AcknowledgementConfig) -> Acknowledged {
        let deadline = Instant::now() + settings.timeout;
        let mut trouble = String::new();
        loop {
            sleep(settings.interval).await;
            let path = "/services/collector/ack";
            // Trouble in asking is no trouble with the events: only time decides about them.
            match self.post(path, format!("{{\"acks\":[{id}]}}").into_bytes()).await {
                Ok(reply) if is_acknowledged(&reply, id) => return Acknowledged::Yes,
                Ok(reply) if reply.code == Some(answer::ACKNOWLEDGEMENT_IS_DISABLED) => {
                    return Acknowledged::Disabled;
                }
                Ok(reply)
                    if class_of(reply.answer.status) == Class::Fatal || is_refused(&reply) =>
                {
                    let message = "the collector took the events and does not let us ask whether they \
                                   are indexed; correct it in Splunk or before it, or leave \
                                   acknowledgement out";
                    return Acknowledged::Refused(reply.reason(message));
                }
                Ok(reply) if reply.answer.status != 200 => {
                    trouble = format!("; it was asked in vain (HTTP {})", reply.answer.status);
                }
                Ok(_) => trouble.clear(),
                Err(verdict) => trouble = format!("; {}", verdict.into_reason()),
            }
            if Instant::now() >= deadline {
                let message =
                    format!("the indexers did not acknowledge the events in time{trouble}");
                return Acknowledged::Expired(Reason::late(message));
            }
        }
    }
}

/// A code that says that the token or the channel may not ask.
fn is_refused(reply: &Reply) -> bool {
    matches!(reply.code, Some(1..=4 | 10 | 11 | 16 | 21 | 22 | 28))
}

fn is_acknowledged(reply: &Reply, id: u64) -> bool {
    let acks: Result<Acks, _> = serde_json::from_slice(&reply.answer.body);
    acks.is_ok_and(|Acks { acks }| acks.get(&id.to_string()) == Some(&true))
}

//! Indexer acknowledgement: an event counts as delivered when the indexers have it.
//!
//! Each accepted request has a number within the channel. An answer of `true` is given once; `false`
//! means not yet, unknown, or forgotten, which cannot be told apart: after a time, the events are
//! sent again.

use std::collections::HashMap;

use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::SplunkHec;
use super::answer::{self, Reply};
use crate::config::Acknowledgement;
use crate::sinks::Reason;

#[derive(Deserialize)]
struct Acks {
    acks: HashMap<String, bool>,
}

/// What became of an accepted request.
pub(super) enum Acknowledged {
    /// The indexers have its events.
    Yes,
    /// This token has no acknowledgement: that the collector took the events is all there is to know.
    Disabled,
    /// Nobody knows.
    Expired(Reason),
}

impl SplunkHec {
    /// Waits until request `id` is acknowledged.
    pub(super) async fn wait_for(&self, id: u64, settings: Acknowledgement) -> Acknowledged {
        let deadline = Instant::now() + settings.timeout;
        loop {
            sleep(settings.interval).await;
            let path = "/services/collector/ack";
            // Trouble in asking is no trouble with the events: only time decides about them.
            if let Ok(reply) = self.post(path, format!("{{\"acks\":[{id}]}}").into_bytes()).await {
                if is_acknowledged(&reply, id) {
                    return Acknowledged::Yes;
                }
                if reply.code == Some(answer::ACKNOWLEDGEMENT_IS_DISABLED) {
                    return Acknowledged::Disabled;
                }
            }
            if Instant::now() >= deadline {
                let message = "the indexers did not acknowledge the events in time";
                return Acknowledged::Expired(Reason::new(message));
            }
        }
    }
}

fn is_acknowledged(reply: &Reply, id: u64) -> bool {
    let acks: Result<Acks, _> = serde_json::from_slice(&reply.answer.body);
    acks.is_ok_and(|Acks { acks }| acks.get(&id.to_string()) == Some(&true))
}

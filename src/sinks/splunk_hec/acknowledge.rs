//! Indexer acknowledgement: an event counts as delivered when the indexers have it.
//!
//! Each accepted request has a number within the channel. An answer of `true` is given once; `false`
//! means not yet, unknown, or forgotten, which cannot be told apart: after a time, the events are
//! sent again.

use std::collections::HashMap;

use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::SplunkHec;
use super::answer::Reply;
use crate::config::Acknowledgement;
use crate::sinks::request::{Class, class_of};
use crate::sinks::{Reason, Verdict};

#[derive(Deserialize)]
struct Acks {
    acks: HashMap<String, bool>,
}

impl SplunkHec {
    /// Waits until request `id` is acknowledged.
    pub(super) async fn wait_for(&self, id: u64, settings: Acknowledgement) -> Result<(), Verdict> {
        let deadline = Instant::now() + settings.timeout;
        loop {
            sleep(settings.interval).await;
            let path = "/services/collector/ack";
            // Trouble in asking is no trouble with the events: only time decides about them.
            if let Ok(reply) = self.post(path, format!("{{\"acks\":[{id}]}}").into_bytes()).await {
                if is_acknowledged(&reply, id) {
                    return Ok(());
                }
                if class_of(reply.answer.status) == Class::Fatal || reply.code == Some(14) {
                    let message = "acknowledgement cannot be asked for; enable it for this token, or \
                                   leave acknowledgement out";
                    return Err(Verdict::Fatal { reason: reply.reason(message) });
                }
            }
            if Instant::now() >= deadline {
                let reason = Reason::new("the indexers did not acknowledge the events in time");
                return Err(Verdict::Retry { after: None, reason });
            }
        }
    }
}

fn is_acknowledged(reply: &Reply, id: u64) -> bool {
    let acks: Result<Acks, _> = serde_json::from_slice(&reply.answer.body);
    acks.is_ok_and(|Acks { acks }| acks.get(&id.to_string()) == Some(&true))
}

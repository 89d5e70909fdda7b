//! `pubsub`: messages in a topic of Google Cloud Pub/Sub, over HTTP.
//! <https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.topics/publish>
//!
//! Pub/Sub accepts or refuses a request as a whole and recognises no repetition: the attribute `event_uid` is the same
//! in each copy of an event. Messages have no ordering key: all messages of a request would have to have the same one.

mod config;

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::json;
use url::Url;

use super::google_api::{GoogleAdvice, GoogleApi, failure};
use super::{
    BatchDefaults, Deliver, Item, Reason, Rendered, Report, SinkFinding, SinkType, Verdict,
};
use crate::format::Format;
use crate::http_client::Answer;
use crate::settings::Section;
pub(crate) use config::PubsubSinkConfig;

/// Upper bound of an attribute's value, in bytes. <https://cloud.google.com/pubsub/quotas#resource_limits>
const MAX_ATTRIBUTE_BYTES: usize = 1024;

/// Permission that the identity needs.
const PERMISSION: &str = "pubsub.topics.publish";

impl SinkType for PubsubSinkConfig {
    const NAME: &'static str = "pubsub";
    // Pub/Sub accepts 1000 messages and 10 MB in a request.
    const BATCH: BatchDefaults = BatchDefaults { events: "1000", bytes: "5 MB" };
    const IS_ORDERED: bool = false;

    type Sink = Pubsub;

    fn read(section: &mut Section<'_>, _: Format) -> Option<PubsubSinkConfig> {
        config::read(section)
    }

    fn refuses_lines(&self) -> Option<&'static str> {
        None
    }

    fn files(&self) -> Vec<PathBuf> {
        self.client.files().into_iter().chain(self.identity.files()).collect()
    }

    fn target(&self) -> String {
        format!("{}, {}", self.client.origin(), self.topic)
    }

    fn encode(&self, rendered: Rendered<'_>) -> Result<(Vec<u8>, Option<SinkFinding>), Reason> {
        Ok((encode(&rendered), None))
    }

    fn open(&self) -> Result<Pubsub, Reason> {
        let api = GoogleApi::open(&self.client, &self.identity, &self.tokens)?;
        let method = |name: &str| {
            let mut url = self.url.clone();
            url.set_path(&format!("{}:{name}", self.url.path()));
            url
        };
        Ok(Pubsub { api, publish: method("publish"), test: method("testIamPermissions") })
    }
}

/// A target of `type = "pubsub"`.
#[derive(Debug)]
pub(crate) struct Pubsub {
    api: GoogleApi,
    publish: Url,
    test: Url,
}

/// `PubsubMessage` of the API.
#[derive(Serialize)]
struct PubsubMessage<'a> {
    data: String,
    attributes: PubsubAttributes<'a>,
}

/// Attributes, by which subscriptions filter. One that is too long is left out: it is in the event.
#[derive(Serialize)]
struct PubsubAttributes<'a> {
    event_uid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    action_type: Option<&'a str>,
    outcome: &'static str,
    source: &'a str,
}

fn encode(rendered: &Rendered<'_>) -> Vec<u8> {
    let Rendered { line, event, source } = rendered;
    let envelope = event.envelope();
    let fits = |text: &&str| (1..=MAX_ATTRIBUTE_BYTES).contains(&text.len());
    let message = PubsubMessage {
        data: STANDARD.encode(line),
        attributes: PubsubAttributes {
            event_uid: event.uid(source),
            event_id: Some(&*envelope.id).filter(fits),
            action_type: Some(&*envelope.action.kind).filter(fits),
            outcome: event.outcome().as_str(),
            source,
        },
    };
    // Texts cannot fail to serialize.
    serde_json::to_vec(&message).unwrap_or_default()
}

fn body(items: &[Item]) -> Vec<u8> {
    let size = items.iter().map(|item| item.payload.len() + 1).sum::<usize>() + 16;
    let mut body = Vec::with_capacity(size);
    body.extend_from_slice(b"{\"messages\":[");
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        body.extend_from_slice(&item.payload);
    }
    body.extend_from_slice(b"]}");
    body
}

const ADVICE: GoogleAdvice = GoogleAdvice {
    role: "grant the role Pub/Sub Publisher on the topic to the identity",
    resource: "there is no such topic; create it, or correct project or topic",
};

/// Response of a publish request.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Published {
    message_ids: Vec<String>,
}

impl Published {
    /// Returns true if each of `count` messages has an id.
    fn has_ids(&self, count: usize) -> bool {
        self.message_ids.len() == count && self.message_ids.iter().all(|id| !id.is_empty())
    }
}

/// Returns the verdict for `count` messages of a request.
fn verdict(answer: &Answer, count: usize) -> Verdict {
    if let Some(verdict) = failure(answer, ADVICE) {
        return verdict;
    }
    match serde_json::from_slice::<Published>(&answer.body) {
        Ok(published) if published.has_ids(count) => Verdict::Delivered,
        _ if answer.is_torn() => Verdict::Retry {
            after: answer.retry_after,
            reason: answer.reason("the answer broke off", None),
        },
        _ => Verdict::Fatal {
            reason: answer.reason("the answer is not one of Pub/Sub; correct endpoint", None),
        },
    }
}

/// Response of a request for the identity's own permissions.
#[derive(Deserialize)]
struct Granted {
    #[serde(default)]
    permissions: Vec<String>,
}

impl Deliver for Pubsub {
    async fn deliver(&mut self, items: &[Item]) -> Report {
        let verdict = match self.api.post(&self.publish, body(items)).await {
            Ok(answer) => verdict(&answer, items.len()),
            Err(verdict) => verdict,
        };
        Report::all(items, verdict)
    }

    /// Asks whether the identity may publish, which needs no permission.
    async fn probe(&mut self) -> Result<String, Reason> {
        let body = json!({ "permissions": [PERMISSION] }).to_string().into_bytes();
        let answer = self.api.post(&self.test, body).await.map_err(Verdict::into_reason)?;
        if let Some(verdict) = failure(&answer, ADVICE) {
            return Err(verdict.into_reason());
        }
        match serde_json::from_slice::<Granted>(&answer.body) {
            Ok(granted) if granted.permissions.iter().any(|granted| granted == PERMISSION) => {
                Ok("the identity may publish".to_owned())
            }
            Ok(_) => Err(Reason::new(ADVICE.role)),
            Err(_) => {
                Err(answer.reason("the answer is not one of Pub/Sub; correct endpoint", None))
            }
        }
    }
}

#[cfg(test)]
mod tests;

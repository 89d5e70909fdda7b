//! Settings of `type = "pubsub"`: a topic of Google Cloud Pub/Sub.

use std::sync::Arc;

use url::Url;

use crate::google::GoogleConfig;
use crate::http_client::{HttpClientConfig, NONE_OR_GZIP, below, parse_url};
use crate::oauth::TokenCache;
use crate::settings::Section;
use crate::sinks::google_api::parse_name;

/// `type = "pubsub"`.
#[derive(Debug, Clone)]
pub struct PubsubSinkConfig {
    /// Connection; the URL is that of the API, without a path.
    pub client: HttpClientConfig,
    /// Sign-in at Google Cloud.
    pub identity: GoogleConfig,
    /// URL of the topic.
    pub url: Url,
    pub topic: String,
    /// Access token, which all connections of the sink share.
    pub(crate) tokens: Arc<TokenCache>,
}

pub(super) fn read(section: &mut Section<'_>) -> Option<PubsubSinkConfig> {
    let doc = "Google Cloud project of the topic.";
    let project = section.text_as("project", doc, parse_name).required("my-project");
    let topic = section.text_as("topic", "Topic, without its project.", parse_name);
    let topic = topic.required("pingone-davinci");
    let words = "https://pubsub.googleapis.com";
    let client = match parse_url(words) {
        Ok(url) => HttpClientConfig::read_with_default(section, url, words, &NONE_OR_GZIP, "none"),
        Err(_) => None,
    };
    if let Some(client) = &client {
        client.refuse_api_path(section, &["/v1", "/projects"]);
    }
    let identity = GoogleConfig::read(section);
    let (client, topic) = (client?, topic?);
    Some(PubsubSinkConfig {
        url: below(&client.url, &format!("/v1/projects/{}/topics/{topic}", project?)),
        client,
        identity: identity?,
        topic,
        tokens: Arc::default(),
    })
}

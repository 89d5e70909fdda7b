//! Settings of `type = "google_secops"`: the Chronicle API of Google Security Operations.

use std::sync::Arc;

use url::Url;

use crate::google::GoogleConfig;
use crate::http_client::{HttpClientConfig, NONE_OR_GZIP, below, parse_url};
use crate::oauth::TokenCache;
use crate::settings::Section;
use crate::sinks::google_api::parse_name;

/// `type = "google_secops"`.
#[derive(Debug, Clone)]
pub struct GoogleSecopsSinkConfig {
    /// Connection; the URL is that of the regional API, without a path.
    pub client: HttpClientConfig,
    /// Sign-in at Google Cloud.
    pub identity: GoogleConfig,
    /// URL of the instance's logs of one type.
    pub logs: Url,
    pub log_type: String,
    /// Name of the forwarder resource that the logs are attributed to.
    pub forwarder: Option<String>,
    /// Environment namespace of every log.
    pub namespace: Option<String>,
    /// Access token, which all connections of the sink share.
    pub(crate) tokens: Arc<TokenCache>,
}

/// Versions of the API.
const VERSIONS: [(&str, &str); 3] = [("v1", "v1"), ("v1beta", "v1beta"), ("v1alpha", "v1alpha")];

/// Part of the path that the sink adds.
const API: &str = "/projects";

pub(super) fn read(section: &mut Section<'_>) -> Option<GoogleSecopsSinkConfig> {
    let doc = "Google Cloud project of the instance.";
    let project = section.text_as("project", doc, parse_name).required("my-project");
    let doc = "Location of the instance: a region, \"us\" or \"eu\".";
    let location = section.text_as("location", doc, parse_location).required("eu");
    let doc = "Id of the instance: the customer id.";
    let instance = section.text_as("instance", doc, parse_instance);
    let instance = instance.required("00000000-0000-0000-0000-000000000000");
    let doc = "Log type, by which SecOps selects the parser.";
    let log_type = section.text_as("log_type", doc, parse_log_type).required("OCSF");
    let doc = "Id of the forwarder that the logs are attributed to. Default: none.";
    let forwarder = section.text_as("forwarder", doc, parse_name).optional();
    let doc = "Environment namespace of every log. Default: none.";
    let namespace = section.text("namespace", doc).optional();
    let version = section.choice("api_version", &VERSIONS, "Version of the API.").or("v1");
    let host = location.as_deref().unwrap_or("eu");
    let client = match parse_url(&format!("https://chronicle.{host}.rep.googleapis.com")) {
        Ok(url) => {
            let words = "https://chronicle.LOCATION.rep.googleapis.com";
            HttpClientConfig::read_with_default(section, url, words, &NONE_OR_GZIP, "gzip")
        }
        Err(_) => None,
    };
    if let Some(client) = &client {
        client.refuse_api_path(section, &[API, "/v1"]);
    }
    let identity = GoogleConfig::read(section);
    let (client, log_type) = (client?, log_type?);
    let parent = format!("{API}/{}/locations/{}/instances/{}", project?, location?, instance?);
    let path = format!("/{}{parent}/logTypes/{log_type}/logs:import", version?);
    let forwarder = forwarder?.map(|id| format!("{}/forwarders/{id}", &parent[1..]));
    Some(GoogleSecopsSinkConfig {
        logs: below(&client.url, &path),
        client,
        identity: identity?,
        log_type,
        forwarder,
        namespace: namespace?,
        tokens: Arc::default(),
    })
}

/// Parses a location, which becomes a part of a host's name.
fn parse_location(text: &str) -> Result<String, &'static str> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_name = text.starts_with(|c: char| c.is_ascii_lowercase()) && !text.ends_with('-');
    match is_name && text.len() <= 40 && text.chars().all(is_plain) {
        true => Ok(text.to_owned()),
        false => Err("is not a location such as \"us\", \"eu\" or \"europe-west3\""),
    }
}

/// Parses the id of an instance.
fn parse_instance(text: &str) -> Result<String, &'static str> {
    let id: Result<uuid::Uuid, _> = text.trim().parse();
    id.map(|id| id.to_string()).map_err(|_| {
        "is not an id such as \"00000000-0000-0000-0000-000000000000\"; copy the customer id from SIEM settings, Profile"
    })
}

/// Parses a log type.
fn parse_log_type(text: &str) -> Result<String, &'static str> {
    let is_plain = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_' || c == '-';
    match (1..=100).contains(&text.len()) && text.chars().all(is_plain) {
        true => Ok(text.to_owned()),
        false => {
            Err("is not a log type such as \"OCSF\"; write its ingestion label, in capital letters")
        }
    }
}

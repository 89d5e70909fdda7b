//! Settings of `type = "sentinel"`: the Logs Ingestion API of Azure Monitor.

use std::sync::Arc;

use crate::azure::{AzureCloud, EntraConfig};
use crate::format::Format;
use crate::http_client::{HttpClientConfig, NONE_OR_GZIP};
use crate::oauth::TokenCache;
use crate::settings::Section;

/// `type = "sentinel"`.
#[derive(Debug, Clone)]
pub struct SentinelSinkConfig {
    /// Connection; the URL is the endpoint for logs ingestion, without a path.
    pub client: HttpClientConfig,
    /// Sign-in at Microsoft Entra ID.
    pub entra: EntraConfig,
    /// Immutable id of the data collection rule.
    pub rule_id: String,
    /// Stream of the rule that receives the events.
    pub stream: String,
    /// Format of the events, which decides about the columns.
    pub format: Format,
    /// Treatment of events whose time Azure would replace.
    pub old_events: OldEvents,
    /// Access token, which all connections of the sink share.
    pub(crate) tokens: Arc<TokenCache>,
}

/// Treatment of events whose time Azure would replace by the time of their receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OldEvents {
    /// They are sent.
    Send,
    /// They become dead letters.
    DeadLetter,
}

/// Stream of the templates in `deploy/sentinel`.
const STREAM: &str = "Custom-PingOneEvents";

const RULE_ID: &str = "dcr-0123456789abcdef0123456789abcdef";

/// Endings of an endpoint's host name, by cloud.
const ENDPOINTS: [(&str, &str, AzureCloud); 3] = [
    (".monitor.azure.com", "public", AzureCloud::Public),
    (".monitor.azure.us", "usgov", AzureCloud::UsGov),
    (".monitor.azure.cn", "china", AzureCloud::China),
];

pub(super) fn read(section: &mut Section<'_>, format: Format) -> Option<SentinelSinkConfig> {
    let example = "https://davinci-siem-a1b2.westeurope-1.ingest.monitor.azure.com";
    let client = HttpClientConfig::read(section, "endpoint", example, &NONE_OR_GZIP, "gzip");
    if let Some(client) = &client {
        client.refuse_api_path(section, &["/dataCollectionRules"]);
    }
    let entra = EntraConfig::read(section, AzureCloud::monitor);
    let doc = "Immutable id of the data collection rule.";
    let rule_id = section.text_as("rule_id", doc, parse_rule_id).required(RULE_ID);
    let doc = "Stream of the data collection rule.";
    let stream = section.text_as("stream", doc, parse_stream).or(STREAM);
    let choices = [("send", OldEvents::Send), ("dead_letter", OldEvents::DeadLetter)];
    let doc = "Events older than 47 h, whose time Azure would replace: sent, or dead letters.";
    let old_events = section.choice("old_events", &choices, doc).or("send");
    let config = SentinelSinkConfig {
        client: client?,
        entra: entra?,
        rule_id: rule_id?,
        stream: stream?,
        format,
        old_events: old_events?,
        tokens: Arc::default(),
    };
    report_other_cloud(section, &config);
    Some(config)
}

/// Reports an endpoint of another cloud than the one whose tokens are requested.
fn report_other_cloud(section: &mut Section<'_>, config: &SentinelSinkConfig) {
    let host = config.client.url.host_str().unwrap_or_default();
    let own = ENDPOINTS.iter().find(|(ending, ..)| host.ends_with(ending));
    if let Some((ending, name, cloud)) = own
        && *cloud != config.entra.cloud
        && config.entra.audience == config.entra.cloud.monitor()
    {
        section.report("endpoint", format!("ends with {ending}: write cloud = {name:?}"));
    }
}

/// Parses the immutable id of a data collection rule. Many copy the resource id or the name instead.
fn parse_rule_id(text: &str) -> Result<String, String> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let digits = text.strip_prefix("dcr-");
    if digits.is_some_and(|digits| digits.len() == 32 && digits.bytes().all(is_digit)) {
        return Ok(text.to_owned());
    }
    let mistake = match text.contains('/') {
        true => "is the rule's resource id",
        false => "is not \"dcr-\" and 32 hexadecimal digits",
    };
    Err(format!(
        "{mistake}; write the rule's immutable id, which its JSON view shows as immutableId"
    ))
}

/// Parses the name of a stream for a custom table.
fn parse_stream(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    let name = text.strip_prefix("Custom-").unwrap_or_default();
    match (1..=100).contains(&name.len()) && name.bytes().all(is_plain) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "is not \"Custom-\" and a name; write it as streamDeclarations of the rule does, for example \
             stream = {STREAM:?}"
        )),
    }
}

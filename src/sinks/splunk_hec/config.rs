//! Settings of `type = "splunk_hec"`: Splunk's HTTP Event Collector, and others with its protocol.

use std::time::Duration;

use super::profile::{Answers, HecProfile, PROFILES, SPLUNK};
use crate::format::Format;
use crate::http_client::{HttpClientConfig, NONE_OR_GZIP};
use crate::secret::{Form, Secret};
use crate::settings::Section;

/// `type = "splunk_hec"`.
#[derive(Debug, Clone)]
pub struct SplunkHecSinkConfig {
    /// Collector whose defaults apply.
    pub profile: &'static HecProfile,
    /// Connection; `path` follows the URL's own.
    pub client: HttpClientConfig,
    /// Path of the requests with events, after that of the endpoint.
    pub path: String,
    /// Scheme of the token in `Authorization`.
    pub scheme: &'static str,
    /// The HEC token.
    pub token: Secret,
    /// `index`; without one the token's default applies.
    pub index: Option<String>,
    /// `sourcetype`; without one the collector's parser applies.
    pub sourcetype: Option<String>,
    /// `source`; without one it is `davinci:` and the environment's id.
    pub source: Option<String>,
    pub host: String,
    /// Indexer acknowledgement, if the sink waits for it.
    pub acknowledgement: Option<AcknowledgementConfig>,
}

/// Waiting until the indexers have an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AcknowledgementConfig {
    /// Interval of the requests for acknowledgements.
    pub interval: Duration,
    /// Time after which an event counts as lost and is sent again.
    pub timeout: Duration,
}

/// Sourcetype of the add-on in `deploy/`, for `format = "native"`.
const SOURCETYPE: &str = "pingone:davinci";

pub(super) fn read(section: &mut Section<'_>, format: Format) -> Option<SplunkHecSinkConfig> {
    let doc =
        "Collector that decides about the defaults of path, authorization, sourcetype and batch.";
    let chosen = section.choice("profile", &PROFILES, doc).or("splunk");
    let profile = chosen.unwrap_or(&SPLUNK);
    let client =
        HttpClientConfig::read(section, "endpoint", profile.example, &NONE_OR_GZIP, "gzip");
    let doc = "Path of the requests with events, after that of endpoint.";
    let path = section.text_as("path", doc, parse_path).or(profile.path);
    let schemes = [("Splunk", "Splunk"), ("Bearer", "Bearer")];
    let doc = "Scheme of the token in the header Authorization.";
    let scheme = section.choice("authorization", &schemes, doc).or(profile.scheme);
    let token = section.secret("token", Form::Header, "HEC token.");
    let index = section.text("index", "Index. Default: the token's own.").optional();
    // Another format has other fields: searches for one sourcetype would misread the other.
    let default = match format {
        _ if !profile.has_sourcetype => None,
        Format::Native => Some(SOURCETYPE.to_owned()),
        format => Some(format!("{SOURCETYPE}:{}", format.as_str())),
    };
    let doc = "Sourcetype. Default: \"pingone:davinci\", with \":\" and the format if that is not native; \
               none for logscale and crowdstrike_ngsiem.";
    let sourcetype = section.text("sourcetype", doc).optional();
    let doc = "Source. Default: \"davinci:\" and the id of the environment.";
    let source = section.text("source", doc).optional();
    let host = section.text("host", "Host.").or("pingone");
    let doc = "Indexer acknowledgement. Default: the sink does not wait for the indexers.";
    let acknowledgement = section.optional_table("acknowledgement", doc, |section| {
        let doc = "Interval of the requests for acknowledgements.";
        let interval = section.timeout("interval", doc).or("1s");
        let doc = "Time after which an event counts as lost and is sent again.";
        let timeout = section.timeout("timeout", doc).or("5m");
        Some(AcknowledgementConfig { interval: interval?, timeout: timeout? })
    });
    let config = SplunkHecSinkConfig {
        profile: chosen?,
        client: client?,
        path: path?,
        scheme: scheme?,
        token: token?,
        index: index?,
        sourcetype: sourcetype?.or(default),
        source: source?,
        host: host?,
        acknowledgement: acknowledgement?,
    };
    report_conflicts(section, &config);
    Some(config)
}

/// Parses a path, which may be empty.
fn parse_path(text: &str) -> Result<String, &'static str> {
    let is_plain = |c: char| c.is_ascii_graphic() && !"?#\"<>\\^`{|}".contains(c);
    match text.is_empty() || (text.starts_with('/') && text.chars().all(is_plain)) {
        true => Ok(text.to_owned()),
        false => Err("is not a path such as \"/services/collector/event\""),
    }
}

/// Reports an endpoint that does not fit the path and the profile, and an acknowledgement that only Splunk gives.
fn report_conflicts(section: &mut Section<'_>, config: &SplunkHecSinkConfig) {
    let SplunkHecSinkConfig { profile, client, path, .. } = config;
    if path.is_empty() && client.url.path() == "/" {
        let message = "has no path; copy the whole URL that the collector shows, or write path";
        section.report("endpoint", message);
    } else if !path.is_empty() {
        client.refuse_api_path(section, &["/services/collector", "/api/v1/ingest/hec"]);
    }
    let query: Vec<_> = client.url.query_pairs().map(|(name, _)| name.into_owned()).collect();
    let is_given = |name: &str| query.iter().any(|given| given == name);
    let missing = profile.query.iter().find(|name| !is_given(name));
    if let Some(name) = missing {
        let message = format!("has no {name}; write for example endpoint = {:?}", profile.example);
        section.report("endpoint", message);
    }
    if config.acknowledgement.is_some() && profile.answers == Answers::Statuses {
        section.report("acknowledgement", "is only for profile = \"splunk\"; leave it out");
    }
}

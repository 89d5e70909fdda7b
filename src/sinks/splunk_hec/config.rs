//! Settings of `type = "splunk_hec"`: Splunk's HTTP Event Collector.

use std::time::Duration;

use crate::format::Format;
use crate::http_client::{HttpClientConfig, NONE_OR_GZIP};
use crate::secret::{Form, Secret};
use crate::settings::Section;

/// `type = "splunk_hec"`.
#[derive(Debug, Clone)]
pub struct SplunkHecSinkConfig {
    /// Connection; the URL has no path.
    pub client: HttpClientConfig,
    /// The HEC token.
    pub token: Secret,
    /// `index`; without one the token's default applies.
    pub index: Option<String>,
    pub sourcetype: String,
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
    let example = "https://splunk.example.com:8088";
    let client = HttpClientConfig::read(section, "endpoint", example, &NONE_OR_GZIP, "gzip");
    if let Some(client) = &client {
        client.refuse_api_path(section, &["/services/collector"]);
    }
    let token = section.secret("token", Form::Header, "HEC token.");
    let index = section.text("index", "Index. Default: the token's own.").optional();
    // Another format has other fields: searches for one sourcetype would misread the other.
    let default = match format {
        Format::Native => SOURCETYPE.to_owned(),
        format => format!("{SOURCETYPE}:{}", format.as_str()),
    };
    let words = "\"pingone:davinci\", with \":\" and the format if that is not native";
    let sourcetype = section.text("sourcetype", "Sourcetype.").or_value(default, words);
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
    Some(SplunkHecSinkConfig {
        client: client?,
        token: token?,
        index: index?,
        sourcetype: sourcetype?,
        source: source?,
        host: host?,
        acknowledgement: acknowledgement?,
    })
}

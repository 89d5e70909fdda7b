//! `type = "splunk_hec"`: Splunk's HTTP Event Collector.

use std::path::PathBuf;
use std::time::Duration;

use super::client::{self, Client, Compression};
use crate::config::section::Section;
use crate::secret::{Form, Secret};

/// `type = "splunk_hec"`.
#[derive(Debug, Clone)]
pub struct SplunkHecSink {
    /// Where to, and how; the URL without a path.
    pub client: Client,
    /// The HEC token; `None` only while the mistake is reported.
    pub token: Option<Secret>,
    /// `index`; without one the token's default applies.
    pub index: Option<String>,
    /// `sourcetype`; without one it is `pingone:davinci`, and the format if that is not `native`.
    pub sourcetype: Option<String>,
    /// `source`; without one it is `davinci:` and the environment's id.
    pub source: Option<String>,
    /// `host`
    pub host: String,
    /// Whether and how indexer acknowledgement is waited for.
    pub acknowledgement: Option<Acknowledgement>,
}

/// Waiting until the indexers have an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acknowledgement {
    /// How often to ask.
    pub interval: Duration,
    /// After how long an event counts as lost and is sent again.
    pub timeout: Duration,
}

impl SplunkHecSink {
    /// Files whose change may make the target reachable.
    pub fn files(&self) -> Vec<PathBuf> {
        let token = self.token.as_ref().and_then(|token| token.file().map(PathBuf::from));
        self.client.files().into_iter().chain(token).collect()
    }
}

impl SplunkHecSink {
    /// Other fields are another sourcetype: searches for the one would misread the other.
    pub(super) fn with_format(self, format: &str) -> SplunkHecSink {
        let default = || (format != "native").then(|| format!("pingone:davinci:{format}"));
        SplunkHecSink { sourcetype: self.sourcetype.or_else(default), ..self }
    }
}

pub(super) fn read(section: &mut Section<'_>) -> SplunkHecSink {
    let compressions = [("none", Compression::None), ("gzip", Compression::Gzip)];
    let url = "https://splunk.example.com:8088";
    let client = client::read(section, "endpoint", url, &compressions, Compression::Gzip);
    client::refuse_api_path(section, &client, &["/services/collector"]);
    SplunkHecSink {
        client,
        token: section.secret("token", Form::Header),
        index: section.text("index"),
        sourcetype: section.text("sourcetype"),
        source: section.text("source"),
        host: section.text("host").unwrap_or_else(|| "pingone".to_owned()),
        acknowledgement: section.table_if_given("acknowledgement").map(read_acknowledgement),
    }
}

fn read_acknowledgement(mut section: Section<'_>) -> Acknowledgement {
    let acknowledgement = Acknowledgement {
        interval: section.timeout("interval").unwrap_or(Duration::from_secs(1)),
        timeout: section.timeout("timeout").unwrap_or(Duration::from_mins(5)),
    };
    section.finish();
    acknowledgement
}

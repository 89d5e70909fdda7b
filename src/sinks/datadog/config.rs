//! Settings of `type = "datadog"`: the logs intake of Datadog.

use url::Url;

use crate::format::Format;
use crate::http_client::{HttpClientConfig, NONE_OR_GZIP, below, parse_url};
use crate::secret::{Form, Secret};
use crate::settings::Section;

/// `type = "datadog"`.
#[derive(Debug, Clone)]
pub struct DatadogSinkConfig {
    /// Connection; the URL is that of the intake, without a path.
    pub client: HttpClientConfig,
    /// API key of the organization.
    pub api_key: Secret,
    /// URL that answers if the key is valid.
    pub validation: Url,
    /// True if the configuration names the endpoint.
    pub is_own_endpoint: bool,
    /// `ddsource`, by which Datadog selects the pipeline.
    pub source: String,
    pub service: String,
    pub hostname: String,
    /// Tags of every log, in addition to those of the event.
    pub tags: Vec<String>,
    /// Format of the events.
    pub format: Format,
}

/// Sites of Datadog. A key is valid at one of them.
/// <https://docs.datadoghq.com/getting_started/site/>
const SITES: [(&str, &str); 9] = [
    ("datadoghq.com", "datadoghq.com"),
    ("us3.datadoghq.com", "us3.datadoghq.com"),
    ("us5.datadoghq.com", "us5.datadoghq.com"),
    ("datadoghq.eu", "datadoghq.eu"),
    ("ap1.datadoghq.com", "ap1.datadoghq.com"),
    ("ap2.datadoghq.com", "ap2.datadoghq.com"),
    ("uk1.datadoghq.com", "uk1.datadoghq.com"),
    ("ddog-gov.com", "ddog-gov.com"),
    ("us2.ddog-gov.com", "us2.ddog-gov.com"),
];

/// Upper bound of a tag, in characters: Datadog cuts longer ones.
/// <https://docs.datadoghq.com/getting_started/tagging/>
pub(super) const MAX_TAG_CHARS: usize = 200;

pub(super) fn read(section: &mut Section<'_>, format: Format) -> Option<DatadogSinkConfig> {
    let site = section.choice("site", &SITES, "Site of the organization.").or(SITES[0].0);
    let host = site.unwrap_or(SITES[0].0);
    let is_own = section.is_given("endpoint");
    let client = match parse_url(&format!("https://http-intake.logs.{host}")) {
        Ok(url) => HttpClientConfig::read_with_default(
            section,
            url,
            "the intake of the site",
            &NONE_OR_GZIP,
            "gzip",
        ),
        Err(_) => None,
    };
    if let Some(client) = &client {
        client.refuse_api_path(section, &["/api/v2/logs", "/v1/input"]);
    }
    let api_key = section.secret("api_key", Form::Header, "API key of the organization.");
    let doc = "Source, by which Datadog selects the pipeline: ddsource.";
    let source = section.text_as("source", doc, parse_name).or("ping-one");
    let service = section.text_as("service", "Service of every log.", parse_name);
    let service = service.or("pingone-davinci");
    let hostname = section.text_as("hostname", "Host of every log.", parse_name).or("pingone");
    let doc = "Tags of every log, in addition to those of the event.";
    let tags = section.list_as("tags", doc, parse_tag).or_empty();
    if !matches!(format, Format::Native | Format::Ocsf) && format.is_json() {
        let advice = "makes events whose time Datadog would read instead of the sink's; write \"native\" or \"ocsf\"";
        section.report("format", advice);
    }
    let client = client?;
    // The site has another host for its API; another endpoint is asked itself.
    let api = match is_own {
        true => client.url.clone(),
        false => parse_url(&format!("https://api.{}", site?)).ok()?,
    };
    Some(DatadogSinkConfig {
        validation: below(&api, "/api/v1/validate"),
        is_own_endpoint: is_own,
        client,
        api_key: api_key?,
        source: source?,
        service: service?,
        hostname: hostname?,
        tags: tags?,
        format,
    })
}

/// Parses the value of a reserved attribute.
fn parse_name(text: &str) -> Result<String, &'static str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:".contains(c);
    match (1..=100).contains(&text.len()) && text.chars().all(is_plain) {
        true => Ok(text.to_owned()),
        false => Err("must be 1 to 100 of letters, digits and _ - . / :"),
    }
}

/// Parses a tag.
fn parse_tag(text: &str) -> Result<String, &'static str> {
    let is_plain = |c: char| c.is_alphanumeric() || "_-./:".contains(c);
    let begins = text.chars().next().is_some_and(char::is_alphabetic);
    match begins && text.chars().count() <= MAX_TAG_CHARS && text.chars().all(is_plain) {
        true => Ok(text.to_owned()),
        false => Err(
            "is not a tag such as \"env:prod\": a letter, then at most 199 letters, digits and _ - . / :",
        ),
    }
}

//! `[pingone]`: the worker application that reads PingOne's management API.

use std::time::Duration;

use url::Url;
use uuid::Uuid;

use crate::http_client::{Compression, HttpClientConfig, parse_url, read_proxy};
use crate::secret::{Form, Secret};
use crate::settings::Section;
use crate::tls::TlsConfig;

/// A region of PingOne. An environment belongs to one, and its credentials are unknown in the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Region {
    /// North America.
    NorthAmerica,
    /// Canada.
    Canada,
    /// European Union.
    Europe,
    /// Asia-Pacific.
    Asia,
    /// Australia.
    Australia,
    /// Singapore.
    Singapore,
}

impl Region {
    /// All regions, by their names in a configuration.
    const ALL: [(&str, Region); 6] = [
        ("na", Region::NorthAmerica),
        ("ca", Region::Canada),
        ("eu", Region::Europe),
        ("asia", Region::Asia),
        ("au", Region::Australia),
        ("sg", Region::Singapore),
    ];

    /// Returns the end of the region's domain names.
    fn domain(self) -> &'static str {
        match self {
            Region::NorthAmerica => "pingone.com",
            Region::Canada => "pingone.ca",
            Region::Europe => "pingone.eu",
            Region::Asia => "pingone.asia",
            Region::Australia => "pingone.com.au",
            Region::Singapore => "pingone.sg",
        }
    }

    fn url(self, service: &str) -> Option<Url> {
        format!("https://{service}.{}", self.domain()).parse().ok()
    }
}

/// Access to one environment of PingOne.
#[derive(Debug, Clone)]
pub struct PingOneConfig {
    /// Id of the environment.
    pub environment: Uuid,
    /// Client id of the worker application.
    pub client_id: Uuid,
    /// Client secret of the worker application.
    pub client_secret: Secret,
    /// URL of the service that issues tokens, without a path.
    pub auth_url: Url,
    /// Connection to the API; the URL has no path.
    pub api: HttpClientConfig,
    /// Source that receives the environment's events; `None` for the only one.
    pub source: Option<String>,
    /// Least time between the starts of two requests.
    pub request_interval: Duration,
    /// Age from which PingOne's lists are complete.
    pub settle: Duration,
}

impl PingOneConfig {
    /// Reads `[pingone]`; `Some(None)` without it.
    pub(crate) fn read(root: &mut Section<'_>) -> Option<Option<PingOneConfig>> {
        let doc = "Worker application that reads PingOne's API, for reconcile and doctor.";
        root.optional_table("pingone", doc, read)
    }
}

fn read(section: &mut Section<'_>) -> Option<PingOneConfig> {
    let doc = "Id of the environment.";
    let environment = section.text_as("environment", doc, parse_id).required(EXAMPLE_ID);
    let region = section.choice("region", &Region::ALL, "Region of the environment.");
    let region = region.required("eu");
    let doc = "Client id of the worker application.";
    let client_id = section.text_as("client_id", doc, parse_id).required(EXAMPLE_ID);
    let doc = "Client secret of the worker application.";
    let client_secret = section.secret("client_secret", Form::Header, doc);
    let doc = "Source that receives the environment's events. Default: the only one.";
    let source = section.text("source", doc).optional();
    let doc = "Least time between the starts of two requests. 286ms: 3.5 requests per second, PingOne's share for one address.";
    let request_interval = section.timeout("request_interval", doc).or("286ms");
    let doc = "Age from which PingOne's lists of events count as complete.";
    let settle = section.duration("settle", doc).or("30m");
    let doc = "URL of the API, without a path. Default: the region's.";
    let api_url = section.text_as("api_url", doc, parse_origin).optional();
    let doc = "URL of the service that issues tokens, without a path. Default: the region's.";
    let auth_url = section.text_as("auth_url", doc, parse_origin).optional();
    let timeout = section.timeout("timeout", "Timeout of one request, its answer included.");
    let timeout = timeout.or("30s");
    let connect_timeout = section.timeout("connect_timeout", "Timeout of connecting.").or("10s");
    let tls = TlsConfig::read(section);
    let proxy = section.optional_table("proxy", "Proxy to PingOne.", read_proxy);
    let (region, api_url, auth_url) = (region?, api_url?, auth_url?);
    Some(PingOneConfig {
        environment: environment?,
        client_id: client_id?,
        client_secret: client_secret?,
        auth_url: auth_url.or_else(|| region.url("auth"))?,
        api: HttpClientConfig {
            url: api_url.or_else(|| region.url("api"))?,
            timeout: timeout?,
            connect_timeout: connect_timeout?,
            tls: tls?,
            proxy: proxy?,
            allows_private: true,
            compression: Compression::None,
        },
        source: source?,
        request_interval: request_interval?,
        settle: settle?,
    })
}

const EXAMPLE_ID: &str = "00000000-0000-0000-0000-000000000000";

fn parse_id(text: &str) -> Result<Uuid, String> {
    let advice = || format!("is not an id such as {EXAMPLE_ID:?}; copy it from the console");
    text.trim().parse().map_err(|_| advice())
}

/// Parses scheme, host and port.
fn parse_origin(text: &str) -> Result<Url, &'static str> {
    let url = parse_url(text)?;
    match url.path() == "/" && url.query().is_none() {
        true => Ok(url),
        false => Err("has a path; write only what is before it"),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::parse;

    const HEAD: &str = "[pingone]\nenvironment = \"11111111-2222-3333-4444-555555555555\"\n\
                        client_id = \"66666666-7777-8888-9999-000000000000\"\n\
                        client_secret_env = \"S\"\n";

    fn read(more: &str) -> Result<(String, String), String> {
        let text = format!("{HEAD}{more}");
        let secret = ("S".into(), "canary".into());
        let config = parse(&text, None, std::iter::once(secret));
        let config = config.map_err(|problems| problems.to_string())?;
        let pingone = config.pingone.expect("the table");
        assert!(!format!("{pingone:?}").contains("canary"), "the secret is never printed");
        Ok((pingone.auth_url.to_string(), pingone.api.url.to_string()))
    }

    #[test]
    fn a_region_has_its_own_hosts() {
        for (region, domain) in [
            ("na", "pingone.com"),
            ("ca", "pingone.ca"),
            ("eu", "pingone.eu"),
            ("asia", "pingone.asia"),
            ("au", "pingone.com.au"),
            ("sg", "pingone.sg"),
        ] {
            let urls = read(&format!("region = \"{region}\"\n")).expect("valid");
            let of = |service: &str| format!("https://{service}.{domain}/");
            assert_eq!(urls, (of("auth"), of("api")));
        }
    }

    #[test]
    fn a_mistake_names_its_key() {
        for (more, message) in [
            ("", "pingone.region: is missing"),
            ("region = \"us\"\n", "pingone.region: \"us\" is not one of"),
            (
                "region = \"eu\"\napi_url = \"https://api.pingone.eu/v1\"\n",
                "pingone.api_url: has a path",
            ),
            ("region = \"eu\"\nsource = \"other\"\n", "pingone.source: is not one of pingone"),
            (
                "region = \"eu\"\n[reconcile]\nevery = \"0s\"\n",
                "reconcile.every: must be more than 0",
            ),
        ] {
            let found = read(more).expect_err(message);
            assert!(found.contains(message), "{message}: {found}");
        }
        let alone = parse("[reconcile]\n", None, std::iter::empty()).expect_err("no credentials");
        assert!(alone.to_string().contains("needs [pingone]"), "{alone}");
    }
}

//! What every sink that speaks HTTP can be told about its connection, and TLS for all.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use crate::config::section::Section;
use crate::secret::{Form, Secret, SecretError, username_mistake};
use crate::shown;
use crate::tls::Tls;

/// How a target is reached over HTTP.
#[derive(Debug, Clone)]
pub struct Client {
    /// The URL; it holds no credentials.
    pub url: Url,
    /// For one request, from connecting to the last byte of the answer.
    pub timeout: Duration,
    /// For connecting.
    pub connect_timeout: Duration,
    /// Certificates.
    pub tls: Tls,
    /// The proxy in between.
    pub proxy: Option<Proxy>,
    /// Whether private, loopback and link-local addresses may be connected to.
    pub allows_private: bool,
    /// How bodies are compressed.
    pub compression: Compression,
}

/// A proxy.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// Its URL.
    pub url: Url,
    /// User name and password.
    pub credentials: Option<(String, Secret)>,
}

/// How bodies are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// `Content-Encoding: gzip`
    Gzip,
    /// `Content-Encoding: zstd`
    Zstd,
}

/// A header that every request carries.
#[derive(Debug, Clone)]
pub enum Header {
    /// Written in the configuration.
    Plain(http::HeaderName, http::HeaderValue),
    /// Its value is a secret.
    Secret(http::HeaderName, Secret),
}

/// Who we say that we are.
#[derive(Debug, Clone)]
pub enum Authorization {
    /// Nobody.
    None,
    /// HTTP Basic (RFC 7617).
    Basic {
        /// The user name.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A scheme and one token: `Bearer`, `Splunk`, `ApiKey`.
    Token(&'static str, Secret),
}

impl Client {
    /// Files whose change may make the target reachable.
    pub fn files(&self) -> Vec<PathBuf> {
        let proxy = self.proxy.as_ref().and_then(|proxy| proxy.credentials.as_ref());
        let password = proxy.and_then(|(_, password)| password.file().map(PathBuf::from));
        self.tls.files().into_iter().chain(password).collect()
    }
}

impl Authorization {
    /// The secret in it, if there is one.
    pub fn secret(&self) -> Option<&Secret> {
        match self {
            Authorization::None => None,
            Authorization::Basic { password: secret, .. } | Authorization::Token(_, secret) => {
                Some(secret)
            }
        }
    }

    /// The same with its secret read again.
    pub fn reread(&self) -> Result<Authorization, SecretError> {
        Ok(match self {
            Authorization::None => Authorization::None,
            Authorization::Basic { username, password } => {
                Authorization::Basic { username: username.clone(), password: password.reread()? }
            }
            Authorization::Token(scheme, token) => Authorization::Token(scheme, token.reread()?),
        })
    }
}

/// Reads the connection's keys; `key` is the name of the one that holds the URL.
pub(in crate::config) fn read(
    section: &mut Section<'_>,
    key: &str,
    example: &str,
    compressions: &[(&str, Compression)],
    compression: Compression,
) -> Client {
    // A placeholder stands for a URL that was reported.
    let url = read_url(section, key, example);
    let client = Client {
        url: url.unwrap_or_else(placeholder),
        timeout: section.timeout("timeout").unwrap_or(Duration::from_secs(30)),
        connect_timeout: section.timeout("connect_timeout").unwrap_or(Duration::from_secs(10)),
        tls: read_tls(section.table("tls")),
        proxy: section.table_if_given("proxy").map(read_proxy),
        allows_private: section
            .choice("private_addresses", &[("allow", true), ("deny", false)])
            .unwrap_or(true),
        compression: section.choice("compression", compressions).unwrap_or(compression),
    };
    if client.url.scheme() == "http" && client.tls != Tls::default() {
        section.report("tls", format!("is for https only; correct {key}, or leave tls out"));
    }
    if client.proxy.is_some() && !client.allows_private {
        let advice = "cannot be kept where a proxy connects; leave out proxy or private_addresses";
        section.report("private_addresses", advice.to_owned());
    }
    client
}

/// Reports an endpoint that already has the API's own path, which the sink adds: a target answers such a doubled
/// path with 404.
pub(in crate::config) fn refuse_api_path(section: &Section<'_>, client: &Client, api: &[&str]) {
    if let Some(own) = api.iter().find(|own| client.url.path().contains(**own)) {
        let message =
            format!("has {own}, which the sink adds itself; write only what is before it");
        section.report("endpoint", message);
    }
}

/// Certificates.
pub(in crate::config) fn read_tls(mut section: Section<'_>) -> Tls {
    let ca = section.path("ca");
    let certificate = match (section.path("certificate"), section.path("key")) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        _ => {
            section.report("certificate", "and key belong together; write both".to_owned());
            None
        }
    };
    let tls = Tls { ca, certificate };
    for file in tls.files() {
        if let Err(error) = std::fs::File::open(&file) {
            let (name, reason) = (shown::path(&file), shown::reason(&error));
            section.report(
                "",
                format!("{name} cannot be read: {reason}. Check the path and its permissions"),
            );
        }
    }
    section.finish();
    tls
}

/// `basic`, or the token that `key` names; both is a mistake.
pub(in crate::config) fn read_authorization(
    section: &mut Section<'_>,
    key: &str,
    scheme: &'static str,
) -> Authorization {
    let basic =
        read_basic(section).map(|(username, password)| Authorization::Basic { username, password });
    if let Some(Authorization::Basic { username, .. }) = &basic
        && let Some(mistake) = username_mistake(username)
    {
        section.report("basic.username", mistake.to_owned());
    }
    let token =
        section.secret_if_given(key, Form::Header).map(|token| Authorization::Token(scheme, token));
    if basic.is_some() && token.is_some() {
        section.report("basic", format!("and {key} are both given; use one"));
    }
    token.or(basic).unwrap_or(Authorization::None)
}

/// `basic`: a name and a password.
pub(in crate::config) fn read_basic(section: &mut Section<'_>) -> Option<(String, Secret)> {
    let mut basic = section.table_if_given("basic")?;
    let username = basic.required_text("username", "davinci-siem");
    let password = basic.secret("password", Form::Line);
    basic.finish();
    Some((username?, password?))
}

fn read_proxy(mut section: Section<'_>) -> Proxy {
    let url = read_url(&mut section, "url", "http://proxy.example.com:3128");
    let username = section.text("username");
    if let Some(mistake) = username.as_deref().and_then(username_mistake) {
        section.report("username", mistake.to_owned());
    }
    let credentials = match username {
        Some(username) => {
            section.secret("password", Form::Line).map(|password| (username, password))
        }
        None => None,
    };
    section.finish();
    Proxy { url: url.unwrap_or_else(placeholder), credentials }
}

fn read_url(section: &mut Section<'_>, key: &str, example: &str) -> Option<Url> {
    let text = section.required_text(key, example)?;
    // Not shown when it is wrong: it may hold a secret.
    let problem = match text.trim().parse::<Url>() {
        Ok(url) if !["http", "https"].contains(&url.scheme()) || !url.has_host() => {
            "must begin with https:// or http:// and name a host"
        }
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            "holds credentials; write them in their own keys, from a file or a variable"
        }
        Ok(url) => return Some(url),
        Err(_) => "is not a URL",
    };
    section.report(key, format!("{problem}; write for example {key} = {example:?}"));
    None
}

/// Stands where a mistake was reported; the configuration is not used then.
#[expect(clippy::expect_used, reason = "a constant")]
fn placeholder() -> Url {
    Url::parse("http://invalid.").expect("a URL")
}

/// Headers that follow from other keys, or from the body.
const OURS: [&str; 8] = [
    "accept",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "transfer-encoding",
];

/// `headers`: each with `value`, or a secret value.
pub(in crate::config) fn read_headers(section: &mut Section<'_>) -> Vec<Header> {
    let mut headers = Vec::new();
    for mut header in section.tables("headers") {
        let name = header.required_text("name", "X-Tenant").and_then(|name| {
            let parsed: Option<http::HeaderName> = name.parse().ok();
            let is_ours = parsed.as_ref().is_some_and(|name| {
                OURS.contains(&name.as_str()) || name.as_str().starts_with("webhook-")
            });
            let is_twice = headers.iter().any(|header| match header {
                Header::Plain(other, _) | Header::Secret(other, _) => {
                    Some(other) == parsed.as_ref()
                }
            });
            if parsed.is_none() {
                header.report("name", "is not a header name such as \"X-Tenant\"".to_owned());
            } else if is_ours {
                header.report("name", "is set by the sink itself; leave it out".to_owned());
            } else if is_twice {
                header.report("name", "is there twice; leave one out".to_owned());
            }
            parsed
        });
        let value = if header.is_missing("value") {
            header.secret("value", Form::Header).map(|secret| (None, Some(secret)))
        } else {
            header.text("value").and_then(|value| {
                let parsed = value.parse().ok();
                if parsed.is_none() {
                    header.report("value", "holds what a header cannot".to_owned());
                }
                Some((Some(parsed?), None))
            })
        };
        match (name, value) {
            (Some(name), Some((Some(value), _))) => headers.push(Header::Plain(name, value)),
            (Some(name), Some((_, Some(secret)))) => headers.push(Header::Secret(name, secret)),
            _ => {}
        }
        header.finish();
    }
    headers
}

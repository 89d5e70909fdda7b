//! Settings of one HTTP target: URL, timeouts, proxy, compression, headers and credentials.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use url::Url;

use crate::secret::{Form, Secret, SecretError};
use crate::settings::{Reading, Section};
use crate::tls::TlsConfig;

/// Connection to an HTTP target.
#[derive(Clone)]
pub struct HttpClientConfig {
    /// The URL. Its path and query may be a secret.
    pub url: Url,
    /// Timeout of one request, until the last byte of the answer.
    pub timeout: Duration,
    pub connect_timeout: Duration,
    pub tls: TlsConfig,
    pub proxy: Option<ProxyConfig>,
    /// True if connections to private, loopback and link-local addresses are allowed.
    pub allows_private: bool,
    pub compression: Compression,
}

/// A proxy.
#[derive(Debug, Clone)]
pub struct ProxyConfig {
    /// Its URL.
    pub url: Url,
    /// User name and password.
    pub credentials: Option<(String, Secret)>,
}

/// Compression of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    /// `Content-Encoding: gzip`
    Gzip,
    /// `Content-Encoding: zstd`
    Zstd,
}

/// Compressions that most collectors accept.
pub(crate) const NONE_OR_GZIP: [(&str, Compression); 2] =
    [("none", Compression::None), ("gzip", Compression::Gzip)];

/// A header of every request.
#[derive(Debug, Clone)]
pub enum HeaderConfig {
    /// Written in the configuration.
    Plain(HeaderName, HeaderValue),
    Secret(HeaderName, Secret),
}

/// Credentials of every request.
#[derive(Debug, Clone)]
pub enum Authorization {
    None,
    /// HTTP Basic (RFC 7617).
    Basic {
        /// The user name.
        username: String,
        password: Secret,
    },
    /// A scheme and one token: `Bearer`, `Splunk`, `ApiKey`.
    Token(&'static str, Secret),
}

/// Shows no path and no query of the URL: they may be a secret.
impl fmt::Debug for HttpClientConfig {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("HttpClientConfig")
            .field("url", &self.origin())
            .field("timeout", &self.timeout)
            .field("compression", &self.compression)
            .finish_non_exhaustive()
    }
}

impl HttpClientConfig {
    /// Returns the files whose change may make the target reachable.
    pub fn files(&self) -> Vec<PathBuf> {
        let proxy = self.proxy.as_ref().and_then(|proxy| proxy.credentials.as_ref());
        let password = proxy.and_then(|(_, password)| password.file().map(PathBuf::from));
        self.tls.files().into_iter().chain(password).collect()
    }

    /// Returns scheme, host and port for operators: the path and the query may hold a secret.
    pub(crate) fn origin(&self) -> String {
        let origin = &self.url[..url::Position::AfterPort];
        if self.url.path() == "/" { origin.to_owned() } else { format!("{origin}/…") }
    }

    /// Reads the keys of a connection; the URL is under `key`.
    pub(crate) fn read(
        section: &mut Section<'_>,
        key: &str,
        example: &str,
        compressions: &[(&'static str, Compression)],
        compression: &str,
    ) -> Option<HttpClientConfig> {
        let url = read_url(section, key, example).required(example);
        HttpClientConfig::read_connection(section, (key, url), compressions, compression, "30s")
    }

    /// Reads the keys of a connection to a service with a URL of its own, which `words` describe and the key `endpoint`
    /// replaces.
    pub(crate) fn read_with_default(
        section: &mut Section<'_>,
        default: Url,
        words: &str,
        compressions: &[(&'static str, Compression)],
        compression: &str,
    ) -> Option<HttpClientConfig> {
        let example = default.to_string();
        let url = read_url(section, "endpoint", &example).or_value(default, words);
        HttpClientConfig::read_connection(
            section,
            ("endpoint", url),
            compressions,
            compression,
            "30s",
        )
    }

    /// Reads the keys of a connection to `url`, which comes from `key`; `default_timeout` as the file would write it.
    pub(crate) fn read_connection(
        section: &mut Section<'_>,
        (key, url): (&str, Option<Url>),
        compressions: &[(&'static str, Compression)],
        compression: &str,
        default_timeout: &str,
    ) -> Option<HttpClientConfig> {
        let timeout = section.timeout("timeout", "Timeout of one request, its answer included.");
        let timeout = timeout.or(default_timeout);
        let connect_timeout = section.timeout("connect_timeout", "Timeout of connecting.");
        let connect_timeout = connect_timeout.or("10s");
        let tls = TlsConfig::read(section);
        let proxy = section.optional_table("proxy", "Proxy to the target.", read_proxy);
        let allows_private = section
            .choice(
                "private_addresses",
                &[("allow", true), ("deny", false)],
                "Connections to private, loopback and link-local addresses.",
            )
            .or("allow");
        let compression =
            section.choice("compression", compressions, "Compression of bodies.").or(compression);
        if let (Some(url), Some(tls)) = (&url, &tls)
            && url.scheme() == "http"
            && *tls != TlsConfig::default()
        {
            section.report("tls", format!("is for https only; correct {key}, or leave tls out"));
        }
        if let (Some(Some(_)), Some(false)) = (&proxy, allows_private) {
            let advice =
                "cannot be kept where a proxy connects; leave out proxy or private_addresses";
            section.report("private_addresses", advice);
        }
        Some(HttpClientConfig {
            url: url?,
            timeout: timeout?,
            connect_timeout: connect_timeout?,
            tls: tls?,
            proxy: proxy?,
            allows_private: allows_private?,
            compression: compression?,
        })
    }

    /// Reports an endpoint that holds the API's own path, which the sink adds: a target answers such a doubled path
    /// with 404.
    pub(crate) fn refuse_api_path(&self, section: &mut Section<'_>, api: &[&str]) {
        if let Some(own) = api.iter().find(|own| self.url.path().contains(**own)) {
            let message =
                format!("has {own}, which the sink adds itself; write only what is before it");
            section.report("endpoint", message);
        }
    }
}

impl Authorization {
    /// Returns the secret, if there is one.
    pub fn secret(&self) -> Option<&Secret> {
        match self {
            Authorization::None => None,
            Authorization::Basic { password: secret, .. } | Authorization::Token(_, secret) => {
                Some(secret)
            }
        }
    }

    /// Returns the file that holds the secret, if there is one.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        self.secret().and_then(|secret| secret.file().map(PathBuf::from))
    }

    /// Returns the same credentials, with the secret read again.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read or holds no such secret.
    pub fn reread(&self) -> Result<Authorization, SecretError> {
        Ok(match self {
            Authorization::None => Authorization::None,
            Authorization::Basic { username, password } => {
                Authorization::Basic { username: username.clone(), password: password.reread()? }
            }
            Authorization::Token(scheme, token) => Authorization::Token(scheme, token.reread()?),
        })
    }

    /// Reads `basic`, or the token under `key`; both is a mistake.
    pub(crate) fn read(
        section: &mut Section<'_>,
        key: &str,
        scheme: &'static str,
    ) -> Option<Authorization> {
        let basic = section.http_basic("Credentials for HTTP Basic.");
        let token = section.optional_secret(
            key,
            Form::Header,
            &format!("Token after \"Authorization: {scheme}\"."),
        );
        let (basic, token) = (basic?, token?);
        if basic.is_some() && token.is_some() {
            section.report("basic", format!("and {key} are both given; use one"));
        }
        let basic = basic.map(|(username, password)| Authorization::Basic { username, password });
        let token = token.map(|token| Authorization::Token(scheme, token));
        Some(token.or(basic).unwrap_or(Authorization::None))
    }
}

fn read_url<'s, 'p>(
    section: &'s mut Section<'p>,
    key: &'s str,
    example: &'s str,
) -> Reading<'s, 'p, Url> {
    section.text_as(key, "URL of the target, without credentials.", move |text| {
        parse_url(text)
            .map_err(|problem| format!("{problem}; write for example {key} = {example:?}"))
    })
}

/// Reads the table `proxy`.
pub(crate) fn read_proxy(section: &mut Section<'_>) -> Option<ProxyConfig> {
    let example = "http://proxy.example.com:3128";
    let url = section.text_as("url", "URL of the proxy.", |text| {
        parse_url(text).map_err(|problem| format!("{problem}; write for example url = {example:?}"))
    });
    let url = url.required(example);
    let username = section.http_username("username", "User name.").optional();
    let password = section.optional_secret("password", Form::Line, "Password.");
    let (username, password) = (username?, password?);
    if username.is_some() != password.is_some() {
        section.report("username", "and password belong together; write both");
    }
    Some(ProxyConfig { url: url?, credentials: username.zip(password) })
}

/// Parses a URL. An error does not show it: it may hold a secret.
///
/// # Errors
/// Returns the end of a sentence that begins with the key.
pub(crate) fn parse_url(text: &str) -> Result<Url, &'static str> {
    match text.trim().parse::<Url>() {
        Ok(url) if !["http", "https"].contains(&url.scheme()) || !url.has_host() => {
            Err("must begin with https:// or http:// and name a host")
        }
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            Err("holds credentials; write them in their own keys, from a file or a variable")
        }
        Ok(url) => Ok(url),
        Err(_) => Err("is not a URL"),
    }
}

/// Headers that follow from other keys, or from the body.
const OWN_HEADERS: [&str; 8] = [
    "accept",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "transfer-encoding",
];

impl HeaderConfig {
    /// Returns the file that holds the secret value, if there is one.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        match self {
            HeaderConfig::Plain(..) => None,
            HeaderConfig::Secret(_, secret) => secret.file().map(PathBuf::from),
        }
    }

    /// Returns the name of the header.
    pub(crate) fn name(&self) -> &HeaderName {
        match self {
            HeaderConfig::Plain(name, _) | HeaderConfig::Secret(name, _) => name,
        }
    }

    /// Reads `headers`: each with `value`, or with a secret value.
    pub(crate) fn read_all(section: &mut Section<'_>) -> Option<Vec<HeaderConfig>> {
        let mut names: Vec<HeaderName> = Vec::new();
        section.tables("headers", "Headers of every request.", |section| {
            let header = read_header(section, &names)?;
            names.push(header.name().clone());
            Some(header)
        })
    }
}

/// Parses the name of a header that no other key and no part of a request decides about.
///
/// # Errors
/// Returns the end of a sentence that begins with the key.
pub(crate) fn parse_header_name(text: &str) -> Result<HeaderName, &'static str> {
    let name = text.parse().map_err(|_| "is not a header name such as \"X-Tenant\"")?;
    match is_own_header(&name) {
        true => Err("is set by the sink itself; leave it out"),
        false => Ok(name),
    }
}

/// Returns true if the sink sets the header itself.
pub(crate) fn is_own_header(name: &HeaderName) -> bool {
    OWN_HEADERS.contains(&name.as_str()) || name.as_str().starts_with("webhook-")
}

fn read_header(section: &mut Section<'_>, others: &[HeaderName]) -> Option<HeaderConfig> {
    let name = section.text_as("name", "Name of the header.", |text| {
        let name = parse_header_name(text)?;
        match others.contains(&name) {
            true => Err("is there twice; leave one out"),
            false => Ok(name),
        }
    });
    let name = name.required("X-Tenant");
    let is_plain = section.is_given("value");
    let value = section.text_as("value", "Value of the header, if it is no secret.", |text| {
        text.parse::<HeaderValue>().map_err(|_| "holds what a header cannot".to_owned())
    });
    let value = value.optional();
    if is_plain {
        return Some(HeaderConfig::Plain(name?, value??));
    }
    let secret = section.secret("value", Form::Header, "Value of the header.");
    Some(HeaderConfig::Secret(name?, secret?))
}

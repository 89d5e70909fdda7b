//! Settings of `type = "http"`: POST requests to any URL.

mod credentials;

use http::{HeaderName, HeaderValue};
use url::Url;

use super::profile::{Envelope, GENERIC, HttpProfile, PROFILES};
use crate::format::Format;
use crate::http_client::{
    Authorization, Compression, HeaderConfig, HttpClientConfig, is_own_header, parse_url,
};
use crate::secret::{Form, Secret};
use crate::settings::Section;
pub(super) use credentials::signing_key;
pub(super) use credentials::{HmacConfig, HmacEncoding};

/// `type = "http"`.
#[derive(Debug, Clone)]
pub struct HttpSinkConfig {
    pub client: HttpClientConfig,
    /// Origin of a URL that is a secret.
    pub secret_url: Option<Secret>,
    /// Defaults of the receiver.
    pub profile: &'static HttpProfile,
    pub body: BodyShape,
    /// `Content-Type` of every request.
    pub content_type: String,
    /// Statuses that mean success; empty: every 2xx.
    pub success: Vec<u64>,
    /// Headers of every request.
    pub headers: Vec<HeaderConfig>,
    pub authorization: Authorization,
    /// Keys that sign each request (Standard Webhooks); two while one is changed.
    pub signing_keys: Vec<Secret>,
    /// Signature of each body in a header of its own.
    pub hmac: Option<HmacConfig>,
}

/// Shape of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyShape {
    /// A JSON array.
    Array,
    /// One line of JSON per event.
    Ndjson,
    /// One line of text per event.
    Lines,
    /// One event per request.
    Single,
}

const EXAMPLE: &str = "https://collector.example.com/events";

const SHAPES: [(&str, BodyShape); 4] = [
    ("array", BodyShape::Array),
    ("ndjson", BodyShape::Ndjson),
    ("lines", BodyShape::Lines),
    ("single", BodyShape::Single),
];

pub(super) fn read(section: &mut Section<'_>, format: Format) -> Option<HttpSinkConfig> {
    let doc = "Receiver that decides about the defaults of url's path, body, content_type, success, \
               compression, api_key_header and batch.";
    let chosen = section.choice("profile", &PROFILES, doc).optional();
    let profile = chosen.flatten().unwrap_or(&GENERIC);
    let url = read_url(section, profile);
    let compressions =
        [("none", Compression::None), ("gzip", Compression::Gzip), ("zstd", Compression::Zstd)];
    let (url, secret_url) = match url {
        Some((url, secret)) => (Some(url), Some(secret)),
        None => (None, None),
    };
    let client = HttpClientConfig::read_connection(
        section,
        ("url", url),
        &compressions,
        profile.compression,
        "30s",
    );
    let is_body_given = section.is_given("body");
    let doc = "Events in a body: a JSON array, one line of JSON or of text per event, or one event per request.";
    let body = section.choice("body", &SHAPES, doc).or(profile.body);
    let doc = "Content-Type of every request. Default: that of the body.";
    let content_type =
        section.text_as("content_type", doc, |text| match HeaderValue::from_str(text) {
            Ok(_) if text.is_ascii() => Ok(text.to_owned()),
            _ => Err("holds what a header cannot"),
        });
    let content_type = content_type.optional();
    let doc = "Statuses that mean success.";
    let success = section.integers("success", 200..=299, doc);
    let success = success.or_value(profile.success.to_vec(), "every 2xx, or those of the profile");
    let headers = HeaderConfig::read_all(section);
    let authorization = Authorization::read(section, "bearer", "Bearer");
    let api_key = credentials::read_api_key(section, profile);
    let signing_keys = credentials::read_signing_keys(section);
    let hmac = credentials::read_hmac(section);
    let (body, api_key) = (body?, api_key?);
    let default_type = content_type_of(body, profile, format);
    let mut config = HttpSinkConfig {
        client: client?,
        secret_url: secret_url?,
        profile: chosen.map(|_| profile)?,
        body,
        content_type: content_type?.unwrap_or_else(|| default_type.to_owned()),
        success: success?,
        headers: headers?,
        authorization: authorization?,
        signing_keys: signing_keys?,
        hmac: hmac?,
    };
    report_conflicts(section, &config, api_key.as_ref(), is_body_given);
    config.headers.extend(api_key);
    Some(config)
}

/// Reads the URL, or the secret that it is. A URL without a path gets that of the profile.
fn read_url(section: &mut Section<'_>, profile: &HttpProfile) -> Option<(Url, Option<Secret>)> {
    let doc =
        "URL of the target, without credentials. Required, unless url_file or url_env is given.";
    let by = if section.is_given("url_env") { "url_env" } else { "url_file" };
    let plain = section.text_as("url", doc, |text| {
        parse_url(text).map_err(|problem| format!("{problem}; write for example url = {EXAMPLE:?}"))
    });
    let plain = plain.optional();
    let secret = section.optional_secret("url", Form::Line, "URL that is a secret itself.");
    let (plain, secret) = (plain?, secret?);
    let mistake = match (&plain, &secret) {
        (Some(_), Some(_)) => format!("and {by} are both given; use one"),
        (None, None) if profile.is_url_secret => {
            "is missing; write url_file or url_env, since this URL is a secret".to_owned()
        }
        (Some(_), None) if profile.is_url_secret => {
            "is a secret of this target: write it into a file or a variable, and use url_file or url_env"
                .to_owned()
        }
        (None, None) => format!("is missing; write for example url = {EXAMPLE:?}"),
        (Some(url), None) => return Some((with_path(url.clone(), profile), None)),
        (None, Some(secret)) => match parse_secret_url(secret, profile) {
            Ok(url) => return Some((url, Some(secret.clone()))),
            Err(problem) => {
                section.report(by, problem);
                return None;
            }
        },
    };
    section.report("url", mistake);
    None
}

/// Parses a URL that is a secret.
///
/// # Errors
/// Returns the end of a sentence that begins with the key. It does not hold the URL.
pub(super) fn parse_secret_url(
    secret: &Secret,
    profile: &HttpProfile,
) -> Result<Url, &'static str> {
    // A command that reads no secrets has a placeholder, which is no URL.
    let text = if *secret == Secret::unread() { EXAMPLE } else { secret.expose() };
    parse_url(text).map(|url| with_path(url, profile))
}

fn with_path(mut url: Url, profile: &HttpProfile) -> Url {
    if url.path() == "/" && !profile.path.is_empty() {
        url.set_path(profile.path);
    }
    url
}

/// Returns the content type of a body. Lines of CEF and LEEF are text in every shape.
fn content_type_of(body: BodyShape, profile: &HttpProfile, format: Format) -> &'static str {
    if profile.envelope == Envelope::Plain && !format.is_json() {
        return "text/plain; charset=utf-8";
    }
    match (profile.content_type, body) {
        (Some(content_type), _) => content_type,
        (None, BodyShape::Array | BodyShape::Single) => "application/json",
        (None, BodyShape::Ndjson) => "application/x-ndjson",
        (None, BodyShape::Lines) => "text/plain; charset=utf-8",
    }
}

/// Reports keys that exclude each other, and a credential that the receiver needs.
fn report_conflicts(
    section: &mut Section<'_>,
    config: &HttpSinkConfig,
    api_key: Option<&HeaderConfig>,
    is_body_given: bool,
) {
    let is_compressed = config.client.compression != Compression::None;
    let keys = [("signing_keys", !config.signing_keys.is_empty()), ("hmac", config.hmac.is_some())];
    for (key, _) in keys.iter().filter(|(_, is_given)| *is_given && is_compressed) {
        let advice = "and compression do not go together: receivers differ in whether they verify \
                      before or after inflating; leave one out, or write compression = \"none\"";
        section.report(key, advice);
    }
    let is_authorized = !matches!(config.authorization, Authorization::None);
    if is_authorized && api_key.is_some_and(|key| is_own_header(key.name())) {
        let advice = "and bearer or basic set the same header; use one, or write api_key_header";
        section.report("api_key", advice);
    }
    let is_in_headers =
        |name: &HeaderName| config.headers.iter().any(|header| header.name() == name);
    if api_key.is_some_and(|key| is_in_headers(key.name())) {
        section.report("api_key_header", "names a header that headers has, too; leave one out");
    }
    if let Some(hmac) = &config.hmac
        && (is_in_headers(&hmac.header) || api_key.is_some_and(|key| key.name() == hmac.header))
    {
        let message = "names a header that headers or api_key has, too; leave one out";
        section.report("hmac.header", message);
    }
    let is_missing = match config.profile.credential {
        Some("api_key") => api_key.is_none(),
        Some(_) => !is_authorized,
        None => false,
    };
    if is_missing && let Some(key) = config.profile.credential {
        let message = format!("is missing; this target needs it: write {key}_file or {key}_env");
        section.report(key, message);
    }
    let own = SHAPES.iter().find(|(word, _)| *word == config.profile.body);
    if config.profile.envelope != Envelope::Plain
        && is_body_given
        && own.is_some_and(|(_, shape)| *shape != config.body)
    {
        let message = format!("must be {:?} for this profile; leave it out", config.profile.body);
        section.report("body", message);
    }
}

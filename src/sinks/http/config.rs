//! Settings of `type = "http"`: POST requests to any URL.

use crate::http_client::{Authorization, Compression, HeaderConfig, HttpClientConfig};
use crate::secret::{Form, Secret};
use crate::settings::Section;

/// `type = "http"`.
#[derive(Debug, Clone)]
pub struct HttpSinkConfig {
    pub client: HttpClientConfig,
    pub body: BodyShape,
    /// Headers of every request.
    pub headers: Vec<HeaderConfig>,
    pub authorization: Authorization,
    /// Keys that sign each request (Standard Webhooks); two while one is changed.
    pub signing_keys: Vec<Secret>,
}

/// Shape of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyShape {
    /// A JSON array.
    Array,
    /// One line per event.
    Ndjson,
    /// One event per request.
    Single,
}

pub(super) fn read(section: &mut Section<'_>) -> Option<HttpSinkConfig> {
    let compressions =
        [("none", Compression::None), ("gzip", Compression::Gzip), ("zstd", Compression::Zstd)];
    let example = "https://collector.example.com/events";
    let client = HttpClientConfig::read(section, "url", example, &compressions, "none");
    let shapes =
        [("array", BodyShape::Array), ("ndjson", BodyShape::Ndjson), ("single", BodyShape::Single)];
    let doc = "Events in a body: a JSON array, one line per event, or one event per request.";
    let body = section.choice("body", &shapes, doc).or("array");
    let headers = HeaderConfig::read_all(section);
    let authorization = Authorization::read(section, "bearer", "Bearer");
    let doc = "Keys that sign each request (Standard Webhooks); two while one is changed.";
    let signing_keys = section.tables("signing_keys", doc, |section| {
        let key = section.secret("key", Form::Line, "whsec_ and base64 of 24 to 64 bytes.")?;
        if signing_key(&key).is_none() {
            let advice =
                "must be whsec_ and base64 of 24 to 64 random bytes, as Standard Webhooks says";
            section.report("key", advice);
        }
        Some(key)
    });
    let config = HttpSinkConfig {
        client: client?,
        body: body?,
        headers: headers?,
        authorization: authorization?,
        signing_keys: signing_keys?,
    };
    if !config.signing_keys.is_empty() && config.client.compression != Compression::None {
        let advice = "and compression do not go together: receivers differ in whether they verify \
                      before or after inflating; leave one out";
        section.report("signing_keys", advice);
    }
    Some(config)
}

/// Returns the bytes of a Standard Webhooks signing key; `None` if it is not one.
pub(super) fn signing_key(key: &Secret) -> Option<Vec<u8>> {
    use base64::Engine;
    let text = key.expose().strip_prefix("whsec_")?;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
    (24..=64).contains(&bytes.len()).then_some(bytes)
}

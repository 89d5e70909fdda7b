//! `type = "http"`: POST requests to any URL.

use std::path::PathBuf;

use super::client::{self, Authorization, Client, Compression, Header};
use crate::config::section::Section;
use crate::secret::{Form, Secret};

/// `type = "http"`.
#[derive(Debug, Clone)]
pub struct HttpSink {
    /// Where to, and how.
    pub client: Client,
    /// How events stand in a body.
    pub body: BodyShape,
    /// Headers of every request.
    pub headers: Vec<Header>,
    /// Who we say that we are.
    pub authorization: Authorization,
    /// Keys that sign each request (Standard Webhooks); several while one is changed.
    pub signing_keys: Vec<Secret>,
}

/// How events stand in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyShape {
    /// A JSON array.
    Array,
    /// One line per event.
    Ndjson,
    /// One event per request.
    Single,
}

impl HttpSink {
    /// Files whose change may make the target reachable.
    pub fn files(&self) -> Vec<PathBuf> {
        let headers = self.headers.iter().filter_map(|header| match header {
            Header::Secret(_, secret) => Some(secret),
            Header::Plain(..) => None,
        });
        let secrets = headers.chain(&self.signing_keys).chain(self.authorization.secret());
        self.client
            .files()
            .into_iter()
            .chain(secrets.filter_map(|s| s.file().map(PathBuf::from)))
            .collect()
    }
}

pub(super) fn read(section: &mut Section<'_>) -> HttpSink {
    let compressions =
        [("none", Compression::None), ("gzip", Compression::Gzip), ("zstd", Compression::Zstd)];
    let url = "https://collector.example.com/events";
    let shapes =
        [("array", BodyShape::Array), ("ndjson", BodyShape::Ndjson), ("single", BodyShape::Single)];
    let sink = HttpSink {
        client: client::read(section, "url", url, &compressions, Compression::None),
        body: section.choice("body", &shapes).unwrap_or(BodyShape::Array),
        headers: client::read_headers(section),
        authorization: client::read_authorization(section, "bearer", "Bearer"),
        signing_keys: section.tables("signing_keys").into_iter().filter_map(read_key).collect(),
    };
    if !sink.signing_keys.is_empty() && sink.client.compression != Compression::None {
        let advice = "and compression do not go together: receivers differ in whether they verify \
                      before or after inflating; leave one out";
        section.report("signing_keys", advice.to_owned());
    }
    sink
}

fn read_key(mut section: Section<'_>) -> Option<Secret> {
    let key = section.secret("key", Form::Line);
    if let Some(key) = &key
        && signing_key(key).is_none()
    {
        let advice =
            "must be whsec_ and base64 of 24 to 64 random bytes, as Standard Webhooks says";
        section.report("key", advice.to_owned());
    }
    section.finish();
    key
}

/// The bytes of a Standard Webhooks signing key; `None` if it is not one.
pub fn signing_key(key: &Secret) -> Option<Vec<u8>> {
    use base64::Engine;
    let text = key.expose().strip_prefix("whsec_")?;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
    (24..=64).contains(&bytes.len()).then_some(bytes)
}

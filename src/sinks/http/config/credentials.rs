//! Credentials of `type = "http"` beside Basic and Bearer: an API key in a header, and two kinds of signatures.

use http::{HeaderName, HeaderValue};

use crate::http_client::{HeaderConfig, is_own_header, parse_header_name};
use crate::secret::{Form, Secret};
use crate::settings::Section;
use crate::sinks::http::profile::HttpProfile;

/// Signature of each body in a header of its own.
#[derive(Debug, Clone)]
pub struct HmacConfig {
    /// Header of the signature.
    pub header: HeaderName,
    /// Key of HMAC-SHA-256: the bytes of the text.
    pub key: Secret,
    /// Text before the signature.
    pub prefix: String,
    pub encoding: HmacEncoding,
}

/// Text of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HmacEncoding {
    /// Lower-case hexadecimal digits.
    Hex,
    /// Base64 (RFC 4648, 4).
    Base64,
}

/// Reads an API key and the header that carries it. `Some(None)` if there is no key.
pub(super) fn read_api_key(
    section: &mut Section<'_>,
    profile: &HttpProfile,
) -> Option<Option<HeaderConfig>> {
    let key = section.optional_secret("api_key", Form::Header, "Key in a header of every request.");
    let is_header_given = section.is_given("api_key_header");
    let doc = "Header of api_key.";
    let header = section.text_as("api_key_header", doc, parse_key_header);
    let header = header.or(profile.api_key_header);
    let (key, header) = (key?, header?);
    if is_header_given && key.is_none() {
        let message = "has no key; write api_key_file or api_key_env, or leave it out";
        section.report("api_key_header", message);
    }
    Some(key.map(|key| HeaderConfig::Secret(header, key)))
}

/// Parses the name of a header for a key. Unlike any other header, it may be `Authorization`.
fn parse_key_header(text: &str) -> Result<HeaderName, &'static str> {
    match text.parse() {
        Ok(name) if is_own_header(&name) && name == http::header::AUTHORIZATION => Ok(name),
        _ => parse_header_name(text),
    }
}

/// Reads the keys of Standard Webhooks.
pub(super) fn read_signing_keys(section: &mut Section<'_>) -> Option<Vec<Secret>> {
    let doc = "Keys that sign each request (Standard Webhooks); two while one is changed.";
    section.tables("signing_keys", doc, |section| {
        let key = section.secret("key", Form::Line, "whsec_ and base64 of 24 to 64 bytes.")?;
        if signing_key(&key).is_none() {
            let advice =
                "must be whsec_ and base64 of 24 to 64 random bytes, as Standard Webhooks says";
            section.report("key", advice);
        }
        Some(key)
    })
}

/// Reads the table `hmac`. `Some(None)` if there is none.
pub(super) fn read_hmac(section: &mut Section<'_>) -> Option<Option<HmacConfig>> {
    let doc = "Signature of each body in a header of its own: HMAC-SHA-256.";
    section.optional_table("hmac", doc, |section| {
        let header = section.text_as("header", "Header of the signature.", parse_header_name);
        let header = header.required("X-Signature");
        let key = section.secret("key", Form::Line, "Key of the signature.");
        let doc = "Text before the signature, such as \"sha256=\".";
        let prefix = section.text_as("prefix", doc, |text| match HeaderValue::from_str(text) {
            Ok(_) => Ok(text.to_owned()),
            Err(_) => Err("holds what a header cannot"),
        });
        let prefix = prefix.or("");
        let encodings = [("hex", HmacEncoding::Hex), ("base64", HmacEncoding::Base64)];
        let encoding = section.choice("encoding", &encodings, "Text of the signature.").or("hex");
        Some(HmacConfig { header: header?, key: key?, prefix: prefix?, encoding: encoding? })
    })
}

/// Returns the bytes of a Standard Webhooks signing key; `None` if it is not one.
pub(in crate::sinks::http) fn signing_key(key: &Secret) -> Option<Vec<u8>> {
    use base64::Engine;
    let text = key.expose().strip_prefix("whsec_")?;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
    (24..=64).contains(&bytes.len()).then_some(bytes)
}

//! Removes credentials from answers that repeat the request, so that no dead letter contains them.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue};
use memchr::memmem;
use secrecy::{ExposeSecret, SecretSlice};
use url::Url;

use super::HttpClientConfig;

/// Minimum length of a path segment that is treated as a secret.
const MIN_SEGMENT_BYTES: usize = 16;

/// The same, if the URL is a secret. Shorter texts are common in any answer.
const MIN_SECRET_SEGMENT_BYTES: usize = 4;

const REPLACEMENT: &[u8] = b"[secret]";

/// Secrets that no quoted answer may contain: sensitive headers, the tokens and passwords in them,
/// the proxy's password, the values in the URL's query, and long segments of its path.
#[derive(Debug, Default)]
pub(crate) struct CredentialFilter {
    secrets: Vec<SecretSlice<u8>>,
    /// Filter whose secrets are removed, too.
    base: Option<Arc<CredentialFilter>>,
}

impl CredentialFilter {
    pub(super) fn of(settings: &HttpClientConfig, headers: &HeaderMap) -> CredentialFilter {
        let mut secrets = secrets_of(headers);
        let proxy = settings.proxy.as_ref().and_then(|proxy| proxy.credentials.as_ref());
        if let Some((username, password)) = proxy {
            let password = password.expose();
            secrets.push(password.as_bytes().to_vec());
            secrets.push(STANDARD.encode(format!("{username}:{password}")).into_bytes());
        }
        secrets.extend(settings.url.query_pairs().map(|(_, value)| value.as_bytes().to_vec()));
        let query = settings.url.query().unwrap_or_default();
        let values = query.split('&').filter_map(|pair| pair.split_once('='));
        secrets.extend(values.map(|(_, value)| value.as_bytes().to_vec()));
        // Some targets identify senders by a secret path.
        secrets.extend(segments_of(&settings.url, MIN_SEGMENT_BYTES));
        CredentialFilter::new(secrets, None)
    }

    /// Returns a filter that also removes a URL that is a secret: its text, its path, and the segments of the path.
    pub(super) fn of_url(text: &str, url: &Url, base: Arc<CredentialFilter>) -> CredentialFilter {
        let mut secrets = vec![text.as_bytes().to_vec(), url.as_str().as_bytes().to_vec()];
        if url.path() != "/" {
            secrets.push(url.path().as_bytes().to_vec());
        }
        secrets.extend(segments_of(url, MIN_SECRET_SEGMENT_BYTES));
        CredentialFilter::new(secrets, Some(base))
    }

    /// Returns a filter that also removes the credentials in the headers of one request.
    pub(super) fn with(base: &Arc<CredentialFilter>, headers: &HeaderMap) -> Arc<CredentialFilter> {
        if !headers.values().any(HeaderValue::is_sensitive) {
            return Arc::clone(base);
        }
        Arc::new(CredentialFilter::new(secrets_of(headers), Some(Arc::clone(base))))
    }

    fn new(mut secrets: Vec<Vec<u8>>, base: Option<Arc<CredentialFilter>>) -> CredentialFilter {
        secrets.retain(|secret| !secret.is_empty());
        // Longest first: a whole value before the parts of it.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        CredentialFilter { secrets: secrets.into_iter().map(Into::into).collect(), base }
    }

    /// Returns the text with every secret replaced.
    pub(super) fn erase(&self, text: &[u8]) -> Vec<u8> {
        let mut clean = text.to_vec();
        for secret in &self.secrets {
            let secret = secret.expose_secret();
            let mut from = 0;
            let mut next = Vec::with_capacity(clean.len());
            for at in memmem::find_iter(&clean, secret) {
                next.extend_from_slice(&clean[from..at]);
                next.extend_from_slice(REPLACEMENT);
                from = at + secret.len();
            }
            next.extend_from_slice(&clean[from..]);
            clean = next;
        }
        match &self.base {
            Some(base) => base.erase(&clean),
            None => clean,
        }
    }
}

/// Returns the segments of a path that have at least `min_bytes`.
fn segments_of(url: &Url, min_bytes: usize) -> Vec<Vec<u8>> {
    let segments = url.path().split('/').filter(|segment| segment.len() >= min_bytes);
    segments.map(|segment| segment.as_bytes().to_vec()).collect()
}

/// Returns the sensitive headers, and the tokens and passwords in them.
fn secrets_of(headers: &HeaderMap) -> Vec<Vec<u8>> {
    let mut secrets = Vec::new();
    for value in headers.values().filter(|value| value.is_sensitive()) {
        let text = value.as_bytes();
        secrets.push(text.to_vec());
        secrets.extend(text.split(|byte| *byte == b' ').skip(1).map(<[u8]>::to_vec));
        if let Some(pair) = text.strip_prefix(b"Basic ")
            && let Ok(pair) = STANDARD.decode(pair)
            && let Some(colon) = pair.iter().position(|byte| *byte == b':')
        {
            secrets.push(pair[colon + 1..].to_vec());
        }
    }
    secrets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::sinks::TargetConfig;

    #[test]
    fn no_form_of_a_credential_stays() {
        let text = "[sinks.s]\ntype = \"http\"\nurl = \"http://x/hooks/canary-6-in-the-path?key=canary%204\"\n\
                    proxy = { url = \"http://p\", username = \"me\", password_env = \"P\" }\n";
        let variables = [("P".into(), "canary-5".into())].into_iter();
        let config = config::parse(text, None, variables).expect("valid");
        let TargetConfig::Http(sink) = &config.sinks[0].target else { panic!("a sink") };
        let mut headers = HeaderMap::new();
        let basic = format!("Basic {}", STANDARD.encode("user:pass:word"));
        let values = [("a", "Bearer canary-1"), ("b", "canary-2 canary-3"), ("c", basic.as_str())];
        for (name, value) in values {
            let mut value = HeaderValue::try_from(value).expect("a value");
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        headers.insert("d", HeaderValue::from_static("plain"));
        let filter = CredentialFilter::of(&sink.client, &headers);
        assert!(!format!("{filter:?}").contains("canary"));
        for (text, clean) in [
            ("x canary-1canary-1", "x [secret][secret]"),
            ("b: canary-2 canary-3.", "b: [secret]."),
            (basic.as_str(), "[secret]"),
            ("pass:word plain", "[secret] plain"),
            ("?key=canary 4 /x?key=canary%204", "?key=[secret] /x?key=[secret]"),
            ("no /hooks/canary-6-in-the-path", "no /hooks/[secret]"),
            ("bWU6Y2FuYXJ5LTU= canary-5", "[secret] [secret]"),
        ] {
            assert_eq!(String::from_utf8_lossy(&filter.erase(text.as_bytes())), clean);
        }
        let mut own = HeaderMap::new();
        let mut token = HeaderValue::from_static("Bearer canary-7");
        token.set_sensitive(true);
        own.insert("authorization", token);
        let base = Arc::new(filter);
        let filter = CredentialFilter::with(&base, &own);
        assert_eq!(filter.erase(b"canary-7 canary-1 plain"), b"[secret] [secret] plain");
        assert!(Arc::ptr_eq(&base, &CredentialFilter::with(&base, &HeaderMap::new())));
    }

    #[test]
    fn no_part_of_a_secret_url_stays() {
        let text = "https://x/in/c4naryA/v1/c4n?id=c4naryB";
        let url = Url::parse(text).expect("a URL");
        let filter = CredentialFilter::of_url(text, &url, Arc::default());
        for (text, clean) in [
            ("POST https://x/in/c4naryA/v1/c4n?id=c4naryB failed", "POST [secret] failed"),
            ("POST /in/c4naryA/v1/c4n: no", "POST [secret]: no"),
            ("no source c4naryA", "no source [secret]"),
            ("in v1", "in v1"),
        ] {
            assert_eq!(String::from_utf8_lossy(&filter.erase(text.as_bytes())), clean);
        }
        let root = Url::parse("https://x/").expect("a URL");
        let filter = CredentialFilter::of_url("https://x", &root, Arc::default());
        assert_eq!(filter.erase(b"a/b https://x/ c"), b"a/b [secret] c");
    }
}

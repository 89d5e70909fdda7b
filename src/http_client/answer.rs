//! Answer of a target: status, `Retry-After`, and a bounded part of the body.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::header::{CONTENT_ENCODING, RETRY_AFTER};

use super::compress::inflate;
use super::credential_filter::CredentialFilter;

/// Maximum number of body bytes that are read. A bulk answer takes about 300 bytes for a failed
/// item.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

/// Maximum number of body bytes that are kept with a dead letter.
const EXCERPT_BYTES: usize = 1024;

/// Answer of a target to one request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<Duration>,
    /// Media type without parameters, in lower case.
    pub(crate) content_type: Option<String>,
    /// The body, or the part that arrived.
    pub(crate) body: Vec<u8>,
    /// False if the connection broke within the body, or the body was too long.
    pub(crate) is_whole: bool,
    /// True if the body was too long.
    pub(crate) is_too_long: bool,
    /// Removes credentials from quoted parts.
    pub(crate) filter: Arc<CredentialFilter>,
}

impl Answer {
    pub(super) async fn read(
        mut response: reqwest::Response,
        filter: Arc<CredentialFilter>,
    ) -> Answer {
        let status = response.status().as_u16();
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|text| parse_retry_after(text, SystemTime::now()));
        let content_type = media_type(response.headers());
        let encoding = response.headers().get(CONTENT_ENCODING).cloned();
        let mut body = Vec::new();
        let mut is_too_long = false;
        let mut is_whole = loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() <= MAX_BODY_BYTES => body.extend(chunk),
                Ok(None) => break true,
                Ok(Some(_)) => {
                    is_too_long = true;
                    break false;
                }
                Err(_) => break false,
            }
        };
        // Compression was not requested, but some proxies compress anyway.
        if let Some(encoding) = encoding.as_ref().and_then(|encoding| encoding.to_str().ok())
            && let Some(inflated) = inflate(&body, encoding, MAX_BODY_BYTES)
        {
            is_too_long |= inflated.is_too_long;
            is_whole &= inflated.is_whole;
            body = inflated.bytes;
        }
        Answer { status, retry_after, content_type, body, is_whole, is_too_long, filter }
    }

    /// Returns true for a page for people: of a login, of a proxy, of a web server. No API of a sink answers so.
    pub(crate) fn is_page(&self) -> bool {
        is_page(self.content_type.as_deref(), &self.body)
    }

    /// Does the same as [`is_page`](Answer::is_page), for a target of any kind: some web servers call each answer HTML,
    /// so a body must begin with markup.
    pub(crate) fn is_markup(&self) -> bool {
        self.is_page() && trimmed(&self.body).starts_with(b"<")
    }

    /// Returns true if the connection broke within the body. The request may have been processed.
    pub(crate) fn is_torn(&self) -> bool {
        !self.is_whole && !self.is_too_long
    }

    /// Returns true if the body is a JSON object.
    pub(crate) fn is_object(&self) -> bool {
        serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&self.body).is_ok()
    }

    /// Returns the beginning of a part of the answer, without credentials.
    pub(crate) fn quote(&self, part: &[u8]) -> String {
        // Erased before the cut, because a cut could leave a part of a secret.
        let clean = self.filter.erase(&part[..part.len().min(16 * EXCERPT_BYTES)]);
        String::from_utf8_lossy(&clean[..clean.len().min(EXCERPT_BYTES)]).into_owned()
    }
}

/// Returns true if a body with a media type is a page for people.
pub(crate) fn is_page(media_type: Option<&str>, body: &[u8]) -> bool {
    let has_body = body.iter().any(|byte| !byte.is_ascii_whitespace());
    (has_body && media_type.is_some_and(is_html)) || begins_as_page(body)
}

fn is_html(media_type: &str) -> bool {
    matches!(media_type, "text/html" | "application/xhtml+xml")
}

/// Returns a body without a byte order mark and white space at its beginning.
fn trimmed(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii_start()
}

/// Returns true for the beginning of an HTML document.
fn begins_as_page(body: &[u8]) -> bool {
    let body = trimmed(body);
    [b"<!doctype html".as_slice(), b"<html", b"<head", b"<body"].iter().any(|beginning| {
        body.get(..beginning.len()).is_some_and(|found| found.eq_ignore_ascii_case(beginning))
    })
}

/// Returns the media type of an answer.
pub(crate) fn media_type(headers: &http::HeaderMap) -> Option<String> {
    let value = headers.get(http::header::CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next()?.trim().to_ascii_lowercase())
}

/// Parses `Retry-After` (RFC 9110, 10.2.3): seconds or a date. Fractional seconds, which some
/// targets send, are rounded up. A number that is too large becomes the maximum.
pub(crate) fn parse_retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number(whole) && is_number(fraction) {
        let is_more = fraction.bytes().any(|byte| byte != b'0');
        let seconds = whole.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds.saturating_add(u64::from(is_more))));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_known_by_its_type_or_its_beginning() {
        for (content_type, body, is_page, is_markup) in [
            ("text/html", "<div>log in</div>", true, true),
            ("text/html", "log in", true, false),
            ("text/html", " \n", false, false),
            ("application/xhtml+xml", "<?xml version=\"1.0\"?>", true, true),
            ("", "\u{feff} <!DOCTYPE HTML PUBLIC>", true, true),
            ("application/json", "<HTML lang=\"en\">", true, true),
            ("", "<?xml version=\"1.0\"?><Error/>", false, false),
            ("application/json", "{}", false, false),
            ("text/plain", "ok", false, false),
        ] {
            let content_type = Some(content_type.to_owned()).filter(|kind| !kind.is_empty());
            let body = body.as_bytes().to_vec();
            let answer = Answer { content_type, body, ..Answer::default() };
            assert_eq!((answer.is_page(), answer.is_markup()), (is_page, is_markup), "{answer:?}");
        }
    }

    #[test]
    fn a_media_type_has_no_parameters() {
        for (value, expected) in
            [("Application/JSON; charset=utf-8", "application/json"), ("text/html", "text/html")]
        {
            let value = http::HeaderValue::from_static(value);
            let headers = http::HeaderMap::from_iter([(http::header::CONTENT_TYPE, value)]);
            assert_eq!(media_type(&headers).as_deref(), Some(expected));
        }
        assert_eq!(media_type(&http::HeaderMap::new()), None);
    }

    #[test]
    fn a_wish_to_wait_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (text, wait) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:50:07 GMT", Some(30)),
            ("Sunday, 06-Nov-94 08:50:07 GMT", Some(30)),
            ("Sun, 06 Nov 1994 08:49:07 GMT", Some(0)),
            ("-1", None),
            ("soon", None),
            ("1.5", Some(2)),
            ("0.001", Some(1)),
            ("3.0", Some(3)),
            ("99999999999999999999", Some(u64::MAX)),
            ("18446744073709551615.5", Some(u64::MAX)),
            ("1.", None),
            (".5", None),
            ("1.5s", None),
        ] {
            assert_eq!(parse_retry_after(text, now), wait.map(Duration::from_secs), "{text}");
        }
    }
}

//! What came back: status, wish to wait, and a bounded part of the body.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::header::{CONTENT_ENCODING, RETRY_AFTER};

use super::compress::inflate;
use super::echo::Echo;

/// Bytes of an answer that are read. A bulk answer takes about 300 for an item that failed.
const MAX_BODY: usize = 16 * 1024 * 1024;

/// Bytes of an answer that are kept with a dead letter.
const EXCERPT: usize = 1024;

/// An answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<Duration>,
    /// The body, or what of it arrived.
    pub(crate) body: Vec<u8>,
    /// False if the connection broke within the body, or the body was too long.
    pub(crate) is_whole: bool,
    /// Whether the body was too long.
    pub(crate) is_too_long: bool,
    /// What may not be quoted of it.
    pub(crate) echo: Arc<Echo>,
}

impl Answer {
    pub(super) async fn read(mut response: reqwest::Response, echo: Arc<Echo>) -> Answer {
        let status = response.status().as_u16();
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|text| parse_retry_after(text, SystemTime::now()));
        let encoding = response.headers().get(CONTENT_ENCODING).cloned();
        let mut body = Vec::new();
        let mut is_too_long = false;
        let mut is_whole = loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() <= MAX_BODY => body.extend(chunk),
                Ok(None) => break true,
                Ok(Some(_)) => {
                    is_too_long = true;
                    break false;
                }
                Err(_) => break false,
            }
        };
        // Not asked for, and some proxies do it all the same.
        if let Some(encoding) = encoding.as_ref().and_then(|encoding| encoding.to_str().ok())
            && let Some(inflated) = inflate(&body, encoding, MAX_BODY)
        {
            is_too_long |= inflated.is_too_long;
            is_whole &= inflated.is_whole;
            body = inflated.bytes;
        }
        Answer { status, retry_after, body, is_whole, is_too_long, echo }
    }

    /// The beginning of a part of the answer, without credentials.
    pub(crate) fn quote(&self, part: &[u8]) -> String {
        // Cut afterwards: a secret that reaches over the edge must not stay in part.
        let clean = self.echo.erase(&part[..part.len().min(16 * EXCERPT)]);
        String::from_utf8_lossy(&clean[..clean.len().min(EXCERPT)]).into_owned()
    }
}

/// `Retry-After` (RFC 9110, 10.2.3): seconds, or a date. Fractions, which some send, are rounded up, and
/// a number that is too large is the largest.
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

//! Arbitrary bytes as the value of a header.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::config;
use crate::listener::ForwardedHeader;
use crate::receive::Credential;
use crate::{receive, sinks};

const PAIR: &str = "pingone:correct:horse";
const KEY: &str = "battery-staple-0123";

/// Checks that credentials admit only equal values, that encodings are words, that `Retry-After` is
/// a number of seconds or a date, and that a client cannot forge its address.
pub fn headers(bytes: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(bytes) else { return };
    let credentials = credentials();
    let with =
        |name: &'static str| HeaderMap::from_iter([(name.parse().expect("a name"), value.clone())]);
    let is_allowed = receive::fuzzing::is_allowed(&credentials, &with("authorization"));
    let (scheme, pair) = bytes.split_at_checked("basic ".len()).unwrap_or_default();
    let is_right = scheme.eq_ignore_ascii_case(b"basic ")
        && pair.trim_ascii() == STANDARD.encode(PAIR).as_bytes();
    assert_eq!(is_allowed, is_right, "{value:?}");
    assert_eq!(receive::fuzzing::is_allowed(&credentials, &with("x-key")), bytes == KEY.as_bytes());
    // A password of one pair is wrong for any other pair.
    let header = format!("Basic {}", STANDARD.encode([b"pingone:", bytes].concat()));
    let header = HeaderValue::try_from(header).expect("ASCII");
    let headers = HeaderMap::from_iter([(header::AUTHORIZATION, header)]);
    let is_password = bytes == b"correct:horse";
    assert_eq!(receive::fuzzing::is_allowed(&credentials, &headers), is_password);

    let names = receive::fuzzing::encodings(&with("content-encoding"));
    for name in &names {
        assert!(!name.is_empty() && name != "identity" && name.trim() == name);
        assert!(
            !name.contains(',') && !name.contains(|c: char| c.is_ascii_uppercase()),
            "{name:?}"
        );
    }
    assert!(names.len() <= bytes.split(|byte| *byte == b',').count());

    let proxy = IpAddr::from([192, 0, 2, 1]);
    for (name, header, added) in [
        ("x-forwarded-for", ForwardedHeader::XForwardedFor, "198.51.100.7"),
        ("forwarded", ForwardedHeader::Forwarded, "for=\"198.51.100.7:4711\";proto=https"),
    ] {
        // The client's text does not change what the proxy appended.
        let line = [bytes, b", ", added.as_bytes()].concat();
        let line = HeaderValue::from_bytes(&line).expect("a header's value");
        let client = receive::fuzzing::client(
            proxy,
            header,
            &HeaderMap::from_iter([(HeaderName::from_static(name), line)]),
        );
        assert_eq!(client.to_string(), "198.51.100.7", "{value:?}");
    }

    if let Ok(text) = value.to_str() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let wish = sinks::fuzzing::retry_after(text, now);
        let digits = text.trim();
        if digits.len() < 19 && !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
            assert_eq!(wish.map(|wish| wish.as_secs().to_string()).as_deref(), {
                let plain = digits.trim_start_matches('0');
                Some(if plain.is_empty() { "0" } else { plain })
            });
        }
    }
}

fn credentials() -> Vec<Credential> {
    let text = "[sources.s]\nbasic = [{ username = \"pingone\", password_env = \"PASSWORD\" }]\n\
                headers = [{ name = \"x-key\", value_env = \"KEY\" }]";
    let password = PAIR.split_once(':').expect("a pair").1;
    let variables = [("PASSWORD".into(), password.into()), ("KEY".into(), KEY.into())];
    let mut config = config::parse(text, None, variables.into_iter()).expect("valid");
    config.sources.remove(0).credentials
}

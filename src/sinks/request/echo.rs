//! Targets that repeat a request in their answer must not bring its credentials into a dead letter.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use memchr::memmem;
use secrecy::{ExposeSecret, SecretSlice};

const INSTEAD: &[u8] = b"[secret]";

/// What no answer may show: the sensitive headers, their tokens, and the passwords in them.
#[derive(Debug, Default)]
pub(super) struct Echo(Vec<SecretSlice<u8>>);

impl Echo {
    pub(super) fn of(headers: &HeaderMap) -> Echo {
        let mut secrets: Vec<Vec<u8>> = Vec::new();
        for value in headers.values().filter(|value| value.is_sensitive()) {
            let text = value.as_bytes();
            let token =
                text.iter().position(|byte| *byte == b' ').map_or(text, |at| &text[at + 1..]);
            secrets.push(token.to_vec());
            if let Some(pair) = text.strip_prefix(b"Basic ")
                && let Ok(pair) = STANDARD.decode(pair)
                && let Some(colon) = pair.iter().position(|byte| *byte == b':')
            {
                secrets.push(pair[colon + 1..].to_vec());
            }
        }
        Echo(secrets.into_iter().filter(|secret| !secret.is_empty()).map(Into::into).collect())
    }

    /// Takes them out of an answer's body.
    pub(super) fn erase(&self, body: &mut Vec<u8>) {
        for secret in &self.0 {
            let secret = secret.expose_secret();
            if memmem::find(body, secret).is_none() {
                continue;
            }
            let mut clean = Vec::with_capacity(body.len());
            let mut from = 0;
            for at in memmem::find_iter(body, secret) {
                clean.extend_from_slice(&body[from..at]);
                clean.extend_from_slice(INSTEAD);
                from = at + secret.len();
            }
            clean.extend_from_slice(&body[from..]);
            *body = clean;
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn no_form_of_a_credential_stays() {
        let mut headers = HeaderMap::new();
        let basic = format!("Basic {}", STANDARD.encode("user:pass:word"));
        for (name, value) in [("a", "Bearer canary-1"), ("b", "canary-2"), ("c", basic.as_str())] {
            let mut value = HeaderValue::try_from(value).expect("a value");
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        headers.insert("d", HeaderValue::from_static("plain"));
        let echo = Echo::of(&headers);
        assert!(!format!("{echo:?}").contains("canary"));
        let mut body = format!("{basic} canary-1canary-1 x canary-2 pass:word plain").into_bytes();
        echo.erase(&mut body);
        let clean = "Basic [secret] [secret][secret] x [secret] [secret] plain";
        assert_eq!(String::from_utf8_lossy(&body), clean);
    }
}

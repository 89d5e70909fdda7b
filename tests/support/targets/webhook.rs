//! An HTTP endpoint that accepts or refuses whole requests of JSON.

use std::collections::HashSet;

use axum::http::HeaderMap;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use super::{Behaviour, Traffic, answer, header};

#[derive(Default)]
pub struct Webhook {
    pub traffic: Traffic,
    pub stored: Vec<Value>,
    /// Ids of events that make it refuse the whole request.
    pub poison: HashSet<String>,
    /// Ids of events that make it answer the whole request with status 500.
    pub crashes: HashSet<String>,
    /// Upper bound of an inflated body, in bytes.
    pub limit: Option<usize>,
    /// Required `Authorization`.
    pub authorization: Option<String>,
    /// Key of the signatures that it verifies.
    pub signing_key: Option<Vec<u8>>,
}

impl Webhook {
    pub fn ids(&self) -> Vec<String> {
        self.stored.iter().map(|event| event["id"].as_str().expect("an id").to_owned()).collect()
    }
}

impl Behaviour for Webhook {
    fn traffic(&mut self) -> &mut Traffic {
        &mut self.traffic
    }

    fn take(&mut self, path: &str, _query: &str, headers: &HeaderMap, body: &[u8]) -> Response {
        if path != "/events" {
            return answer(404, "no such page".to_owned());
        }
        let wanted = self.authorization.as_deref();
        if wanted.is_some_and(|wanted| header(headers, "authorization") != wanted) {
            return answer(401, "who are you?".to_owned());
        }
        if self.limit.is_some_and(|limit| body.len() > limit) {
            return answer(413, "<html>too large</html>".to_owned());
        }
        if let Some(key) = &self.signing_key
            && !is_signed(key, headers, body)
        {
            return answer(403, "wrong signature".to_owned());
        }
        let values: Result<Vec<Value>, _> =
            serde_json::Deserializer::from_slice(body).into_iter().collect();
        let Ok(values) = values else { return answer(400, "not JSON".to_owned()) };
        let events: Vec<Value> = values
            .into_iter()
            .flat_map(|value| match value {
                Value::Array(events) => events,
                event => vec![event],
            })
            .collect();
        let is_bad = |event: &Value| event["id"].as_str().is_none_or(|id| self.poison.contains(id));
        if events.iter().any(is_bad) {
            return answer(400, "one of these I do not like".to_owned());
        }
        let crashes =
            |event: &Value| event["id"].as_str().is_some_and(|id| self.crashes.contains(id));
        if events.iter().any(crashes) {
            return answer(500, "internal error".to_owned());
        }
        self.stored.extend(events);
        answer(202, String::new())
    }
}

/// Computes the signature independently, as the specification describes it.
fn is_signed(key: &[u8], headers: &HeaderMap, body: &[u8]) -> bool {
    let mut signed =
        format!("{}.{}.", header(headers, "webhook-id"), header(headers, "webhook-timestamp"))
            .into_bytes();
    signed.extend_from_slice(body);
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key");
    mac.update(&signed);
    let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    header(headers, "webhook-signature").split(' ').any(|signature| signature == expected)
}

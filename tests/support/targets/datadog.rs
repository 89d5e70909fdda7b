//! The logs intake of Datadog as documented: limits, keys, and the time range of logs.

use std::collections::HashSet;

use axum::http::HeaderMap;
use axum::response::Response;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};

use super::{Behaviour, Traffic, header};
use crate::support::canary::TOKEN;

const MAX_BODY: usize = 5_000_000;
const MAX_LOGS: usize = 1000;
const MAX_LOG: usize = 1_000_000;

/// Attributes that a log of this API may have, besides `event_uid`.
const KNOWN: [&str; 7] =
    ["ddsource", "ddtags", "hostname", "message", "service", "status", "timestamp"];

/// The intake, and the validation of keys.
pub struct Intake {
    pub traffic: Traffic,
    /// The valid API key.
    pub key: String,
    /// Logs in the order of arrival, each with its `date`.
    pub stored: Vec<Value>,
    /// Number of logs in each accepted request.
    pub sizes: Vec<usize>,
    /// Ids of events in requests that are refused.
    pub poison: HashSet<String>,
    /// Media type and compression of each request for logs.
    pub requested: Vec<String>,
    /// Bytes of a body, if fewer than the real limit.
    pub limit: usize,
}

impl Intake {
    pub fn new() -> Intake {
        Intake {
            traffic: Traffic::default(),
            key: TOKEN.to_owned(),
            stored: Vec::new(),
            sizes: Vec::new(),
            poison: HashSet::new(),
            requested: Vec::new(),
            limit: MAX_BODY,
        }
    }

    pub fn ids(&self) -> Vec<String> {
        self.stored.iter().map(event_id).collect()
    }

    fn take_logs(&mut self, headers: &HeaderMap, body: &[u8]) -> Response {
        let [kind, encoding] =
            ["content-type", "content-encoding"].map(|name| header(headers, name));
        self.requested.push(format!("{kind} {encoding}"));
        let refused = |status: u16, detail: &str| {
            super::json(status, &json!({ "errors": [{ "detail": detail }] }))
        };
        if kind != "application/json" {
            return refused(415, "not JSON");
        }
        if body.len() > self.limit {
            return refused(413, "Payload too large");
        }
        let Ok(logs) = serde_json::from_slice::<Vec<Map<String, Value>>>(body) else {
            return refused(400, "no array of objects");
        };
        if logs.len() > MAX_LOGS {
            return refused(413, "too many logs");
        }
        let logs: Vec<Value> = logs.into_iter().map(stored).collect();
        if logs.iter().any(|log| self.poison.contains(&event_id(log))) {
            // As debugging proxies do.
            return refused(400, &format!("{headers:?} {}", String::from_utf8_lossy(body)));
        }
        self.sizes.push(logs.len());
        self.stored.extend(logs);
        super::json(202, &json!({}))
    }
}

/// The log as Datadog keeps it: the text of `message` is read as JSON, unless it had to be cut.
fn stored(mut log: Map<String, Value>) -> Value {
    for name in log.keys() {
        assert!(KNOWN.contains(&name.as_str()) || name == "event_uid", "{name}");
    }
    let sent = log.get("timestamp").and_then(Value::as_i64).map(|milliseconds| {
        let time = DateTime::from_timestamp_millis(milliseconds).expect("a time");
        let age = Utc::now() - time;
        assert!(age < TimeDelta::hours(18) && age > -TimeDelta::hours(2), "{time} is not kept");
        time
    });
    let length = Value::Object(log.clone()).to_string().len();
    let message = log["message"].as_str().expect("a text").to_owned();
    if length <= MAX_LOG {
        log.insert("attributes".to_owned(), serde_json::from_str(&message).expect("JSON"));
    }
    log.insert("date".to_owned(), sent.unwrap_or_else(Utc::now).to_rfc3339().into());
    log.into()
}

fn event_id(log: &Value) -> String {
    let places = ["/attributes/id", "/attributes/ocsf/metadata/uid"];
    let id = places.iter().find_map(|place| log.pointer(place)?.as_str());
    id.unwrap_or_default().to_owned()
}

impl Behaviour for Intake {
    fn traffic(&mut self) -> &mut Traffic {
        &mut self.traffic
    }

    fn take(&mut self, path: &str, _query: &str, headers: &HeaderMap, body: &[u8]) -> Response {
        if header(headers, "dd-api-key") != self.key {
            return super::json(403, &json!({ "errors": ["Forbidden"] }));
        }
        match path {
            "/api/v1/validate" => super::json(200, &json!({ "valid": true })),
            "/api/v2/logs" => self.take_logs(headers, body),
            _ => super::json(404, &json!({ "errors": ["Not found"] })),
        }
    }
}

//! Splunk's HTTP Event Collector with measured behaviour: it indexes the events before an invalid one, reports a wrong
//! index one event too late, and reports a body that is too large as an invalid first event.

use std::collections::{HashMap, HashSet};

use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::{Value, json};

use super::{Behaviour, Traffic, answer, header};

#[derive(Default)]
pub struct Collector {
    pub traffic: Traffic,
    /// Envelopes in the order of indexing.
    pub stored: Vec<Value>,
    pub token: String,
    /// Upper bound of an inflated body, in bytes.
    pub limit: Option<usize>,
    /// Ids of events that are invalid.
    pub poison: HashSet<String>,
    /// Ids of events for an index that the token may not write to.
    pub wrong_index: HashSet<String>,
    /// True if the token requires acknowledgement.
    pub acknowledges: bool,
    /// True if a proxy in front of it blocks the requests for acknowledgements.
    pub hides_acknowledgements: bool,
    /// Number of the next requests that are never acknowledged.
    pub lost_acknowledgements: usize,
    /// Acknowledgements by channel: number of polls until each is given; `None` for never.
    pub channels: HashMap<String, Vec<Option<usize>>>,
}

fn code(status: u16, code: i64, more: Value) -> Response {
    let mut body = json!({ "text": format!("text of {code}"), "code": code });
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more);
    }
    super::json(status, &body)
}

impl Collector {
    pub fn new(token: &str) -> Collector {
        Collector { token: token.to_owned(), ..Collector::default() }
    }

    pub fn ids(&self) -> Vec<String> {
        let id = |envelope: &Value| envelope["event"]["id"].as_str().expect("an id").to_owned();
        self.stored.iter().map(id).collect()
    }

    fn refuse(&self, headers: &HeaderMap) -> Option<Response> {
        match header(headers, "authorization") {
            "" => Some(code(401, 2, json!({}))),
            token if token == format!("Splunk {}", self.token) => None,
            token if token.starts_with("Splunk ") => Some(code(403, 4, json!({}))),
            _ => Some(code(401, 3, json!({}))),
        }
    }

    fn event(&mut self, headers: &HeaderMap, body: &[u8]) -> Response {
        let channel = header(headers, "x-splunk-request-channel").to_owned();
        if body.is_empty() {
            return code(400, 5, json!({}));
        }
        if self.acknowledges && channel.is_empty() {
            return code(400, 10, json!({}));
        }
        if self.limit.is_some_and(|limit| body.len() > limit) {
            return code(400, 6, json!({ "invalid-event-number": 0 }));
        }
        for (number, envelope) in serde_json::Deserializer::from_slice(body).into_iter().enumerate()
        {
            let at = json!({ "invalid-event-number": number });
            let Ok(envelope): Result<Value, _> = envelope else { return code(400, 6, at) };
            let known = ["time", "host", "source", "sourcetype", "index", "event", "fields"];
            let members = envelope.as_object().expect("an object");
            if members.keys().any(|key| !known.contains(&key.as_str())) {
                // Drops the other events, and reports success.
                return code(200, 0, json!({}));
            }
            if envelope["event"].is_null() {
                return code(400, 12, at);
            }
            if envelope["fields"].as_object().is_some_and(|f| f.values().any(Value::is_object)) {
                return code(400, 15, at);
            }
            let id = envelope["event"]["id"].as_str().unwrap_or_default();
            if self.poison.contains(id) {
                return code(400, 6, at);
            }
            if self.wrong_index.contains(id) {
                return code(400, 7, json!({ "invalid-event-number": number + 1 }));
            }
            self.stored.push(envelope);
        }
        if !self.acknowledges {
            return code(200, 0, json!({}));
        }
        let is_lost = self.lost_acknowledgements > 0;
        self.lost_acknowledgements = self.lost_acknowledgements.saturating_sub(1);
        let requests = self.channels.entry(channel).or_default();
        requests.push(if is_lost { None } else { Some(2) });
        code(200, 0, json!({ "ackId": requests.len() - 1 }))
    }

    fn acknowledgements(&mut self, headers: &HeaderMap, body: &[u8]) -> Response {
        if !self.acknowledges {
            return code(400, 14, json!({}));
        }
        let channel = header(headers, "x-splunk-request-channel");
        let asked: Value = serde_json::from_slice(body).expect("JSON");
        let mut acks = serde_json::Map::new();
        for id in asked["acks"].as_array().expect("ids") {
            let index = id.as_u64().expect("a number") as usize;
            let left = self.channels.get_mut(channel).and_then(|ids| ids.get_mut(index));
            let is_given = match left {
                Some(Some(0)) => {
                    // Each acknowledgement is given once.
                    self.channels.get_mut(channel).expect("a channel")[index] = None;
                    true
                }
                Some(Some(polls)) => {
                    *polls -= 1;
                    false
                }
                _ => false,
            };
            acks.insert(index.to_string(), is_given.into());
        }
        super::json(200, &json!({ "acks": acks }))
    }
}

impl Behaviour for Collector {
    fn traffic(&mut self) -> &mut Traffic {
        &mut self.traffic
    }

    fn take(&mut self, path: &str, _query: &str, headers: &HeaderMap, body: &[u8]) -> Response {
        if path == "/services/collector/health" {
            return code(200, 17, json!({}));
        }
        if let Some(refusal) = self.refuse(headers) {
            return refusal;
        }
        match path {
            "/services/collector/event" => self.event(headers, body),
            "/services/collector/ack" if self.hides_acknowledgements => {
                answer(404, "<html>no such page</html>".to_owned())
            }
            "/services/collector/ack" => self.acknowledgements(headers, body),
            _ => answer(404, "{\"text\":\"not found\",\"code\":404}".to_owned()),
        }
    }
}

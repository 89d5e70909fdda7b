//! A receiver that accepts only requests with the documented path, credential, content type, compression, size and
//! shape, and answers with the documented status.

use std::collections::HashSet;

use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::Value;

use super::{Behaviour, Traffic, answer, header};

/// A receiver's documentation.
#[derive(Clone, Copy)]
pub struct Contract {
    /// Path with the query.
    pub path: &'static str,
    /// Header of the credential, and its value.
    pub credential: (&'static str, &'static str),
    pub content_type: &'static str,
    /// `Content-Encoding` of bodies above 1 KiB; empty: none.
    pub encoding: &'static str,
    /// Returns the events of a body; `None` for another shape.
    pub events: fn(&str) -> Option<Vec<Value>>,
    /// Status and body of a success.
    pub success: (u16, &'static str),
}

pub struct Receiver {
    pub traffic: Traffic,
    pub contract: Contract,
    pub stored: Vec<Value>,
    /// Upper bound of an inflated body, in bytes.
    pub limit: usize,
    /// Ids of events that make it refuse the whole request.
    pub poison: HashSet<String>,
    /// Reasons why requests were refused with another status than 413.
    pub refused: Vec<String>,
}

impl Receiver {
    pub fn new(contract: Contract, limit: usize) -> Receiver {
        Receiver {
            traffic: Traffic::default(),
            contract,
            stored: Vec::new(),
            limit,
            poison: HashSet::new(),
            refused: Vec::new(),
        }
    }

    pub fn ids(&self) -> Vec<String> {
        self.stored.iter().map(|event| event["id"].as_str().expect("an id").to_owned()).collect()
    }

    fn refuse(&mut self, status: u16, reason: String) -> Response {
        self.refused.push(format!("{status}: {reason}"));
        answer(status, reason)
    }
}

impl Behaviour for Receiver {
    fn traffic(&mut self) -> &mut Traffic {
        &mut self.traffic
    }

    fn take(&mut self, path: &str, query: &str, headers: &HeaderMap, body: &[u8]) -> Response {
        let Contract { credential: (name, value), content_type, .. } = self.contract;
        let target = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        if target != self.contract.path {
            return self.refuse(404, format!("no such page: {target}"));
        }
        if header(headers, name) != value {
            return self.refuse(401, format!("wrong {name}: {:?}", headers.get(name)));
        }
        if body.is_empty() {
            return answer(400, "{\"text\":\"no data\"}".to_owned());
        }
        if header(headers, "content-type") != content_type {
            return self.refuse(415, header(headers, "content-type").to_owned());
        }
        let encoding = header(headers, "content-encoding");
        if !encoding.is_empty() && encoding != self.contract.encoding {
            return self.refuse(415, format!("encoding {encoding}"));
        }
        if body.len() > self.limit {
            return answer(413, "too large".to_owned());
        }
        let text = std::str::from_utf8(body).expect("UTF-8");
        let Some(events) = (self.contract.events)(text) else {
            return self.refuse(400, format!("another shape: {text}"));
        };
        let is_bad = |event: &Value| event["id"].as_str().is_none_or(|id| self.poison.contains(id));
        if events.iter().any(is_bad) {
            // A careless receiver repeats the request in its answer.
            let said = format!("POST {target} {headers:?}: one of these is refused");
            return super::json(400, &serde_json::json!({ "code": 6, "text": said }));
        }
        self.stored.extend(events);
        let (status, said) = self.contract.success;
        answer(status, said.to_owned())
    }
}

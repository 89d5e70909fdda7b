//! Grafana Loki as documented: it stores entries by stream, drops repetitions, and stores the valid entries of a request
//! that it refuses because of another.

use std::collections::{BTreeMap, HashSet};

use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::Value;

use super::{Behaviour, Traffic, answer, header};

#[derive(Default)]
pub struct Loki {
    pub traffic: Traffic,
    /// Entries of each stream, by its labels: time, line, metadata.
    pub streams: BTreeMap<String, Vec<Value>>,
    /// Required `X-Scope-OrgID` and `Authorization`.
    pub tenant: String,
    pub authorization: String,
    /// Ids of events that are too far behind.
    pub old: HashSet<String>,
    /// True if ingestion is blocked.
    pub is_blocked: bool,
    /// Upper bound of an inflated body, in bytes.
    pub limit: Option<usize>,
    /// Number of entries that were there already.
    pub dropped: usize,
}

impl Loki {
    /// Ids of all stored events, stream by stream.
    pub fn ids(&self) -> Vec<String> {
        let id = |entry: &Value| {
            let line: Value =
                serde_json::from_str(entry[1].as_str().expect("a line")).expect("JSON");
            line["id"].as_str().expect("an id").to_owned()
        };
        self.streams.values().flatten().map(id).collect()
    }

    /// Stores the entries of one stream. Returns the number of those that are too old.
    fn store(&mut self, stream: &Value) -> Option<usize> {
        let labels = stream["stream"].as_object().filter(|labels| !labels.is_empty())?;
        let is_label = |name: &String| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !labels.iter().all(|(name, value)| is_label(name) && value.is_string()) {
            return None;
        }
        let mut refused = 0;
        for entry in stream["values"].as_array()? {
            entry[0]
                .as_str()?
                .parse::<u64>()
                .ok()
                .filter(|time| *time > 1_000_000_000_000_000_000)?;
            let metadata = entry.get(2).and_then(Value::as_object);
            if metadata.is_some_and(|metadata| !metadata.values().all(Value::is_string)) {
                return None;
            }
            let id =
                metadata.and_then(|metadata| metadata["event_id"].as_str()).unwrap_or_default();
            if self.old.contains(id) {
                refused += 1;
                continue;
            }
            let stored = self.streams.entry(stream["stream"].to_string()).or_default();
            match stored.iter().any(|stored| stored[0] == entry[0] && stored[1] == entry[1]) {
                true => self.dropped += 1,
                false => stored.push(entry.clone()),
            }
        }
        Some(refused)
    }
}

impl Behaviour for Loki {
    fn traffic(&mut self) -> &mut Traffic {
        &mut self.traffic
    }

    fn take(&mut self, path: &str, _query: &str, headers: &HeaderMap, body: &[u8]) -> Response {
        if path != "/loki/api/v1/push" {
            return answer(404, "404 page not found".to_owned());
        }
        if header(headers, "authorization") != self.authorization {
            return answer(401, "unauthorized".to_owned());
        }
        if header(headers, "x-scope-orgid") != self.tenant {
            return answer(401, "no org id".to_owned());
        }
        if self.is_blocked {
            return answer(260, "ingestion blocked".to_owned());
        }
        if header(headers, "content-type") != "application/json" {
            return answer(400, "unsupported content type".to_owned());
        }
        if self.limit.is_some_and(|limit| body.len() > limit) {
            return answer(413, "too large".to_owned());
        }
        let Ok(push) = serde_json::from_slice::<Value>(body) else {
            return answer(400, "not JSON".to_owned());
        };
        let mut refused = 0;
        for stream in push["streams"].as_array().expect("streams") {
            match self.store(stream) {
                Some(count) => refused += count,
                None => return answer(400, "error at least one stream is malformed".to_owned()),
            }
        }
        match refused {
            0 => answer(204, String::new()),
            count => answer(400, format!("{count} entries were too far behind")),
        }
    }
}

//! Elasticsearch's bulk API: one result per document, unique ids, and HTTP 200 in any case.

use std::collections::{HashMap, HashSet};

use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::{Value, json};

use super::aws::SignedRequest;
use super::{Behaviour, Traffic, answer, header, json as json_answer};

#[derive(Default)]
pub struct Elastic {
    pub traffic: Traffic,
    /// Documents by `_id`, in the order of creation.
    pub stored: Vec<(String, Value)>,
    /// Every `_id` in `stored`.
    pub known: HashSet<String>,
    pub authorization: String,
    /// Upper bound of an inflated body, in bytes.
    pub limit: Option<usize>,
    /// Ids of events whose documents cannot be parsed.
    pub poison: HashSet<String>,
    /// Statuses that a document gets before it is accepted, by the event's id.
    pub first: HashMap<String, Vec<u16>>,
    /// Ids of events that go to the failure store.
    pub failures: HashSet<String>,
    /// Documents refused because their id was already stored.
    pub conflicts: usize,
    /// Secret access key with which each request is signed, as Amazon OpenSearch Service requires.
    pub signed_with: Option<String>,
    /// Id of an access key that AWS has revoked.
    pub revoked: Option<String>,
    /// Behaves as OpenSearch.
    pub is_opensearch: bool,
    /// Answers to requests for mappings, by path. If there are none, such requests get 403.
    pub mappings: HashMap<String, Value>,
    /// Paths of the requests for mappings.
    pub mapping_requests: Vec<String>,
}

impl Elastic {
    pub fn new(authorization: &str) -> Elastic {
        Elastic { authorization: authorization.to_owned(), ..Elastic::default() }
    }

    pub fn ids(&self) -> Vec<String> {
        self.stored.iter().map(|(_, document)| event_id(document).to_owned()).collect()
    }

    fn bulk(&mut self, body: &[u8]) -> Response {
        if body.last() != Some(&b'\n') {
            let text = "The bulk request must be terminated by a newline [\\n]";
            return json_answer(400, &error("illegal_argument_exception", text));
        }
        let lines: Vec<&[u8]> = body.split(|byte| *byte == b'\n').collect();
        let mut items = Vec::new();
        for pair in lines[..lines.len() - 1].chunks(2) {
            let action: Value = serde_json::from_slice(pair[0]).expect("an action");
            let id = action["create"]["_id"].as_str().expect("only create is taken").to_owned();
            items.push(json!({ "create": self.create(id, pair[1]) }));
        }
        let errors = items.iter().any(|item| item["create"].get("error").is_some());
        json_answer(200, &json!({ "errors": errors, "items": items }))
    }

    fn create(&mut self, id: String, document: &[u8]) -> Value {
        let failed = |status: u16, kind: &str, reason: &str| json!({ "status": status, "error": { "type": kind, "reason": reason } });
        let parsed: Result<Value, _> = serde_json::from_slice(document);
        let Ok(document) = parsed else { return failed(400, "document_parsing_exception", "no") };
        if document["@timestamp"].is_null() {
            return failed(400, "document_parsing_exception", "no @timestamp");
        }
        let event = event_id(&document);
        if let Some(status) = self.first.get_mut(event).and_then(Vec::pop) {
            return failed(status, "es_rejected_execution_exception", "busy");
        }
        if self.poison.contains(event) {
            let reason = format!("failed to parse field in document {document}");
            return failed(400, "document_parsing_exception", &reason);
        }
        if !self.known.insert(id.clone()) {
            self.conflicts += 1;
            return failed(409, "version_conflict_engine_exception", "it exists");
        }
        let is_failure = self.failures.contains(event);
        self.stored.push((id, document));
        if is_failure {
            json!({ "status": 201, "failure_store": "used" })
        } else {
            json!({ "status": 201 })
        }
    }
}

/// Returns the event's id in any format.
fn event_id(document: &Value) -> &str {
    let places = ["/id", "/event/id", "/metadata/uid"];
    places.iter().find_map(|place| document.pointer(place)?.as_str()).unwrap_or_default()
}

fn error(kind: &str, reason: &str) -> Value {
    json!({ "error": { "type": kind, "reason": reason }, "status": 400 })
}

impl Behaviour for Elastic {
    fn traffic(&mut self) -> &mut Traffic {
        &mut self.traffic
    }

    fn take(&mut self, path: &str, query: &str, headers: &HeaderMap, body: &[u8]) -> Response {
        if let Some(secret) = &self.signed_with {
            let (method, body) = (self.traffic.method.to_string(), self.traffic.raw.clone());
            let request = SignedRequest { method: &method, path, query, headers, body: &body };
            let authorization = header(headers, "authorization");
            let is_revoked = self.revoked.as_ref().is_some_and(|id| authorization.contains(id));
            if is_revoked || !request.is_signed_with(secret, "es") {
                let text = "The request signature we calculated does not match";
                return json_answer(403, &json!({ "message": text }));
            }
        } else if header(headers, "authorization") != self.authorization {
            return json_answer(401, &error("security_exception", "who?"));
        }
        if self.limit.is_some_and(|limit| body.len() > limit) {
            return answer(413, String::new());
        }
        if path == "/" {
            let distribution = if self.is_opensearch { json!("opensearch") } else { Value::Null };
            let version = json!({ "number": "9.1.0", "distribution": distribution });
            return json_answer(200, &json!({ "version": version }));
        }
        if self.is_opensearch && query.contains("require_data_stream") {
            let text = "request contains unrecognized parameter: [require_data_stream]";
            return json_answer(400, &error("illegal_argument_exception", text));
        }
        if path.ends_with("/_mapping") || path.starts_with("/_index_template/") {
            self.mapping_requests.push(path.to_owned());
            return match self.mappings.get(path) {
                Some(found) => json_answer(200, found),
                None if self.mappings.is_empty() => {
                    json_answer(403, &error("security_exception", "no"))
                }
                None => json_answer(404, &error("index_not_found_exception", "no such index")),
            };
        }
        match path {
            "/logs-pingone.davinci-default/_bulk" => self.bulk(body),
            _ => json_answer(404, &error("index_not_found_exception", "no such index")),
        }
    }
}

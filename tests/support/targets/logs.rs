//! A receiver of OTLP logs as specified. It decodes requests with messages of its own.

use std::collections::{BTreeMap, HashSet};

use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyKind;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use serde_json::{Value, json};

use super::{Behaviour, Traffic, answer, header};
use crate::support::canary::TOKEN;

#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(message, repeated, tag = "1")]
    resource_logs: Vec<OfResource>,
}

#[derive(Clone, PartialEq, Message)]
struct OfResource {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_logs: Vec<OfScope>,
}

#[derive(Clone, PartialEq, Message)]
struct OfScope {
    #[prost(message, optional, tag = "1")]
    scope: Option<InstrumentationScope>,
    #[prost(message, repeated, tag = "2")]
    log_records: Vec<Record>,
}

#[derive(Clone, PartialEq, Message)]
struct Record {
    #[prost(fixed64, tag = "1")]
    time: u64,
    #[prost(message, optional, tag = "5")]
    body: Option<AnyValue>,
    #[prost(message, repeated, tag = "6")]
    attributes: Vec<KeyValue>,
    #[prost(string, tag = "12")]
    event_name: String,
}

/// A response: the number of rejected records is field 1 of field 1.
#[derive(Clone, PartialEq, Message)]
struct Response200 {
    #[prost(message, optional, tag = "1")]
    partial: Option<Partial>,
}

#[derive(Clone, PartialEq, Message)]
struct Partial {
    #[prost(int64, tag = "1")]
    rejected: i64,
    #[prost(string, tag = "2")]
    message: String,
}

/// The receiver.
pub struct Logs {
    pub traffic: Traffic,
    /// The accepted bearer token.
    pub token: String,
    /// Records in the order of arrival: `body`, `event_name` and the attributes.
    pub stored: Vec<BTreeMap<String, Value>>,
    /// Ids of events that it rejects alone, in a partial success.
    pub rejected: HashSet<String>,
    /// Ids of events in requests that it refuses.
    pub poison: HashSet<String>,
    /// Bytes of a body that it takes.
    pub limit: usize,
    /// Body of the last request.
    pub last: Vec<u8>,
}

impl Logs {
    pub fn new() -> Logs {
        Logs {
            traffic: Traffic::default(),
            token: TOKEN.to_owned(),
            stored: Vec::new(),
            rejected: HashSet::new(),
            poison: HashSet::new(),
            limit: usize::MAX,
            last: Vec::new(),
        }
    }

    pub fn ids(&self) -> Vec<String> {
        self.stored.iter().map(id).collect()
    }

    fn take_logs(&mut self, headers: &HeaderMap, body: &[u8]) -> Response {
        if body.len() > self.limit {
            return answer(413, "too large".to_owned());
        }
        self.last = body.to_vec();
        let request = Request::decode(body).expect("OTLP logs");
        let mut records = Vec::new();
        for of_resource in request.resource_logs {
            let resource = of_resource.resource.expect("a resource");
            assert_eq!(named(&resource.attributes)["service.name"], "pingone-davinci");
            for of_scope in of_resource.scope_logs {
                assert_eq!(of_scope.scope.expect("a scope").name, "davinci-siem");
                records.extend(of_scope.log_records.iter().map(stored));
            }
        }
        if records.iter().any(|record| self.poison.contains(&id(record))) {
            let text = format!("{headers:?} {}", String::from_utf8_lossy(body));
            return super::json(400, &json!({ "code": 3, "message": text }));
        }
        let count = records.len();
        records.retain(|record| !self.rejected.contains(&id(record)));
        let rejected = (count - records.len()) as i64;
        self.stored.extend(records);
        let partial = Partial { rejected, message: "some".to_owned() };
        let response = Response200 { partial: (rejected > 0).then_some(partial) };
        let mut response = response.encode_to_vec().into_response();
        let kind = HeaderValue::from_static("application/x-protobuf");
        response.headers_mut().insert("content-type", kind);
        response
    }
}

fn stored(record: &Record) -> BTreeMap<String, Value> {
    assert!(record.time > 0);
    let mut found = named(&record.attributes);
    let body = record.body.as_ref().and_then(|body| body.value.as_ref()).expect("a body");
    found.insert("body".to_owned(), plain(body));
    found.insert("event_name".to_owned(), record.event_name.clone().into());
    found
}

fn id(record: &BTreeMap<String, Value>) -> String {
    record["pingone.event.id"].as_str().expect("an id").to_owned()
}

fn named(attributes: &[KeyValue]) -> BTreeMap<String, Value> {
    let value = |pair: &KeyValue| {
        plain(pair.value.as_ref().and_then(|any| any.value.as_ref()).expect("a value"))
    };
    attributes.iter().map(|pair| (pair.key.clone(), value(pair))).collect()
}

fn plain(kind: &AnyKind) -> Value {
    match kind {
        AnyKind::StringValue(text) => json!(text),
        AnyKind::IntValue(number) => json!(number),
        AnyKind::BoolValue(flag) => json!(flag),
        other => panic!("{other:?}"),
    }
}

impl Behaviour for Logs {
    fn traffic(&mut self) -> &mut Traffic {
        &mut self.traffic
    }

    fn take(&mut self, path: &str, _query: &str, headers: &HeaderMap, body: &[u8]) -> Response {
        if header(headers, "authorization") != format!("Bearer {}", self.token) {
            return answer(401, "unauthorized".to_owned());
        }
        if path != "/v1/logs" {
            return answer(404, "no such path".to_owned());
        }
        if header(headers, "content-type") != "application/x-protobuf" {
            return answer(415, "no protobuf".to_owned());
        }
        self.take_logs(headers, body)
    }
}

//! An OpenTelemetry collector over OTLP/HTTP that stores the spans it receives.

use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::{Map, Value, json};

use super::{Behaviour, Traffic, answer, header};

#[derive(Default)]
pub struct Spans {
    pub traffic: Traffic,
    pub stored: Vec<Span>,
    /// Resource attributes, request by request.
    pub resources: Vec<Map<String, Value>>,
    /// Number of spans of each request that it reports as rejected.
    pub rejects: i64,
}

impl Spans {
    pub fn named(&self, name: &str) -> Vec<&Span> {
        self.stored.iter().filter(|span| span.name == name).collect()
    }
}

/// Attributes as JSON.
pub fn attributes(attributes: &[KeyValue]) -> Map<String, Value> {
    let value = |attribute: &KeyValue| match attribute.value.clone()?.value? {
        any_value::Value::StringValue(text) => Some(json!(text)),
        any_value::Value::IntValue(number) => Some(json!(number)),
        any_value::Value::BoolValue(value) => Some(json!(value)),
        other => panic!("{} is {other:?}", attribute.key),
    };
    attributes.iter().map(|one| (one.key.clone(), value(one).expect("a value"))).collect()
}

impl Behaviour for Spans {
    fn traffic(&mut self) -> &mut Traffic {
        &mut self.traffic
    }

    fn take(&mut self, path: &str, _query: &str, headers: &HeaderMap, body: &[u8]) -> Response {
        if path != "/v1/traces" {
            return answer(404, "no such page".to_owned());
        }
        if header(headers, "content-type") != "application/x-protobuf" {
            return answer(415, String::new());
        }
        let request = ExportTraceServiceRequest::decode(body).expect("a request");
        for group in request.resource_spans {
            self.resources.push(attributes(&group.resource.expect("a resource").attributes));
            self.stored.extend(group.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
        let partial_success = (self.rejects > 0).then(|| ExportTracePartialSuccess {
            rejected_spans: self.rejects,
            error_message: "bob@example.com is not welcome".to_owned(),
        });
        let response = ExportTraceServiceResponse { partial_success }.encode_to_vec();
        ([("content-type", "application/x-protobuf")], response).into_response()
    }
}

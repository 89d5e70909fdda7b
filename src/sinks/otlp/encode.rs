//! Log record of one event, in the log data model of OpenTelemetry.
//! <https://opentelemetry.io/docs/specs/otel/logs/data-model/>
//!
//! Names follow the semantic conventions 1.44 where they have one; others begin with `pingone.`.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use super::messages::{ExportLogsRequest, LogRecord, ResourceLogs, ScopeLogs};
use crate::event::{Event, FlowVersion, Outcome, Severity};
use crate::sinks::{Item, Rendered};

/// Upper bound of an event's name, in characters, which the data model recommends.
const MAX_NAME_CHARS: usize = 256;

/// Returns the encoded record of an event. Its body is the formatted event as a text.
pub(super) fn encode(rendered: Rendered<'_>) -> Vec<u8> {
    let Rendered { line, event, source } = rendered;
    let (severity_number, severity_text) = severity(event.severity());
    let body = String::from_utf8_lossy(&line).into_owned();
    let record = LogRecord {
        time_unix_nano: nanoseconds(event.time()),
        observed_time_unix_nano: nanoseconds(event.envelope().recorded_at),
        severity_number,
        severity_text: severity_text.to_owned(),
        event_name: event_name(event),
        body: any(Value::StringValue(body)),
        attributes: attributes(event, source),
    };
    record.encode_to_vec()
}

/// Returns the request with these records. They all belong to one resource, `pingone-davinci`.
pub(super) fn request(items: &[Item]) -> Vec<u8> {
    let log_records: Vec<Bytes> = items.iter().map(|item| item.payload.clone()).collect();
    let scope = InstrumentationScope {
        name: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let attributes = [("service.name", "pingone-davinci"), ("service.namespace", "pingone")];
    let attributes = attributes.into_iter().filter_map(|(key, value)| text(key, Some(value)));
    let resource = Resource { attributes: attributes.collect(), ..Resource::default() };
    let scope_logs = vec![ScopeLogs { scope: Some(scope), log_records }];
    let logs = ResourceLogs { resource: Some(resource), scope_logs };
    ExportLogsRequest { resource_logs: vec![logs] }.encode_to_vec()
}

/// Returns nanoseconds since the Unix epoch; 0, which means unknown, outside of the years 1970 to 2262.
fn nanoseconds(time: DateTime<Utc>) -> u64 {
    time.timestamp_nanos_opt().and_then(|nanoseconds| u64::try_from(nanoseconds).ok()).unwrap_or(0)
}

/// Returns severity number and text.
fn severity(severity: Severity) -> (i32, &'static str) {
    match severity {
        Severity::Informational => (9, "INFO"),
        Severity::Low => (10, "INFO2"),
        Severity::Medium => (13, "WARN"),
        Severity::High => (17, "ERROR"),
    }
}

/// Returns the name that all events of one type have.
fn event_name(event: &Event<'_>) -> String {
    let product = if event.flow().is_some() { "pingone.davinci" } else { "pingone" };
    let name = format!("{product}.{}", event.kind().to_lowercase());
    name.chars().take(MAX_NAME_CHARS).collect()
}

fn attributes(event: &Event<'_>, source: &str) -> Vec<KeyValue> {
    let envelope = event.envelope();
    let user = envelope.user.as_ref();
    let origin = envelope.source.as_ref();
    let result = envelope.result.as_ref();
    let uid = event.uid(source);
    let mut found = vec![
        text("log.record.uid", Some(&uid)),
        text("user.id", user.and_then(|user| user.id.as_deref())),
        text("user.name", user.and_then(|user| user.name.as_deref())),
        text("session.id", event.interaction_id()),
        text("client.address", origin.and_then(|origin| origin.ip_address.as_deref())),
        text("user_agent.original", origin.and_then(|origin| origin.user_agent.as_deref())),
        text("error.type", error_type(event)),
        text("pingone.event.id", Some(&envelope.id)),
        text("pingone.source", Some(source)),
        text("pingone.environment.id", event.environment_id()),
        text("pingone.action.type", Some(&envelope.action.kind)),
        text("pingone.outcome", Some(event.outcome().as_str())),
        text("pingone.result.status", result.and_then(|result| result.status.as_deref())),
        text("pingone.recorded_at", Some(&envelope.recorded_at_text)),
    ];
    found.extend(davinci_attributes(event));
    found.into_iter().flatten().collect()
}

/// Returns the attributes of a flow run.
fn davinci_attributes(event: &Event<'_>) -> Vec<Option<KeyValue>> {
    let Event::Interaction(interaction) = event else { return Vec::new() };
    let (flow, node) = (&interaction.flow, interaction.interaction.node());
    let version = match flow.version {
        FlowVersion::Known(version) => {
            attribute("pingone.davinci.flow.version", Value::IntValue(version))
        }
        FlowVersion::Unknown => None,
    };
    let success = node.success.map(Value::BoolValue);
    vec![
        text("pingone.davinci.flow.id", event.flow_id()),
        text("pingone.davinci.flow.name", event.flow_name()),
        version,
        text("pingone.davinci.interaction.id", event.interaction_id()),
        text("pingone.davinci.node.id", node.id.as_deref()),
        text("pingone.davinci.connector.id", node.connector_id.as_deref()),
        text("pingone.davinci.connection.id", node.connection_id.as_deref()),
        text("pingone.davinci.capability.name", node.original_capability_name.as_deref()),
        text("pingone.davinci.outcome.type", flow.reported.kind.as_deref()),
        text("pingone.davinci.outcome.status", flow.reported.status.as_deref()),
        success.and_then(|success| attribute("pingone.davinci.success", success)),
    ]
}

/// Returns the class of a failure: the flow author's word, else the type of the event.
fn error_type<'e>(event: &'e Event<'_>) -> Option<&'e str> {
    if event.outcome() != Outcome::Failure {
        return None;
    }
    let reported = event.flow().and_then(|flow| flow.reported.status.as_deref());
    reported.filter(|status| !status.is_empty()).or(Some(event.kind()))
}

/// Returns an attribute; none for an absent or empty text.
fn text(key: &str, value: Option<&str>) -> Option<KeyValue> {
    let value = value.filter(|value| !value.is_empty())?;
    attribute(key, Value::StringValue(value.to_owned()))
}

fn attribute(key: &str, value: Value) -> Option<KeyValue> {
    Some(KeyValue { key: key.to_owned(), value: any(value), ..KeyValue::default() })
}

fn any(value: Value) -> Option<AnyValue> {
    Some(AnyValue { value: Some(value) })
}

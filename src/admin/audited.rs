//! Records every operation in the audit log, with its result.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::RequestExt;
use axum::body::{Body, HttpBody};
use axum::extract::{RawPathParams, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use http_body_util::{BodyExt, Collected};
use serde_json::Value;

use super::Admin;
use super::access::USERNAME;
use crate::audit::{AuditDetails, AuditRecord};
use crate::listener::Peer;

/// Maximum size of an answer whose numbers are recorded, in bytes.
const MAX_ANSWER_BYTES: u64 = 4096;

/// Paths of the operations, each with its action.
const ACTIONS: [(&str, &str); 7] = [
    ("/api/sinks/{name}/pause", "pause"),
    ("/api/sinks/{name}/resume", "resume"),
    ("/api/sinks/{name}/replay", "replay"),
    ("/api/sources/{name}/fetched", "fetched"),
    ("/api/quarantine/{id}/retry", "retry"),
    ("/api/quarantine/purge", "purge"),
    ("/api/quarantine/retry", "retry"),
];

/// Runs a request, and records it if it is an operation. Access was checked before.
pub(super) async fn record(
    State(admin): State<Arc<Admin>>,
    request: Request,
    next: Next,
) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return next.run(request).await;
    }
    // On a task of its own: an operation is recorded although the client closes the connection before the answer.
    let recorded = tokio::spawn(record_operation(admin, request, next)).await;
    recorded.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

async fn record_operation(admin: Arc<Admin>, mut request: Request, next: Next) -> Response {
    let parameters = request.extract_parts::<RawPathParams>().await.ok();
    let decoded = parameters.and_then(|all| all.iter().next().map(|(_, value)| value.to_owned()));
    let path = request.uri().path();
    let known =
        ACTIONS.iter().find_map(|(template, action)| Some((*action, object_of(template, path)?)));
    let (label, part) = known.unwrap_or(("other", ""));
    let action = if label == "other" { path } else { label }.to_owned();
    let object = if part.is_empty() {
        String::new()
    } else {
        plain(label, decoded.as_deref().unwrap_or(part))
    };
    let peer = request.extensions().get::<Peer>();
    let address = peer.map(|peer| peer.address.ip().to_canonical().to_string());
    let actor = if admin.access.has_password() { USERNAME } else { "local" };
    let (response, counts) = counted(next.run(request).await).await;
    let status = response.status();
    let (result, label_result) = match status.is_success() {
        true => ("ok".to_owned(), "ok"),
        false => (format!("failed with HTTP {}", status.as_u16()), "failed"),
    };
    admin.metrics.operator_actions.with_label_values(&[label, label_result]).inc();
    let record = AuditRecord::new((admin.clock)(), actor, &action, &object, &result);
    let details = response.extensions().get::<AuditDetails>().cloned().unwrap_or_default();
    admin.audit.note(AuditRecord { address, counts, details, ..record }).await;
    response
}

/// Returns the part of a path that a template names by `{…}`, or an empty text if it names none. Returns `None` for a
/// path of another template.
fn object_of<'a>(template: &str, path: &'a str) -> Option<&'a str> {
    if template.split('/').count() != path.split('/').count() {
        return None;
    }
    let mut object = "";
    for (name, part) in template.split('/').zip(path.split('/')) {
        match name.starts_with('{') {
            true => object = part,
            false if name == part => {}
            false => return None,
        }
    }
    Some(object)
}

/// Returns the decoded object of an action in its one spelling: an entry has a number, which may have leading zeros in a
/// path.
fn plain(action: &str, object: &str) -> String {
    match object.parse::<i64>() {
        Ok(id) if action == "retry" => id.to_string(),
        _ => object.to_owned(),
    }
}

/// Returns an answer, and the numbers in its JSON object. Texts are left out: they may quote an event.
async fn counted(response: Response) -> (Response, BTreeMap<String, u64>) {
    let is_short = response.body().size_hint().upper().is_some_and(|size| size <= MAX_ANSWER_BYTES);
    if !is_short {
        return (response, BTreeMap::new());
    }
    let (parts, body) = response.into_parts();
    // A body in memory is whole at once, and cannot fail.
    let bytes = body.collect().await.map(Collected::to_bytes).unwrap_or_default();
    let fields = match serde_json::from_slice(&bytes) {
        Ok(Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let counts = fields.into_iter().filter_map(|(name, value)| Some((name, value.as_u64()?)));
    let counts = counts.collect();
    (Response::from_parts(parts, Body::from(bytes)), counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_is_the_named_part_of_the_path() {
        let object = |index: usize, path| object_of(ACTIONS[index].0, path);
        assert_eq!(object(0, "/api/sinks/siem/pause"), Some("siem"));
        assert_eq!(object(0, "/api/sinks/siem/resume"), None);
        assert_eq!(object(4, "/api/quarantine/17/retry"), Some("17"));
        assert_eq!(object(5, "/api/quarantine/purge"), Some(""));
        assert_eq!(object(5, "/api/quarantine/purge/more"), None);
        assert_eq!(object(6, "/api/quarantine/retry"), Some(""));
    }
}

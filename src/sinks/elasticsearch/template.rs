//! Checks for `check --connect` that the data stream has the mapping of `deploy/`.
//!
//! Without that mapping, the target derives the type of each field from the first event with the field, and refuses
//! later events with another type. `_meta` of the mapping contains its version, which the target copies from the
//! template into each backing index. Both requests only read: the second one returns the mapping that a new index
//! would get.
//! <https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-indices-simulate-index-template>

use serde_json::Value;
use url::Url;

use super::config::Flavor;
use super::requests::BulkClient;
use crate::http_client::{Answer, below};
use crate::sinks::{Reason, Verdict};

/// Version of the mapping in `deploy/`, as `_meta.davinci_siem_mapping`. It grows with each change of the mapping.
pub(super) const VERSION: u64 = 3;

/// Version of the mapping before it had a number.
const UNNUMBERED: u64 = 1;

/// Parts of a mapping that are requested: the version, a field that only this mapping has, and a field of every index.
const PARTS: [&str; 3] = [
    "_meta.davinci_siem_mapping",
    "properties.ping_one.properties.davinci.properties.extra.type",
    "properties.@timestamp.type",
];

/// Mapping of the data stream, or of its template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InstalledMapping {
    /// There is no data stream, or no template.
    Absent,
    /// Another mapping than that of `deploy/`.
    Foreign,
    /// A version of the mapping of `deploy/`.
    Version(u64),
    /// The target does not show it, and answers with this status.
    Hidden(u16),
}

/// Data stream whose mapping is checked.
#[derive(Debug)]
pub(super) struct CheckedStream<'a> {
    pub(super) requests: &'a BulkClient,
    pub(super) base: &'a Url,
    pub(super) name: &'a str,
    pub(super) flavor: Flavor,
}

/// Checks the mapping of the data stream, or of its template if there is no data stream yet. Returns a sentence.
///
/// # Errors
///
/// The mapping is missing or older than this release, or the target does not answer.
pub(super) async fn check(stream: &CheckedStream<'_>) -> Result<String, Reason> {
    let current = match of_stream(stream).await? {
        InstalledMapping::Version(version) if version >= VERSION => {
            return Ok(format!("{} has version {version} of the mapping", stream.name));
        }
        InstalledMapping::Hidden(status) => return Ok(hidden(stream.name, status)),
        current => current,
    };
    judge(stream.name, stream.flavor, current, of_template(stream).await?)
}

/// Judges a data stream without a current mapping by its template.
fn judge(
    name: &str,
    flavor: Flavor,
    current: InstalledMapping,
    template: InstalledMapping,
) -> Result<String, Reason> {
    use InstalledMapping::{Absent, Foreign, Hidden, Version};
    let has_template = matches!(template, Version(VERSION..));
    let found = match (current, template) {
        (Absent, Version(version)) if has_template => {
            return Ok(format!("the template of {name} has version {version} of the mapping"));
        }
        (Absent, Hidden(status)) => return Ok(hidden(name, status)),
        (Absent, Absent) => format!("no index template matches {name}"),
        (Absent, Foreign) => {
            format!("the index template of {name} does not have davinci-siem's mapping")
        }
        (Absent, Version(version)) => {
            format!("the index template of {name} has version {version} of the mapping")
        }
        (Version(version), _) => format!("{name} has version {version} of the mapping"),
        (Foreign | Hidden(_), _) => format!("{name} does not have davinci-siem's mapping"),
    };
    let directory = match flavor {
        Flavor::Elasticsearch => "deploy/elasticsearch",
        Flavor::Opensearch => "deploy/opensearch",
    };
    let install = format!("install the templates in {directory} (mapping version {VERSION})");
    let roll_over = format!("roll it over with POST /{name}/_rollover");
    let advice = match (current, has_template) {
        (Absent, _) => install,
        (_, true) => format!("its template is current; {roll_over}"),
        (_, false) => format!("{install}, then {roll_over}"),
    };
    let effect =
        "the target can refuse events whose fields have other types than those of earlier events";
    Err(Reason::new(format!("{found}, so that {effect}; {advice}")))
}

fn hidden(name: &str, status: u16) -> String {
    format!(
        "the mapping of {name} was not checked (HTTP {status}); for that, the credentials need the privileges \
         view_index_metadata and manage_index_templates"
    )
}

/// Returns the mapping of the newest index of the data stream.
async fn of_stream(stream: &CheckedStream<'_>) -> Result<InstalledMapping, Reason> {
    let url = filtered(stream, &format!("/{}/_mapping", stream.name), "*.mappings");
    let answer = stream.requests.get(&url).await.map_err(Verdict::into_reason)?;
    Ok(read(&answer, |body| {
        let indices = body.as_object()?;
        indices.iter().max_by_key(|(name, _)| generation(name)).map(|(_, index)| index)
    }))
}

/// Returns the mapping that a new index of the data stream would get.
async fn of_template(stream: &CheckedStream<'_>) -> Result<InstalledMapping, Reason> {
    let path = format!("/_index_template/_simulate_index/{}", stream.name);
    let url = filtered(stream, &path, "template.mappings");
    let answer = stream.requests.post(&url, "application/json", Vec::new()).await;
    Ok(match answer.map_err(Verdict::into_reason)? {
        // The endpoint itself is unknown, or forbidden by a proxy.
        Answer { status: 404, .. } => InstalledMapping::Hidden(404),
        answer => read(&answer, |body| body.get("template")),
    })
}

/// Returns the URL of a request whose answer is restricted to [`PARTS`] below `mappings`.
fn filtered(stream: &CheckedStream<'_>, path: &str, mappings: &str) -> Url {
    let mut url = below(stream.base, path);
    let parts = PARTS.map(|part| format!("{mappings}.{part}")).join(",");
    url.query_pairs_mut().append_pair("filter_path", &parts);
    url
}

/// Reads an answer. `find` returns the object with `mappings`.
fn read(answer: &Answer, find: impl Fn(&Value) -> Option<&Value>) -> InstalledMapping {
    let body: Value = match answer.status {
        404 => return InstalledMapping::Absent,
        200 => match serde_json::from_slice(&answer.body) {
            Ok(body) => body,
            Err(_) => return InstalledMapping::Hidden(200),
        },
        status => return InstalledMapping::Hidden(status),
    };
    let Some(mappings) = find(&body).and_then(|found| found.get("mappings")) else {
        return InstalledMapping::Absent;
    };
    let version = mappings.pointer("/_meta/davinci_siem_mapping").and_then(Value::as_u64);
    let extra = "/properties/ping_one/properties/davinci/properties/extra/type";
    let is_flat = |kind: &Value| matches!(kind.as_str(), Some("flattened" | "flat_object"));
    let is_unnumbered = mappings.pointer(extra).is_some_and(is_flat);
    match version.or(is_unnumbered.then_some(UNNUMBERED)) {
        Some(version) => InstalledMapping::Version(version),
        None => InstalledMapping::Foreign,
    }
}

/// Returns the number at the end of the name of a backing index, for example 3 of `.ds-logs-x-2026.11.30-000003`.
fn generation(index: &str) -> u64 {
    index.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests;

//! Settings of `type = "loki"`: Grafana Loki, or Grafana Cloud Logs.

use http::HeaderValue;

use crate::http_client::{Authorization, HttpClientConfig, NONE_OR_GZIP};
use crate::settings::Section;

/// `type = "loki"`.
#[derive(Debug, Clone)]
pub struct LokiSinkConfig {
    /// Connection; the URL has no path.
    pub client: HttpClientConfig,
    pub authorization: Authorization,
    /// `X-Scope-OrgID`, for a Loki with several tenants.
    pub tenant: Option<String>,
    /// Labels with the same value for every event, each a name and a value.
    pub labels: Vec<(String, String)>,
    /// Labels whose values come from the event.
    pub event_labels: Vec<EventLabel>,
    /// True if ids are sent as structured metadata.
    pub has_metadata: bool,
}

/// Label whose value comes from the event. Each has few values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventLabel {
    /// Id of the environment.
    Environment,
    /// `action.type`.
    Action,
    /// `success`, `failure` or `unknown`.
    Outcome,
    /// Name of the source that received the event.
    Source,
}

impl EventLabel {
    /// All labels, by their names in Loki.
    pub(super) const ALL: [(&'static str, EventLabel); 4] = [
        ("environment", EventLabel::Environment),
        ("action", EventLabel::Action),
        ("outcome", EventLabel::Outcome),
        ("source", EventLabel::Source),
    ];

    /// Returns the name in Loki.
    pub(super) fn as_str(self) -> &'static str {
        EventLabel::ALL.iter().find(|(_, label)| *label == self).map_or("", |(name, _)| name)
    }
}

pub(super) const PUSH: &str = "/loki/api/v1/push";

pub(super) fn read(section: &mut Section<'_>) -> Option<LokiSinkConfig> {
    let example = "https://loki.example.com:3100";
    let client = HttpClientConfig::read(section, "endpoint", example, &NONE_OR_GZIP, "gzip");
    if let Some(client) = &client {
        client.refuse_api_path(section, &[PUSH]);
    }
    let authorization = Authorization::read(section, "bearer", "Bearer");
    let doc = "Tenant, for a Loki with several.";
    let tenant = section.text_as("tenant", doc, |text| match HeaderValue::from_str(text) {
        Ok(_) if text.is_ascii() && !text.is_empty() => Ok(text.to_owned()),
        _ => Err("is not a tenant: a header carries it"),
    });
    let tenant = tenant.optional();
    let job = section.text("job", "Value of the label job.").or("pingone-davinci");
    let doc = "Further labels, the same for every event.";
    let labels = section.tables("labels", doc, |label| {
        let name = label.text_as("name", "Name of the label.", parse_label).required("team");
        let value = label.text("value", "Value of the label.").required("identity");
        Some((name?, value?))
    });
    let doc = "Labels whose values come from the event.";
    let event_labels = section.choices("event_labels", &EventLabel::ALL, doc);
    let event_labels = event_labels.or("environment, action, outcome");
    let doc = "True: ids are structured metadata, which needs Loki 3 or the schema v13.";
    let has_metadata = section.boolean("structured_metadata", doc).or("true");
    let mut all = vec![("job".to_owned(), job?)];
    for (name, value) in labels? {
        let is_taken = all.iter().any(|(taken, _)| *taken == name)
            || EventLabel::ALL.iter().any(|(taken, _)| *taken == name);
        if is_taken {
            let message = format!("has {name}, which is set already; choose another name");
            section.report("labels", message);
        }
        all.push((name, value));
    }
    Some(LokiSinkConfig {
        client: client?,
        authorization: authorization?,
        tenant: tenant?,
        labels: all,
        event_labels: event_labels?,
        has_metadata: has_metadata?,
    })
}

/// Parses the name of a label. Names that begin with two underscores are Loki's own.
fn parse_label(name: &str) -> Result<String, &'static str> {
    let is_first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let is_name = name.starts_with(is_first)
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !name.starts_with("__");
    match is_name {
        true => Ok(name.to_owned()),
        false => Err("is not a label: use a-z, A-Z, 0-9 and _, and begin with a letter"),
    }
}

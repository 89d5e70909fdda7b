//! Records of PingOne's API: audit events, flow runs and webhooks. Unknown fields are ignored, missing ones have a
//! stated meaning.

use chrono::DateTime;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use url::Url;

/// An audit event of `/activities`.
#[derive(Debug)]
pub(crate) struct Activity {
    pub(crate) id: String,
    /// `recordedAt`, in ms since the Unix epoch.
    pub(crate) recorded_at: i64,
    /// `action.type`
    pub(crate) kind: String,
    /// The event as PingOne wrote it.
    pub(crate) raw: Box<RawValue>,
}

/// A run of a flow, of `/flows/{id}/interactions`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FlowRun {
    /// The `interactionId` of its events.
    pub(crate) id: String,
    /// Start of the run, in ms since the Unix epoch.
    pub(crate) started_at: i64,
}

/// A webhook of the environment.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Subscription {
    pub(crate) name: String,
    pub(crate) enabled: bool,
    /// `ACTIVITY`, `SPLUNK` or `NEWRELIC`.
    pub(crate) format: String,
    /// `HTTPS` if PingOne states none.
    pub(crate) protocol: Option<String>,
    /// True if PingOne states nothing.
    pub(crate) verify_tls_certificates: Option<bool>,
    pub(crate) http_endpoint: SubscriptionEndpoint,
    pub(crate) filter_options: SubscriptionFilter,
}

/// Target of a webhook.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SubscriptionEndpoint {
    pub(crate) url: String,
}

/// Filter of a webhook.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct SubscriptionFilter {
    pub(crate) included_action_types: Vec<String>,
    pub(crate) included_applications: Vec<IgnoredAny>,
    pub(crate) included_populations: Vec<IgnoredAny>,
    pub(crate) included_tags: Vec<IgnoredAny>,
}

#[derive(Deserialize)]
struct ActivityFields {
    id: String,
    #[serde(rename = "recordedAt")]
    recorded_at: String,
    action: ActionFields,
}

#[derive(Deserialize)]
struct ActionFields {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct FlowRunFields {
    id: String,
    timestamp: RunTime,
}

/// Time of a run: RFC 3339, or ms since the Unix epoch.
#[derive(Deserialize)]
#[serde(untagged)]
enum RunTime {
    Text(String),
    Millis(i64),
}

#[derive(Deserialize)]
struct FlowFields {
    id: String,
}

impl Activity {
    /// Reads an element of the list; `None` if it has no id, time or type.
    pub(crate) fn read(raw: Box<RawValue>) -> Option<Activity> {
        let ActivityFields { id, recorded_at, action } = serde_json::from_str(raw.get()).ok()?;
        let recorded_at = millis(&recorded_at)?;
        Some(Activity { id, recorded_at, kind: action.kind, raw })
    }
}

impl FlowRun {
    /// Reads an element of the list; `None` if it has no id or time.
    pub(crate) fn read(raw: &RawValue) -> Option<FlowRun> {
        let FlowRunFields { id, timestamp } = serde_json::from_str(raw.get()).ok()?;
        let started_at = match timestamp {
            RunTime::Text(text) => millis(&text)?,
            RunTime::Millis(millis) => millis,
        };
        Some(FlowRun { id, started_at })
    }
}

impl Subscription {
    /// Reads an element of the list; `None` if it is no webhook.
    pub(crate) fn read(raw: &RawValue) -> Option<Subscription> {
        serde_json::from_str(raw.get()).ok()
    }

    /// Returns true if the path of the webhook's URL ends with the path of a source. A proxy may add a prefix, except to
    /// the path `/`.
    pub(crate) fn posts_to(&self, path: &str) -> bool {
        let Ok(url) = self.http_endpoint.url.parse::<Url>() else { return false };
        let (own, path) = (url.path().trim_end_matches('/'), path.trim_end_matches('/'));
        if path.is_empty() { own.is_empty() } else { own.ends_with(path) }
    }

    /// Returns true if the webhook sends events of this type, as far as the type decides.
    pub(crate) fn includes(&self, kind: &str) -> bool {
        self.filter_options.included_action_types.iter().any(|included| included == kind)
    }

    /// Returns true if it excludes events also by application, population or tag.
    pub(crate) fn has_other_filters(&self) -> bool {
        let filter = &self.filter_options;
        let others =
            [&filter.included_applications, &filter.included_populations, &filter.included_tags];
        others.iter().any(|others| !others.is_empty())
    }
}

/// Returns the id of an element of the list of flows.
pub(crate) fn flow_id(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok().map(|FlowFields { id }| id)
}

fn millis(text: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).expect("JSON")
    }

    #[test]
    fn times_of_any_precision_are_milliseconds() {
        for (time, expected) in [
            ("2024-02-15T16:07:03.995Z", Some(1_708_013_223_995)),
            ("2024-02-15T16:07:03.995999999Z", Some(1_708_013_223_995)),
            ("2024-02-15T16:07:03Z", Some(1_708_013_223_000)),
            ("yesterday", None),
        ] {
            let text = format!(r#"{{"id":"a","recordedAt":"{time}","action":{{"type":"X"}}}}"#);
            assert_eq!(Activity::read(raw(&text)).map(|it| it.recorded_at), expected, "{time}");
            let text = format!(r#"{{"id":"a","timestamp":"{time}"}}"#);
            assert_eq!(FlowRun::read(&raw(&text)).map(|it| it.started_at), expected, "{time}");
        }
        assert!(Activity::read(raw("7")).is_none() && Activity::read(raw("{}")).is_none());
        let run = FlowRun::read(&raw(r#"{"id":"a","timestamp":1708013223995,"isSubFlow":false}"#));
        assert_eq!(run.map(|run| run.started_at), Some(1_708_013_223_995));
    }

    #[test]
    fn a_webhook_is_recognised_by_its_path() {
        let at = |url: &str| {
            Subscription::read(&raw(&format!(r#"{{"httpEndpoint":{{"url":"{url}"}}}}"#)))
                .is_some_and(|it| it.posts_to("/webhooks/pingone"))
        };
        assert!(at("https://siem.example.com/webhooks/pingone"));
        assert!(at("https://siem.example.com:8443/prefix/webhooks/pingone/"));
        assert!(at("https://siem.example.com/webhooks/pingone?key=1"));
        assert!(!at("https://siem.example.com/webhooks/other") && !at(""));
        assert!(!at("https://siem.example.com/?next=/webhooks/pingone"));
        let at_root = |url: &str| {
            let text = format!(r#"{{"httpEndpoint":{{"url":"{url}"}}}}"#);
            Subscription::read(&raw(&text)).is_some_and(|it| it.posts_to("/"))
        };
        assert!(at_root("https://siem.example.com") && at_root("https://siem.example.com/?a=1"));
        assert!(!at_root("https://other.example.com/webhooks/pingone"));
    }
}

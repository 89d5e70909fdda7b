//! Settings of `[alerts]`.

use std::time::Duration;

use url::Url;

use crate::http_client::{
    Authorization, Compression, HeaderConfig, HttpClientConfig, NONE_OR_GZIP, parse_url,
};
use crate::secret::{Form, Secret};
use crate::settings::Section;

/// PagerDuty's endpoint in its service region US.
const PAGERDUTY: &str = "https://events.pagerduty.com/v2/enqueue";

/// Maximum length of `name`, in characters.
const MAX_NAME_CHARS: usize = 100;

/// Stands for a URL that a command does not read.
const UNREAD_URL: &str = "https://unread.invalid/";

/// Messages about problems.
#[derive(Debug, Clone)]
pub struct AlertsConfig {
    pub(super) receiver: AlertReceiver,
    pub(super) client: HttpClientConfig,
    /// URL that is a secret itself; it is read again before each message.
    pub(super) secret_url: Option<Secret>,
    /// Name of this service in messages.
    pub(super) name: String,
    /// Interval between two looks at the state.
    pub(super) interval: Duration,
    /// Time that a problem has to last before its message, and has to be gone before it counts as resolved.
    pub(super) after: Duration,
    /// Interval of the messages about a problem that lasts.
    pub(super) repeat: Duration,
    /// Silence of a source that is a problem.
    pub(super) silent_after: Duration,
    /// Maximum number of messages per hour.
    pub(super) max_per_hour: u64,
}

/// Format of the messages.
#[derive(Debug, Clone)]
pub(super) enum AlertReceiver {
    /// `{"text": "…"}`, which Slack, Mattermost and Rocket.Chat take.
    Slack,
    /// One JSON object with named fields.
    Json { headers: Vec<HeaderConfig>, authorization: Authorization },
    /// PagerDuty Events API v2.
    PagerDuty { routing_key: Secret },
}

#[derive(Debug, Clone, Copy)]
enum ReceiverType {
    Slack,
    Json,
    PagerDuty,
}

const TYPES: [(&str, ReceiverType); 3] = [
    ("slack", ReceiverType::Slack),
    ("json", ReceiverType::Json),
    ("pagerduty", ReceiverType::PagerDuty),
];

impl AlertsConfig {
    /// Reads `[alerts]`, if the table is there.
    pub(crate) fn read(root: &mut Section<'_>) -> Option<Option<AlertsConfig>> {
        let doc = "Messages about problems to Slack, PagerDuty or any HTTP endpoint.";
        root.optional_table("alerts", doc, |section| {
            section.variants("type", "Format of the messages.", &TYPES, read)
        })
    }

    /// Returns the target for operators: the format, and the origin of the URL.
    pub(crate) fn target(&self) -> String {
        let format = match self.receiver {
            AlertReceiver::Slack => "slack",
            AlertReceiver::Json { .. } => "json",
            AlertReceiver::PagerDuty { .. } => "pagerduty",
        };
        format!("{} ({format})", self.client.origin())
    }
}

fn read(receiver: ReceiverType, section: &mut Section<'_>) -> Option<AlertsConfig> {
    let (url, secret_url) = match receiver {
        ReceiverType::PagerDuty => (read_endpoint(section), None),
        ReceiverType::Slack | ReceiverType::Json => read_url(section).unzip(),
    };
    let secret_url = secret_url.flatten();
    let receiver = match receiver {
        ReceiverType::Slack => Some(AlertReceiver::Slack),
        ReceiverType::Json => {
            let headers = HeaderConfig::read_all(section);
            let authorization = Authorization::read(section, "bearer", "Bearer");
            headers
                .zip(authorization)
                .map(|(headers, authorization)| AlertReceiver::Json { headers, authorization })
        }
        ReceiverType::PagerDuty => section
            .secret("routing_key", Form::Header, "Integration key of the service in PagerDuty.")
            .map(|routing_key| AlertReceiver::PagerDuty { routing_key }),
    };
    let compressions: &[(&str, Compression)] = &NONE_OR_GZIP;
    let client =
        HttpClientConfig::read_connection(section, ("url", url), compressions, "none", "10s");
    let doc = "Name of this service in messages, at most 100 characters.";
    let name = section.text_as("name", doc, parse_name).or("davinci-siem");
    let second = Duration::from_secs(1);
    let doc = "Interval between two looks at the state of the service.";
    let interval = section.timeout("interval", doc).or("15s");
    let doc =
        "Time that a problem has to last before its message, and has to be gone to be resolved.";
    let after = section.duration("after", doc).or("1m");
    let doc = "Interval of the messages about a problem that lasts.";
    let repeat = section.duration_from("repeat", second, doc).or("4h");
    let doc = "Time without a request after which a source is silent.";
    let silent_after = section.duration_from("silent_after", second, doc).or("1h");
    let max_per_hour =
        section.integer("max_per_hour", 1..=1000, "Maximum number of messages per hour.").or("30");
    Some(AlertsConfig {
        receiver: receiver?,
        client: client?,
        secret_url,
        name: name?,
        interval: interval?,
        after: after?,
        repeat: repeat?,
        silent_after: silent_after?,
        max_per_hour: max_per_hour?,
    })
}

/// Checks the name of the service: PagerDuty requires one, and limits the key that contains it.
fn parse_name(text: &str) -> Result<String, String> {
    let length = text.chars().count();
    if text.trim().is_empty() || length > MAX_NAME_CHARS || text.chars().any(char::is_control) {
        return Err(format!(
            "is not a name of 1 to {MAX_NAME_CHARS} characters without control characters"
        ));
    }
    Ok(text.to_owned())
}

/// Reads the endpoint of PagerDuty, which is no secret.
fn read_endpoint(section: &mut Section<'_>) -> Option<Url> {
    let doc = "Endpoint of PagerDuty. In the service region EU: https://events.eu.pagerduty.com/v2/enqueue.";
    section.text_as("url", doc, parse_url).or(PAGERDUTY)
}

/// Reads a URL, or the secret that it is.
fn read_url(section: &mut Section<'_>) -> Option<(Url, Option<Secret>)> {
    let doc =
        "URL of the receiver, if it is no secret. Required, unless url_file or url_env is given.";
    let by = if section.is_given("url_env") { "url_env" } else { "url_file" };
    let plain = section.text_as("url", doc, parse_url).optional();
    let secret = section.optional_secret("url", Form::Line, "URL that is a secret itself.");
    match (plain?, secret?) {
        (Some(_), Some(_)) => section.report("url", format!("and {by} are both given; use one")),
        (None, None) => section.report("url", "is missing; write url_file or url_env"),
        (Some(url), None) => return Some((url, None)),
        (None, Some(secret)) => match parse_secret_url(&secret) {
            Ok(url) => return Some((url, Some(secret))),
            Err(problem) => section.report(by, problem),
        },
    }
    None
}

/// Parses a URL that is a secret.
///
/// # Errors
/// Returns the end of a sentence that begins with the key. It does not hold the URL.
pub(super) fn parse_secret_url(secret: &Secret) -> Result<Url, &'static str> {
    // A command that reads no secrets has a placeholder, which is no URL.
    let text = if *secret == Secret::unread() { UNREAD_URL } else { secret.expose() };
    parse_url(text)
}

#[cfg(test)]
mod tests;

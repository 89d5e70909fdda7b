//! Bodies of the messages, one function per format.
//!
//! Slack: <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>. PagerDuty:
//! <https://developer.pagerduty.com/docs/events-api-v2/trigger-events/>.

use chrono::{DateTime, SecondsFormat};
use serde_json::{Value, json};

use super::config::{AlertReceiver, AlertsConfig};
use super::tracker::{AlertStatus, OpenAlert};
use crate::secret::SecretError;

/// Returns the body of a message about `alert`.
///
/// # Errors
///
/// The routing key cannot be read.
pub(super) fn body(
    config: &AlertsConfig,
    status: AlertStatus,
    alert: &OpenAlert,
) -> Result<Value, SecretError> {
    Ok(match &config.receiver {
        AlertReceiver::Slack => json!({ "text": slack_text(config, status, alert) }),
        AlertReceiver::Json { .. } => json!({
            "status": word(status),
            "name": config.name,
            "kind": alert.kind.as_str(),
            "subject": alert.subject,
            "severity": severity(alert),
            "summary": alert.summary,
            "since": time(alert.since),
            "version": env!("CARGO_PKG_VERSION"),
        }),
        AlertReceiver::PagerDuty { routing_key } => {
            pagerduty(config, status, alert, routing_key.reread()?.expose())
        }
    })
}

fn word(status: AlertStatus) -> &'static str {
    match status {
        AlertStatus::Firing => "firing",
        AlertStatus::Resolved => "resolved",
    }
}

fn severity(alert: &OpenAlert) -> &'static str {
    if alert.kind.is_critical() { "critical" } else { "warning" }
}

fn time(millis: i64) -> String {
    let time = DateTime::from_timestamp_millis(millis).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Returns one line. Slack reads `&`, `<` and `>` as markup: `<!channel>` would notify everyone.
fn slack_text(config: &AlertsConfig, status: AlertStatus, alert: &OpenAlert) -> String {
    let text = match status {
        AlertStatus::Firing => {
            format!("[{}] {}: {}", severity(alert), config.name, alert.summary)
        }
        AlertStatus::Resolved => {
            format!("[resolved] {}: {} {}", config.name, alert.kind.as_str(), alert.subject)
        }
    };
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Returns an event. All messages about a problem have the same `dedup_key`, so that one incident stands for it.
/// The key fits PagerDuty's 255 characters: the name has at most 100, a sink or source at most 64.
fn pagerduty(
    config: &AlertsConfig,
    status: AlertStatus,
    alert: &OpenAlert,
    routing_key: &str,
) -> Value {
    let dedup_key = format!("{}/{}/{}", config.name, alert.kind.as_str(), alert.subject);
    let mut event = json!({
        "routing_key": routing_key,
        "event_action": match status {
            AlertStatus::Firing => "trigger",
            AlertStatus::Resolved => "resolve",
        },
        "dedup_key": dedup_key,
    });
    if status == AlertStatus::Firing {
        event["payload"] = json!({
            "summary": alert.summary,
            "source": config.name,
            "severity": severity(alert),
            "timestamp": time(alert.since),
            "component": alert.subject,
            "class": alert.kind.as_str(),
        });
    }
    event
}

#[cfg(test)]
mod tests;

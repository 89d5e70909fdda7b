//! Delivery of one message.

use std::time::Duration;

use http::HeaderMap;

use super::config::{AlertReceiver, AlertsConfig, parse_secret_url};
use super::message::body;
use super::tracker::{AlertStatus, OpenAlert};
use crate::http_client::{self, HttpClient, RequestError};
use crate::secret::{Secret, SecretError};

/// Failure of a message. The text holds no secret: nothing of the URL but host and port, nothing of the answer.
#[derive(Debug)]
pub(super) struct PostFailure {
    pub(super) reason: String,
    /// Earliest time of the next attempt, as the receiver requests it.
    pub(super) retry_after: Option<Duration>,
}

impl From<RequestError> for PostFailure {
    fn from(error: RequestError) -> PostFailure {
        PostFailure { reason: error.to_string(), retry_after: None }
    }
}

impl From<SecretError> for PostFailure {
    fn from(error: SecretError) -> PostFailure {
        PostFailure { reason: error.to_string(), retry_after: None }
    }
}

/// Posts a message. Messages are rare, so each has a client of its own, with secrets and certificates as they are on
/// disk now.
pub(super) async fn post(
    config: &AlertsConfig,
    status: AlertStatus,
    alert: &OpenAlert,
) -> Result<(), PostFailure> {
    let headers = match &config.receiver {
        AlertReceiver::Json { headers, authorization } => {
            http_client::headers(headers, authorization)?
        }
        AlertReceiver::Slack | AlertReceiver::PagerDuty { .. } => HeaderMap::new(),
    };
    let body = body(config, status, alert)?.to_string().into_bytes();
    let mut settings = config.client.clone();
    if let Some(secret) = config.secret_url.as_ref().map(Secret::reread).transpose()? {
        settings.url = parse_secret_url(&secret).map_err(|problem| PostFailure {
            reason: format!("the URL of alerts {problem}"),
            retry_after: None,
        })?;
    }
    let client = HttpClient::open(&settings, headers)?;
    let answer = client.post(&settings.url, "application/json", HeaderMap::new(), body).await?;
    match answer.status {
        200..=299 => Ok(()),
        status => Err(PostFailure {
            reason: format!("{} answered with HTTP {status}", http_client::peer(&settings.url)),
            retry_after: answer.retry_after,
        }),
    }
}

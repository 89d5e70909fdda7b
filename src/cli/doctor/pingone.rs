//! Checks that ask PingOne: the credentials of `[pingone]`, and the webhooks that post to this service.

use super::finding::CheckResult;
use super::webhook;
use crate::pingone::{PingOneClient, PingOneConfig, PingOneError, Subscription};

/// Pages of webhooks that are read at most. An environment has 50 webhooks at most.
const MAX_PAGES: usize = 10;

/// Checks the credentials and each webhook that posts to `path`. Returns these webhooks.
pub(super) async fn examine(
    config: Option<&PingOneConfig>,
    path: &str,
    checks: &mut Vec<CheckResult>,
) -> Vec<Subscription> {
    const ACCESS: &str = "PingOne access";
    let Some(config) = config else {
        let message =
            "without [pingone] in the configuration, the webhook in PingOne is not examined";
        checks.push(CheckResult::skipped(ACCESS, message));
        return Vec::new();
    };
    match webhooks(config, path).await {
        Ok(found) => {
            checks.push(CheckResult::ok(ACCESS, "PingOne accepts the credentials of [pingone]"));
            webhook::examine(&found, checks);
            if found.is_empty() {
                checks.push(CheckResult::problem(
                    "webhook",
                    format!(
                        "no webhook of environment {} posts to a URL that ends with {path}",
                        config.environment
                    ),
                    "Create the webhook (docs/setup.md), or correct its URL or sources.NAME.path",
                ));
            }
            found
        }
        Err(error) => {
            let fix = match &error {
                PingOneError::Credentials(_) => {
                    "Copy client id and client secret from the worker application"
                }
                PingOneError::Forbidden(_) | PingOneError::Unsupported(_) => {
                    "Correct environment, region and roles (docs/reconcile.md)"
                }
                PingOneError::Unavailable(_) => {
                    "See that this machine reaches PingOne, or set pingone.proxy"
                }
                PingOneError::Unexpected(_) => {
                    "Correct pingone.api_url and pingone.auth_url, or leave them out"
                }
            };
            checks.push(CheckResult::problem(ACCESS, error.to_string(), fix));
            Vec::new()
        }
    }
}

async fn webhooks(config: &PingOneConfig, path: &str) -> Result<Vec<Subscription>, PingOneError> {
    let client = PingOneClient::open(config);
    let mut client = client.map_err(|error| PingOneError::Credentials(error.message))?.impatient();
    let (mut found, mut query) = (Vec::new(), String::new());
    for _ in 0..MAX_PAGES {
        let page = client.page("/subscriptions", &query, "subscriptions").await?;
        let webhooks = page.elements.iter().filter_map(|raw| Subscription::read(raw));
        found.extend(webhooks.filter(|webhook| webhook.posts_to(path)));
        match page.next.filter(|next| *next != query && !page.elements.is_empty()) {
            Some(next) => query = next,
            None => break,
        }
    }
    Ok(found)
}

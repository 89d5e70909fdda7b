//! Admits or refuses a request by its head alone. Without an allowed address and a valid
//! credential, the service reads no body, does not touch the disk, and logs a bounded number of
//! lines.

use std::net::IpAddr;

use axum::http::{Method, request};

use super::answer::WebhookAnswer;
use super::policy::{AccessDecision, Policy};
use super::state::{Receiver, RouteSource};
use crate::listener::Peer;

/// Checks address, method and credentials.
///
/// # Errors
///
/// Returns the answer if the body must not be read.
pub(super) fn admit(
    receiver: &Receiver,
    policy: &Policy,
    source: &RouteSource,
    head: &request::Parts,
    request_id: &str,
) -> Result<(), WebhookAnswer> {
    let peer = head.extensions.get::<Peer>();
    let client = policy.client(peer, &head.headers);
    let decision = policy.judge(&source.name, peer, &head.headers);
    let now = (receiver.clock)();
    let is_first = || receiver.logged.count(client, now) == 1 && receiver.logged.may_log(now);
    if decision == AccessDecision::ForeignAddress {
        if is_first() {
            tracing::warn!(
                source = %source.name, %client, request_id,
                "refused an address outside allow_from"
            );
        }
        return Err(WebhookAnswer::Forbidden);
    }
    if let (AccessDecision::StaleConnection, Some(peer)) = (decision, peer) {
        peer.close();
    }
    let has_credentials = decision == AccessDecision::Allowed;
    match head.method {
        Method::POST if has_credentials => Ok(()),
        Method::POST => Err(refuse(receiver, source, client, peer, request_id)),
        // PingOne does not document whether its probe carries credentials, so a probe without them
        // is answered and logged, too.
        Method::GET | Method::HEAD => {
            if has_credentials || is_first() {
                tracing::info!(
                    source = %source.name, %client, request_id, has_credentials,
                    "answered a connection probe"
                );
            }
            Err(WebhookAnswer::Probe)
        }
        _ => Err(WebhookAnswer::MethodNotAllowed),
    }
}

/// Counts a wrong login. Above `limits.failed_logins` per minute, the address gets 429, and the
/// connection is closed.
fn refuse(
    receiver: &Receiver,
    source: &RouteSource,
    client: IpAddr,
    peer: Option<&Peer>,
    request_id: &str,
) -> WebhookAnswer {
    let now = (receiver.clock)();
    let count = receiver.wrong_logins.count(client, now);
    let limit = receiver.limits.failed_logins;
    if count == 1 && receiver.wrong_logins.may_log(now) {
        tracing::warn!(
            source = %source.name, %client, request_id,
            "refused wrong or missing credentials"
        );
    }
    if count <= limit {
        return WebhookAnswer::Unauthorized;
    }
    if count == limit.saturating_add(1) && receiver.wrong_logins.may_log(now) {
        tracing::warn!(
            source = %source.name, %client, request_id, limit,
            "answering 429 to wrong credentials from this address for the rest of the minute"
        );
    }
    // The connection of a proxy also carries requests of other clients.
    if let Some(peer) = peer.filter(|peer| peer.address.ip().to_canonical() == client) {
        peer.close();
    }
    WebhookAnswer::TooManyAttempts
}

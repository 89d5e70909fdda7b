//! Decides by a request's head alone whether its body is read at all: nobody without an allowed
//! address and a valid credential makes the service read a body, touch the disk, or fill the log.

use std::net::IpAddr;

use axum::http::{Method, request};

use super::answer::Answer;
use super::policy::{Judgement, Policy};
use super::state::{Receiver, Source};
use crate::listener::Peer;

/// `Ok` if the body may be read; otherwise the answer.
pub(super) fn admit(
    receiver: &Receiver,
    policy: &Policy,
    source: &Source,
    head: &request::Parts,
    request_id: &str,
) -> Result<(), Answer> {
    let peer = head.extensions.get::<Peer>();
    let client = policy.client(peer, &head.headers);
    let judgement = policy.judge(&source.name, peer, &head.headers);
    let now = (receiver.clock)();
    let is_first = || receiver.mentioned.count(client, now) == 1 && receiver.mentioned.may_say(now);
    if judgement == Judgement::ForeignAddress {
        if is_first() {
            tracing::warn!(
                source = %source.name, %client, request_id,
                "refused an address outside allow_from"
            );
        }
        return Err(Answer::Forbidden);
    }
    if let (Judgement::StaleConnection, Some(peer)) = (judgement, peer) {
        peer.close();
    }
    let has_credentials = judgement == Judgement::Allowed;
    match head.method {
        Method::POST if has_credentials => Ok(()),
        Method::POST => Err(refuse(receiver, source, client, peer, request_id)),
        // Whether PingOne sends its credentials with the probe is not documented: a probe that has
        // none is answered all the same, and said.
        Method::GET | Method::HEAD => {
            if has_credentials || is_first() {
                tracing::info!(
                    source = %source.name, %client, request_id, has_credentials,
                    "answered a connection probe"
                );
            }
            Err(Answer::Probe)
        }
        _ => Err(Answer::MethodNotAllowed),
    }
}

/// Counts a wrong login. From some number on the address is told to wait, and each further guess
/// costs it a connection.
fn refuse(
    receiver: &Receiver,
    source: &Source,
    client: IpAddr,
    peer: Option<&Peer>,
    request_id: &str,
) -> Answer {
    let now = (receiver.clock)();
    let count = receiver.wrong_logins.count(client, now);
    let limit = receiver.limits.failed_logins;
    if count == 1 && receiver.wrong_logins.may_say(now) {
        tracing::warn!(
            source = %source.name, %client, request_id,
            "refused wrong or missing credentials"
        );
    }
    if count <= limit {
        return Answer::Unauthorized;
    }
    if count == limit.saturating_add(1) && receiver.wrong_logins.may_say(now) {
        tracing::warn!(
            source = %source.name, %client, request_id, limit,
            "answering 429 to wrong credentials from this address for the rest of the minute"
        );
    }
    // A proxy's connection carries the requests of others, too.
    if let Some(peer) = peer.filter(|peer| peer.address.ip().to_canonical() == client) {
        peer.close();
    }
    Answer::TooManyAttempts
}

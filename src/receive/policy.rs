//! Access policy: all settings about senders that a reload replaces, as one value.
//!
//! A request reads the policy once and is judged by that value alone, so no request sees half of a
//! reload.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, PoisonError, RwLock};

use axum::http::HeaderMap;
use ipnet::IpNet;

use super::auth::Credentials;
use super::client::Proxies;
use crate::listener::ListenConfig;
use crate::listener::tls::LoadedTls;
use crate::listener::{Certificate, ConnectionPolicy, Peer};
use crate::receive::{OnUnparseable, SourceConfig};

/// Senders allowed for each source, and the treatment of their bodies.
pub struct Policy {
    proxies: Proxies,
    sources: Vec<SourcePolicy>,
    tls: Option<Arc<LoadedTls>>,
}

/// The policy of one source.
pub(super) struct SourcePolicy {
    name: String,
    credentials: Credentials,
    allow_from: Vec<IpNet>,
    /// True if events with findings are quarantined.
    pub(super) strict: bool,
    /// Treatment of a body that cannot be parsed as a whole.
    pub(super) on_unparseable: OnUnparseable,
}

/// The current policy. A reload replaces it as a whole.
pub struct SharedPolicy(RwLock<Arc<Policy>>);

/// Decision about a request by its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AccessDecision {
    /// Address and credentials are valid.
    Allowed,
    /// The client's address is outside `allow_from`.
    ForeignAddress,
    /// The request has no valid credential of the source.
    WrongCredentials,
    /// The connection began under other client certificate authorities, and a new connection would
    /// be refused.
    StaleConnection,
}

impl Policy {
    /// Builds the policy of a configuration. `tls` is the result of loading `listen.tls`.
    pub fn new(listen: &ListenConfig, sources: &[SourceConfig], tls: Option<LoadedTls>) -> Policy {
        let proxies =
            Proxies { trusted: listen.trusted_proxies.clone(), header: listen.forwarded_header };
        let sources = sources.iter().map(|source| SourcePolicy {
            name: source.name.clone(),
            credentials: Credentials::new(&source.credentials),
            allow_from: source.allow_from.clone(),
            strict: source.strict,
            on_unparseable: source.on_unparseable,
        });
        Policy { proxies, sources: sources.collect(), tls: tls.map(Arc::new) }
    }

    /// Returns certificates and authorities of new connections.
    pub fn tls(&self) -> Option<&LoadedTls> {
        self.tls.as_deref()
    }

    /// Returns the client address of a request behind trusted proxies.
    pub(super) fn client(&self, peer: Option<&Peer>, headers: &HeaderMap) -> IpAddr {
        // Every listener sets a peer. Without one, the unspecified address is in no `allow_from`.
        let address = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.address.ip());
        self.proxies.client(address, headers)
    }

    /// Returns the policy of a source.
    pub(super) fn source(&self, name: &str) -> Option<&SourcePolicy> {
        self.sources.iter().find(|source| source.name == name)
    }

    /// Returns whether a source quarantines events with findings.
    pub(super) fn is_strict(&self, name: &str) -> bool {
        self.source(name).is_some_and(|source| source.strict)
    }

    /// Judges a request for a source by its head. An unknown source allows no request.
    pub(crate) fn judge(
        &self,
        name: &str,
        peer: Option<&Peer>,
        headers: &HeaderMap,
    ) -> AccessDecision {
        let Some(source) = self.source(name) else { return AccessDecision::ForeignAddress };
        let client = self.client(peer, headers);
        let is_allowed = |net: &IpNet| net.contains(&client);
        if !source.allow_from.is_empty() && !source.allow_from.iter().any(is_allowed) {
            return AccessDecision::ForeignAddress;
        }
        let Ok(shown) = self.certificate(peer) else { return AccessDecision::StaleConnection };
        match source.credentials.allow(headers, shown) {
            true => AccessDecision::Allowed,
            false => AccessDecision::WrongCredentials,
        }
    }

    /// Returns the client certificate of a connection; `Err` if a new connection would be refused.
    fn certificate<'p>(&self, peer: Option<&'p Peer>) -> Result<Option<&'p Certificate>, ()> {
        let shown = peer.and_then(|peer| peer.shown.as_deref());
        let Some(authority) = self.tls.as_ref().and_then(|tls| tls.authority.as_deref()) else {
            return Ok(None);
        };
        match shown {
            None if authority.is_required() => Err(()),
            None => Ok(None),
            Some(shown) if authority.accepts(shown) => Ok(Some(&shown.certificate)),
            Some(_) => Err(()),
        }
    }
}

impl SharedPolicy {
    /// Starts with this policy.
    pub fn new(policy: Policy) -> SharedPolicy {
        SharedPolicy(RwLock::new(Arc::new(policy)))
    }

    /// Returns the current policy.
    pub fn current(&self) -> Arc<Policy> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the policy for later requests and connections.
    pub fn replace(&self, policy: Policy) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(policy);
    }
}

impl ConnectionPolicy for SharedPolicy {
    fn tls(&self) -> Option<Arc<LoadedTls>> {
        self.current().tls.clone()
    }

    fn trusts_proxy(&self, address: IpAddr) -> bool {
        self.current().proxies.trusts(address.to_canonical())
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(self.sources.iter().map(|source| &source.name)).finish()
    }
}

impl fmt::Debug for SharedPolicy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.current().fmt(out)
    }
}

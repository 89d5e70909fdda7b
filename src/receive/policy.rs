//! The access policy: everything about who may send events that a reload replaces, as one value.
//!
//! A request takes the policy once and is judged by that alone, so no request sees half of a reload.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, PoisonError, RwLock};

use axum::http::HeaderMap;
use ipnet::IpNet;

use super::auth::Credentials;
use super::client::Proxies;
use crate::config::{self, Listen, OnUnparseable};
use crate::listener::tls::LoadedTls;
use crate::listener::{Certificate, ConnectionPolicy, Peer};

/// Who may send events to which source, and how its bodies are judged.
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
    /// The fate of a body that cannot be parsed at all.
    pub(super) on_unparseable: OnUnparseable,
}

/// The policy in force; a reload replaces it as a whole.
pub struct SharedPolicy(RwLock<Arc<Policy>>);

/// The judgement of a request by its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// Address and credentials are right.
    Allowed,
    /// The client's address is outside `allow_from`.
    ForeignAddress,
    /// No credential of the source is in the request.
    WrongCredentials,
    /// The connection began under other authorities of client certificates, and a new one would be
    /// refused in its handshake.
    StaleConnection,
}

impl Policy {
    /// The policy of a configuration; `tls` is what `listen.tls` loads.
    pub fn new(listen: &Listen, sources: &[config::Source], tls: Option<LoadedTls>) -> Policy {
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

    /// The certificates and authorities of new connections.
    pub fn tls(&self) -> Option<&LoadedTls> {
        self.tls.as_deref()
    }

    /// The address that a request comes from, behind trusted proxies.
    pub(super) fn client(&self, peer: Option<&Peer>, headers: &HeaderMap) -> IpAddr {
        // Every listener names its peers; without one nothing is allowed by its address.
        let address = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.address.ip());
        self.proxies.client(address, headers)
    }

    /// The policy of a source of this name.
    pub(super) fn source(&self, name: &str) -> Option<&SourcePolicy> {
        self.sources.iter().find(|source| source.name == name)
    }

    /// Returns whether a source of this name quarantines events with findings.
    pub(super) fn is_strict(&self, name: &str) -> bool {
        self.source(name).is_some_and(|source| source.strict)
    }

    /// Judges a request for the source of this name. A source that the policy does not know allows
    /// nobody.
    pub(crate) fn judge(&self, name: &str, peer: Option<&Peer>, headers: &HeaderMap) -> Judgement {
        let Some(source) = self.source(name) else { return Judgement::ForeignAddress };
        let client = self.client(peer, headers);
        let is_allowed = |net: &IpNet| net.contains(&client);
        if !source.allow_from.is_empty() && !source.allow_from.iter().any(is_allowed) {
            return Judgement::ForeignAddress;
        }
        let Ok(shown) = self.certificate(peer) else { return Judgement::StaleConnection };
        match source.credentials.allow(headers, shown) {
            true => Judgement::Allowed,
            false => Judgement::WrongCredentials,
        }
    }

    /// The client certificate of a connection; `Err` if a new connection would be refused in its
    /// handshake.
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
    /// Begins with this policy.
    pub fn new(policy: Policy) -> SharedPolicy {
        SharedPolicy(RwLock::new(Arc::new(policy)))
    }

    /// The policy in force now.
    pub fn current(&self) -> Arc<Policy> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another policy in force for every later request and connection.
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

//! Blocks requests to private addresses, for URLs that are not chosen by the operator.
//!
//! The check applies to the resolved addresses, and exactly these are connected to. A name that
//! changes its address between check and connection has no effect.

use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use thiserror::Error;
use url::Host;

use super::{HttpClientConfig, RequestError};
use crate::error_chain::chain;

/// IPv4 networks outside the public internet: IANA's special-purpose registry (RFC 6890).
const PRIVATE_V4: [&str; 17] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "255.255.255.255/32",
    "168.63.129.16/32",
];

/// The only IPv6 network of the public internet. [`PRIVATE_V6`] lists its exceptions, including
/// networks that embed IPv4 addresses.
const PUBLIC_V6: &str = "2000::/3";
const PRIVATE_V6: [&str; 4] = ["2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"];

static PRIVATE: LazyLock<Vec<IpNet>> = LazyLock::new(|| {
    let networks = PRIVATE_V4.iter().chain(&PRIVATE_V6);
    networks.filter_map(|network| network.parse().ok()).collect()
});
static PUBLIC: LazyLock<Option<IpNet>> = LazyLock::new(|| PUBLIC_V6.parse().ok());

/// A private address that the configuration does not allow.
#[derive(Debug, Error)]
#[error(
    "{0} is a private address; set private_addresses = \"allow\" if the target is meant to be there"
)]
struct PrivateAddress(IpAddr);

/// Resolver that returns public addresses only.
#[derive(Debug)]
pub(super) struct PublicResolver;

impl Resolve for PublicResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let found: Vec<SocketAddr> = found.collect();
            if let Some(address) = found.iter().find(|address| is_private(address.ip())) {
                return Err(PrivateAddress(address.ip()).into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Checks an address in the URL itself, which is never resolved.
///
/// # Errors
///
/// The address is private, and the settings do not allow private addresses.
pub(super) fn check_literal(settings: &HttpClientConfig) -> Result<(), RequestError> {
    let address = match settings.url.host() {
        Some(Host::Ipv4(address)) => IpAddr::V4(address),
        Some(Host::Ipv6(address)) => IpAddr::V6(address),
        _ => return Ok(()),
    };
    if settings.allows_private || !is_private(address) {
        return Ok(());
    }
    Err(RequestError::new(PrivateAddress(address).to_string()))
}

/// Returns the message of this guard, if a request failed because of it.
pub(super) fn refused(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    chain(error).find_map(|cause| cause.downcast_ref::<PrivateAddress>()).map(ToString::to_string)
}

fn is_private(address: IpAddr) -> bool {
    let address = address.to_canonical();
    let is_public_v6 = || PUBLIC.is_some_and(|network| network.contains(&address));
    (address.is_ipv6() && !is_public_v6()) || PRIVATE.iter().any(|net| net.contains(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_known_in_every_spelling() {
        let networks = PRIVATE_V4.len() + PRIVATE_V6.len();
        assert!(PRIVATE.len() == networks && PUBLIC.is_some(), "every network parses");
        for address in [
            "127.0.0.1",
            "10.1.2.3",
            "172.31.255.255",
            "192.168.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
            "::10.0.0.1",
            "fec0::1",
            "2001::1",
        ] {
            assert!(is_private(address.parse().expect("an address")), "{address}");
        }
        for address in ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111"] {
            assert!(!is_private(address.parse().expect("an address")), "{address}");
        }
    }
}

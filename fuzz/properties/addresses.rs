//! Reader of lists of IP addresses, as proxies and PingOne write them.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Characters between the addresses of a list.
const SEPARATORS: [char; 3] = [',', ';', ' '];

/// Word in a list instead of an address.
const UNKNOWN: &str = "unknown";

/// Returns the parts of a text between separators.
pub(super) fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(SEPARATORS).filter(|part| !part.is_empty())
}

/// Returns the list with each part replaced; `None` if the text is no list of addresses.
pub(super) fn list_of(text: &str, replace: impl Fn(&str) -> String) -> Option<String> {
    let is_address = |part: &str| address_in(part).is_some();
    let is_list = parts(text).all(|part| is_address(part) || part == UNKNOWN);
    let pieces = text.split_inclusive(SEPARATORS).map(|piece| {
        let part = piece.trim_end_matches(SEPARATORS);
        if part.is_empty() { piece.to_owned() } else { replace(part) + &piece[part.len()..] }
    });
    (is_list && parts(text).any(is_address)).then(|| pieces.collect())
}

/// Returns whether a text consists of networks: /24 of IPv4, /48 of IPv6, with or without ports.
pub(super) fn is_network_list(text: &str) -> bool {
    let is_network = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets()[3] == 0,
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(mapped) => mapped.octets()[3] == 0,
            None => address.segments()[3..] == [0; 5],
        },
    };
    parts(text).all(|part| part == UNKNOWN || address_in(part).is_some_and(is_network))
}

/// Returns the address in `address`, `address:port`, `[address]` or `[address]:port`.
fn address_in(part: &str) -> Option<IpAddr> {
    if let Ok(address) = part.parse() {
        return Some(address);
    }
    let is_port = |text: &str| {
        (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    if let Some((address, port)) = part.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let has_port = port.strip_prefix(':').is_some_and(is_port);
        let address: Option<Ipv6Addr> = address.parse().ok();
        return address.filter(|_| port.is_empty() || has_port).map(IpAddr::from);
    }
    let (address, _) = part.split_once(':').filter(|(_, port)| is_port(port))?;
    address.parse::<Ipv4Addr>().ok().map(IpAddr::from)
}

//! IP addresses in the value of a field: one address, or a list of addresses in one text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

/// Characters between the addresses of a list.
const SEPARATORS: [char; 3] = [',', ';', ' '];

/// Word that proxies write in a list instead of an address.
const UNKNOWN: &str = "unknown";

/// Returns the parts of a text between separators.
pub(super) fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(SEPARATORS).filter(|part| !part.is_empty())
}

/// Replaces each address of a list, and keeps the separators. Returns `None` if the text contains
/// anything but addresses.
pub(super) fn replace_each(text: &str, mut replace: impl FnMut(&str) -> String) -> Option<String> {
    let is_address = |part: &str| host(part).is_some();
    let is_list = parts(text).all(|part| is_address(part) || part == UNKNOWN);
    if !is_list || !parts(text).any(is_address) {
        return None;
    }
    let pieces = text.split_inclusive(SEPARATORS).map(|piece| {
        let part = piece.trim_end_matches(SEPARATORS);
        let separator = &piece[part.len()..];
        if part.is_empty() { separator.to_owned() } else { replace(part) + separator }
    });
    Some(pieces.collect())
}

/// Replaces the host part of each address by its network: /24 of IPv4, also of mapped IPv4, and /48
/// of IPv6. Brackets, ports and separators stay. Returns `None` for any other text.
pub(super) fn truncate(text: &str) -> Option<String> {
    replace_each(text, |part| match host(part) {
        Some((range, address)) => {
            format!("{}{}{}", &part[..range.start], network(address), &part[range.end..])
        }
        None => part.to_owned(),
    })
}

/// Returns the address in `address`, `address:port` or `[address]:port`, and its extent.
pub(super) fn host(part: &str) -> Option<(Range<usize>, IpAddr)> {
    if let Ok(address) = part.parse() {
        return Some((0..part.len(), address));
    }
    if let Some(rest) = part.strip_prefix('[') {
        let (inner, port) = rest.split_once(']')?;
        let address: Ipv6Addr = inner.parse().ok()?;
        let is_end = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return is_end.then_some((1..1 + inner.len(), address.into()));
    }
    let (address, port) = part.split_once(':')?;
    let parsed: Ipv4Addr = address.parse().ok()?;
    is_port(port).then_some((0..address.len(), parsed.into()))
}

fn is_port(text: &str) -> bool {
    (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn network(address: IpAddr) -> String {
    let of_v4 = |address: Ipv4Addr| {
        let [a, b, c, _] = address.octets();
        Ipv4Addr::new(a, b, c, 0)
    };
    match address {
        IpAddr::V4(address) => of_v4(address).to_string(),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(mapped) => format!("::ffff:{}", of_v4(mapped)),
            None => {
                let [a, b, c, ..] = address.segments();
                Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).to_string()
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_truncated_and_keep_their_form() {
        for (text, expected) in [
            ("192.0.2.77", Some("192.0.2.0")),
            ("192.0.2.77:443", Some("192.0.2.0:443")),
            ("2001:db8:1:2::5", Some("2001:db8:1::")),
            ("[2001:db8:1:2::5]:443", Some("[2001:db8:1::]:443")),
            ("[2001:DB8:1:2::5]", Some("[2001:db8:1::]")),
            ("::ffff:192.0.2.77", Some("::ffff:192.0.2.0")),
            ("::ffff:c000:24d", Some("::ffff:192.0.2.0")),
            ("::1", Some("::")),
            ("192.0.2.1, 198.51.100.7", Some("192.0.2.0, 198.51.100.0")),
            ("192.0.2.1;2001:db8:1:2::5 ", Some("192.0.2.0;2001:db8:1:: ")),
            ("unknown, 192.0.2.1", Some("unknown, 192.0.2.0")),
            ("unknown", None),
            ("", None),
            (", ", None),
            ("192.0.2", None),
            ("192.0.2.1:x", None),
            ("192.0.2.1, bob", None),
            ("192.0.2.1\n192.0.2.2", None),
            ("[192.0.2.1]", None),
            ("fe80::1%eth0", None),
        ] {
            assert_eq!(truncate(text).as_deref(), expected, "{text:?}");
        }
    }
}

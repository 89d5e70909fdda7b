//! Determines the client address of a request behind proxies.
//!
//! A forwarding header is trusted only as far as trusted proxies wrote it. It is read from the
//! right, where the nearest proxy appends, to the first address that is not a trusted proxy.
//! Everything to the left comes from the client, who may forge it.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;
use ipnet::IpNet;

use crate::listener::ForwardedHeader;

/// Trusted proxies, and the header in which they name the client.
#[derive(Debug, Clone)]
pub(super) struct Proxies {
    pub(super) trusted: Vec<IpNet>,
    pub(super) header: ForwardedHeader,
}

impl Proxies {
    /// Returns the client's address. An entry that is not an address ends the reading; the result
    /// then is the last address that a trusted proxy wrote.
    pub(super) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        if !self.trusts(client) {
            return client;
        }
        let entries: Vec<String> = match self.header {
            ForwardedHeader::XForwardedFor => lines(headers, "x-forwarded-for")
                .flat_map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>())
                .collect(),
            ForwardedHeader::Forwarded => {
                lines(headers, "forwarded").flat_map(|line| parts(&line, ',')).collect()
            }
        };
        for entry in entries.iter().rev() {
            let address = match self.header {
                ForwardedHeader::XForwardedFor => parse(entry.trim()),
                ForwardedHeader::Forwarded => forwarded_for(entry).as_deref().and_then(parse),
            };
            let Some(address) = address else { break };
            client = address;
            if !self.trusts(client) {
                break;
            }
        }
        client
    }

    pub(super) fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|net| net.contains(&address))
    }
}

/// Returns the values of all headers of a name, which form one list (RFC 9110, 5.3).
fn lines(headers: &HeaderMap, name: &str) -> impl Iterator<Item = String> {
    let values = headers.get_all(name).iter();
    values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// Splits a text at `separator`, except inside quoted strings (RFC 9110, 5.6.4). An unclosed quote
/// has no effect, because a client could open one to hide the entries that a proxy appends.
fn parts(text: &str, separator: char) -> Vec<String> {
    let (mut parts, mut part, mut is_quoted, mut is_escaped) =
        (Vec::new(), String::new(), false, false);
    for c in text.chars() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ if c == separator && !is_quoted => {
                parts.push(std::mem::take(&mut part));
                continue;
            }
            _ => {}
        }
        part.push(c);
    }
    if is_quoted {
        return text.split(separator).map(str::to_owned).collect();
    }
    parts.push(part);
    parts
}

/// Returns the `for` parameter of one element (RFC 7239, 4).
fn forwarded_for(element: &str) -> Option<String> {
    parts(element, ';').iter().find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let is_for = name.trim().eq_ignore_ascii_case("for");
        let value = value.trim();
        let unquoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        is_for.then(|| unquoted.unwrap_or(value).to_owned())
    })
}

/// Parses an address with or without a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`,
/// `[2001:db8::1]:80`.
fn parse(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok();
    let with_port = || text.parse().ok().map(|address: SocketAddr| address.ip());
    address.or_else(with_port).map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(header: ForwardedHeader, peer: &str, lines: &[&str]) -> String {
        let trusted = ["10.0.0.0/8", "fd00::/8"].map(|net| net.parse().expect("a network"));
        let proxies = Proxies { trusted: trusted.to_vec(), header };
        let mut headers = HeaderMap::new();
        let name = match header {
            ForwardedHeader::XForwardedFor => "x-forwarded-for",
            ForwardedHeader::Forwarded => "forwarded",
        };
        for line in lines {
            headers.append(name, line.parse().expect("a header value"));
        }
        proxies.client(peer.parse().expect("an address"), &headers).to_string()
    }

    #[test]
    fn x_forwarded_for_is_read_from_the_right() {
        for (peer, lines, wanted) in [
            ("10.0.0.1", &["203.0.113.9"][..], "203.0.113.9"),
            ("::ffff:10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
            ("10.0.0.1", &["198.51.100.1, 203.0.113.9"], "203.0.113.9"),
            ("10.0.0.1", &["198.51.100.1, 203.0.113.9, 10.9.9.9"], "203.0.113.9"),
            ("10.0.0.1", &["198.51.100.1", "203.0.113.9", "10.9.9.9"], "203.0.113.9"),
            ("10.0.0.1", &["10.1.1.1, 10.2.2.2"], "10.1.1.1"),
            ("10.0.0.1", &["203.0.113.9:4711"], "203.0.113.9"),
            ("10.0.0.1", &["[2001:db8::9]:4711"], "2001:db8::9"),
            ("fd00::1", &["2001:db8::9"], "2001:db8::9"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &[""], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.9, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["\", 203.0.113.9"], "203.0.113.9"),
            ("10.0.0.1", &["203.0.113.9, junk, 10.5.5.5"], "10.5.5.5"),
            ("192.0.2.66", &["203.0.113.9"], "192.0.2.66"),
        ] {
            assert_eq!(client(ForwardedHeader::XForwardedFor, peer, lines), wanted, "{lines:?}");
        }
    }

    #[test]
    fn forwarded_is_read_from_the_right() {
        for (lines, wanted) in [
            (&["for=203.0.113.9"][..], "203.0.113.9"),
            (&["For=\"[2001:db8::9]:4711\";proto=https"], "2001:db8::9"),
            (&["for=198.51.100.1, for=203.0.113.9;by=10.0.0.1"], "203.0.113.9"),
            (&["for=198.51.100.1", "proto=https;for=203.0.113.9, for=10.9.9.9"], "203.0.113.9"),
            (&["for=203.0.113.9;host=\"a,b;for=198.51.100.1\""], "203.0.113.9"),
            (&["for=203.0.113.9, for=_hidden"], "10.0.0.1"),
            (&["for=203.0.113.9, for=unknown"], "10.0.0.1"),
            (&["proto=https"], "10.0.0.1"),
            (&["for=\", for=203.0.113.9"], "203.0.113.9"),
            (&["\"\\, for=\"[2001:db8::9]\""], "2001:db8::9"),
            (&["for=203.0.113.9, for=\"10.0.0.7"], "10.0.0.1"),
        ] {
            assert_eq!(client(ForwardedHeader::Forwarded, "10.0.0.1", lines), wanted, "{lines:?}");
        }
    }

    #[test]
    fn the_other_header_is_not_read() {
        let trusted = vec!["10.0.0.0/8".parse().expect("a network")];
        let proxies = Proxies { trusted, header: ForwardedHeader::XForwardedFor };
        let mut headers = HeaderMap::new();
        headers.append("forwarded", "for=203.0.113.9".parse().expect("a header value"));
        let peer = IpAddr::from([10, 0, 0, 1]);
        assert_eq!(proxies.client(peer, &headers), peer);
    }
}

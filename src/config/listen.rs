//! `[listen]`: where PingOne reaches the service.

use std::net::{Ipv4Addr, SocketAddr};

use super::section::Section;

/// The listener for webhooks.
#[derive(Debug, Clone)]
pub struct Listen {
    /// Address and port. PingOne supports IPv4 only.
    pub address: SocketAddr,
    /// `auth = "none"`: sources without credentials are meant, also on a public address.
    pub allows_no_credentials: bool,
}

pub(super) fn read(mut section: Section<'_>) -> Listen {
    let default = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080));
    let listen = Listen {
        address: section.address("address").unwrap_or(default),
        allows_no_credentials: section
            .choice("auth", &[("required", false), ("none", true)])
            .unwrap_or(false),
    };
    section.finish();
    listen
}

//! `[admin]`: health, metrics and operations, apart from the webhook's listener.

use std::net::{Ipv4Addr, SocketAddr};

use super::section::Section;

/// The admin listener.
#[derive(Debug, Clone)]
pub struct Admin {
    /// Address and port. Health and metrics are open to whoever can reach it; operations answer
    /// only on loopback.
    pub address: SocketAddr,
}

pub(super) fn read(mut section: Section<'_>) -> Admin {
    let default = SocketAddr::from((Ipv4Addr::LOCALHOST, 9090));
    let admin = Admin { address: section.address("address").unwrap_or(default) };
    section.finish();
    admin
}

//! `[admin]`: health, metrics, console and operations, apart from the webhook's listener.

use std::net::{Ipv4Addr, SocketAddr};

use super::section::Section;
use super::strength;
use crate::secret::{Form, Secret};

/// The admin listener.
#[derive(Debug, Clone)]
pub struct Admin {
    /// Address and port. Health and metrics are open to whoever can reach it.
    pub address: SocketAddr,
    /// What the user `admin` shows to see events and to operate. Without one, that is for processes of
    /// this machine only.
    pub password: Option<Secret>,
    /// Whether operations are refused.
    pub is_read_only: bool,
}

pub(super) fn read(mut section: Section<'_>) -> Admin {
    let address = address(&mut section);
    let password = section.secret_if_given("password", Form::Line);
    let is_read_only = section.boolean("read_only").unwrap_or(false);
    let weakness = password
        .as_ref()
        .filter(|_| !address.ip().is_loopback())
        .and_then(|password| strength::weakness(password.expose(), None));
    if let Some(weakness) = weakness {
        section.report("password", format!(
            "{weakness}, and {address} is reachable from other machines. Make one with openssl rand \
             -base64 24"
        ));
    }
    section.finish();
    Admin { address, password, is_read_only }
}

/// The address alone.
pub(super) fn read_address(mut section: Section<'_>) -> SocketAddr {
    let address = address(&mut section);
    section.ignore_rest();
    section.finish();
    address
}

fn address(section: &mut Section<'_>) -> SocketAddr {
    section.address("address").unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 9090)))
}

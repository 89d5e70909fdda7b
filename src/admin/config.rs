//! `[admin]`: health, metrics, console and operations, on their own listener.

use std::net::SocketAddr;

use crate::secret::{Form, Secret};
use crate::settings::{Section, strength};

/// The admin listener.
#[derive(Debug, Clone)]
pub struct AdminConfig {
    /// Address and port. Health and metrics need no credentials.
    pub address: SocketAddr,
    /// Password of the user `admin`, for events and operations. Without one, only processes of this machine may see
    /// events and operate.
    pub password: Option<Secret>,
    /// True if operations are refused.
    pub is_read_only: bool,
}

impl AdminConfig {
    /// Reads `[admin]`.
    pub(crate) fn read(root: &mut Section<'_>) -> Option<AdminConfig> {
        root.table("admin", "Health, metrics, console and operations.", |section| {
            let address = read_address(section);
            let doc = "Password of the user admin. Default: only processes of this machine see events and operate.";
            let password = section.optional_secret("password", Form::Line, doc);
            let doc = "True: the console and the commands show, and change nothing.";
            let is_read_only = section.boolean("read_only", doc).or("false");
            let (address, password) = (address?, password?);
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
            Some(AdminConfig { address, password, is_read_only: is_read_only? })
        })
    }

    /// Reads the address alone.
    pub(crate) fn read_address(root: &mut Section<'_>) -> Option<SocketAddr> {
        root.table("admin", "", |section| {
            let address = read_address(section);
            section.ignore_rest();
            address
        })
    }
}

fn read_address(section: &mut Section<'_>) -> Option<SocketAddr> {
    section.address("address", "Address and port.").or("127.0.0.1:9090")
}

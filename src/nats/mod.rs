//! How NATS is reached, for whoever speaks to it: addresses, credentials, certificates.
//!
//! A connection is made once and then kept: it comes back by itself, for ever, with credentials and
//! certificates read anew each time. What is done over it is its user's business.

#[cfg(feature = "nats")]
mod connect;
#[cfg(feature = "nats")]
mod credentials;
#[cfg(feature = "nats")]
mod error;
#[cfg(feature = "nats")]
mod events;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use crate::secret::Secret;
use crate::tls::Tls;

#[cfg(feature = "nats")]
pub use connect::connect;
#[cfg(feature = "nats")]
pub use error::{ConnectError, is_about_credentials, without_files};

/// Where the servers are, and who we say that we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatsConfig {
    /// One or several of a cluster; all of them `tls://`, or all of them `nats://`. They hold no
    /// credentials.
    pub servers: Vec<Url>,
    /// Who we say that we are.
    pub authentication: Authentication,
    /// Certificates, for `tls://`.
    pub tls: Tls,
    /// For connecting to one server, until it has taken the credentials.
    pub connect_timeout: Duration,
}

/// Who we say that we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authentication {
    /// Nobody, or whom the client certificate names.
    None,
    /// A token.
    Token(Secret),
    /// A name and a password.
    Password {
        /// The name.
        username: String,
        /// The password.
        password: Secret,
    },
    /// An `NKey`, by its seed: it signs, and does not leave this process.
    NKey(Secret),
    /// A credentials file's text: a JWT, and the seed of its `NKey`.
    Credentials(Secret),
}

impl NatsConfig {
    /// Whether the servers have to speak TLS.
    pub fn requires_tls(&self) -> bool {
        self.servers.iter().any(|server| server.scheme() == "tls")
    }

    /// Files whose change may make the servers reachable.
    pub fn files(&self) -> Vec<PathBuf> {
        let secret = self.authentication.secret().and_then(|secret| secret.file());
        self.tls.files().into_iter().chain(secret.map(PathBuf::from)).collect()
    }
}

impl Authentication {
    /// The secret in it, if there is one.
    pub fn secret(&self) -> Option<&Secret> {
        match self {
            Authentication::None => None,
            Authentication::Token(secret)
            | Authentication::Password { password: secret, .. }
            | Authentication::NKey(secret)
            | Authentication::Credentials(secret) => Some(secret),
        }
    }
}

/// The servers, for people.
impl fmt::Display for NatsConfig {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, server) in self.servers.iter().enumerate() {
            write!(out, "{}{server}", if index == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

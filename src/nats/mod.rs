//! Connections to NATS: addresses, credentials, certificates.
//!
//! A lost connection is reopened, without a limit of attempts; credentials and certificates are read again each time.

mod config;
#[cfg(feature = "nats")]
mod connect;
#[cfg(feature = "nats")]
mod credentials;
#[cfg(feature = "nats")]
mod error;
#[cfg(feature = "nats")]
mod events;

#[cfg(feature = "nats")]
pub(crate) use config::Authentication;
pub(crate) use config::NatsConfig;
#[cfg(feature = "nats")]
pub(crate) use connect::connect;
#[cfg(feature = "nats")]
pub(crate) use error::{ConnectError, is_about_credentials, without_files};

//! Connections to NATS: addresses, credentials, certificates.
//!
//! A connection is kept open: it reconnects by itself, without end, with credentials and
//! certificates read again each time.

mod config;
#[cfg(feature = "nats")]
mod connect;
#[cfg(feature = "nats")]
mod credentials;
#[cfg(feature = "nats")]
mod error;
#[cfg(feature = "nats")]
mod events;

pub use config::{Authentication, NatsConfig};
#[cfg(feature = "nats")]
pub use connect::connect;
#[cfg(feature = "nats")]
pub use error::{ConnectError, is_about_credentials, without_files};

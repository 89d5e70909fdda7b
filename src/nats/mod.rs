//! How NATS is reached, for whoever speaks to it: addresses, credentials, certificates.
//!
//! A connection is made once and then kept: it comes back by itself, for ever, with credentials and
//! certificates read anew each time. What is done over it is its user's business.

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

//! Access tokens of Google Cloud for targets there.
//!
//! Three identities can sign in: a service account by its key, the service account of a machine or pod by the metadata
//! server, and a federated identity, whose proof is a token of another issuer. Each connection of a sink has a
//! [`GoogleTokenClient`] that requests a new token.
//! <https://cloud.google.com/docs/authentication/application-default-credentials>

mod answer;
mod config;
mod credentials;
mod request;

pub(crate) use config::GoogleConfig;
pub(crate) use request::GoogleTokenClient;

//! Access tokens of Microsoft Entra ID for targets in Azure.
//!
//! Three identities can sign in: an app registration with a secret, a managed identity, and a workload identity, whose
//! proof is a token of another issuer. A [`TokenCache`] holds the token of one sink; each connection of the sink has a
//! [`TokenClient`] that requests a new one.
//! <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow>

mod answer;
mod cache;
mod config;
mod managed_identity;
mod request;

pub(crate) use answer::{AccessToken, TokenError};
pub(crate) use cache::TokenCache;
pub(crate) use config::{AzureCloud, EntraConfig};
pub(crate) use request::TokenClient;

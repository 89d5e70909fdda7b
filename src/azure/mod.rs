//! Access tokens of Microsoft Entra ID for targets in Azure.
//!
//! Three identities can sign in: an app registration with a secret, a managed identity, and a workload identity, whose
//! proof is a token of another issuer. Each connection of a sink has a [`TokenClient`] that requests a new token.
//! <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow>

mod answer;
mod config;
mod managed_identity;
mod request;

pub(crate) use config::{AzureCloud, EntraConfig};
pub(crate) use request::TokenClient;

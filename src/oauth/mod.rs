//! Access tokens of OAuth 2.0: their lifetimes, and a cache that the connections of a sink share.
//!
//! An issuer implements [`TokenIssuer`]: `azure` and `google` do.

mod cache;
mod token;

pub(crate) use cache::{TokenCache, TokenIssuer};
pub(crate) use token::{AccessToken, TokenError};

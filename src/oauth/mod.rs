//! Access tokens of OAuth 2.0: their lifetimes, and a cache that the connections of a sink share.
//!
//! An issuer implements [`TokenSource`]: `azure` and `google` do.

mod cache;
mod token;

pub(crate) use cache::{TokenCache, TokenSource};
pub(crate) use token::{AccessToken, TokenError};

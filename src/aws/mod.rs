//! Credentials of Amazon Web Services, and signatures of requests (Signature Version 4).
//!
//! An access key is configured, or a container or a machine gives temporary credentials of its role.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html>

mod config;
mod credentials;
mod signer;

pub(crate) use config::AwsConfig;
pub(crate) use signer::{AwsSigner, SigningError};

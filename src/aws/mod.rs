//! Credentials of Amazon Web Services, and signatures of requests (Signature Version 4).
//!
//! An access key is configured, or a container, a machine or AWS STS gives temporary credentials of a role.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html>

mod config;
mod credentials;
mod roles;
mod signer;
mod sts;

pub(crate) use config::AwsConfig;
pub(crate) use roles::{
    AssumeRoleConfig, WebIdentityConfig, parse_service_url, read_assume_role, read_web_identity,
};
pub(crate) use signer::{AwsSigner, SigningError};

//! TLS client settings for HTTP, syslog and NATS: trusted authorities and client certificate.

mod config;

use std::path::Path;

use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;

use crate::pem::{self, PemError};
use crate::shown;
pub(crate) use config::TlsConfig;

/// Error of [`client_config`].
#[derive(Debug, Error)]
pub(crate) enum ClientTlsError {
    /// A file cannot be used.
    #[error("{path} {source}. Correct the file")]
    File {
        path: String,
        /// The error, beginning with a verb.
        source: PemError,
    },
    /// The system has no trusted authorities.
    #[error(
        "this system has no certificate authorities; install ca-certificates, or name the target's \
         own with tls.ca"
    )]
    NoAuthorities,
}

/// Builds a client configuration from the files in the settings, or from the system's authorities.
///
/// # Errors
///
/// A file cannot be read or used, or the system has no authorities.
pub(crate) fn client_config(settings: &TlsConfig) -> Result<ClientConfig, ClientTlsError> {
    let roots = match &settings.ca {
        Some(path) => roots_of(path)?,
        None => system_roots()?,
    };
    let builder = ClientConfig::builder().with_root_certificates(roots);
    let Some((certificate, key)) = &settings.certificate else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = pem::certificates(certificate).map_err(|error| unusable(certificate, error))?;
    let private = pem::private_key(key).map_err(|error| unusable(key, error))?;
    builder
        .with_client_auth_cert(chain, private)
        .map_err(|error| unusable(key, pem::key_error(error, certificate)))
}

fn roots_of(path: &Path) -> Result<RootCertStore, ClientTlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in pem::certificates(path).map_err(|error| unusable(path, error))? {
        roots.add(certificate).map_err(|_| unusable(path, PemError::NotAnAuthority))?;
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, ClientTlsError> {
    let mut roots = RootCertStore::empty();
    // Unparsable system certificates are skipped, as in every client.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(ClientTlsError::NoAuthorities);
    }
    Ok(roots)
}

fn unusable(path: &Path, source: PemError) -> ClientTlsError {
    ClientTlsError::File { path: shown::path(path), source }
}

//! Loads the TLS files of the listener: certificate, key, and authorities of client certificates.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;

use super::authority::Authority;
use super::certificate::Certificate;
use crate::listener::{ClientAuthority, ListenTlsConfig};
use crate::pem::{self, PemError};
use crate::shown;

/// A file that cannot be used for TLS.
#[derive(Debug, Error)]
#[error("listen.tls.{key}: {path} {source}")]
pub struct TlsError {
    key: &'static str,
    path: String,
    source: PemError,
}

/// TLS settings of new connections.
#[derive(Debug, Clone)]
pub struct LoadedTls {
    config: Arc<ServerConfig>,
    chain: Vec<CertificateDer<'static>>,
    /// The service's own certificate.
    pub own: Certificate,
    /// Authority of client certificates. Without it, no client certificate is requested.
    pub authority: Option<Arc<Authority>>,
    /// Key of each file, and the earliest expiry of its certificates, in seconds since the Unix
    /// epoch.
    pub expiries: Vec<(&'static str, i64)>,
}

impl LoadedTls {
    /// Returns the keys of `listen.tls` whose files differ from those of `before`.
    pub fn changes(&self, before: &LoadedTls) -> Vec<&'static str> {
        let parts = |loaded: &LoadedTls| {
            let authority = loaded.authority.clone();
            let (roots, lists) = authority.map(|own| own.files()).unwrap_or_default();
            [("client_ca", roots), ("client_crl", lists)]
        };
        let authorities = parts(self).into_iter().zip(parts(before));
        let authorities = authorities.filter(|(now, then)| now != then).map(|((key, _), _)| key);
        let own = (self.chain != before.chain).then_some("certificate");
        own.into_iter().chain(authorities).collect()
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config))
    }
}

/// Loads all files. Accepts TLS 1.2 and 1.3 with rustls' default cipher suites, and HTTP/2 and
/// HTTP/1.1 by ALPN.
///
/// # Errors
///
/// A file cannot be read or used.
pub(crate) fn load(settings: &ListenTlsConfig) -> Result<LoadedTls, TlsError> {
    let ListenTlsConfig { certificate, key, clients } = settings;
    let (chain, parsed) = certificates("certificate", certificate)?;
    let mut expiries = vec![("certificate", earliest(&parsed))];
    let private = pem::private_key(key).map_err(|error| wrong("key", key, error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|_| wrong("certificate", certificate, PemError::Malformed))?;
    let mut authority = None;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(settings) => {
            let (loaded, expiry) = load_authority(settings, provider)?;
            expiries.push(("client_ca", expiry));
            let verifier = loaded.verifier();
            authority = Some(Arc::new(loaded));
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder
        .with_single_cert(chain.clone(), private)
        .map_err(|error| wrong("key", key, pem::key_error(error, certificate)))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let own = parsed.into_iter().next();
    let own = own.ok_or_else(|| wrong("certificate", certificate, PemError::Malformed))?;
    Ok(LoadedTls { config: Arc::new(config), chain, own, authority, expiries })
}

fn load_authority(
    settings: &ClientAuthority,
    provider: Arc<rustls::crypto::CryptoProvider>,
) -> Result<(Authority, i64), TlsError> {
    let ClientAuthority { ca, crl, is_required } = settings;
    let (certificates, parsed) = certificates("client_ca", ca)?;
    let mut roots = RootCertStore::empty();
    for certificate in &certificates {
        roots
            .add(certificate.clone())
            .map_err(|_| wrong("client_ca", ca, PemError::NotAnAuthority))?;
    }
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let mut lists = Vec::new();
    if let Some(path) = crl {
        lists = pem::revocation_lists(path).map_err(|error| wrong("client_crl", path, error))?;
        // The list revokes client certificates; authorities are not checked against it.
        builder = builder.with_crls(lists.clone()).only_check_end_entity_revocation();
    }
    if !is_required {
        builder = builder.allow_unauthenticated();
    }
    let (key, named) = crl.as_ref().map_or(("client_ca", ca), |crl| ("client_crl", crl));
    let verifier = builder.build().map_err(|_| wrong(key, named, PemError::Malformed))?;
    Ok((Authority::new(certificates, lists, *is_required, verifier), earliest(&parsed)))
}

/// Reads at least one certificate from a PEM file. Returns DER and parsed form.
fn certificates(
    key: &'static str,
    path: &Path,
) -> Result<(Vec<CertificateDer<'static>>, Vec<Certificate>), TlsError> {
    let found = pem::certificates(path).map_err(|error| wrong(key, path, error))?;
    let read = found.iter().map(|der| Certificate::read(der));
    let parsed = read.collect::<Result<Vec<_>, _>>();
    parsed.map(|parsed| (found, parsed)).map_err(|_| wrong(key, path, PemError::Malformed))
}

fn earliest(certificates: &[Certificate]) -> i64 {
    certificates.iter().map(|certificate| certificate.expires).min().unwrap_or(i64::MAX)
}

fn wrong(key: &'static str, path: &Path, source: PemError) -> TlsError {
    TlsError { key, path: shown::path(path), source }
}
